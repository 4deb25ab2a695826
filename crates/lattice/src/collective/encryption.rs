//! Encryption of a sum: each party encrypts its m_j with the common a, -a s_j + e_j + encode(m_j), and the sum is Enc(m_1 + ... + m_n modulo 2^k).
//!
//! Encodings are integers modulo q: sum round(q m_j / 2^k) = q m / 2^k + q w + rho, where w counts the wraps of the sum at 2^k, q w vanishes, and |rho| <= n/2.

use super::{Collective, CommonReference, PartySecret};
use crate::{Ciphertext, LatticeError, encryption::expand, linear::fixed::check_size};
use zeroize::Zeroize;

const PURPOSE: &str = "cloven v1 lattice purpose: collective encryption";

impl Collective {
    /// One party's share of Enc(m) from its additive share m_j: N words below 2^k or fewer, the coefficients from X^0. `context` and `index` name the
    /// ciphertext, the same for all parties, and must never serve for other messages (see [`CommonReference`]).
    pub fn encryption_share(
        &self,
        message: &[u64],
        secret: &PartySecret,
        reference: &CommonReference,
        context: &[u8],
        index: u64,
    ) -> Result<Vec<u8>, LatticeError> {
        let degree = self.parameters.degree();
        check_size("message to encrypt", message.len().min(degree), message.len())?;
        self.encoding.check_words("message to encrypt", message)?;
        self.encryption_share_at(message.iter().copied().enumerate(), secret, reference, context, index)
    }

    /// The same for words at any positions.
    pub(super) fn encryption_share_at(
        &self,
        message: impl Iterator<Item = (usize, u64)> + Clone,
        secret: &PartySecret,
        reference: &CommonReference,
        context: &[u8],
        index: u64,
    ) -> Result<Vec<u8>, LatticeError> {
        let seed = reference.seed(PURPOSE, context, index);
        let mut words: Vec<u64> = Vec::new();
        message.clone().for_each(|(at, m)| words.extend([at as u64, m]));
        let mut plaintext = self.encoding.encoded(message);
        let share = self.masked_share(secret, PURPOSE, context, seed, &plaintext, words);
        plaintext.zeroize();
        share
    }

    /// Enc(m) from all shares.
    pub fn encryption(
        &self,
        reference: &CommonReference,
        context: &[u8],
        index: u64,
        shares: &[impl AsRef<[u8]>],
    ) -> Result<Ciphertext, LatticeError> {
        Ok(Ciphertext {
            c0: self.sum_of_shares("shares of an encryption", shares)?,
            c1: self.mask(reference, context, index),
        })
    }

    /// The common a of a ciphertext.
    pub(super) fn mask(
        &self,
        reference: &CommonReference,
        context: &[u8],
        index: u64,
    ) -> cloven_ring::Poly<cloven_ring::Evaluations> {
        expand(self.parameters.basis(), reference.seed(PURPOSE, context, index))
    }
}
