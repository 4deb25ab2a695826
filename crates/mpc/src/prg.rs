//! A pseudorandom generator: AES-128 in counter mode.

use aes::{
    Aes128Enc,
    cipher::{Array, BlockCipherEncrypt, KeyInit},
};

/// The stream of one secret seed, by position. Wiped on drop.
pub(crate) struct Prg(Aes128Enc);

impl Prg {
    pub(crate) fn new(seed: u128) -> Self {
        Self(Aes128Enc::new(&Array(seed.to_le_bytes())))
    }

    /// Words `first`, `first + 1`, ... of the stream.
    pub(crate) fn fill(&self, first: u64, out: &mut [u128]) {
        for (word, counter) in out.iter_mut().zip(u128::from(first)..) {
            *word = counter;
        }
        encrypt(&self.0, out);
    }
}

/// Encrypts every word.
pub(crate) fn encrypt(cipher: &Aes128Enc, words: &mut [u128]) {
    // Words are little-endian: both loops are nothing on a machine that is.
    words.iter_mut().for_each(|word| *word = word.to_le());
    cipher.encrypt_blocks(Array::cast_slice_from_core_mut(bytemuck::cast_slice_mut::<u128, [u8; 16]>(
        words,
    )));
    words.iter_mut().for_each(|word| *word = u128::from_le(*word));
}
