//! What is computed, in which pieces, and what it costs.

use crate::{
    BitMatrix, MpcError,
    circuit::{Circuit, Goal},
    garbling::half_gates::AND_BYTES,
    nonlinear::{self, Engine, MAX_OUTPUTS, Operation, Ring, exchange::MARK},
    transfer::{MAX_CHUNK, Width},
    wire::expect_count,
};

/// Instances that are garbled together: their labels stay in the cache.
const PIECE: usize = 64;
/// Wires of all instances that are garbled together.
const PIECE_WIRES: usize = 1 << 19;
/// Bytes of the tables of a chunk.
const CHUNK_TABLES: usize = 8 << 20;
/// Bytes of a label.
const LABEL: usize = 16;

/// Bytes of the user's two messages of the set-up: an announcement, then two words of 16 bytes for each of 128 base transfers.
pub const SETUP_UP: usize = ANNOUNCEMENT + SUMS;
/// Bytes of the gateway's message of the set-up: 128 points of 32 bytes.
pub const SETUP_DOWN: usize = 4096;
pub(super) const ANNOUNCEMENT: usize = 32;
pub(super) const SUMS: usize = 4096;

/// One non-linear layer: public, made once, the same at both parties.
#[derive(Debug, Clone)]
pub struct Layer {
    pub(super) shared: nonlinear::Layer,
    width: Width,
}

/// What some outputs of a layer cost; "up" is from the user to the gateway. Bytes of messages are with their marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// ANDs that are garbled.
    pub ands: usize,
    /// Correlated transfers.
    pub transfers: usize,
    /// Bytes of the user's messages of the preparation, one for each chunk.
    pub prepare_up: usize,
    /// Bytes of the gateway's messages of the preparation, one for each chunk.
    pub prepare_down: usize,
    /// Bytes of the gateway's one message online.
    pub online_down: usize,
    /// Bytes of the user's one message online; none for an argmax.
    pub online_up: usize,
    /// Bytes that the user keeps until the run: tables, labels of its words, and masks. What their containers take, about 1 KB for every 64 outputs, is not counted.
    pub user_keeps: usize,
    /// Bytes that the gateway keeps until the run: a word for each output; and a seed and the offset for each chunk.
    pub gateway_keeps: usize,
}

impl Layer {
    /// The layer.
    ///
    /// # Errors
    /// [`MpcError::Count`] for a number out of range: bits, truncation, words of an output, or ANDs (2^18 an output).
    pub fn new(operation: Operation, ring: Ring) -> Result<Self, MpcError> {
        Self::of(nonlinear::Layer::new(operation, ring, Engine::Boolean(Goal::FewAnds), 2)?)
    }

    /// A layer of two parties whose circuit has few ANDs.
    pub(super) fn of(shared: nonlinear::Layer) -> Result<Self, MpcError> {
        let width = nonlinear::Layer::width()?;
        Ok(Self { shared, width })
    }

    /// What is computed.
    pub fn operation(&self) -> Operation {
        self.shared.operation()
    }

    /// Modulo what, and how far words are shifted.
    pub fn ring(&self) -> Ring {
        self.shared.ring()
    }

    /// The circuit of one output: the gateway's shares of all words, then the user's.
    pub fn circuit(&self) -> &Circuit {
        self.shared.circuit()
    }

    /// The same layer for the boolean engine of two parties, which has the same circuit: for [`crate::ideal::nonlinear`].
    pub fn as_shared(&self) -> &nonlinear::Layer {
        &self.shared
    }

    /// The most outputs of one chunk.
    pub fn chunk(&self) -> usize {
        let tables = CHUNK_TABLES / (AND_BYTES * self.circuit().ands());
        match tables.min(MAX_CHUNK / self.rows()) {
            most @ 0..PIECE => most.max(1),
            most => most / PIECE * PIECE,
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

    /// What `outputs` outputs cost, prepared in [`Self::chunks`] and run at once.
    ///
    /// # Errors
    /// As [`Self::chunks`].
    pub fn cost(&self, outputs: usize) -> Result<Cost, MpcError> {
        let chunks = self.chunks(outputs)?;
        let sum = |bytes: &dyn Fn(usize) -> usize| chunks.iter().map(|outputs| bytes(*outputs)).sum::<usize>();
        let labels = LABEL * self.rows() * outputs;
        let masks = if self.operation().opens() { 8 * outputs } else { 0 };
        Ok(Cost {
            ands: self.circuit().ands() * outputs,
            transfers: self.rows() * outputs,
            prepare_up: sum(&|outputs| self.extension_message(outputs)),
            prepare_down: sum(&|outputs| self.tables_message(outputs)),
            online_down: self.labels_message(outputs),
            online_up: self.answer_message(outputs),
            user_keeps: sum(&|outputs| self.tables_message(outputs) - MARK) + labels + masks,
            gateway_keeps: 8 * outputs + 2 * LABEL * chunks.len(),
        })
    }

    /// Bits of a party's words of one output.
    pub(super) fn rows(&self) -> usize {
        self.shared.input_bits()
    }

    /// The numbers of instances that are garbled together.
    pub(super) fn pieces(&self, outputs: usize) -> impl Iterator<Item = usize> + Clone {
        let most = PIECE.min(PIECE_WIRES / self.circuit().wires()).max(1);
        (0..outputs).step_by(most).map(move |first| most.min(outputs - first))
    }

    /// The user's message of a chunk's preparation.
    pub(super) fn extension_message(&self, outputs: usize) -> usize {
        MARK + self.width.message_bytes(self.rows() * outputs)
    }

    /// The gateway's message of a chunk's preparation.
    pub(super) fn tables_message(&self, outputs: usize) -> usize {
        let pieces = self.pieces(outputs);
        let bytes = pieces.map(|instances| self.tables_bytes(instances) + self.shared.projection_bytes(instances));
        MARK + bytes.sum::<usize>()
    }

    /// The tables of a piece.
    pub(super) fn tables_bytes(&self, instances: usize) -> usize {
        AND_BYTES * self.circuit().ands() * instances
    }

    /// The gateway's message online.
    pub(super) fn labels_message(&self, outputs: usize) -> usize {
        MARK + self.labels_bytes(outputs)
    }

    /// The labels of a party's words.
    pub(super) fn labels_bytes(&self, instances: usize) -> usize {
        LABEL * self.rows() * instances
    }

    /// The user's message online.
    pub(super) fn answer_message(&self, outputs: usize) -> usize {
        match self.operation().opens() {
            true => MARK + BitMatrix::encoded_len(self.ring().bits, outputs),
            false => 0,
        }
    }
}
