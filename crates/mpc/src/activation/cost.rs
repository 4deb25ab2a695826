//! Lengths of the holders' messages.

use super::Relu;
use crate::{BitMatrix, MpcError, transfer::Width};

/// Bytes of the messages from each holder to each other one, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageBytes {
    /// Of the triples: they depend on no value.
    pub prepared: Vec<usize>,
    /// Of the evaluation.
    pub opened: Vec<usize>,
}

impl Relu {
    /// What each holder sends to each other one to evaluate `values`, after the set-up of transfers of this width.
    ///
    /// # Errors
    /// [`MpcError::Count`] for too many values or none.
    pub fn message_bytes(&self, values: usize, width: Width) -> Result<MessageBytes, MpcError> {
        let (chunks, ands) = (self.chunks(values)?, self.circuit.ands());
        // Extended transfers, choices, masked bits.
        let triples = |values: &usize| {
            let bits = BitMatrix::encoded_len(ands, *values);
            [width.message_bytes(ands * values), bits, bits]
        };
        let layer = |layer: &std::ops::Range<usize>| {
            let bytes = |values: &usize| BitMatrix::encoded_len(2 * layer.len(), *values);
            chunks.iter().map(bytes).sum()
        };
        Ok(MessageBytes {
            prepared: chunks.iter().flat_map(triples).collect(),
            opened: self.circuit.layers.iter().map(layer).collect(),
        })
    }
}
