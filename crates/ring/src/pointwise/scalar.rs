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

/// The estimate of a word's quotient is short by at most 1.
pub(super) fn multiples_of(modulus: &Modulus, factor: u64, integers: &[i64], residues: &mut [u64]) {
    let q = modulus.value();
    let reciprocal = u64::MAX / q;
    // 2^64: what a negative integer is less than the word of its bits.
    let wrap = modulus.add(modulus.reduce(u64::MAX), 1 % q);
    for (residue, &integer) in residues.iter_mut().zip(integers) {
        let word = integer as u64;
        let quotient = ((u128::from(word) * u128::from(reciprocal)) >> 64) as u64;
        let rest = word.wrapping_sub(quotient.wrapping_mul(q));
        let rest = rest.min(rest.wrapping_sub(q));
        let negative = (integer >> 63) as u64;
        *residue = modulus.mul(modulus.sub(rest, wrap & negative), factor);
    }
}
