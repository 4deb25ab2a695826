//! Hiding how a response was made: re-randomisation and flooding.
//!
//! A response (c0, c1) to an encrypted operand under the receiver's key is the operand's ciphertext times a plaintext W. The receiver knows
//! the operand's a and computes W = c1 / a; from c0 + c1 s it also sees e W, its own noise times W. So the other party adds
//!
//! 1. a fresh public-key encryption of zero, after which c1 is uniform to whoever does not know the ternary u in it (RLWE), and c0 is
//!    fixed by c1 and the decrypted value;
//! 2. to c0, a Gaussian so wide that the noise beneath it, that of step 1 included, cannot be told.
//!
//! # The wide Gaussian and its distance
//!
//! f = 2^t (H + U1 + U2 + U3) with H from [`sample::gaussian`] (sigma = 3.19) and U uniform multiples of 2^-t in [0, 1), less the mean: the
//! density is the Gaussian's, interpolated by quadratic splines. One noise of magnitude at most B shifts f by at most B. For any density with
//! Fisher information I, the squared Hellinger distance of a shift by c is h^2 <= c^2 I / 8 (Cauchy-Schwarz on the root of the density;
//! that root is Lipschitz here, at the ends of the support too, for which two uniforms would not do). Sampling a Gaussian at the integers
//! aliases by exp(-2 pi^2 sigma^2) = 2^-289 only, so the sum has the density of a continuous Gaussian plus the uniforms; an independent
//! summand never raises I (Stam), so I <= 1 / (2^t sigma)^2 as for a Gaussian of that deviation; a test computes it for the table of H, its cut
//! tail included. Affinities 1 - h^2 multiply, also where later noise depends on what was revealed before, so M revealed coefficients
//! are within statistical distance sqrt(2 M h^2) <= B sqrt(M) / (2 * 2^t sigma). [`Flooding::new`] takes 2^t sigma >= B sqrt(M) 2^lambda: the
//! distance is at most 2^-(lambda+1), and the last bit is in hand for rounding to integers (a relative 2^-t of I, t >= 16).
//! For lambda = 40 and M = 2^30 the deviation is 2^55 B.

use cloven_ring::{Coefficients, Poly, sample};
use rand::Rng;
use zeroize::Zeroize;

use crate::{
    Ciphertext, LatticeError, Parameters, PublicKey, RandomnessKey,
    public::noise_variance,
    stream::{Domain, Stream},
};

/// Purpose of the randomness.
const PURPOSE: &str = "cloven v1 lattice purpose: response hiding";
/// The zero encryption's noise is taken as this many deviations: exceeded with probability below 2^-100.
const DEVIATIONS: f64 = 12.0;
/// Limits of t: above the first the rounding does not matter, up to the second everything fits 128 bits.
const STEPS: std::ops::RangeInclusive<u32> = 16..=120;

/// What flooding is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Secrecy {
    /// lambda: everything revealed stays within statistical distance 2^-lambda of what the results alone give.
    pub statistical_bits: u32,
    /// M: coefficients that the receiver decrypts in the whole job.
    pub revealed: u64,
    /// Bound on the noise of a revealed coefficient before it is hidden, in units of the plaintext's integers.
    pub noise_bound: f64,
    /// Bound on the plaintext's integers.
    pub message_bound: f64,
}

/// Flooding wide enough for a stated [`Secrecy`] and narrow enough for the modulus.
#[derive(Debug, Clone, PartialEq)]
pub struct Flooding {
    parameters: Parameters,
    noise_bound: f64,
    /// t.
    log2_step: u32,
}

impl Flooding {
    /// Computes the width. A modulus that cannot hold message and flooding is refused with the number of missing bits.
    pub fn new(parameters: &Parameters, secrecy: Secrecy) -> Result<Self, LatticeError> {
        for (what, value) in [("noise bound", secrecy.noise_bound), ("message bound", secrecy.message_bound)] {
            if !(0.0..f64::MAX).contains(&value) {
                return Err(LatticeError::Range {
                    what,
                    position: 0,
                    value,
                    bound: f64::MAX,
                });
            }
        }
        let noise = secrecy.noise_bound + DEVIATIONS * noise_variance(parameters).sqrt();
        let log2_deviation = noise.log2() + f64::from(secrecy.statistical_bits) + (secrecy.revealed.max(1) as f64).log2() / 2.0;
        let log2_step = (log2_deviation - sample::SIGMA.log2()).ceil() as u32;
        let flooding = Self {
            parameters: parameters.clone(),
            noise_bound: secrecy.noise_bound,
            log2_step: log2_step.max(*STEPS.start()),
        };
        let needed = (secrecy.message_bound + noise + flooding.bound()).log2() + 1.0;
        if needed >= parameters.log2_modulus() {
            return Err(LatticeError::Flooding {
                missing: (needed - parameters.log2_modulus()).ceil().max(1.0) as u32,
                log2_deviation,
                log2_modulus: parameters.log2_modulus(),
            });
        }
        if log2_step > *STEPS.end() {
            return Err(LatticeError::Wide {
                what: "step of the flooding",
                allowed: *STEPS.end(),
                actual: log2_step,
            });
        }
        Ok(flooding)
    }

    /// The noise it was made to hide.
    pub fn noise_bound(&self) -> f64 {
        self.noise_bound
    }

    /// Standard deviation of what is added to a coefficient.
    pub fn deviation(&self) -> f64 {
        2f64.powi(self.log2_step as i32) * (sample::SIGMA * sample::SIGMA + 0.25).sqrt()
    }

    /// Largest magnitude of what is added to a coefficient.
    pub fn bound(&self) -> f64 {
        2f64.powi(self.log2_step as i32) * (sample::TAIL as f64 + 1.5)
    }

    /// Re-randomises and floods a response before it is compressed. The randomness is PRF(key, context, response): a repeated step repeats
    /// its bytes, and two responses never share a mask. `key` is the responder's own.
    pub fn hide(
        &self,
        response: &mut Ciphertext,
        receiver: &PublicKey,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<(), LatticeError> {
        let data = [&response.c0, &response.c1];
        let mut randomness = key.for_purpose(PURPOSE).stream(Domain::Hiding, context, &data);
        let mut zero = receiver.zero(&mut randomness)?;
        let mut flood = self.draw(&mut randomness).into_evaluations();
        zero.c0.add_assign(&flood)?;
        flood.zeroize();
        response.add_assign(&zero)?;
        // Their difference from the response undoes the hiding.
        zero.c0.zeroize();
        zero.c1.zeroize();
        Ok(())
    }

    /// f in every coefficient. Constant time: shifts by public numbers, and products of reduced residues.
    fn draw(&self, randomness: &mut Stream) -> Poly<Coefficients> {
        let basis = self.parameters.basis();
        let first = basis.moduli()[0];
        let mut flood = sample::gaussian(randomness, basis);
        let mut bytes = [0; 3 * 16];
        for position in 0..basis.degree() {
            randomness.fill_bytes(&mut bytes);
            let high = first.centred(flood.residues(0)[position]) + sample::TAIL;
            let fractions = bytes.as_chunks::<16>().0.iter();
            let low: u128 = fractions.map(|b| u128::from_le_bytes(*b) >> (128 - self.log2_step)).sum();
            self.write(((high as u128) << self.log2_step) + low, position, &mut flood);
        }
        bytes.zeroize();
        flood
    }

    /// Stores `shifted` less its mean, for every prime, in limbs that are below every prime.
    fn write(&self, shifted: u128, position: usize, flood: &mut Poly<Coefficients>) {
        let basis = self.parameters.basis();
        let limb = basis.moduli().iter().map(|m| m.bits()).min().unwrap_or(2) - 1;
        let mean = ((sample::TAIL as u128) << self.log2_step) + (3 << (self.log2_step - 1));
        for (prime, modulus) in basis.moduli().iter().enumerate() {
            let horner = |sum, index| {
                let digit = (shifted >> (index * limb)) as u64 & ((1 << limb) - 1);
                modulus.add(modulus.mul(sum, 1 << limb), digit)
            };
            let residue = (0..u128::BITS.div_ceil(limb)).rev().fold(0, horner);
            let mean = (mean % u128::from(modulus.value())) as u64;
            flood.residues_mut(prime)[position] = modulus.sub(residue, mean);
        }
    }
}

#[cfg(test)]
mod tests;
