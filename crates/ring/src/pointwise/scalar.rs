//! The reference loops; the vector kernels also end on them when a length is no multiple of theirs.

use super::{Binary, BlockTerm, Former};
use crate::Modulus;

pub(super) fn assign(modulus: &Modulus, op: Binary, left: &mut [u64], right: &[u64]) {
    let pairs = left.iter_mut().zip(right);
    match op {
        Binary::Add => pairs.for_each(|(a, &b)| *a = modulus.add(*a, b)),
        Binary::Sub => pairs.for_each(|(a, &b)| *a = modulus.sub(*a, b)),
        Binary::Mul => pairs.for_each(|(a, &b)| *a = modulus.mul(*a, b)),
    }
}

pub(super) fn mul_add_assign(modulus: &Modulus, sum: &mut [u64], left: &[u64], right: &[u64]) {
    for (s, (&a, &b)) in sum.iter_mut().zip(left.iter().zip(right)) {
        *s = modulus.add(*s, modulus.mul(a, b));
    }
}

/// From slot `first` on: `sum` is what lies there.
pub(super) fn block_products(modulus: &Modulus, sum: &mut [u64], terms: &[BlockTerm<'_>], former: Former, first: usize) {
    for (slot, s) in (first..).zip(sum) {
        let start = if former == Former::Added { *s } else { 0 };
        *s = terms.iter().fold(start, |sum, term| {
            modulus.add(sum, modulus.mul(term.constant(slot), term.values[slot]))
        });
    }
}

pub(super) fn scale_assign(modulus: &Modulus, values: &mut [u64], factor: u64) {
    values.iter_mut().for_each(|v| *v = modulus.mul(*v, factor));
}

pub(super) fn neg_assign(modulus: &Modulus, values: &mut [u64]) {
    values.iter_mut().for_each(|v| *v = modulus.neg(*v));
}

pub(super) fn residues_of(modulus: &Modulus, integers: &[i64], residues: &mut [u64]) {
    let q = modulus.value() as i64;
    residues
        .iter_mut()
        .zip(integers)
        .for_each(|(r, &c)| *r = (c + (q & (c >> 63))) as u64);
}
