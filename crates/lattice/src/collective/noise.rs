//! Noise, its smudging, and the modulus and precision that follow.
//!
//! **What a ciphertext carries**, in units of 1/q, bounded but with probability below 2^-100 a coefficient:
//!
//! ```text
//! encryption     |e + rho|            e = sum e_j of deviation sigma sqrt(n), rho of at most n/2 from the n roundings; zero where no message is
//! linear layer   |R (e + rho)|        R = sum r_j, of at most n 2^(k-1); e meets all T numbers of the inputs that share a polynomial, rho only the I that the output depends on
//! zeros          |e u + e0 + e1 s|    n of them, u and s sums of n ternaries: variance sigma^2 (n + 4 n^2 N / 3)
//!
//! E = max(12 sigma sqrt(n) + n/2,  n 2^(k-1) (12 sigma sqrt(n T) + I n/2)) + 12 sigma sqrt(n + 4 n^2 N / 3)
//! ```
//!
//! **What a decryption adds**, in units of 2^-128:
//!
//! ```text
//! rounding of c1     2^(128-W) * 12 n sqrt(N/18)                 n parties' of up to 1/2, times s of deviation sqrt(2n/3)
//! reading of c1      n * 3 primes * 12 sqrt(2 n N / 3)           what fractions lack (`fraction`), times s
//! c1 back modulo q   2^128 / q * 12 sqrt(n N / 18)               a rounding to integers, times s
//! reading of shares  n * 3 primes
//! ```
//!
//! B, the sum of these and of 2^128 E / q, is what the smudge of a single party must hide: 1.07 B sqrt(M) <= 2^(t - lambda) over M coefficients
//! ([`crate::spline`]). All but E may take nine tenths of that, which gives W; the rest gives q.
//!
//! **Right results** need all noise below 2^(127-k), half of the lowest bit:
//!
//! ```text
//! n smudges                     n 1.5 2^t            t = 126 - k - ceil(log2 n): at most 3/4
//! roundings of c0 and shares    2 n 2^(127-K)        gives K: what is left, less the next
//! switching's rounding of c1    2^(128-V) * 12 sqrt(n N / 18)    at most 1/32: gives V
//! B                             at most 2^-20
//! ```
//!
//! Beside the bounds that hold always, a result is wrong where a Gaussian exceeds twelve deviations: 2^-107 for one coefficient, below 2^-64 for all that
//! can be revealed.

use cloven_ring::sample::SIGMA;

use super::parameters::{CollectiveSettings, degree};
use crate::{
    LatticeError,
    fraction::SHORT,
    linear::{LinearShape, noise::DEVIATIONS},
    spline::HALF_ROOT_INFORMATION,
};

/// Most primes: 214 bits.
const PRIMES: f64 = 5.0;
/// Of what may be smudged, rounding and reading take at most this.
const ROUNDING_PART: f64 = 0.9;
/// Of half of the lowest bit, switching's rounding takes at most this; and B less than the margin.
const SWITCHING_PART: f64 = 1.0 / 32.0;
const MARGIN: f64 = 1.0 / 1024.0;

/// Bounds, and the precisions that follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Noise {
    /// E.
    pub(super) bound: f64,
    /// t.
    pub(super) smudge_bits: u32,
    /// W.
    pub(super) whole_bits: u32,
    /// K.
    pub(super) wanted_bits: u32,
    /// V.
    pub(super) switched_bits: u32,
    /// 2^(t - lambda) / (1.07 sqrt(M)): the largest B.
    pub(super) allowed: f64,
    parties: f64,
}

impl Noise {
    pub(super) fn new(settings: &CollectiveSettings, layers: &[LinearShape]) -> Result<Self, LatticeError> {
        let (k, n) = (settings.ring_bits, settings.parties as f64);
        let smudge_bits = 126 - k - settings.parties.next_power_of_two().trailing_zeros();
        let revealed = settings.revealed.max(1) as f64;
        let allowed =
            exp2(f64::from(smudge_bits) - f64::from(settings.statistical_bits)) / (HALF_ROOT_INFORMATION * revealed.sqrt());
        let left = 1.0 - 1.5 * n * exp2(f64::from(smudge_bits) - f64::from(127 - k)) - SWITCHING_PART - MARGIN;
        let switching = DEVIATIONS * (n * degree() / 18.0).sqrt();
        // What the rounding of c1 may take: it has at most 127 bits.
        let room = ROUNDING_PART * allowed - reading_bound(n);
        if room < 2.0 * rounding(n) {
            return Err(LatticeError::Noise {
                bound: ROUNDING_PART * allowed,
                actual: reading_bound(n) + 2.0 * rounding(n),
            });
        }
        Ok(Self {
            bound: bound(settings, layers, settings.inputs),
            smudge_bits,
            whole_bits: (128.0 + rounding(n).log2() - room.log2()).ceil() as u32,
            wanted_bits: k + (2.0 * n / left).log2().ceil() as u32,
            switched_bits: k + 1 + (switching / SWITCHING_PART).log2().ceil() as u32,
            allowed,
            parties: n,
        })
    }

    /// log2 of the smallest modulus.
    pub(super) fn log2_modulus(&self) -> f64 {
        let of_modulus = self.bound + DEVIATIONS * (self.parties * degree() / 18.0).sqrt();
        128.0 + of_modulus.log2() - self.for_modulus().log2()
    }

    /// What of the allowed B is left for noise that a longer modulus makes smaller.
    fn for_modulus(&self) -> f64 {
        self.allowed - self.rounding() - reading_bound(self.parties)
    }

    /// Bound on the rounding of c1 times s, in units of 2^-128.
    pub(super) fn rounding(&self) -> f64 {
        exp2(128.0 - f64::from(self.whole_bits)) * rounding(self.parties)
    }
}

/// E, where so many inputs share a polynomial.
pub(super) fn bound(settings: &CollectiveSettings, layers: &[LinearShape], inputs: usize) -> f64 {
    let layers = layers.iter().map(|layer| layer_bound(settings, layer, inputs));
    layers.fold(fresh_bound(settings), f64::max) + zeros_bound(settings)
}

/// Bound on |e + rho| of an encryption.
pub(super) fn fresh_bound(settings: &CollectiveSettings) -> f64 {
    let n = settings.parties as f64;
    DEVIATIONS * SIGMA * n.sqrt() + n / 2.0
}

/// Bound on |R (e + rho)|.
pub(super) fn layer_bound(settings: &CollectiveSettings, layer: &LinearShape, inputs: usize) -> f64 {
    let n = settings.parties as f64;
    let [terms, inner] = counts(layer, inputs);
    n * exp2(f64::from(settings.ring_bits) - 1.0) * (DEVIATIONS * SIGMA * (n * terms).sqrt() + inner * n / 2.0)
}

/// Variance of R (e + rho) where all r_j are uniform and where no output lacks a term.
#[cfg(test)]
pub(super) fn layer_variance(settings: &CollectiveSettings, layer: &LinearShape, inputs: usize) -> f64 {
    let n = settings.parties as f64;
    let [terms, inner] = counts(layer, inputs);
    let masks = n * exp2(2.0 * f64::from(settings.ring_bits)) / 12.0;
    masks * n * (SIGMA * SIGMA * terms + inner / 12.0)
}

/// Bound on n encryptions of zero.
fn zeros_bound(settings: &CollectiveSettings) -> f64 {
    DEVIATIONS * zeros_variance(settings).sqrt()
}

/// sigma^2 (n + 4 n^2 N / 3).
pub(super) fn zeros_variance(settings: &CollectiveSettings) -> f64 {
    let n = settings.parties as f64;
    SIGMA * SIGMA * (n + 4.0 * n * n * degree() / 3.0)
}

/// T and I.
fn counts(layer: &LinearShape, inputs: usize) -> [f64; 2] {
    let inner = match *layer {
        LinearShape::Dense { inputs, .. } => inputs,
        LinearShape::Convolution { channels, kernel, .. } => channels[0] * kernel[0] * kernel[1],
    };
    [(layer.inputs() * inputs) as f64, inner as f64]
}

/// Bound on what fractions lack, in units of 2^-128.
pub(super) fn reading_bound(parties: f64) -> f64 {
    parties * SHORT * PRIMES * (1.0 + DEVIATIONS * (2.0 * parties * degree() / 3.0).sqrt())
}

/// 12 n sqrt(N / 18).
fn rounding(parties: f64) -> f64 {
    DEVIATIONS * parties * (degree() / 18.0).sqrt()
}

fn exp2(exponent: f64) -> f64 {
    exponent.exp2()
}
