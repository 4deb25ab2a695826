//! Sums of products of which only the coefficients of X^0, X^D, X^2D, ... are wanted.
//!
//! Write f(X) = sum_{r<D} X^r f_r(X^D). At the D roots x of x^D = y the parts with r > 0 cancel: f_0(y) = (1/D) sum_x f(x). In the order of
//! [`NttPlan`] these are D neighbouring slots, a class. So, for the wanted coefficients of sum_t left_t right_t,
//!
//! ```text
//! value[class] = (1/D) sum_t sum_{slots of class}  left[t][slot] * right[t][slot]      mod q
//! ```
//!
//! is a dot product of T D terms with one reduction, and the inverse transform has the length N/D ([`NttPlan::subring`]) instead of N. For D = 128
//! that transform is next to nothing, and the sum costs what a product slot by slot does.
//!
//! Sums are of unreduced halves of products. Control flow and addresses depend on the shape alone.

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod ifma;
mod scalar;

use crate::backend::Runnable;
use crate::{Modulus, NttPlan, RingError};

/// Slots of a class: a vector at least, and no more than sums of low halves fit a word for.
const SPACING: std::ops::RangeInclusive<usize> = 8..=MAX_TERMS;
/// Most products in one unreduced sum: 4,096 low halves below 2^52 still fit a 64-bit word.
const MAX_TERMS: usize = 4096;

/// Sums of products in one ring, for one prime, of which every D-th coefficient is wanted.
#[derive(Clone, Debug)]
pub struct SpacedProduct {
    modulus: Modulus,
    degree: usize,
    spacing: usize,
    runnable: Runnable,
    /// Of length N/D.
    plan: NttPlan,
    /// 1/D.
    scale: u64,
}

impl SpacedProduct {
    /// Products of evaluations in the order of `plan`, on its backend; `spacing` is D: a power of two, from 8 to 4,096 and at most N/2.
    pub fn new(plan: &NttPlan, spacing: usize) -> Result<Self, RingError> {
        let (degree, modulus) = (plan.degree(), *plan.modulus());
        if !spacing.is_power_of_two() || !SPACING.contains(&spacing) || spacing > degree / 2 {
            return Err(RingError::Shape {
                expected: "wanted coefficients a power of two apart: 8 to 4,096, and at most half of the degree",
                actual: spacing,
            });
        }
        Ok(Self {
            modulus,
            degree,
            spacing,
            runnable: plan.runnable(),
            plan: plan.subring(degree / spacing)?,
            scale: modulus.pow(spacing as u64 % modulus.value(), modulus.value() - 2),
        })
    }

    /// D.
    pub fn spacing(&self) -> usize {
        self.spacing
    }

    /// Wanted coefficients of a product: N/D.
    pub fn wanted(&self) -> usize {
        self.degree / self.spacing
    }

    /// For each of some sums, the coefficients of X^0, X^D, X^2D, ... of sum_t left_t right_t: `wanted` gets N/D residues for each, one sum after the
    /// other.
    ///
    /// `rights` has as many polynomials as `left` for every sum, sum after sum. Every polynomial is a slice of N reduced evaluations.
    pub fn coefficients(&self, left: &[&[u64]], rights: &[&[u64]], wanted: &mut [u64]) -> Result<(), RingError> {
        self.check(left, rights, wanted)?;
        let terms = left.len().max(1);
        wanted.fill(0);
        // No more products at once than one reduction is good for.
        let chunk = MAX_TERMS / self.spacing;
        for first in (0..left.len()).step_by(chunk) {
            let range = first..left.len().min(first + chunk);
            let job = Sums {
                modulus: &self.modulus,
                spacing: self.spacing,
                left: &left[range.clone()],
                rights,
                terms,
                first,
            };
            match self.runnable {
                #[cfg(target_arch = "x86_64")]
                Runnable::Ifma(licence) => ifma::add(licence, &job, wanted),
                // Products of 64-bit words are as fast as what AVX2 has to form them of.
                _ => scalar::add(&job, wanted),
            }
        }
        for wanted in wanted.chunks_exact_mut(self.wanted()) {
            wanted
                .iter_mut()
                .for_each(|value| *value = self.modulus.mul(*value, self.scale));
            self.plan.inverse(wanted);
        }
        Ok(())
    }

    fn check(&self, left: &[&[u64]], rights: &[&[u64]], wanted: &[u64]) -> Result<(), RingError> {
        let length = |what, expected, actual| match expected == actual {
            true => Ok(()),
            false => Err(RingError::Length { what, expected, actual }),
        };
        let sums = wanted.len() / self.wanted();
        length("wanted coefficients", sums * self.wanted(), wanted.len())?;
        length("right factors of sums of products", sums * left.len(), rights.len())?;
        let mut operands = left.iter().chain(rights);
        operands.try_for_each(|words| length("an operand of a product", self.degree, words.len()))
    }
}

/// Some terms of all sums.
struct Sums<'a> {
    modulus: &'a Modulus,
    spacing: usize,
    /// The terms' left factors.
    left: &'a [&'a [u64]],
    /// All right factors.
    rights: &'a [&'a [u64]],
    /// Right factors of a sum, and the first that is meant.
    terms: usize,
    first: usize,
}

impl<'a> Sums<'a> {
    /// The right factors of sum number `sum`, of these terms.
    fn right(&self, sum: usize) -> &'a [&'a [u64]] {
        &self.rights[sum * self.terms + self.first..][..self.left.len()]
    }
}
