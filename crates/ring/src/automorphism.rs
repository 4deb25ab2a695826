//! The automorphisms X -> X^g of the ring.
//!
//! Slot j holds the value at psi^e with e = 2 rev(j) + 1, and f(X^g) has there the value of f at psi^(g e): on evaluations an
//! automorphism only moves slots, the same way modulo every prime.

use crate::RingError;
use crate::ntt::check_degree;

/// X -> X^g for one degree, on evaluations in the order of [`crate::NttPlan`].
#[derive(Clone, Debug)]
pub struct Automorphism {
    /// Which slot each slot's value comes from.
    sources: Vec<u32>,
}

impl Automorphism {
    /// X -> X^`exponent`, which must be odd; what it is modulo 2N counts.
    pub fn new(degree: usize, exponent: usize) -> Result<Self, RingError> {
        check_degree(degree)?;
        if exponent.is_multiple_of(2) {
            return Err(RingError::Shape {
                expected: "an odd exponent of an automorphism",
                actual: exponent,
            });
        }
        let reversed = |j: usize| j.reverse_bits() >> (usize::BITS - degree.ilog2());
        let source = |j: usize| reversed((2 * reversed(j) + 1) * (exponent % (2 * degree)) % (2 * degree) / 2) as u32;
        Ok(Self {
            sources: (0..degree).map(source).collect(),
        })
    }

    /// Writes the image of `values` to `image`.
    pub(crate) fn apply(&self, values: &[u64], image: &mut [u64]) -> Result<(), RingError> {
        let degree = self.sources.len();
        if values.len() != degree || image.len() != degree {
            return Err(RingError::Length {
                what: "an operand of an automorphism",
                expected: degree,
                actual: values.len(),
            });
        }
        for (slot, &source) in image.iter_mut().zip(&self.sources) {
            *slot = values[source as usize];
        }
        Ok(())
    }
}
