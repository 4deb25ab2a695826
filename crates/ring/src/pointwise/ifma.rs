//! The AVX-512 IFMA loops.

use super::{Binary, BlockTerm, Former, MAX_TERMS, scalar};
use crate::Modulus;
use crate::backend::Ifma;
use crate::simd512::{Barrett, Constant, Field, Reduction, load, shoup_quotient, store};
use std::arch::x86_64::*;

/// Low and high halves are summed unreduced.
pub(super) fn add_products(_licence: Ifma, modulus: &Modulus, sum: &mut [u64], terms: &[[&[u64]; 2]]) {
    let (vectors, rest) = sum.as_chunks_mut();
    let whole = 8 * vectors.len();
    for terms in terms.chunks(MAX_TERMS) {
        let vectors_of: Vec<[&[[u64; 8]]; 2]> = terms.iter().map(|term| term.map(|slots| slots.as_chunks().0)).collect();
        // SAFETY: the token shows that the machine has the features `add_product_vectors` is compiled for.
        unsafe { add_product_vectors(modulus.value(), vectors, &vectors_of) }
    }
    for [left, right] in terms {
        super::scalar::mul_add_assign(modulus, rest, &left[whole..], &right[whole..]);
    }
}

/// Low and high halves are summed unreduced.
pub(super) fn block_products(_licence: Ifma, modulus: &Modulus, sum: &mut [u64], terms: &[BlockTerm<'_>], former: Former) {
    let (vectors, rest) = sum.as_chunks_mut();
    // SAFETY: the token shows that the machine has the features `block_product_vectors` is compiled for.
    unsafe { block_product_vectors(modulus.value(), vectors, terms, former) }
    scalar::block_products(modulus, rest, terms, former, 8 * vectors.len());
}

pub(super) fn assign(_licence: Ifma, modulus: &Modulus, op: Binary, left: &mut [u64], right: &[u64]) {
    let ((vectors, rest), (others, other_rest)) = (left.as_chunks_mut(), right.as_chunks());
    // SAFETY: the token shows that the machine has the features `assign_vectors` is compiled for.
    unsafe { assign_vectors(modulus.value(), op, vectors, others) }
    scalar::assign(modulus, op, rest, other_rest);
}

pub(super) fn mul_add_assign(_licence: Ifma, modulus: &Modulus, sum: &mut [u64], left: &[u64], right: &[u64]) {
    let ((sums, sum_rest), (a, a_rest), (b, b_rest)) = (sum.as_chunks_mut(), left.as_chunks(), right.as_chunks());
    // SAFETY: the token shows that the machine has the features `mul_add_vectors` is compiled for.
    unsafe { mul_add_vectors(modulus.value(), sums, a, b) }
    scalar::mul_add_assign(modulus, sum_rest, a_rest, b_rest);
}

pub(super) fn scale_assign(_licence: Ifma, modulus: &Modulus, values: &mut [u64], factor: u64) {
    let (vectors, rest) = values.as_chunks_mut();
    // SAFETY: the token shows that the machine has the features `scale_vectors` is compiled for.
    unsafe { scale_vectors(modulus.value(), vectors, factor) }
    scalar::scale_assign(modulus, rest, factor);
}

pub(super) fn neg_assign(_licence: Ifma, modulus: &Modulus, values: &mut [u64]) {
    let (vectors, rest) = values.as_chunks_mut();
    // SAFETY: the token shows that the machine has the features `neg_vectors` is compiled for.
    unsafe { neg_vectors(modulus.value(), vectors) }
    scalar::neg_assign(modulus, rest);
}

pub(super) fn residues_of(_licence: Ifma, modulus: &Modulus, integers: &[i64], residues: &mut [u64]) {
    let ((vectors, rest), (outputs, other_rest)) = (integers.as_chunks::<8>(), residues.as_chunks_mut());
    // SAFETY: the token shows that the machine has the features `lift_vectors` is compiled for.
    unsafe { lift_vectors(modulus.value(), bytemuck::cast_slice(vectors), outputs) }
    scalar::residues_of(modulus, rest, other_rest);
}

pub(super) fn multiples_of(_licence: Ifma, modulus: &Modulus, factor: u64, integers: &[i64], residues: &mut [u64]) {
    let ((vectors, rest), (outputs, other_rest)) = (integers.as_chunks::<8>(), residues.as_chunks_mut());
    // SAFETY: the token shows that the machine has the features `multiple_vectors` is compiled for.
    unsafe { multiple_vectors(modulus, factor, bytemuck::cast_slice(vectors), outputs) }
    scalar::multiples_of(modulus, factor, rest, other_rest);
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn assign_vectors(q: u64, op: Binary, left: &mut [[u64; 8]], right: &[[u64; 8]]) {
    let (field, barrett) = (Field::new(q), Barrett::new(q));
    match op {
        Binary::Add => for_pairs(left, right, |a, b| field.add(a, b)),
        Binary::Sub => for_pairs(left, right, |a, b| field.sub(a, b)),
        Binary::Mul => for_pairs(left, right, |a, b| barrett.mul(a, b)),
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn for_pairs(left: &mut [[u64; 8]], right: &[[u64; 8]], op: impl Fn(__m512i, __m512i) -> __m512i) {
    for (a, b) in left.iter_mut().zip(right) {
        store(a, op(load(a), load(b)));
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn mul_add_vectors(q: u64, sums: &mut [[u64; 8]], left: &[[u64; 8]], right: &[[u64; 8]]) {
    let (field, barrett) = (Field::new(q), Barrett::new(q));
    for (s, (a, b)) in sums.iter_mut().zip(left.iter().zip(right)) {
        store(s, field.add(load(s), barrett.mul(load(a), load(b))));
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn scale_vectors(q: u64, values: &mut [[u64; 8]], factor: u64) {
    let (field, constant) = (Field::new(q), Constant::splat([factor, shoup_quotient(factor, q)]));
    for v in values {
        store(v, field.below_q(field.mul(load(v), constant)));
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn neg_vectors(q: u64, values: &mut [[u64; 8]]) {
    let field = Field::new(q);
    for v in values {
        store(v, field.sub(_mm512_setzero_si512(), load(v)));
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn lift_vectors(q: u64, integers: &[[u64; 8]], residues: &mut [[u64; 8]]) {
    let field = Field::new(q);
    for (r, c) in residues.iter_mut().zip(integers) {
        store(r, field.lift(load(c)));
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn multiple_vectors(modulus: &Modulus, factor: u64, integers: &[[u64; 8]], residues: &mut [[u64; 8]]) {
    let q = modulus.value();
    let (field, constant) = (Field::new(q), |w| Constant::splat([w, shoup_quotient(w, q)]));
    let sign = 1 << 63;
    // An integer plus 2^63 is low + 2^52 high.
    let (low, high) = (constant(factor), constant(modulus.mul(factor, modulus.reduce(1 << 52))));
    let offset = _mm512_set1_epi64(modulus.neg(modulus.mul(factor, modulus.reduce(sign))) as i64);
    let sign = _mm512_set1_epi64(sign as i64);
    for (residue, integer) in residues.iter_mut().zip(integers) {
        let word = _mm512_xor_si512(load(integer), sign);
        let parts = _mm512_add_epi64(field.mul(word, low), field.mul(_mm512_srli_epi64::<52>(word), high));
        // Below 5q, 3q, 2q.
        let sum = field.below_2q(field.below_2q(_mm512_add_epi64(parts, offset)));
        store(residue, field.below_q(sum));
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn add_product_vectors(q: u64, sums: &mut [[u64; 8]], terms: &[[&[[u64; 8]]; 2]]) {
    let (reduction, zero) = (Reduction::new(q), _mm512_setzero_si512());
    for (at, sum) in sums.iter_mut().enumerate() {
        let (mut low, mut high) = (zero, zero);
        for [left, right] in terms {
            let (left, right) = (load(&left[at]), load(&right[at]));
            low = _mm512_madd52lo_epu64(low, left, right);
            high = _mm512_madd52hi_epu64(high, left, right);
        }
        store(sum, reduction.reduce(low, high, load(sum)));
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn block_product_vectors(q: u64, sums: &mut [[u64; 8]], terms: &[BlockTerm<'_>], former: Former) {
    let (reduction, zero) = (Reduction::new(q), _mm512_setzero_si512());
    for (at, sum) in sums.iter_mut().enumerate() {
        let (mut low, mut high) = (zero, zero);
        for term in terms {
            let constants = match term.log2_width {
                3.. => _mm512_set1_epi64(term.constant(8 * at) as i64),
                _ => load(&std::array::from_fn(|lane| term.constant(8 * at + lane))),
            };
            let values = load(&term.values.as_chunks().0[at]);
            low = _mm512_madd52lo_epu64(low, constants, values);
            high = _mm512_madd52hi_epu64(high, constants, values);
        }
        let before = if former == Former::Added { load(sum) } else { zero };
        store(sum, reduction.reduce(low, high, before));
    }
}
