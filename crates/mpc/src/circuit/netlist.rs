//! A recorded circuit.

use super::builder::{Bit, Recorded, Word};
use crate::{BitMatrix, MpcError, matrix::expect};
use std::collections::HashMap;

/// Who gives an input: 0, 1, ... in an order that all parties have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party(pub u8);

/// One input word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Whose it is.
    pub owner: Party,
    /// Its bits.
    pub width: usize,
}

/// A wire or its complement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operand {
    pub wire: usize,
    pub inverted: bool,
}

/// A gate; it drives wire `Circuit::first_gate + its place`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Xor(usize, usize),
    And(Operand, Operand),
}

/// ANDs of one layer that have their right operand's wire in common, and whose words their operands are made of: bit p stands for party p.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// Of the left operand of each AND.
    pub left: Vec<u64>,
    /// Of the right operand of all.
    pub right: u64,
}

/// A circuit whose gates stand in layers: the XORs that need no AND, the first ANDs, the XORs on their outputs, and so on. It is public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circuit {
    pub(super) inputs: Vec<Input>,
    /// Wire 0 is the constant 0; the inputs' wires follow, then one wire per gate.
    pub(crate) gates: Vec<Gate>,
    /// For each layer, where its ANDs begin and end.
    pub(crate) layers: Vec<std::ops::Range<usize>>,
    /// ANDs in a row whose right operands are one wire, in the order of the ANDs; no group reaches beyond its layer.
    pub(crate) groups: Vec<Group>,
    pub(crate) outputs: Vec<Operand>,
    pub(super) output_widths: Vec<usize>,
    pub(super) ands: usize,
}

impl Group {
    /// An AND by itself whose operands are anybody's.
    pub(crate) fn single() -> Self {
        Self {
            left: vec![u64::MAX],
            right: u64::MAX,
        }
    }

    /// ANDs of the group.
    pub(crate) fn ands(&self) -> usize {
        self.left.len()
    }

    /// ANDs to whose left operands a party's words matter.
    pub(crate) fn ands_with(&self, party: u8) -> usize {
        self.left.iter().filter(|left| has(**left, party)).count()
    }

    /// Whether a party's words matter to the right operand.
    pub(crate) fn has_right(&self, party: u8) -> bool {
        has(self.right, party)
    }

    /// Whether the product of a share of a left operand and another party's of the right one is not zero.
    pub(crate) fn takes_transfer(&self, from: u8, to: u8) -> bool {
        self.has_right(to) && self.ands_with(from) > 0
    }
}

/// Whether `parties` has a party.
pub(crate) fn has(parties: u64, party: u8) -> bool {
    parties >> (party % 64) & 1 == 1
}

impl Circuit {
    /// The AND gates of one instance: what an instance costs.
    pub fn ands(&self) -> usize {
        self.ands
    }

    /// ANDs of one layer with an operand in common, at most 64, counted as one.
    pub fn and_groups(&self) -> usize {
        self.groups.len()
    }

    /// Transfers of one instance from one party to another if the ANDs of a group are made together ([`crate::boolean`]): one for each group to which
    /// the one party's words matter on the left and the other's on the right.
    pub fn transfers(&self, from: Party, to: Party) -> usize {
        self.groups.iter().filter(|group| group.takes_transfer(from.0, to.0)).count()
    }

    /// The most ANDs on a path: the rounds of an engine that opens bits layer by layer.
    pub fn depth(&self) -> usize {
        self.layers.len()
    }

    /// The input words in the order in which they were declared.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Bits of all input words.
    pub fn input_bits(&self) -> usize {
        self.inputs.iter().map(|input| input.width).sum()
    }

    /// Bits of the input words of one party.
    pub fn input_bits_of(&self, party: Party) -> usize {
        self.inputs
            .iter()
            .filter(|input| input.owner == party)
            .map(|input| input.width)
            .sum()
    }

    /// Bits of the output words in the order in which they were given.
    pub fn output_widths(&self) -> &[usize] {
        &self.output_widths
    }

    /// Bits of all output words.
    pub fn output_bits(&self) -> usize {
        self.outputs.len()
    }

    /// The output words of a matrix of all output bits, one value per instance; for words of at most 64 bits.
    pub fn output_values(&self, bits: &BitMatrix) -> Result<Vec<Vec<u64>>, MpcError> {
        expect("rows of output bits", self.output_bits(), bits.rows())?;
        let mut first = 0;
        let words = self.output_widths.iter().map(|width| {
            first += width;
            bits.slice(first - width, *width).to_values()
        });
        Ok(words.collect())
    }

    /// The owner of each input wire.
    pub(crate) fn owners(&self) -> impl Iterator<Item = Party> + '_ {
        self.inputs
            .iter()
            .flat_map(|input| std::iter::repeat_n(input.owner, input.width))
    }

    /// All wires: the constant, the inputs and the gates.
    pub(crate) fn wires(&self) -> usize {
        self.first_gate() + self.gates.len()
    }

    pub(crate) fn first_gate(&self) -> usize {
        1 + self.input_bits()
    }

    /// The wires of one party's inputs, in order.
    pub(crate) fn wires_of(&self, party: Party) -> impl Iterator<Item = usize> + '_ {
        self.owners()
            .enumerate()
            .filter(move |(_, owner)| *owner == party)
            .map(|(at, _)| 1 + at)
    }

    /// The ANDs from gate `at` on that depend on none of each other, at most `most` of them; none if `at` is an XOR.
    pub(crate) fn ands_from(&self, at: usize, most: usize) -> std::ops::Range<usize> {
        let layer = self.layers.partition_point(|layer| layer.end <= at);
        match self.layers.get(layer) {
            Some(layer) if layer.start <= at => at..layer.end.min(at + most),
            _ => at..at,
        }
    }

    /// Keeps the gates that an output needs, sorts them into layers and numbers the wires anew.
    pub(super) fn assemble(inputs: Vec<Input>, gates: &[Recorded], outputs: &[Word]) -> Self {
        let first = 1 + inputs.iter().map(|input| input.width).sum::<usize>();
        let used = used_gates(first, gates, outputs);
        let levels = levels(first, gates);
        let mut order: Vec<usize> = (0..gates.len()).filter(|gate| used[*gate]).collect();
        order.sort_by_key(|gate| (levels[*gate], gates[*gate].and));
        let (sizes, shared) = group_ands(&mut order, &levels, gates);
        let owners = owners(&inputs, gates);
        let mut renamed: Vec<usize> = (0..first + gates.len()).collect();
        for (place, gate) in order.iter().enumerate() {
            renamed[first + gate] = first + place;
        }
        let operand = |bit: Bit| Operand {
            wire: renamed[bit.wire()],
            inverted: bit.inverted(),
        };
        let assembled = |place: usize| {
            let gate = &gates[place];
            match gate.and {
                true if shared.get(&place) == Some(&gate.left.wire()) => Gate::And(operand(gate.right), operand(gate.left)),
                true => Gate::And(operand(gate.left), operand(gate.right)),
                false => Gate::Xor(operand(gate.left).wire, operand(gate.right).wire),
            }
        };
        let ands: Vec<(usize, usize)> = (0..order.len())
            .filter(|place| gates[order[*place]].and)
            .map(|place| (levels[order[place]], place))
            .collect();
        let layer = |ands: &[(usize, usize)]| ands[0].1..ands[0].1 + ands.len();
        let mut rest = ands.iter().map(|(_, place)| order[*place]);
        let group = |size: usize| {
            let ands: Vec<usize> = rest.by_ref().take(size).collect();
            let both = |gate: usize| [gates[gate].left.wire(), gates[gate].right.wire()];
            // The other operand's wire: that of both but the shared one.
            let other = |gate: &usize| both(*gate).into_iter().find(|wire| *wire != shared[gate]).unwrap_or_default();
            Group {
                left: ands.iter().map(|gate| owners[other(gate)]).collect(),
                right: owners[shared[&ands[0]]],
            }
        };
        let groups = sizes.into_iter().map(group).collect();
        Self {
            ands: ands.len(),
            inputs,
            layers: ands.chunk_by(|left, right| left.0 == right.0).map(layer).collect(),
            gates: order.iter().map(|gate| assembled(*gate)).collect(),
            groups,
            outputs: outputs.iter().flatten().map(|bit| operand(*bit)).collect(),
            output_widths: outputs.iter().map(Vec::len).collect(),
        }
    }
}

/// The most ANDs of a group: as many as a word of hashed transfers has bits for.
const MAX_GROUP: usize = 64;

/// Sorts the ANDs of each layer by a wire that several have in common; gives the sizes of the groups, and for each AND that wire.
fn group_ands(order: &mut [usize], levels: &[usize], gates: &[Recorded]) -> (Vec<usize>, HashMap<usize, usize>) {
    let (mut sizes, mut shared) = (Vec::new(), HashMap::new());
    for layer in order.chunk_by_mut(|left, right| (levels[*left], gates[*left].and) == (levels[*right], gates[*right].and)) {
        if !gates[layer[0]].and {
            continue;
        }
        let wires = |gate: usize| [gates[gate].left.wire(), gates[gate].right.wire()];
        let mut uses: HashMap<usize, usize> = HashMap::new();
        layer
            .iter()
            .flat_map(|gate| wires(*gate))
            .for_each(|wire| *uses.entry(wire).or_default() += 1);
        for gate in &*layer {
            let [left, right] = wires(*gate);
            shared.insert(*gate, if uses[&left] > uses[&right] { left } else { right });
        }
        layer.sort_by_key(|gate| shared[gate]);
        for group in layer.chunk_by(|left, right| shared[left] == shared[right]) {
            sizes.extend(group.chunks(MAX_GROUP).map(<[usize]>::len));
        }
    }
    (sizes, shared)
}

/// For each wire, whose inputs it depends on: a party whose it does not has a share of zero. Parties from 64 on stand for all.
fn owners(inputs: &[Input], gates: &[Recorded]) -> Vec<u64> {
    let bit = |party: Party| if party.0 < 64 { 1 << party.0 } else { u64::MAX };
    let of_inputs = inputs
        .iter()
        .flat_map(|input| std::iter::repeat_n(bit(input.owner), input.width));
    let mut owners: Vec<u64> = std::iter::once(0).chain(of_inputs).collect();
    for gate in gates {
        owners.push(owners[gate.left.wire()] | owners[gate.right.wire()]);
    }
    owners
}

/// For each gate, whether an output depends on it.
fn used_gates(first: usize, gates: &[Recorded], outputs: &[Word]) -> Vec<bool> {
    let mut used = vec![false; gates.len()];
    let mark = |used: &mut Vec<bool>, bit: Bit| {
        if let Some(gate) = bit.wire().checked_sub(first) {
            used[gate] = true;
        }
    };
    outputs.iter().flatten().for_each(|bit| mark(&mut used, *bit));
    for gate in (0..gates.len()).rev() {
        if used[gate] {
            mark(&mut used, gates[gate].left);
            mark(&mut used, gates[gate].right);
        }
    }
    used
}

/// For each gate, the most ANDs on a path that ends before it: an AND of level d belongs to layer d, an XOR of level d precedes it.
fn levels(first: usize, gates: &[Recorded]) -> Vec<usize> {
    let mut levels: Vec<usize> = Vec::with_capacity(gates.len());
    for gate in gates {
        let after = |bit: Bit| {
            bit.wire()
                .checked_sub(first)
                .map_or(0, |at| levels[at] + usize::from(gates[at].and))
        };
        levels.push(after(gate.left).max(after(gate.right)));
    }
    levels
}
