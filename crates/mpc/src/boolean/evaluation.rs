use super::{Triples, check_parties};
use crate::{
    BitMatrix, MpcError,
    circuit::{Circuit, Gate, Operand, Party},
    matrix::expect,
};

/// A party's evaluation of a circuit on shares.
pub struct Evaluation<'c> {
    circuit: &'c Circuit,
    parties: usize,
    /// One party of all applies public constants: party 0.
    applies: bool,
    wires: BitMatrix,
    triples: Triples,
    layer: usize,
    /// The first triple of the layer, and its first group.
    triple: usize,
    group: usize,
}

/// What comes next.
pub enum Step<'c> {
    /// These bytes go to every other party.
    Open(Box<Opening<'c>>, Vec<u8>),
    /// The party's shares of the outputs.
    Done(BitMatrix),
}

/// Sizes of a layer's groups.
struct Groups(Vec<usize>);

impl Groups {
    fn len(&self) -> usize {
        self.0.len()
    }

    /// For each AND its place in the layer and its group's.
    fn members(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let groups = self.0.iter().enumerate();
        groups.flat_map(|(group, ands)| std::iter::repeat_n(group, *ands)).enumerate()
    }
}

/// A party that waits for the others' masked bits of a layer.
pub struct Opening<'c> {
    evaluation: Evaluation<'c>,
    /// The rows x ^ a of the layer's ANDs, then the rows y ^ b of its groups.
    masked: BitMatrix,
}

impl<'c> Evaluation<'c> {
    /// Begins with the party's shares of all inputs and one triple per AND and instance.
    pub fn start(
        circuit: &'c Circuit,
        (party, parties): (Party, usize),
        inputs: &BitMatrix,
        triples: Triples,
    ) -> Result<Step<'c>, MpcError> {
        check_parties(party, parties)?;
        expect("rows of input bits", circuit.input_bits(), inputs.rows())?;
        expect("triples per instance", circuit.ands(), triples.a.rows())?;
        expect("instances of triples", inputs.columns(), triples.a.columns())?;
        if triples.groups.len() != circuit.ands() {
            let fit = triples.groups == circuit.groups;
            expect("triples of this circuit's groups", 1, fit.into())?;
            // They mask no share that is known to be zero.
            let mut others = circuit.owners().enumerate().filter(|(_, owner)| *owner != party);
            let zero = others.all(|(row, _)| inputs.row(row).iter().all(|word| *word == 0));
            expect("shares of zero of other parties' inputs", 1, zero.into())?;
        }
        let mut wires = BitMatrix::zeros(circuit.wires(), inputs.columns());
        (0..inputs.rows()).for_each(|row| wires.row_mut(1 + row).copy_from_slice(inputs.row(row)));
        let evaluation = Self {
            circuit,
            parties,
            applies: party.0 == 0,
            wires,
            triples,
            layer: 0,
            triple: 0,
            group: 0,
        };
        Ok(evaluation.step(0))
    }

    /// The XORs from gate `at` to the next layer of ANDs, and that layer's masked inputs.
    fn step(mut self, at: usize) -> Step<'c> {
        let layer = self.circuit.layers.get(self.layer).cloned();
        let end = layer.as_ref().map_or(self.circuit.gates.len(), |layer| layer.start);
        for gate in at..end {
            if let Gate::Xor(left, right) = self.circuit.gates[gate] {
                let out = self.circuit.first_gate() + gate;
                for word in 0..self.wires.stride() {
                    self.wires.row_mut(out)[word] = self.wires.row(left)[word] ^ self.wires.row(right)[word];
                }
            }
        }
        let Some(layer) = layer else {
            return Step::Done(self.circuit.read_outputs(&self.wires, self.applies));
        };
        let groups = self.groups(layer.len());
        let mut masked = BitMatrix::zeros(layer.len() + groups.len(), self.wires.columns());
        for (place, group) in groups.members() {
            if let Gate::And(left, right) = self.circuit.gates[layer.start + place] {
                self.mask(left, self.triples.a.row(self.triple + place), &mut masked, place);
                // Once for all, and as it is: a complement is applied to what is opened.
                let plain = Operand {
                    inverted: false,
                    ..right
                };
                self.mask(
                    plain,
                    self.triples.b.row(self.group + group),
                    &mut masked,
                    layer.len() + group,
                );
            }
        }
        let bytes = masked.encode();
        let opening = Opening {
            evaluation: self,
            masked,
        };
        Step::Open(Box::new(opening), bytes)
    }

    /// The groups of the next `ands` ANDs.
    fn groups(&self, ands: usize) -> Groups {
        let mut sizes = Vec::new();
        let mut left = ands;
        for group in &self.triples.groups[self.group..] {
            if left == 0 {
                break;
            }
            left -= group.ands();
            sizes.push(group.ands());
        }
        Groups(sizes)
    }

    fn mask(&self, operand: Operand, mask: &[u64], masked: &mut BitMatrix, row: usize) {
        let wire = self.wires.row(operand.wire);
        let pairs = wire.iter().zip(mask);
        masked
            .row_mut(row)
            .iter_mut()
            .zip(pairs)
            .for_each(|(out, (wire, mask))| *out = wire ^ mask);
        if operand.inverted && self.applies {
            masked.invert_row(row);
        }
    }
}

impl<'c> Opening<'c> {
    /// Bytes of the message of this layer, the same from every party.
    pub fn message_bytes(&self) -> usize {
        BitMatrix::encoded_len(self.masked.rows(), self.masked.columns())
    }

    /// Takes each other party's bytes; their order does not matter.
    pub fn receive<M: AsRef<[u8]>>(self, messages: &[M]) -> Result<Step<'c>, MpcError> {
        let Self { mut evaluation, masked } = self;
        expect("messages", evaluation.parties - 1, messages.len())?;
        let mut opened = masked;
        for (index, message) in messages.iter().enumerate() {
            let theirs = BitMatrix::decode(opened.rows(), opened.columns(), message.as_ref());
            opened.xor_assign(&theirs.map_err(MpcError::of(index))?)?;
        }
        let layer = evaluation.circuit.layers[evaluation.layer].clone();
        let groups = evaluation.groups(layer.len());
        let public = 0u64.wrapping_sub(evaluation.applies.into());
        let last = opened.last_mask();
        for (place, group) in groups.members() {
            let triple = evaluation.triple + place;
            let row = evaluation.circuit.first_gate() + layer.start + place;
            let inverted = match evaluation.circuit.gates[layer.start + place] {
                Gate::And(_, right) => 0u64.wrapping_sub(right.inverted.into()),
                Gate::Xor(..) => 0,
            };
            let (d, e) = (opened.row(place), opened.row(layer.len() + group));
            let Triples { a, b, c, .. } = &evaluation.triples;
            let (a, b, c) = (a.row(triple), b.row(evaluation.group + group), c.row(triple));
            let out = evaluation.wires.row_mut(row);
            for (word, out) in out.iter_mut().enumerate() {
                // (d ^ a)(e ^ b) = d e ^ d b ^ e a ^ c.
                let e = e[word] ^ inverted;
                *out = c[word] ^ d[word] & b[word] ^ e & a[word] ^ d[word] & e & public;
            }
            if let Some(out) = out.last_mut() {
                *out &= last;
            }
        }
        evaluation.layer += 1;
        evaluation.triple += layer.len();
        evaluation.group += groups.len();
        Ok(evaluation.step(layer.end))
    }
}
