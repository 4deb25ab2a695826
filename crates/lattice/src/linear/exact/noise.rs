//! Noise, and the modulus that holds it.
//!
//! A wanted coefficient of X Enc(W) carries, in integers modulo q,
//!
//! ```text
//! E = sum x e        all coefficients of X's polynomials, S inner of them, meet some coefficient of the encryption's noise
//!   + sum x rho      rho, of at most 1/2, is the encoding's rounding: it stands where W stands, so that only the wanted inner terms meet
//!   + e u + e1 s     re-randomisation: N products each of deviation sigma sqrt(2/3)
//! ```
//!
//! so |E| <= 2^(bits-1) (12 sigma sqrt(S inner) + inner / 2) + 12 sigma sqrt(4N/3) but with probability below 2^-100. In units of 2^-128 of the whole that is
//! B = 2^128 E / q, and what reading the fraction lacks ([`SHORT`] units a prime). The flooding hides it where 1.07 B sqrt(M) <= 2^(62-40); this bounds q from
//! below.
//!
//! The key holder reads right where all noise stays below 2^63 units, half of the lowest bit:
//!
//! ```text
//! flooding    1.5 * 2^62                            = 0.75   * 2^63
//! c1          2^(128-76) * 12 sqrt(N/18)            = 0.125  * 2^63   rounded by up to 1/2, times the secret: deviation sqrt(N 2/3 / 12); read
//!                                                                     to 104 bits, which adds less than 2^-25 of that
//! c0          2^(128-68) / 2                        = 0.0625 * 2^63
//! B           at most 2^22 / 1.07                   < 0.0001 * 2^63
//! ```

use cloven_ring::sample;

use super::{LOG2_DEGREE, flooding::BITS};
use crate::{LatticeError, fraction::SHORT, linear::layout::Layout, linear::noise::DEVIATIONS, spline::HALF_ROOT_INFORMATION};

/// All that the key holder sees is within statistical distance 2^-40 of what follows from its results.
pub const STATISTICAL_BITS: u32 = 40;
/// Most primes: 214 bits.
const PRIMES: f64 = 5.0;
/// Most results of a job: beyond, the flooding could not hide what reading fractions lacks.
const LOG2_REVEALED: u32 = 34;

/// What the modulus is chosen for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Secrecy {
    plaintext_bits: u32,
    /// log2 of B.
    log2_noise: f64,
}

impl Secrecy {
    pub(super) fn new(plaintext_bits: u32, revealed: u64) -> Result<Self, LatticeError> {
        let refuse = |what, allowed, actual| Err(LatticeError::Wide { what, allowed, actual });
        if !(1..=u64::BITS).contains(&plaintext_bits) {
            return refuse("plaintext matrix", u64::BITS, plaintext_bits);
        }
        if revealed > 1 << LOG2_REVEALED {
            let bits = u64::BITS - revealed.leading_zeros();
            return refuse("number of revealed results", LOG2_REVEALED, bits);
        }
        let allowed = f64::from(BITS - STATISTICAL_BITS) - HALF_ROOT_INFORMATION.log2();
        Ok(Self {
            plaintext_bits,
            log2_noise: allowed - (revealed.max(1) as f64).log2() / 2.0,
        })
    }

    /// log2 of the smallest modulus for a layout.
    pub(super) fn log2_modulus(&self, layout: &Layout) -> f64 {
        let left = self.log2_noise.exp2() - SHORT * PRIMES;
        128.0 + bound(layout, self.plaintext_bits).log2() - left.log2()
    }
}

/// Bound on |E|.
pub(super) fn bound(layout: &Layout, plaintext_bits: u32) -> f64 {
    let terms = (layout.samples * layout.inputs) as f64;
    let encryption = DEVIATIONS * sample::SIGMA * terms.sqrt() + layout.inputs as f64 / 2.0;
    let degree = f64::from(1 << LOG2_DEGREE);
    2f64.powi(plaintext_bits as i32 - 1) * encryption + DEVIATIONS * sample::SIGMA * (4.0 * degree / 3.0).sqrt()
}
