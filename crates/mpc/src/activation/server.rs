//! The server's step.

use super::{Relu, WIDTH};
use crate::{
    BitMatrix, MpcError,
    wire::{expect_equal, expect_length},
};

impl Relu {
    /// Bytes that each holder sends to the server.
    ///
    /// # Errors
    /// [`MpcError::Count`] for too many values or none.
    pub fn reveal_bytes(&self, values: usize) -> Result<usize, MpcError> {
        let bytes = |values: &usize| BitMatrix::encoded_len(WIDTH - 1, *values);
        Ok(self.chunks(values)?.iter().map(bytes).sum())
    }

    /// relu(v) of each value, as words of the shares' scale, from the bytes of all holders in any order.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for another number of messages; [`MpcError::Length`]; [`MpcError::Padding`].
    pub fn reveal<M: AsRef<[u8]>>(&self, values: usize, messages: &[M]) -> Result<Vec<u64>, MpcError> {
        expect_equal("messages", messages.len(), self.parties())?;
        let bytes = self.reveal_bytes(values)?;
        messages
            .iter()
            .try_for_each(|message| expect_length(message.as_ref(), bytes))?;
        let (mut revealed, mut at) = (Vec::with_capacity(values), 0);
        for values in self.chunks(values)? {
            let bytes = BitMatrix::encoded_len(WIDTH - 1, values);
            let mut sum = BitMatrix::zeros(WIDTH - 1, values);
            for message in messages {
                sum.xor_assign(&BitMatrix::decode(WIDTH - 1, values, &message.as_ref()[at..at + bytes])?)?;
            }
            revealed.extend(sum.to_values());
            at += bytes;
        }
        Ok(revealed)
    }
}
