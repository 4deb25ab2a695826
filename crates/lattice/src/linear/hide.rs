//! Responses to a key holder who must not learn the plaintext operand.
//!
//! Re-randomised, flooded, then switched and cut, in this order (see [`crate::Flooding`]). Flooding 2^-lambda deep over M coefficients stands
//! lambda + log2(M) / 2 bits above the noise, so sx must hold these bits above the wanted precision: one 50-bit prime is too short. With
//! N = 4096 and two 50-bit primes, lambda = 40, M = 2^25, sx = 77 and sw = 13, a layer of 256 x 5 with weights below 1/8 has an error of
//! 3.3e-4, nearly all from rounding the weights, and room for outputs to 2^8; with N = 8192 and three primes, sx = 104 and sw = 20 (100 x 30), 2e-6.

use crate::{Ciphertext, Flooding, LatticeError, PublicKey, RandomnessKey};

/// How responses are hidden from a receiver who must not learn the plaintext operand.
pub struct Hiding<'a> {
    /// Wide enough for the noise of the whole job.
    pub flooding: &'a Flooding,
    /// The receiver's key.
    pub receiver: &'a PublicKey,
    /// The responder's own randomness.
    pub key: &'a RandomnessKey,
    /// Names the batch; must not repeat.
    pub context: &'a [u8],
}

impl Hiding<'_> {
    /// Refuses an operand whose noise the flooding was not made for.
    pub(super) fn check_noise(&self, noise: f64) -> Result<(), LatticeError> {
        let bound = self.flooding.noise_bound();
        match noise <= bound {
            true => Ok(()),
            false => Err(LatticeError::Noise { bound, actual: noise }),
        }
    }

    /// Hides the response number `index` of the batch, before it is compressed.
    pub(super) fn apply(&self, response: &mut Ciphertext, index: usize) -> Result<(), LatticeError> {
        let context = [self.context, &(index as u64).to_le_bytes()].concat();
        self.flooding.hide(response, self.receiver, self.key, &context)
    }
}

#[cfg(test)]
mod tests;
