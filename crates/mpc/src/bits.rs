//! Packed bits.

use crate::wire::WORD;
use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A string of bits, one bit of storage each: choices, or shares of bits. Wiped on drop.
///
/// Bit `i` is bit `i % 128` of word `i / 128`; the bits of the last word beyond the length are zero.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Bits {
    words: Vec<u128>,
    len: usize,
}

impl Bits {
    /// Packs `bits`.
    pub fn from_bools(bits: &[bool]) -> Self {
        let pack = |bits: &[bool]| bits.iter().enumerate().fold(0, |word, (i, bit)| word | u128::from(*bit) << i);
        Self {
            words: bits.chunks(8 * WORD).map(pack).collect(),
            len: bits.len(),
        }
    }

    /// `len` bits from `words`; what is missing is zero, what is too much is dropped.
    pub fn from_words(mut words: Vec<u128>, len: usize) -> Self {
        words.resize(len.div_ceil(8 * WORD), 0);
        if let (Some(last), used @ 1..) = (words.last_mut(), len % (8 * WORD)) {
            *last &= (1 << used) - 1;
        }
        Self { words, len }
    }

    /// `len` uniform bits.
    pub fn random(len: usize, rng: &mut impl CryptoRng) -> Self {
        let mut words = vec![0u128; len.div_ceil(8 * WORD)];
        rng.fill_bytes(bytemuck::cast_slice_mut(&mut words));
        words.iter_mut().for_each(|word| *word = u128::from_le(*word));
        Self::from_words(words, len)
    }

    /// The number of bits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The words that hold the bits.
    pub fn words(&self) -> &[u128] {
        &self.words
    }

    /// The 64 bits from place `at` on, the first lowest; zeros beyond the end.
    pub(crate) fn word_at(&self, at: usize) -> u64 {
        let (word, shift) = (at / (8 * WORD), at % (8 * WORD));
        let read = |word: usize| self.words.get(word).copied().unwrap_or(0);
        let low = read(word) >> shift;
        match shift > 64 {
            true => (low | read(word + 1) << (128 - shift)) as u64,
            false => low as u64,
        }
    }

    /// `len` bits from place `first` on.
    pub(crate) fn range(&self, first: usize, len: usize) -> Self {
        let half = |at: usize| u128::from(self.word_at(at));
        let word = |at: usize| half(at) | half(at + 64) << 64;
        let words = (0..len.div_ceil(8 * WORD)).map(|at| word(first + 8 * WORD * at));
        Self::from_words(words.collect(), len)
    }

    /// All bits in order.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        (0..self.len).map(|i| self.words[i / (8 * WORD)] >> (i % (8 * WORD)) & 1 == 1)
    }
}
