//! Correlated oblivious transfers, as the engines use them: q at the sender, t = q ^ b Delta at the receiver of bit b.

use crate::{BitMatrix, Bits, MpcError, matrix::expect};
use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The sender's secret offset, odd so that the lowest bits of two labels differ. Wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Delta(u128);

impl Delta {
    /// A uniform odd offset.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(random_word(rng) | 1)
    }

    /// The offset of a sender of correlated transfers.
    pub fn new(offset: u128) -> Result<Self, MpcError> {
        if offset & 1 == 0 {
            return Err(MpcError::EvenOffset);
        }
        Ok(Self(offset))
    }

    pub(crate) fn value(&self) -> u128 {
        self.0
    }
}

/// The sender's side of correlated transfers. Each is used once: steps take the whole by value. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct CotSender {
    pub(crate) delta: Delta,
    pub(crate) q: Vec<u128>,
}

impl CotSender {
    /// What the sender of an extension holds.
    pub fn new(delta: Delta, q: Vec<u128>) -> Self {
        Self { delta, q }
    }

    /// Takes the first `count` transfers off.
    pub(crate) fn split(&mut self, count: usize) -> Self {
        let rest = self.q.split_off(count.min(self.q.len()));
        Self::new(self.delta.clone(), std::mem::replace(&mut self.q, rest))
    }

    /// Checks the number of transfers and corrects each by whether the receiver's bit differs from its random one; row after row.
    pub(crate) fn corrected(mut self, differ: &BitMatrix) -> Result<Self, MpcError> {
        expect("correlated transfers", differ.rows() * differ.columns(), self.q.len())?;
        let delta = self.delta.value();
        for (row, words) in self.q.chunks_exact_mut(differ.columns().max(1)).enumerate() {
            add_where(differ.row(row), delta, words);
        }
        Ok(self)
    }
}

/// Adds `offset` to the words whose bits are set.
pub(crate) fn add_where(bits: &[u64], offset: u128, words: &mut [u128]) {
    for (words, bits) in words.chunks_mut(64).zip(bits) {
        for (at, word) in words.iter_mut().enumerate() {
            *word ^= masked(bits >> at & 1 == 1, offset);
        }
    }
}

/// The receiver's side of correlated transfers with random bits. Each is used once: steps take the whole by value. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct CotReceiver {
    pub(crate) choices: Bits,
    pub(crate) t: Vec<u128>,
}

impl CotReceiver {
    /// What the receiver of an extension holds: as many bits as words.
    pub fn new(choices: Bits, t: Vec<u128>) -> Result<Self, MpcError> {
        expect("choice bits", t.len(), choices.len())?;
        Ok(Self { choices, t })
    }

    /// Takes the first `count` transfers off.
    pub(crate) fn split(&mut self, count: usize) -> Self {
        let count = count.min(self.t.len());
        let rest = Self {
            choices: self.choices.range(count, self.choices.len() - count),
            t: self.t.split_off(count),
        };
        self.choices = self.choices.range(0, count);
        std::mem::replace(self, rest)
    }

    /// Where the random choices of rows from transfer `first` on differ from the bits wanted.
    pub(crate) fn differences(&self, first: usize, wanted: &BitMatrix) -> Result<BitMatrix, MpcError> {
        let mut differ = BitMatrix::from_bits(wanted.rows(), wanted.columns(), &self.choices, first);
        differ.xor_assign(wanted)?;
        Ok(differ)
    }
}

/// `word` if `bit`, else 0, without a branch.
pub(crate) fn masked(bit: bool, word: u128) -> u128 {
    word & 0u128.wrapping_sub(u128::from(bit))
}

pub(crate) fn random_word(rng: &mut impl CryptoRng) -> u128 {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    u128::from_le_bytes(bytes)
}
