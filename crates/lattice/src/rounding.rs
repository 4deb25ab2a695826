//! Releasing decrypted numbers: rounded, with noise added first (IND-CPA-D).
//!
//! A decrypted number is v + e, and e depends on the secret key. When it leaves the key holder, whoever knows v learns e; enough of them give
//! the key. So numbers are released as multiples of 2^-p after a Gaussian has been added.
//!
//! # The distance
//!
//! The noise is f = s (H + U1 + U2 + U3 - 3/2) with s = 2^k, H from [`sample::gaussian_integers`] (sigma = 3.19) and U uniform multiples of 2^-40 in
//! [0, 1): the density of `hiding`, whose Fisher information is below 1 / (s sigma)^2 (argument and test there). It is added in exact integers, in
//! units of 2^-40 s, to which v + e is rounded first. An error of at most B in a number, with that rounding 2^-40 s more, so moves the density by
//! at most B' = B + 2^-40 s: a squared Hellinger distance of at most B'^2 / (8 s^2 sigma^2). Rounding to multiples of 2^-p comes after and can
//! only lessen it. Affinities multiply, so the M numbers of a whole job are within statistical distance
//!
//! ```text
//! sqrt(M) B' / (2 s sigma)
//! ```
//!
//! of what the numbers without encryption error would have given. What counts is the sum of the squares of all errors, so B may be their root
//! mean square. [`RoundingNoise::new`] takes s sigma >= sqrt(M) B 2^lambda: the distance is at most
//! 2^-(lambda+1) + sqrt(M) 2^-42. Since s is a power of two, the deviation is up to twice what is needed.
//!
//! # What can be had
//!
//! The noise is 2^lambda sqrt(M) times the error: unlike a flooded response, it stays in the result. A layer of 1,280 weights released
//! ten times is M = 12,800, sqrt(M) = 113. The deviation that is then needed, against weights of size 0.06 as a layer of 256 inputs starts with:
//!
//! | B | lambda = 0 | 5 | 10 | 20 | 40 |
//! |---|---|---|---|---|---|
//! | 1e-5 | 1.1e-3 | 3.6e-2 | 1.2 | 1.2e3 | 1.2e9 |
//! | 1e-6 | 1.1e-4 | 3.6e-3 | 0.12 | 120 | 1.2e8 |
//! | 1e-9 | 1.1e-7 | 3.6e-6 | 1.2e-4 | 0.12 | 1.2e5 |
//! | 2^-32 | 2.6e-8 | 8.4e-7 | 2.7e-5 | 2.8e-2 | 2.9e4 |
//!
//! So at errors of 1e-6 to 1e-5, which one 50-bit prime leaves, lambda = 40 is out of reach, and p = 16 (2^-16 = 1.5e-5) with noise no wider than
//! a step has no guarantee (B = 1e-6: the distance is bounded by 1 only). lambda = 5 is what such a layer bears at B = 1e-6: it makes an attack on
//! the key collect more, and is no proof. Where the guarantee is wanted, the error must shrink, by more modulus: at B = 2^-32, p = 12 with
//! lambda = 10 has noise below a step.
//!
//! B is the error of the *released* number, whatever lies between decryption and release. Rounding a result to f32 makes of an error e below the
//! rounding's step u one of root mean square sqrt(e u), so two primes, which leave 2^-40, are worth 2^-32 there; and where training goes on from
//! a decrypted value, later values differ as well. The statement is about the encryption's error alone; that the released numbers themselves say
//! something about the data is another matter.

use cloven_ring::sample;
use rand::Rng;
use zeroize::Zeroize;

use crate::{
    LatticeError, RandomnessKey,
    stream::{Domain, Stream},
};

/// Purpose of the randomness.
const PURPOSE: &str = "cloven v1 lattice purpose: rounding noise";
/// Bits of the uniform summands: the noise is a multiple of 2^-40 s.
const FINE: i32 = 40;
/// Limits of k.
const LOG2_STEP: std::ops::RangeInclusive<i32> = -60..=60;
/// Numbers are read up to this many units: what is computed from them fits 128 bits.
const LOG2_UNITS: i32 = 120;
/// Whole numbers that an f64, and an f32, holds exactly.
const F64_BITS: u32 = 53;
const F32_BITS: u32 = 24;
/// The mean of three uniforms, in units of 2^-40.
const MEAN: i128 = (3 << FINE) / 2;

/// Noise for releasing numbers whose error is bounded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoundingNoise {
    error_bound: f64,
    reveals: u64,
    /// k.
    log2_step: i32,
}

impl RoundingNoise {
    /// Noise for which `reveals` numbers (M: all of a job), each off by at most `error_bound` (B), stay within statistical distance
    /// 2^-`statistical_bits` of the same numbers without error. The caller looks at [`RoundingNoise::deviation`] before it goes on.
    pub fn new(error_bound: f64, statistical_bits: u32, reveals: u64) -> Result<Self, LatticeError> {
        check("error bound", error_bound)?;
        let deviation = error_bound * (reveals.max(1) as f64).sqrt() * 2f64.powi(statistical_bits.min(1000) as i32);
        let log2_step = (deviation / sample::SIGMA).log2().ceil();
        if log2_step > f64::from(*LOG2_STEP.end()) {
            return Err(LatticeError::Range {
                what: "deviation of the rounding noise",
                position: 0,
                value: deviation,
                bound: 2f64.powi(*LOG2_STEP.end()) * sample::SIGMA,
            });
        }
        Ok(Self {
            error_bound,
            reveals,
            log2_step: (log2_step as i32).max(*LOG2_STEP.start()),
        })
    }

    /// The widest noise of at most this deviation; [`RoundingNoise::distance`] says what it is worth.
    pub fn with_deviation(error_bound: f64, deviation: f64, reveals: u64) -> Result<Self, LatticeError> {
        check("error bound", error_bound)?;
        check("deviation", deviation)?;
        let log2_step = (deviation / spread()).log2().floor();
        match (f64::from(*LOG2_STEP.start())..=f64::from(*LOG2_STEP.end())).contains(&log2_step) {
            true => Ok(Self {
                error_bound,
                reveals,
                log2_step: log2_step as i32,
            }),
            false => Err(LatticeError::Range {
                what: "deviation of the rounding noise",
                position: 0,
                value: deviation,
                bound: 2f64.powi(*LOG2_STEP.end()),
            }),
        }
    }

    /// Standard deviation of the noise in one number, without the rounding to 2^-p that follows.
    pub fn deviation(&self) -> f64 {
        self.step() * spread()
    }

    /// Largest magnitude of the noise.
    pub fn bound(&self) -> f64 {
        self.step() * (sample::TAIL as f64 + 1.5)
    }

    /// Bound on the statistical distance of all released numbers from those without error; 1 and more says nothing.
    pub fn distance(&self) -> f64 {
        let moved = self.error_bound + self.step() * 2f64.powi(-FINE);
        (self.reveals as f64).sqrt() * moved / (2.0 * self.step() * sample::SIGMA)
    }

    /// Adds noise and rounds to multiples of 2^-`precision` (at most 40). The noise is PRF(key, context, values): a repeated step repeats its numbers, and
    /// cannot be averaged; the same context with other values is another release and counts. An f64 holds the result exactly, or it is an error.
    pub fn release(&self, values: &[f64], precision: u32, key: &RandomnessKey, context: &[u8]) -> Result<Vec<f64>, LatticeError> {
        self.release_within(values, precision, F64_BITS, key, context)
    }

    /// The same for f32, which holds results of less than 2^(24-p) exactly: up to 256 for p = 16.
    pub fn release_f32(
        &self,
        values: &[f32],
        precision: u32,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<f32>, LatticeError> {
        let mut wide: Vec<f64> = values.iter().map(|&v| v.into()).collect();
        let released = self.release_within(&wide, precision, F32_BITS, key, context);
        wide.zeroize();
        Ok(released?.into_iter().map(|v| v as f32).collect())
    }

    fn release_within(
        &self,
        values: &[f64],
        precision: u32,
        bits: u32,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<f64>, LatticeError> {
        if precision > FINE as u32 {
            return Err(LatticeError::Wide {
                what: "precision of a release",
                allowed: FINE as u32,
                actual: precision,
            });
        }
        let settings = [self.log2_step as u64, precision.into()];
        let words = settings.into_iter().chain(values.iter().map(|v| v.to_bits())).collect();
        let mut randomness = key.for_purpose(PURPOSE).stream_of_words(Domain::Rounding, context, words);
        let mut noise = draw(&mut randomness, values.len());
        let released = values
            .iter()
            .zip(&noise)
            .enumerate()
            .map(|(position, (&value, &noise))| self.round(value, noise, precision, bits, position))
            .collect();
        noise.zeroize();
        released
    }

    /// `value` plus `noise` (in units of 2^-40 s), rounded to a multiple of 2^-`precision`.
    fn round(&self, value: f64, noise: i128, precision: u32, bits: u32, position: usize) -> Result<f64, LatticeError> {
        let range = |bound: f64| LatticeError::Range {
            what: "number to release",
            position,
            value,
            bound,
        };
        let log2_unit = self.log2_step - FINE;
        let bound = 2f64.powi(LOG2_UNITS + log2_unit);
        if value.is_nan() || value.abs() >= bound {
            return Err(range(bound));
        }
        // Exact: a power of two, then nothing but integers.
        let sum = (value * 2f64.powi(-log2_unit)).round() as i128 + noise;
        // Units to a step of 2^-p; where the unit is the wider one, it is a multiple of the step already.
        let shift = -log2_unit - precision as i32;
        let steps = match shift {
            // At most 60 bits: k and p are bounded.
            ..=0 => sum.checked_mul(1i128 << -shift),
            _ => Some((sum + (1i128 << (shift - 1))) >> shift),
        };
        let bound = 2f64.powi(bits as i32 - precision as i32);
        match steps {
            Some(steps) if steps.unsigned_abs() < 1 << bits => Ok(steps as f64 * 2f64.powi(-(precision as i32))),
            _ => Err(range(bound)),
        }
    }

    /// s.
    fn step(&self) -> f64 {
        2f64.powi(self.log2_step)
    }
}

/// H + U1 + U2 + U3 less its mean, in units of 2^-40.
fn draw(randomness: &mut Stream, count: usize) -> Vec<i128> {
    let mut whole = vec![0; count];
    sample::gaussian_integers(randomness, &mut whole);
    let mut bytes = [0; 3 * 8];
    let with_fractions = |&h: &i64| {
        randomness.fill_bytes(&mut bytes);
        let fractions = bytes.as_chunks::<8>().0.iter();
        let low: u64 = fractions.map(|b| u64::from_le_bytes(*b) >> (64 - FINE)).sum();
        (i128::from(h) << FINE) + i128::from(low) - MEAN
    };
    let noise = whole.iter().map(with_fractions).collect();
    bytes.zeroize();
    whole.zeroize();
    noise
}

/// Standard deviation of H + U1 + U2 + U3.
fn spread() -> f64 {
    (sample::SIGMA * sample::SIGMA + 0.25).sqrt()
}

fn check(what: &'static str, value: f64) -> Result<(), LatticeError> {
    match (0.0..f64::MAX).contains(&value) {
        true => Ok(()),
        false => Err(LatticeError::Range {
            what,
            position: 0,
            value,
            bound: f64::MAX,
        }),
    }
}

#[cfg(test)]
mod tests;
