//! A pseudorandom generator: AES-128 in counter mode.

use crate::cipher::Cipher;

/// The stream of one secret seed, by position. Wiped on drop.
pub(crate) struct Prg(Cipher);

impl Prg {
    pub(crate) fn new(seed: u128) -> Self {
        Self(Cipher::new(seed.to_le_bytes()))
    }

    /// Words `first`, `first + 1`, ... of the stream.
    pub(crate) fn fill(&self, first: u64, out: &mut [u128]) {
        for (word, counter) in out.iter_mut().zip(u128::from(first)..) {
            *word = counter;
        }
        self.0.encrypt(out);
    }
}
