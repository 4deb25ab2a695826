//! The powers of the root of unity, in the order the butterflies read them.

use crate::{Modulus, RingError};

/// Entry m + i of a list is the twiddle of group i in the stage that has m groups: psi^(rev(m + i)), or its inverse.
pub(super) struct Roots {
    pub(super) forward: Vec<u64>,
    pub(super) inverse: Vec<u64>,
    /// 1/N.
    pub(super) degree_inverse: u64,
}

impl Roots {
    pub(super) fn new(modulus: &Modulus, degree: usize, root: u64) -> Self {
        // psi^(2N - e) is the inverse of psi^e, and psi^N = -1, so one list of powers serves both directions.
        let mut powers = vec![1; degree];
        for e in 1..degree {
            powers[e] = modulus.mul(powers[e - 1], root);
        }
        let shift = usize::BITS - degree.trailing_zeros();
        let reversed = |j: usize| j.reverse_bits() >> shift;
        let inverse_power = |e: usize| if e == 0 { 1 } else { modulus.neg(powers[degree - e]) };
        Self {
            forward: (0..degree).map(|j| powers[reversed(j)]).collect(),
            inverse: (0..degree).map(|j| inverse_power(reversed(j))).collect(),
            degree_inverse: modulus.pow(modulus.reduce(degree as u64), modulus.value() - 2),
        }
    }
}

/// A primitive 2N-th root of unity: the power of the smallest base that gives one, so that it depends on q and N alone.
pub(super) fn primitive_root(modulus: &Modulus, degree: usize) -> Result<u64, RingError> {
    let (q, order) = (modulus.value(), 2 * degree as u64);
    if q % order != 1 {
        return Err(RingError::NoRoot {
            modulus: q,
            order,
            actual: q % order,
        });
    }
    // x^((q-1)/2N) has order 2N exactly when its N-th power is -1: true for every non-residue x, half of all bases.
    let candidates = (2..q).map(|base| modulus.pow(base, (q - 1) / order));
    let found = candidates.into_iter().find(|&root| modulus.pow(root, degree as u64) == q - 1);
    found.ok_or(RingError::NoRoot {
        modulus: q,
        order,
        actual: 1,
    })
}
