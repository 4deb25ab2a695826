//! Recording a circuit.

use super::netlist::{Circuit, Input, Party};

/// A wire of a circuit under construction, or its complement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bit(u32);

/// Bits, the lowest first. Signed words are two's complement.
pub type Word = Vec<Bit>;

impl Bit {
    /// The constant 0.
    pub const ZERO: Self = Self(0);
    /// The constant 1.
    pub const ONE: Self = Self(1);

    fn of(wire: u32, inverted: bool) -> Self {
        Self(wire << 1 | u32::from(inverted))
    }

    pub(super) fn wire(self) -> usize {
        (self.0 >> 1) as usize
    }

    pub(super) fn inverted(self) -> bool {
        self.0 & 1 == 1
    }

    fn is_constant(self) -> bool {
        self.0 <= 1
    }
}

impl From<bool> for Bit {
    fn from(bit: bool) -> Self {
        Self(bit.into())
    }
}

/// What adders and comparisons spare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// One AND per bit, depth as long as the word: for garbling, whose rounds do not grow.
    FewAnds,
    /// Logarithmic depth for several times the ANDs: for shared bits, where a layer is a round trip.
    LowDepth,
}

pub(super) struct Recorded {
    pub and: bool,
    pub left: Bit,
    pub right: Bit,
}

/// Records gates. Constants are folded, complements move along the wires, so XOR, NOT and constants never cost an AND.
///
/// Words of different widths in one operation are a mistake of the circuit's author, and panic.
///
/// ```
/// use cloven_mpc::circuit::{Builder, Goal, Party};
/// use cloven_mpc::BitMatrix;
///
/// let mut builder = Builder::new(Goal::FewAnds);
/// let [left, right] = [0, 1].map(|party| builder.input(Party(party), 16));
/// let sum = builder.add(&left, &right);
/// let relu = builder.relu(&sum);
/// let circuit = builder.finish(&[relu]);
/// assert_eq!(circuit.ands(), 30);
///
/// // 16-bit shares of 5 and of -5.
/// let inputs = [[65_000, 7], [541, 65_524]].map(|values| BitMatrix::from_values(16, &values));
/// let outputs = circuit.evaluate(&BitMatrix::stack(&[&inputs[0], &inputs[1]])?)?;
/// assert_eq!(outputs.to_values(), [5, 0]);
/// # Ok::<(), cloven_mpc::MpcError>(())
/// ```
pub struct Builder {
    goal: Goal,
    inputs: Vec<Input>,
    gates: Vec<Recorded>,
    wires: u32,
}

impl Builder {
    /// An empty circuit.
    pub fn new(goal: Goal) -> Self {
        Self {
            goal,
            inputs: Vec::new(),
            gates: Vec::new(),
            wires: 1,
        }
    }

    /// What adders and comparisons spare from here on.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// The next input word. All inputs are declared before the first gate.
    pub fn input(&mut self, owner: Party, width: usize) -> Word {
        assert!(self.gates.is_empty(), "inputs come before gates");
        self.inputs.push(Input { owner, width });
        (0..width).map(|_| self.next_wire()).collect()
    }

    /// The lowest `width` bits of a public value.
    pub fn constant(&self, value: u64, width: usize) -> Word {
        (0..width).map(|bit| Bit::from(bit < 64 && value >> bit & 1 == 1)).collect()
    }

    /// The complement; free.
    pub fn not(&self, bit: Bit) -> Bit {
        Bit(bit.0 ^ 1)
    }

    /// The complement of each bit; free.
    pub fn not_word(&self, word: &[Bit]) -> Word {
        word.iter().map(|bit| self.not(*bit)).collect()
    }

    /// The sum modulo 2; free.
    pub fn xor(&mut self, left: Bit, right: Bit) -> Bit {
        let inverted = left.inverted() != right.inverted();
        let [left, right] = [left, right].map(|bit| Bit(bit.0 & !1));
        match (left, right) {
            _ if left == right => Bit::from(inverted),
            (Bit::ZERO, bit) | (bit, Bit::ZERO) => Bit(bit.0 | u32::from(inverted)),
            _ => Bit::of(self.record(false, left, right), inverted),
        }
    }

    /// The bitwise sum modulo 2; free.
    pub fn xor_words(&mut self, left: &[Bit], right: &[Bit]) -> Word {
        self.zip(left, right, Self::xor)
    }

    /// One AND, none if a constant, a repetition or a complement decides.
    pub fn and(&mut self, left: Bit, right: Bit) -> Bit {
        match (left, right) {
            (Bit::ZERO, _) | (_, Bit::ZERO) => Bit::ZERO,
            (Bit::ONE, bit) | (bit, Bit::ONE) => bit,
            _ if left == right => left,
            _ if left.wire() == right.wire() => Bit::ZERO,
            _ => Bit::of(self.record(true, left, right), false),
        }
    }

    /// One AND.
    pub fn or(&mut self, left: Bit, right: Bit) -> Bit {
        let (left, right) = (self.not(left), self.not(right));
        let neither = self.and(left, right);
        self.not(neither)
    }

    /// Ends the circuit with these output words. Gates that no output needs are dropped.
    pub fn finish(self, outputs: &[Word]) -> Circuit {
        Circuit::assemble(self.inputs, &self.gates, outputs)
    }

    pub(super) fn zip(&mut self, left: &[Bit], right: &[Bit], mut gate: impl FnMut(&mut Self, Bit, Bit) -> Bit) -> Word {
        assert_eq!(left.len(), right.len(), "words of one width");
        left.iter()
            .zip(right)
            .map(|(left, right)| gate(self, *left, *right))
            .collect()
    }

    /// The AND of all bits, in a tree.
    pub(super) fn all(&mut self, bits: &[Bit]) -> Bit {
        match bits {
            [] => Bit::ONE,
            [bit] => *bit,
            _ => {
                let (low, high) = bits.split_at(bits.len() / 2);
                let (low, high) = (self.all(low), self.all(high));
                self.and(low, high)
            }
        }
    }

    fn record(&mut self, and: bool, left: Bit, right: Bit) -> u32 {
        debug_assert!(!left.is_constant() && !right.is_constant());
        self.gates.push(Recorded { and, left, right });
        self.next_wire().0 >> 1
    }

    fn next_wire(&mut self) -> Bit {
        assert!(self.wires < 1 << 31, "a circuit has at most 2^31 wires");
        self.wires += 1;
        Bit::of(self.wires - 1, false)
    }
}
