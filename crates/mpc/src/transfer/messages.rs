//! Pads of random transfers, and messages under them.

use crate::{
    Bits, MpcError,
    wire::{WORD, expect_equal, expect_length, words},
};
use zeroize::Zeroizing;

/// Both pads of each transfer. Wiped on drop.
pub struct SenderPads {
    zero: Zeroizing<Vec<u128>>,
    one: Zeroizing<Vec<u128>>,
}

impl SenderPads {
    pub(crate) fn new(zero: Zeroizing<Vec<u128>>, one: Zeroizing<Vec<u128>>) -> Self {
        Self { zero, one }
    }

    /// The pads that a receiver with choice 0 has.
    pub fn zero(&self) -> &[u128] {
        &self.zero
    }

    /// The pads that a receiver with choice 1 has.
    pub fn one(&self) -> &[u128] {
        &self.one
    }

    /// Messages under the pads, 32 bytes a pair. Pads are used once, and so consumed.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] when there are not as many pairs as pads.
    pub fn encrypt(self, pairs: &[[u128; 2]]) -> Result<Vec<u8>, MpcError> {
        expect_equal("pairs of messages", pairs.len(), self.zero.len())?;
        let pads = self.zero.iter().zip(&*self.one);
        let encrypted = pairs
            .iter()
            .zip(pads)
            .map(|(pair, (zero, one))| [pair[0] ^ zero, pair[1] ^ one]);
        Ok(encrypted.flatten().flat_map(u128::to_le_bytes).collect())
    }
}

/// The pad of the choice for each transfer. Wiped on drop.
pub struct ReceiverPads {
    pads: Zeroizing<Vec<u128>>,
    choices: Bits,
}

impl ReceiverPads {
    pub(crate) fn new(pads: Zeroizing<Vec<u128>>, choices: Bits) -> Self {
        Self { pads, choices }
    }

    /// The pads.
    pub fn pads(&self) -> &[u128] {
        &self.pads
    }

    /// The choices.
    pub fn choices(&self) -> &Bits {
        &self.choices
    }

    /// The chosen messages out of those of [`SenderPads::encrypt`]. The same memory is read whatever the choices.
    ///
    /// # Errors
    /// [`MpcError::Length`].
    pub fn decrypt(self, message: &[u8]) -> Result<Zeroizing<Vec<u128>>, MpcError> {
        expect_length(message, 2 * WORD * self.pads.len())?;
        let mut encrypted = words(message);
        let mut pair = || encrypted.next().unwrap_or_default();
        let opened = self.pads.iter().zip(self.choices.iter()).map(|(pad, choice)| {
            let (zero, one) = (pair(), pair());
            pad ^ zero ^ ((zero ^ one) & u128::from(choice).wrapping_neg())
        });
        Ok(Zeroizing::new(opened.collect()))
    }
}
