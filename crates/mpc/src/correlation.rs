//! Correlated oblivious transfers, as the engines use them: q at the sender, t = q ^ b Delta at the receiver of bit b.

use crate::{MpcError, matrix::expect};
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

    /// Checks the number of transfers and corrects each by whether the receiver's bit differs from its random one.
    pub(crate) fn corrected(mut self, differ: impl ExactSizeIterator<Item = bool>) -> Result<Self, MpcError> {
        expect("correlated transfers", differ.len(), self.q.len())?;
        let delta = self.delta.value();
        self.q
            .iter_mut()
            .zip(differ)
            .for_each(|(q, differ)| *q ^= masked(differ, delta));
        Ok(self)
    }
}

/// The receiver's side of correlated transfers with random bits. Each is used once: steps take the whole by value. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct CotReceiver {
    pub(crate) choices: Vec<bool>,
    pub(crate) t: Vec<u128>,
}

impl CotReceiver {
    /// What the receiver of an extension holds: as many bits as words.
    pub fn new(choices: Vec<bool>, t: Vec<u128>) -> Result<Self, MpcError> {
        expect("choice bits", t.len(), choices.len())?;
        Ok(Self { choices, t })
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
