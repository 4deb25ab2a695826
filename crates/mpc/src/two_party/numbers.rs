//! What both parties count alike.

use super::Layer;
use crate::{
    Batch, Batches, MpcError, Session,
    nonlinear::{exchange::unmarked, marks::Marks},
    wire::{expect_count, expect_equal},
};

/// The session of the transfers and all else, the same part at both parties.
pub(super) fn session(session: &Session) -> Session {
    session.child(b"two-party layers")
}

/// Numbers of chunks and instances, given once.
pub(super) struct Numbers {
    marks: Marks,
    batches: Batches,
    /// Whether a preparation was begun and is not done: the parties' transfers may differ.
    begun: bool,
}

/// Which chunk it is.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    pub mark: u64,
    pub outputs: usize,
    /// The layer.
    pub layer: u64,
}

impl Numbers {
    pub fn new(session: &Session) -> Self {
        Self {
            marks: Marks::new(session.public_key("two-party marks")),
            batches: Batches::new(&session.public_key("two-party instances")),
            begun: false,
        }
    }

    /// Begins a chunk: its mark, and a batch for each piece.
    pub fn begin(&mut self, layer: &Layer, outputs: usize) -> Result<(Chunk, Vec<Batch>), MpcError> {
        expect_count("outputs of a chunk", outputs, 1, layer.chunk())?;
        if self.begun {
            let expected = "a new session, since a preparation broke off,";
            return Err(MpcError::Turn { expected });
        }
        let batches = layer.pieces(outputs).map(|instances| self.batches.next(instances));
        let batches = batches.collect::<Result<_, _>>()?;
        self.begun = true;
        let chunk = Chunk {
            mark: self.marks.next(&layer.shared, outputs),
            outputs,
            layer: layer.shared.id(),
        };
        Ok((chunk, batches))
    }

    /// The chunk is done at this party.
    pub fn done(&mut self) {
        self.begun = false;
    }
}

/// The outputs of chunks that were prepared for a layer.
pub(super) fn outputs_of(layer: &Layer, chunks: impl Iterator<Item = Chunk> + Clone) -> Result<usize, MpcError> {
    let fits = chunks.clone().filter(|chunk| chunk.layer == layer.shared.id()).count();
    expect_equal("chunks that were prepared for this layer", fits, chunks.clone().count())?;
    let outputs = chunks.map(|chunk| chunk.outputs).sum();
    expect_count("outputs", outputs, 1, crate::nonlinear::MAX_OUTPUTS)?;
    Ok(outputs)
}

/// The other party's message without its mark.
pub(super) fn unmarked_message<'m>(mark: u64, messages: &[&'m [u8]]) -> Result<&'m [u8], MpcError> {
    unmarked(mark, messages)?.first().copied().ok_or(MpcError::OutOfStep)
}
