//! Operations residue by residue, on slices of equal length: the loops below the polynomials.

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod avx2;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod ifma;
mod scalar;

use crate::Modulus;
use crate::backend::Runnable;

/// What to do with a residue of the left operand and its partner.
#[derive(Clone, Copy)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
}

/// `left = left (op) right`.
pub(crate) fn assign(runnable: Runnable, modulus: &Modulus, op: Binary, left: &mut [u64], right: &[u64]) {
    match runnable {
        Runnable::Scalar => scalar::assign(modulus, op, left, right),
        #[cfg(target_arch = "x86_64")]
        Runnable::Avx2(licence) => avx2::assign(licence, modulus, op, left, right),
        #[cfg(target_arch = "x86_64")]
        Runnable::Ifma(licence) => ifma::assign(licence, modulus, op, left, right),
    }
}

/// `sum += left * right`.
pub(crate) fn mul_add_assign(runnable: Runnable, modulus: &Modulus, sum: &mut [u64], left: &[u64], right: &[u64]) {
    match runnable {
        Runnable::Scalar => scalar::mul_add_assign(modulus, sum, left, right),
        #[cfg(target_arch = "x86_64")]
        Runnable::Avx2(licence) => avx2::mul_add_assign(licence, modulus, sum, left, right),
        #[cfg(target_arch = "x86_64")]
        Runnable::Ifma(licence) => ifma::mul_add_assign(licence, modulus, sum, left, right),
    }
}

/// `sum += left * right` for every term, each slice as long as `sum`.
pub(crate) fn add_products(runnable: Runnable, modulus: &Modulus, sum: &mut [u64], terms: &[[&[u64]; 2]]) {
    match runnable {
        #[cfg(target_arch = "x86_64")]
        Runnable::Ifma(licence) => ifma::add_products(licence, modulus, sum, terms),
        _ => {
            for [left, right] in terms {
                mul_add_assign(runnable, modulus, sum, left, right);
            }
        }
    }
}

/// A polynomial whose evaluations are the same over neighbouring slots, for one prime, and what it is multiplied by.
#[derive(Clone, Copy)]
pub(crate) struct BlockTerm<'a> {
    /// One word for every 2^`log2_width` slots.
    pub(crate) constants: &'a [u64],
    pub(crate) log2_width: u32,
    /// As long as the sum.
    pub(crate) values: &'a [u64],
}

impl BlockTerm<'_> {
    #[inline]
    fn constant(&self, slot: usize) -> u64 {
        self.constants[slot >> self.log2_width]
    }
}

/// `sum = terms`, or `sum += terms`: of [`MAX_TERMS`] at most.
pub(crate) fn block_products(runnable: Runnable, modulus: &Modulus, sum: &mut [u64], terms: &[BlockTerm<'_>], former: Former) {
    match runnable {
        #[cfg(target_arch = "x86_64")]
        Runnable::Ifma(licence) => ifma::block_products(licence, modulus, sum, terms, former),
        _ => scalar::block_products(modulus, sum, terms, former, 0),
    }
}

/// What a kernel does with the former value of an output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Former {
    Replaced,
    Added,
}

/// Most terms between two reductions: the high half of a product is below 2^48, and 2^11 of them below 2^59.
pub(crate) const MAX_TERMS: usize = 1 << 11;

/// `values = factor * values`, for a factor in `0..q`.
pub(crate) fn scale_assign(runnable: Runnable, modulus: &Modulus, values: &mut [u64], factor: u64) {
    match runnable {
        Runnable::Scalar => scalar::scale_assign(modulus, values, factor),
        #[cfg(target_arch = "x86_64")]
        Runnable::Avx2(licence) => avx2::scale_assign(licence, modulus, values, factor),
        #[cfg(target_arch = "x86_64")]
        Runnable::Ifma(licence) => ifma::scale_assign(licence, modulus, values, factor),
    }
}

/// `values = -values`.
pub(crate) fn neg_assign(runnable: Runnable, modulus: &Modulus, values: &mut [u64]) {
    match runnable {
        Runnable::Scalar => scalar::neg_assign(modulus, values),
        #[cfg(target_arch = "x86_64")]
        Runnable::Avx2(licence) => avx2::neg_assign(licence, modulus, values),
        #[cfg(target_arch = "x86_64")]
        Runnable::Ifma(licence) => ifma::neg_assign(licence, modulus, values),
    }
}

/// The residues of integers of absolute value below q.
pub(crate) fn residues_of(runnable: Runnable, modulus: &Modulus, integers: &[i64], residues: &mut [u64]) {
    match runnable {
        Runnable::Scalar => scalar::residues_of(modulus, integers, residues),
        #[cfg(target_arch = "x86_64")]
        Runnable::Avx2(licence) => avx2::residues_of(licence, modulus, integers, residues),
        #[cfg(target_arch = "x86_64")]
        Runnable::Ifma(licence) => ifma::residues_of(licence, modulus, integers, residues),
    }
}

/// The residues of `factor` times any integers, for a factor in `0..q`. In constant time.
pub(crate) fn multiples_of(runnable: Runnable, modulus: &Modulus, factor: u64, integers: &[i64], residues: &mut [u64]) {
    match runnable {
        #[cfg(target_arch = "x86_64")]
        Runnable::Ifma(licence) => ifma::multiples_of(licence, modulus, factor, integers, residues),
        _ => scalar::multiples_of(modulus, factor, integers, residues),
    }
}
