//! Noise that hides noise: the sum of three uniform words of t bits, less the mean.
//!
//! The density of one is a quadratic spline on (0, 3 * 2^t). A noise of at most B units shifts it by at most B. Hellinger distances h are a
//! metric, so that of a shift by c is at most c times that of a shift by one, whose square is sum_k (sqrt p(k) - sqrt p(k-1))^2 / 2 = I / 8 up to
//! a relative 2^-t, where I is the Fisher information of the spline, 4.562 / 4^t (a test sums it). (That of two uniforms grows without bound: the root
//! of their density has an infinite slope at its ends.) Affinities 1 - h^2 multiply, also where later noise depends on what was revealed before, so M
//! revealed coefficients are within statistical distance sqrt(2 M h^2) <= B sqrt(M I) / 2 = 1.068 B sqrt(M) / 2^t.
//!
//! For its range the spline is narrow: 1.5 * 2^t to either side, 3.2 times 1 / sqrt(I), where the Gaussian of [`crate::Flooding`] has 9.6 and no density less
//! than pi. That is 1.6 bits of modulus.

use rand::Rng;
use zeroize::Zeroize;

use crate::stream::Stream;

/// Half of sqrt(I) 2^t, and a little.
pub(crate) const HALF_ROOT_INFORMATION: f64 = 1.07;

/// The sum of three uniform numbers of `bits` bits, less the mean, wrapped around at 2^128.
pub(crate) fn sum(words: [u128; 3], bits: u32) -> u128 {
    words.iter().sum::<u128>().wrapping_sub(3 << (bits - 1))
}

/// Adds such a sum, of words of `bits` bits, to every number: 48 bytes of the stream each.
pub(crate) fn add(numbers: &mut [u128], bits: u32, randomness: &mut Stream) {
    let mut bytes = vec![0; 48 * numbers.len()];
    randomness.fill_bytes(&mut bytes);
    for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks::<48>().0) {
        let word = |index: usize| u128::from_le_bytes(std::array::from_fn(|i| bytes[16 * index + i]));
        let noise = sum([0, 1, 2].map(|index| word(index) >> (128 - bits)), bits);
        *number = number.wrapping_add(noise);
    }
    bytes.zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum of three uniform numbers below `n`.
    fn probabilities(n: usize) -> Vec<f64> {
        let mut all = vec![0.0; 3 * n - 2];
        for a in 0..n {
            for b in 0..n {
                for c in 0..n {
                    all[a + b + c] += (n as f64).powi(-3);
                }
            }
        }
        all
    }

    /// Squared Hellinger distance of a shift.
    fn distance(p: &[f64], shift: usize) -> f64 {
        let at = |k: usize| p.get(k).copied().unwrap_or(0.0).sqrt();
        let before = |k: usize| k.checked_sub(shift).map_or(0.0, at);
        (0..p.len() + shift).map(|k| (at(k) - before(k)).powi(2)).sum::<f64>() / 2.0
    }

    #[test]
    fn shifts_are_as_far_apart_as_the_information_says() {
        let allowed = (2.0 * HALF_ROOT_INFORMATION).powi(2);
        for n in [32, 64, 128] {
            let p = probabilities(n);
            let information = 8.0 * distance(&p, 1) * (n as f64).powi(2);
            // The ends of the discrete distribution add something of the order of 1 / n.
            assert!((4.5..4.562 + 8.0 / n as f64).contains(&information), "{n}: {information}");
            for shift in [1, 2, 5, n / 4] {
                let bound = (shift * shift) as f64 * (allowed / 8.0 + 1.0 / n as f64) / (n as f64).powi(2);
                assert!(distance(&p, shift) <= bound, "{n} {shift}");
            }
        }
        assert!(4.562 < allowed);
    }
}
