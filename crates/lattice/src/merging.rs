//! Merging ciphertexts: the wanted coefficients of many stand in one.
//!
//! In every one of up to s ciphertexts (s a power of two) the coefficients of X^(s j) are wanted, with n = N / s of them; the others are garbage. Level k = 1, 2, ...,
//! log2(s) takes pairs, with g = 2^k n + 1 and t = s / 2^k:
//!
//! ```text
//! (a, b)  ->  a + X^t b  +  (a - X^t b)(X^g)
//! ```
//!
//! X^g leaves the powers of X^(2t) alone and takes X^t to -X^t. So, summed over the later levels' shifts, what becomes of a ciphertext a is
//! X^shift times the product of all (1 + image under g) applied to a. The g of the first l levels generate the group of all 1 + 2 n u, and with z = X^(2 n m)
//!
//! ```text
//! sum_{u < s} X^(m (1 + 2 n u))  =  X^m sum_{u < s} z^u  =  s X^m where s divides m, else 0, since z^s = 1 and z is not 1:
//! ```
//!
//! garbage is annihilated, and the wanted coefficients are multiplied by 2 a level. Ciphertexts that are to be merged are multiplied by 2^-levels
//! modulo q before, message and noise alike, so that neither has grown at the end. With m ciphertexts, log2(m) levels (rounded up) are enough: then
//! coefficients X^(t j) are wanted, number i of the ciphertexts stands at offset s / 2 for its lowest bit, s / 4 for the next, ..., and there is still
//! garbage between. An odd power keeps the number of factors 2 in an exponent, so that no garbage, and no noise of it, comes to a wanted place.
//!
//! Every pair is one key switch. Its noise, of variance V, doubles at every later level in the wanted places of its own ciphertexts, and is
//! annihilated in the others': l levels add V (1 + 4 + ... + 4^(l-1)) = V (4^l - 1) / 3.

use cloven_ring::{Automorphism, Evaluations, Poly};

use crate::{
    Ciphertext, LatticeError, Parameters, RandomnessKey, SecretKey, parallel,
    switching::{self, Gadget, SwitchingKey},
    wire::check_len,
};

/// Bits of a digit: with one prime of 50 bits and 16 ciphertexts the noise has deviation 2^20.
const GADGET: Gadget = Gadget { digit: 10, dropped: 0 };
/// Purpose of the randomness.
const PURPOSE: &str = "cloven v1 lattice purpose: merging";
/// Nanoseconds to a residue of a pair.
const COST: usize = 10;

/// Galois keys for all levels. Public; they rest on the encryption of images of s under s being as safe as any other.
pub(crate) struct MergeKeys {
    stride: usize,
    levels: Vec<Level>,
}

struct Level {
    automorphism: Automorphism,
    /// X^t.
    shift: Poly<Evaluations>,
    key: SwitchingKey,
}

impl MergeKeys {
    /// The keys for wanted coefficients `stride` (s) apart. `context` names them; the same context gives the same keys.
    pub(crate) fn generate(secret: &SecretKey, stride: usize, key: &RandomnessKey, context: &[u8]) -> Result<Self, LatticeError> {
        let (parameters, key) = (secret.parameters(), key.for_purpose(PURPOSE));
        let level = |k: u32| {
            let automorphism = automorphism(parameters, stride, k)?;
            // Exponents differ between layouts, too.
            let exponent = (exponent(parameters, stride, k) as u64).to_le_bytes();
            let context = |digit: u8| [context, &exponent, &[digit]].concat();
            let switching = SwitchingKey::generate(secret, secret.image(&automorphism)?, GADGET, &key, context)?;
            Level::new(parameters, stride, k, switching)
        };
        let levels = (1..=stride.ilog2()).map(level).collect::<Result<_, _>>()?;
        Ok(Self { stride, levels })
    }

    /// s.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    pub(crate) fn encoded_len(parameters: &Parameters, stride: usize) -> usize {
        stride.ilog2() as usize * SwitchingKey::encoded_len(parameters, GADGET)
    }

    /// Appends the wire form: level after level, for every digit seed and evaluations.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.levels.iter().for_each(|level| level.key.encode(out));
    }

    /// Reads what [`MergeKeys::encode`] wrote. Every residue is checked; what it encrypts cannot be.
    pub(crate) fn decode(parameters: &Parameters, stride: usize, bytes: &[u8]) -> Result<Self, LatticeError> {
        check_len(Self::encoded_len(parameters, stride), bytes)?;
        let keys = bytes.chunks(SwitchingKey::encoded_len(parameters, GADGET));
        let level = |(k, bytes)| Level::new(parameters, stride, k, SwitchingKey::decode(parameters, GADGET, bytes)?);
        let levels = (1..).zip(keys).map(level).collect::<Result<_, _>>()?;
        Ok(Self { stride, levels })
    }

    /// Merges 1 to s ciphertexts, which have been multiplied by 2^-[`levels`], into the first of them; the others are of no use afterwards.
    pub(crate) fn merge(&self, ciphertexts: &mut [Ciphertext]) -> Result<(), LatticeError> {
        if !(1..=self.stride).contains(&ciphertexts.len()) {
            return Err(LatticeError::Size {
                what: "ciphertexts to merge",
                expected: self.stride,
                actual: ciphertexts.len(),
            });
        }
        // What was merged at the levels before stands at the start of every half of a group.
        let mut half = 1;
        for level in &self.levels[..levels(ciphertexts.len())] {
            let cost = COST * level.shift.basis().words();
            let share = parallel::share(ciphertexts.len().div_ceil(2 * half), cost);
            parallel::chunks_mut(ciphertexts, share * 2 * half, |_, chunk| {
                chunk.chunks_mut(2 * half).try_for_each(|group| {
                    let (left, right) = group.split_at_mut(half.min(group.len()));
                    level.merge(&mut left[0], right.first_mut())
                })
            })?;
            half *= 2;
        }
        Ok(())
    }
}

/// Levels that `count` ciphertexts need.
pub(crate) fn levels(count: usize) -> usize {
    count.next_power_of_two().ilog2() as usize
}

/// Where number `index` of the ciphertexts comes to stand: the offset of its wanted coefficients.
pub(crate) fn offset(index: usize, stride: usize) -> usize {
    match stride {
        1 => 0,
        _ => index.reverse_bits() >> (usize::BITS - stride.ilog2()),
    }
}

/// Variance of the noise that merging `count` ciphertexts adds to their wanted coefficients.
pub(crate) fn noise_variance(parameters: &Parameters, count: usize) -> f64 {
    let quadrupled = 4f64.powi(levels(count) as i32);
    switching::noise_variance(parameters, GADGET) * (quadrupled - 1.0) / 3.0
}

impl Level {
    fn new(parameters: &Parameters, stride: usize, k: u32, key: SwitchingKey) -> Result<Self, LatticeError> {
        let mut shift = vec![0; parameters.degree()];
        shift[stride >> k] = 1;
        Ok(Self {
            automorphism: automorphism(parameters, stride, k)?,
            shift: Poly::from_signed(parameters.basis(), &shift)?.into_evaluations(),
            key,
        })
    }

    /// Into `left`.
    fn merge(&self, left: &mut Ciphertext, right: Option<&mut Ciphertext>) -> Result<(), LatticeError> {
        let mut copy;
        let difference = match right {
            Some(right) => {
                for (left, right) in [(&mut left.c0, &mut right.c0), (&mut left.c1, &mut right.c1)] {
                    self.sum_and_difference(left, right)?;
                }
                right
            }
            None => {
                copy = left.clone();
                &mut copy
            }
        };
        left.c0.add_assign(&difference.c0.image(&self.automorphism)?)?;
        self.key.add_product(left, difference.c1.image(&self.automorphism)?)
    }

    /// (a, b) to (a + X^t b, a - X^t b).
    fn sum_and_difference(&self, a: &mut Poly<Evaluations>, b: &mut Poly<Evaluations>) -> Result<(), LatticeError> {
        b.mul_assign(&self.shift)?;
        a.add_assign(b)?;
        // a + b - 2 b.
        let minus_two: Vec<u64> = b.basis().moduli().iter().map(|m| m.from_signed(-2)).collect();
        b.scale_assign(&minus_two)?;
        Ok(b.add_assign(a)?)
    }
}

fn automorphism(parameters: &Parameters, stride: usize, k: u32) -> Result<Automorphism, LatticeError> {
    Ok(Automorphism::new(parameters.degree(), exponent(parameters, stride, k))?)
}

/// g of level `k`.
fn exponent(parameters: &Parameters, stride: usize, k: u32) -> usize {
    ((parameters.degree() / stride) << k) + 1
}

#[cfg(test)]
mod tests;
