//! Messages modulo 2^k in a modulus q, scale-invariant: m stands as round(q m / 2^k), so that m + 2^k is the same as m modulo q, and products with integers
//! wrap at 2^k by themselves. Coefficients are read as fractions of q.

use cloven_ring::{Coefficients, Poly, RnsBasis};
use rand::Rng;
use zeroize::Zeroizing;

use crate::{
    LatticeError,
    fraction::Fractions,
    residue::{WordReducer, low_wide, low_word},
    stream::Stream,
};

/// How messages modulo 2^k stand in one basis.
#[derive(Debug, Clone)]
pub(crate) struct Encoding {
    basis: RnsBasis,
    /// k.
    ring_bits: u32,
    pub(crate) fractions: Fractions,
    /// For every prime.
    reducers: Vec<WordReducer>,
}

impl Encoding {
    /// k is at most 64.
    pub(crate) fn new(basis: &RnsBasis, ring_bits: u32) -> Self {
        let moduli = basis.moduli();
        Self {
            basis: basis.clone(),
            ring_bits,
            fractions: Fractions::new(moduli),
            reducers: moduli.iter().map(WordReducer::new).collect(),
        }
    }

    /// Refuses words that are not below 2^k. Without an early exit: that all are is not secret, the words are.
    pub(crate) fn check_words(&self, what: &'static str, words: &[u64]) -> Result<(), LatticeError> {
        let bits = u64::BITS - words.iter().fold(0, |all, word| all | word).leading_zeros();
        match bits <= self.ring_bits {
            true => Ok(()),
            false => Err(LatticeError::Wide {
                what,
                allowed: self.ring_bits,
                actual: bits,
            }),
        }
    }

    /// round(q m / 2^k) at each position.
    pub(crate) fn encoded(&self, messages: impl Iterator<Item = (usize, u64)> + Clone) -> Poly<Coefficients> {
        let mut plaintext = Poly::zero(&self.basis);
        let low = low_word(self.basis.moduli());
        let lift = u64::BITS - self.ring_bits;
        for (prime, reducer) in self.reducers.iter().enumerate() {
            let residues = plaintext.residues_mut(prime);
            messages
                .clone()
                .for_each(|(at, m)| residues[at] = reducer.scaled(low.wrapping_mul(m << lift)));
        }
        plaintext
    }

    /// The integer from -2^(k-1) that a word stands for, as a plaintext to multiply with.
    pub(crate) fn centred(&self, messages: impl Iterator<Item = (usize, u64)> + Clone) -> Poly<Coefficients> {
        let mut plaintext = Poly::zero(&self.basis);
        let lift = u64::BITS - self.ring_bits;
        for (prime, reducer) in self.reducers.iter().enumerate() {
            let residues = plaintext.residues_mut(prime);
            messages
                .clone()
                .for_each(|(at, m)| residues[at] = reducer.signed((m << lift) as i64 >> lift));
        }
        plaintext
    }

    /// Fractions, in units of 2^-128, to the nearest coefficients modulo q.
    pub(crate) fn lifted(&self, fractions: &[u128]) -> Poly<Coefficients> {
        let mut poly = Poly::zero(&self.basis);
        let low = low_wide(self.basis.moduli());
        for (prime, reducer) in self.reducers.iter().enumerate() {
            let pairs = poly.residues_mut(prime).iter_mut().zip(fractions);
            pairs.for_each(|(residue, &f)| *residue = reducer.scaled_wide(low.wrapping_mul(f)));
        }
        poly
    }

    /// The message that a fraction rounds to.
    pub(crate) fn message(&self, fraction: u128) -> u64 {
        let k = self.ring_bits;
        (fraction.wrapping_add(1 << (127 - k)) >> (128 - k)) as u64
    }

    /// m 2^-k, in units of 2^-128.
    pub(crate) fn fraction(&self, message: u64) -> u128 {
        u128::from(message) << (128 - self.ring_bits)
    }

    /// Uniform words below 2^k.
    pub(crate) fn masks(&self, count: usize, randomness: &mut Stream) -> Zeroizing<Vec<u64>> {
        let shift = u64::BITS - self.ring_bits;
        let mut bytes = Zeroizing::new(vec![0; 8 * count]);
        randomness.fill_bytes(&mut bytes);
        let words = bytes.as_chunks::<8>().0.iter();
        Zeroizing::new(words.map(|word| u64::from_le_bytes(*word) >> shift).collect())
    }
}
