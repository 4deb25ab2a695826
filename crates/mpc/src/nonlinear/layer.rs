//! What is computed, and its circuit.

use crate::{
    BitMatrix, MpcError,
    boolean::MAX_PARTIES,
    circuit::{Builder, Circuit, Goal, Party, Word},
    garbling::bmr::{self, MAX_GARBLERS},
    transfer::Width,
    wire::{expect_count, expect_equal},
};
use zeroize::Zeroizing;

/// The most outputs of one layer.
pub const MAX_OUTPUTS: usize = 1 << 20;
/// The most words of one output.
pub const MAX_WINDOW: usize = 256;
/// The most classes of an argmax.
pub const MAX_CLASSES: usize = 1 << 12;
/// Transfers from one party to another that one chunk of triples takes: their words stay near the processor.
const CHUNK_TRANSFERS: usize = 1 << 18;
/// Wires of all instances of a chunk that is garbled.
const CHUNK_WIRES: usize = 1 << 19;
/// Bytes of the tables that a garbler sends for a chunk.
const CHUNK_TABLES: usize = 8 << 20;
/// The most ANDs of one output.
const MAX_ANDS: usize = 1 << 18;

/// A function of additively shared words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The word itself.
    Truncate,
    /// max(0, word).
    Relu,
    /// The largest of a window of words.
    MaxPool {
        /// Words of an output, at least 2.
        window: usize,
    },
    /// max(0, the largest of a window of words).
    MaxPoolRelu {
        /// Words of an output, at least 2.
        window: usize,
    },
    /// Which word is the largest, the first of equals. The parties end with XOR shares of the index; nothing is truncated or masked.
    ArgMax {
        /// Words of an output, at least 2.
        classes: usize,
    },
}

/// Words modulo 2^bits, and how far they are shifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring {
    /// k: 24 to 48.
    pub bits: usize,
    /// f: the bits that a shift drops: the floor of the division by 2^f. At most k - 2.
    pub truncation: usize,
}

/// How it is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// On shared bits: a round per layer of ANDs. [`Goal`] says whether rounds or ANDs are spared.
    Boolean(Goal),
    /// Garbled by all parties but the last, which evaluates: rounds do not grow. For three parties or more.
    Garbled,
}

/// One non-linear layer: public, made once, the same at all parties.
#[derive(Debug, Clone)]
pub struct Layer {
    pub(super) operation: Operation,
    pub(super) ring: Ring,
    pub(super) engine: Engine,
    pub(super) parties: usize,
    pub(super) circuit: Circuit,
}

impl Ring {
    /// Words whose low `bits` bits count.
    pub(crate) fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }
}

impl Operation {
    /// Words of one output.
    pub fn window(self) -> usize {
        match self {
            Self::Truncate | Self::Relu => 1,
            Self::MaxPool { window } | Self::MaxPoolRelu { window } => window,
            Self::ArgMax { classes } => classes,
        }
    }

    /// Whether the output is opened (under a mask); the other way is XOR shares.
    pub fn opens(self) -> bool {
        !matches!(self, Self::ArgMax { .. })
    }

    fn outputs(self, builder: &mut Builder, mut words: Vec<Word>) -> Word {
        match self {
            Self::ArgMax { .. } => builder.argmax(&words).1,
            Self::Truncate => words.swap_remove(0),
            Self::MaxPool { .. } => builder.max_of(&words),
            Self::Relu | Self::MaxPoolRelu { .. } => {
                let largest = builder.max_of(&words);
                let mut positive = builder.relu(&largest);
                // The sign of what is not negative is known.
                positive.pop();
                positive
            }
        }
    }
}

impl Layer {
    /// The layer of `parties` parties.
    ///
    /// # Errors
    /// [`MpcError::Count`] for a number out of range: bits, truncation, words of an output, parties, or ANDs (2^18 an output). [`Engine::Garbled`] takes three parties or more; two
    /// have [`crate::garbling::half_gates`] or [`Engine::Boolean`].
    pub fn new(operation: Operation, ring: Ring, engine: Engine, parties: usize) -> Result<Self, MpcError> {
        expect_count("bits of a word", ring.bits, 24, 48)?;
        Self::with_any_bits(operation, ring, engine, parties)
    }

    /// Short words too, whose every value a test can visit.
    pub(crate) fn with_any_bits(operation: Operation, ring: Ring, engine: Engine, parties: usize) -> Result<Self, MpcError> {
        expect_count("bits of truncation", ring.truncation, 0, ring.bits - 2)?;
        match operation {
            Operation::MaxPool { window } | Operation::MaxPoolRelu { window } => {
                expect_count("words of a window", window, 2, MAX_WINDOW)?;
            }
            Operation::ArgMax { classes } => {
                expect_count("classes", classes, 2, MAX_CLASSES)?;
                expect_equal("bits of truncation before an argmax", ring.truncation, 0)?;
            }
            _ => {}
        }
        let goal = match engine {
            Engine::Boolean(goal) => {
                expect_count("parties", parties, 2, MAX_PARTIES)?;
                goal
            }
            Engine::Garbled => {
                let what = "parties (two have half gates or the boolean engine)";
                expect_count(what, parties, 3, MAX_GARBLERS + 1)?;
                Goal::FewAnds
            }
        };
        let circuit = circuit(operation, ring, goal, parties);
        expect_count("ANDs of one output", circuit.ands(), 1, MAX_ANDS)?;
        Ok(Self {
            operation,
            ring,
            engine,
            parties,
            circuit,
        })
    }

    /// What is computed.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Modulo what, and how far words are shifted.
    pub fn ring(&self) -> Ring {
        self.ring
    }

    /// By which engine.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The number of parties.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// The circuit of one output: for each party in turn its share of every word.
    pub fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// Exchanges of the online phase.
    pub fn online_rounds(&self) -> usize {
        match (self.engine, self.operation.opens()) {
            (Engine::Boolean(_), true) => self.circuit.depth() + 2,
            (Engine::Boolean(_), false) => self.circuit.depth(),
            (Engine::Garbled, true) => 3,
            (Engine::Garbled, false) => 2,
        }
    }

    /// Exchanges of the preparation of one chunk.
    pub fn preparation_rounds(&self) -> usize {
        match (self.engine, self.operation.opens()) {
            (Engine::Boolean(_), true) => self.parties,
            (Engine::Boolean(_), false) => 2,
            (Engine::Garbled, true) => self.parties.max(4),
            (Engine::Garbled, false) => 4,
        }
    }

    /// Bits of an opened word before the mask, or of an index.
    pub fn output_bits(&self) -> usize {
        self.circuit.output_bits()
    }

    /// The most outputs of one chunk.
    pub fn chunk(&self) -> usize {
        let per_output = match self.engine {
            Engine::Boolean(_) => CHUNK_TRANSFERS / (self.circuit.and_groups() + self.conversions()),
            Engine::Garbled => {
                let tables = CHUNK_TABLES / (bmr::and_bytes(self.parties - 1) * self.circuit.ands());
                tables.min(CHUNK_WIRES / self.circuit.wires())
            }
        };
        match per_output {
            0..64 => per_output.max(1),
            // Whole words of shared bits.
            _ => (per_output / 64 * 64).min(1 << 14),
        }
    }

    /// The pieces in which `outputs` outputs are prepared, in order.
    ///
    /// # Errors
    /// [`MpcError::Count`] for none or more than [`MAX_OUTPUTS`].
    pub fn chunks(&self, outputs: usize) -> Result<Vec<usize>, MpcError> {
        expect_count("outputs", outputs, 1, MAX_OUTPUTS)?;
        let most = self.chunk();
        Ok((0..outputs).step_by(most).map(|first| most.min(outputs - first)).collect())
    }

    /// The transfers' width that the engines are made for: 4 bytes a transfer.
    pub fn width() -> Result<Width, MpcError> {
        Width::new(4)
    }

    /// Bits that become additive shares.
    pub(crate) fn conversions(&self) -> usize {
        if self.operation.opens() {
            self.circuit.output_bits()
        } else {
            0
        }
    }

    /// Bytes of the words that turn the labels of some instances' output bits into shares.
    pub(crate) fn projection_bytes(&self, instances: usize) -> usize {
        let bytes = |bit| BitMatrix::encoded_len(self.ring.bits - bit, instances);
        (0..self.conversions()).map(bytes).sum()
    }

    /// Bits of a party's words of one output.
    pub(crate) fn input_bits(&self) -> usize {
        self.operation.window() * self.ring.bits
    }

    /// Whether the highest output bit counts negatively.
    pub(super) fn signed(&self) -> bool {
        matches!(self.operation, Operation::Truncate | Operation::MaxPool { .. })
    }

    /// A party's words of some outputs as rows of bits, in the order of the circuit's inputs.
    pub(crate) fn rows(&self, words: &[u64]) -> BitMatrix {
        let (window, bits) = (self.operation.window(), self.ring.bits);
        let mut rows = BitMatrix::zeros(window * bits, words.len() / window);
        for place in 0..window {
            let words = words.iter().skip(place).step_by(window);
            let values = Zeroizing::new(words.copied().collect::<Vec<u64>>());
            let word = BitMatrix::from_values(bits, &values);
            (0..bits).for_each(|row| rows.row_mut(place * bits + row).copy_from_slice(word.row(row)));
        }
        rows
    }

    /// What a value at the place of an output bit counts, modulo 2^64.
    pub(crate) fn weighted(&self, bit: usize, value: u64) -> u64 {
        match self.signed() && bit + 1 == self.circuit.output_bits() {
            true => (value << bit).wrapping_neg(),
            false => value << bit,
        }
    }

    /// The layer in a few bytes.
    pub(crate) fn id(&self) -> u64 {
        let mut id = [0; 8];
        id.copy_from_slice(&blake3::hash(self.describe().as_bytes()).as_bytes()[..8]);
        u64::from_le_bytes(id)
    }

    /// What parties at the same layer have in common.
    pub(crate) fn describe(&self) -> String {
        format!("{:?} {:?} {:?} {}", self.operation, self.ring, self.engine, self.parties)
    }
}

/// Shares are added up whole, since low bits carry; what follows is on the shifted words.
fn circuit(operation: Operation, ring: Ring, goal: Goal, parties: usize) -> Circuit {
    let (window, bits) = (operation.window(), ring.bits);
    let mut builder = Builder::new(goal);
    let inputs: Vec<Vec<Word>> = (0..parties as u8)
        .map(|party| (0..window).map(|_| builder.input(Party(party), bits)).collect())
        .collect();
    let mut words = Vec::with_capacity(window);
    for place in 0..window {
        let shares: Vec<Word> = inputs.iter().map(|words| words[place].clone()).collect();
        let sum = builder.sum(&shares);
        words.push(builder.truncate(&sum, ring.truncation));
    }
    let output = operation.outputs(&mut builder, words);
    builder.finish(&[output])
}
