use super::masks::Common;
use crate::{
    BitMatrix, MpcError,
    circuit::{Circuit, Party},
    correlation::{CotSender, Delta, add_where},
    matrix::expect,
};
use zeroize::Zeroize;

/// What a garbler needs to open inputs, once. Wiped on drop.
pub struct InputKeys<'c> {
    circuit: &'c Circuit,
    party: Party,
    garblers: usize,
    instances: usize,
    delta: Delta,
    /// Of the inputs' wires, in order.
    masks: BitMatrix,
    labels: Vec<u128>,
}

/// A garbler that has told the external values of its inputs.
pub struct OpenedInputs<'c> {
    keys: InputKeys<'c>,
    external: BitMatrix,
}

impl<'c> InputKeys<'c> {
    pub(super) fn new(common: &Common<'c>) -> Self {
        let instances = common.batch.instances();
        let cells = instances..common.circuit.first_gate() * instances;
        Self {
            circuit: common.circuit,
            party: common.party,
            garblers: common.garblers,
            instances,
            delta: common.wires.delta.clone(),
            masks: common.wires.masks.slice(1, common.circuit.input_bits()),
            labels: common.wires.labels[cells].to_vec(),
        }
    }

    /// This garbler's input bits; gives the bytes for every other garbler.
    pub fn open(self, inputs: &BitMatrix) -> Result<(OpenedInputs<'c>, Vec<u8>), MpcError> {
        expect("rows of input bits", self.circuit.input_bits_of(self.party), inputs.rows())?;
        expect("instances", self.instances, inputs.columns())?;
        let mut external = BitMatrix::zeros(inputs.rows(), self.instances);
        for (row, wire) in self.circuit.wires_of(self.party).enumerate() {
            external.row_mut(row).copy_from_slice(inputs.row(row));
            external.xor_row(row, self.masks.row(wire - 1));
        }
        let bytes = external.encode();
        Ok((OpenedInputs { keys: self, external }, bytes))
    }
}

impl OpenedInputs<'_> {
    /// Takes the other garblers' external values, in order, and of the evaluator (party m) its choices and the transfers to it, of one offset
    /// `delta` with the garbling's; gives the bytes for the evaluator: 16 per input bit of all parties.
    pub fn labels<M: AsRef<[u8]>>(self, messages: &[M], choices: &[u8], transfers: CotSender) -> Result<Vec<u8>, MpcError> {
        let Self { keys, external } = self;
        let (circuit, instances) = (keys.circuit, keys.instances);
        expect("messages", keys.garblers - 1, messages.len())?;
        expect(
            "transfers with this garbler's offset",
            1,
            (transfers.delta.value() == keys.delta.value()).into(),
        )?;
        let evaluator = Party(keys.garblers as u8);
        let rows = circuit.input_bits_of(evaluator);
        let choices = BitMatrix::decode(rows, instances, choices)?;
        let transfers = transfers.corrected(&choices)?;
        let mut words = keys.labels.clone();
        for (row, wire) in circuit.wires_of(evaluator).enumerate() {
            let words = &mut words[(wire - 1) * instances..][..instances];
            words
                .iter_mut()
                .zip(&transfers.q[row * instances..])
                .for_each(|(word, q)| *word ^= q);
        }
        let peers = (0..keys.garblers as u8).filter(|peer| *peer != keys.party.0);
        let mut values = vec![(keys.party, external)];
        for (peer, message) in peers.zip(messages) {
            values.push((
                Party(peer),
                BitMatrix::decode(circuit.input_bits_of(Party(peer)), instances, message.as_ref())?,
            ));
        }
        for (owner, external) in &values {
            for (row, wire) in circuit.wires_of(*owner).enumerate() {
                let words = &mut words[(wire - 1) * instances..][..instances];
                add_where(external.row(row), keys.delta.value(), words);
            }
        }
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        words.zeroize();
        Ok(bytes)
    }
}

impl Drop for InputKeys<'_> {
    fn drop(&mut self) {
        self.masks.zeroize();
        self.labels.zeroize();
    }
}
