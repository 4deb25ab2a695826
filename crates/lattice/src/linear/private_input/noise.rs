//! Noise, and the modulus and precisions that follow.
//!
//! **What a wanted coefficient of F Enc(x) carries**, in units of 1/q:
//!
//! ```text
//! E = sum w e        all T weights of the response's output channels meet some coefficient of the encryptions' noise
//!   + sum w rho      rho, of at most 1/2, is the encoding's rounding: it stands where x stands, so that only the I weights of the output meet it
//!   + e u + e1 s     re-randomisation: N products each of deviation sigma sqrt(2/3)
//! ```
//!
//! so |E| <= 2^(bits-1) (12 sigma sqrt(T) + I/2) + 12 sigma sqrt(4N/3) but with probability below 2^-100. B = 2^128 E / q, in units of 2^-128, and what reading the
//! fraction of c0 lacks ([`SHORT`] units a prime) is what the flooding hides: 1.07 B sqrt(M) <= 2^(t-40) ([`crate::spline`]), which bounds q from below. log2(q) is about
//!
//! ```text
//! k + 42 + log2(M) / 2 + log2(E)
//! ```
//!
//! **Right results** need all noise below 2^(127-k), half of the lowest bit:
//!
//! ```text
//! flooding            1.5 * 2^t                       t = 126 - k: 3/4
//! rounding of c1      2^(128-V) * 11.9 sqrt(N/18)     at most 0.124: V = k + 12
//! rounding of c0      2^(127-K)                       1/8: K = k + 3
//! c1 back modulo q    2^128 / q * 12 sqrt(N/18)       a rounding to integers, times s; far below 2^-10, as are
//! reading of c1 s     primes * 3
//! B                   below 2^-40
//! ```
//!
//! c1 is uniform and known to the key holder, and so is what its rounding times s adds: that hides and tells nothing, and only results have to bear it. Beside
//! the bounds that hold always, a result is wrong where a sum exceeds 11.9 deviations: 2^-105 for one, below 2^-64 for all 2^40 that can be revealed.

use cloven_ring::sample::SIGMA;

use crate::{
    LatticeError,
    fraction::SHORT,
    linear::{STATISTICAL_BITS, layer_layout::LayerLayout, noise::DEVIATIONS},
    spline::HALF_ROOT_INFORMATION,
};

const RING_BITS: std::ops::RangeInclusive<u32> = 16..=48;
const LOG2_REVEALED: u32 = 40;
/// Most primes: 214 bits.
const PRIMES: f64 = 5.0;
/// How many deviations the rounding of c1 may reach.
const ROUNDING_DEVIATIONS: f64 = 11.9;
/// Of half of the lowest bit, the most that the rounding of c1 takes.
const ROUNDING_PART: f64 = 1.0 / 8.0;

/// What the modulus is chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Secrecy {
    /// k.
    pub(super) ring_bits: u32,
    pub(super) weight_bits: u32,
    /// M.
    revealed: u64,
}

impl Secrecy {
    pub(super) fn new(ring_bits: u32, weight_bits: u32, revealed: u64) -> Result<Self, LatticeError> {
        let limits = [
            ("ring bits", *RING_BITS.start(), *RING_BITS.end(), u64::from(ring_bits)),
            ("weight bits", 1, ring_bits, weight_bits.into()),
        ];
        for (what, least, most, actual) in limits {
            let (least, most) = (least.into(), most.into());
            if !(least..=most).contains(&actual) {
                return Err(LatticeError::Setting {
                    what,
                    least,
                    most,
                    actual,
                });
            }
        }
        if revealed > 1 << LOG2_REVEALED {
            return Err(LatticeError::Setting {
                what: "revealed coefficients",
                least: 0,
                most: 1 << LOG2_REVEALED,
                actual: revealed,
            });
        }
        Ok(Self {
            ring_bits,
            weight_bits,
            revealed: revealed.max(1),
        })
    }

    /// Numbers that tell it from others.
    pub(super) fn numbers(&self) -> [u64; 3] {
        [self.ring_bits.into(), self.weight_bits.into(), self.revealed]
    }

    /// t.
    pub(super) fn flooding_bits(&self) -> u32 {
        126 - self.ring_bits
    }

    /// V.
    pub(super) fn whole_bits(&self, degree: usize) -> u32 {
        self.ring_bits + 1 + (rounding_bound(degree) / ROUNDING_PART).log2().ceil() as u32
    }

    /// K.
    pub(super) fn wanted_bits(&self) -> u32 {
        self.ring_bits + 3
    }

    /// The largest weight.
    pub(super) fn weight_bound(&self) -> u64 {
        1 << (self.weight_bits - 1)
    }

    /// The largest B that is hidden, in units of 2^-128.
    pub(super) fn allowed(&self) -> f64 {
        (f64::from(self.flooding_bits()) - f64::from(STATISTICAL_BITS)).exp2()
            / (HALF_ROOT_INFORMATION * (self.revealed as f64).sqrt())
    }

    /// log2 of the smallest modulus for a layout.
    pub(super) fn log2_modulus(&self, layout: &LayerLayout, degree: usize) -> f64 {
        128.0 + self.bound(layout, degree).log2() - (self.allowed() - SHORT * PRIMES).log2()
    }

    /// Bound on |E|.
    pub(super) fn bound(&self, layout: &LayerLayout, degree: usize) -> f64 {
        let [inner, terms] = layout.terms().map(|count| count as f64);
        let encryption = DEVIATIONS * SIGMA * terms.sqrt() + inner / 2.0;
        self.weight_bound() as f64 * encryption + DEVIATIONS * zeros_deviation(degree)
    }
}

/// Deviation of e u + e1 s.
pub(super) fn zeros_deviation(degree: usize) -> f64 {
    SIGMA * (4.0 * degree as f64 / 3.0).sqrt()
}

/// Bound on a rounding of up to 1/2, times s.
pub(super) fn rounding_bound(degree: usize) -> f64 {
    ROUNDING_DEVIATIONS * (degree as f64 / 18.0).sqrt()
}
