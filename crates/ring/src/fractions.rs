//! Coefficients as fractions of the modulus, in units of 2^-104.
//!
//! For q = q_1 ... q_n, c / q = sum_i y_i / q_i modulo 1 with y_i = c (q / q_i)^-1 modulo q_i. With F_i = floor(2^156 / q_i) in three limbs of 52 bits,
//!
//! ```text
//! sum_i y_i F_i   modulo 2^156, without its lowest limb
//! ```
//!
//! are the two limbs of the fraction, short by less than 1 + n / 4 units: y_i < 2^50 units of 2^-156 from each F_i, and what the lowest limb has. With
//! IFMA that is five instructions of the multiplier for eight lanes and a prime.

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod ifma;
mod scalar;

use crate::backend::Runnable;
use crate::{Coefficients, Poly, RingError, RnsBasis};

/// Bits of a limb.
pub const LIMB: u32 = 52;

/// How to read the fractions of one modulus.
#[derive(Clone, Debug)]
pub struct FractionLimbs {
    basis: RnsBasis,
    /// F_i, the lowest limb first.
    factors: Vec<[u64; 3]>,
}

/// The residues y_i of some coefficients, and F_i.
struct Term<'a> {
    residues: &'a [u64],
    factor: [u64; 3],
}

impl FractionLimbs {
    /// For polynomials of this basis.
    pub fn new(basis: &RnsBasis) -> Self {
        let factors = basis.moduli().iter().map(|modulus| factor(modulus.value()));
        Self {
            basis: basis.clone(),
            factors: factors.collect(),
        }
    }

    /// The fractions of as many coefficients as `low` and `high` have room for, from number `first` on: units of 2^-104 and of 2^-52. `y` has the
    /// residues y_i: those of the coefficients, times (q / q_i)^-1.
    ///
    /// # Errors
    /// [`RingError::BasisMismatch`] for a polynomial of another basis; [`RingError::Length`] for limbs of different number, or more than coefficients.
    pub fn read(&self, y: &Poly<Coefficients>, first: usize, low: &mut [u64], high: &mut [u64]) -> Result<(), RingError> {
        self.basis.check_same(y.basis())?;
        let length = |expected, actual| {
            let what = "limbs of fractions";
            Err(RingError::Length { what, expected, actual })
        };
        if low.len() != high.len() {
            return length(low.len(), high.len());
        }
        let end = first.saturating_add(low.len());
        if end > self.basis.degree() {
            return length(self.basis.degree(), end);
        }
        let terms = self.factors.iter().enumerate().map(|(prime, &factor)| Term {
            residues: &y.residues(prime)[first..end],
            factor,
        });
        let terms: Vec<Term<'_>> = terms.collect();
        match self.basis.runnable() {
            #[cfg(target_arch = "x86_64")]
            Runnable::Ifma(licence) => ifma::read(licence, &terms, low, high),
            _ => scalar::read(&terms, low, high, 0),
        }
        Ok(())
    }
}

/// floor(2^156 / q), by long division in limbs.
fn factor(q: u64) -> [u64; 3] {
    let (mut limbs, mut rest) = ([0; 3], 1u128);
    for limb in limbs.iter_mut().rev() {
        let dividend = rest << LIMB;
        *limb = (dividend / u128::from(q)) as u64;
        rest = dividend % u128::from(q);
    }
    limbs
}
