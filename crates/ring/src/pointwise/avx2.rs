//! The AVX2 loops, in exact f64 arithmetic.

use super::{Binary, scalar};
use crate::Modulus;
use crate::backend::Avx2;
use crate::simd256::{Constant, Field, constant, load, store};
use std::arch::x86_64::*;

pub(super) fn assign(_licence: Avx2, modulus: &Modulus, op: Binary, left: &mut [u64], right: &[u64]) {
    let ((vectors, rest), (others, other_rest)) = (left.as_chunks_mut(), right.as_chunks());
    // SAFETY: the token shows that the machine has the features `assign_vectors` is compiled for.
    unsafe { assign_vectors(modulus.value(), op, vectors, others) }
    scalar::assign(modulus, op, rest, other_rest);
}

pub(super) fn mul_add_assign(_licence: Avx2, modulus: &Modulus, sum: &mut [u64], left: &[u64], right: &[u64]) {
    let ((sums, sum_rest), (a, a_rest), (b, b_rest)) = (sum.as_chunks_mut(), left.as_chunks(), right.as_chunks());
    // SAFETY: the token shows that the machine has the features `mul_add_vectors` is compiled for.
    unsafe { mul_add_vectors(modulus.value(), sums, a, b) }
    scalar::mul_add_assign(modulus, sum_rest, a_rest, b_rest);
}

pub(super) fn scale_assign(_licence: Avx2, modulus: &Modulus, values: &mut [u64], factor: u64) {
    let (vectors, rest) = values.as_chunks_mut();
    // SAFETY: the token shows that the machine has the features `scale_vectors` is compiled for.
    unsafe { scale_vectors(modulus.value(), vectors, factor) }
    scalar::scale_assign(modulus, rest, factor);
}

pub(super) fn neg_assign(_licence: Avx2, modulus: &Modulus, values: &mut [u64]) {
    let (vectors, rest) = values.as_chunks_mut();
    // SAFETY: the token shows that the machine has the features `neg_vectors` is compiled for.
    unsafe { neg_vectors(modulus.value(), vectors) }
    scalar::neg_assign(modulus, rest);
}

pub(super) fn residues_of(_licence: Avx2, modulus: &Modulus, integers: &[i64], residues: &mut [u64]) {
    let ((vectors, rest), (outputs, other_rest)) = (integers.as_chunks::<4>(), residues.as_chunks_mut());
    // SAFETY: the token shows that the machine has the features `lift_vectors` is compiled for.
    unsafe { lift_vectors(modulus.value(), bytemuck::cast_slice(vectors), outputs) }
    scalar::residues_of(modulus, rest, other_rest);
}

#[target_feature(enable = "avx2,fma")]
fn assign_vectors(q: u64, op: Binary, left: &mut [[u64; 4]], right: &[[u64; 4]]) {
    let field = Field::new(q);
    let prime = _mm256_set1_epi64x(q as i64);
    match op {
        Binary::Add => for_pairs(left, right, |a, b| {
            lift(_mm256_sub_epi64(_mm256_add_epi64(a, b), prime), prime)
        }),
        Binary::Sub => for_pairs(left, right, |a, b| lift(_mm256_sub_epi64(a, b), prime)),
        Binary::Mul => for_pairs(left, right, |a, b| {
            field.words(field.mul_residues(field.numbers(a), field.numbers(b)))
        }),
    }
}

/// From `-q..q` to `0..q`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn lift(x: __m256i, q: __m256i) -> __m256i {
    let negative = _mm256_cmpgt_epi64(_mm256_setzero_si256(), x);
    _mm256_add_epi64(x, _mm256_and_si256(negative, q))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn for_pairs(left: &mut [[u64; 4]], right: &[[u64; 4]], op: impl Fn(__m256i, __m256i) -> __m256i) {
    for (a, b) in left.iter_mut().zip(right) {
        store(a, op(load(a), load(b)));
    }
}

#[target_feature(enable = "avx2,fma")]
fn mul_add_vectors(q: u64, sums: &mut [[u64; 4]], left: &[[u64; 4]], right: &[[u64; 4]]) {
    let field = Field::new(q);
    for (s, (a, b)) in sums.iter_mut().zip(left.iter().zip(right)) {
        let [former, a, b] = [&*s, a, b].map(|words| field.numbers(load(words)));
        store(s, field.words(_mm256_add_pd(former, field.mul_residues(a, b))));
    }
}

#[target_feature(enable = "avx2,fma")]
fn scale_vectors(q: u64, values: &mut [[u64; 4]], factor: u64) {
    let (field, factor) = (Field::new(q), Constant::splat(constant(factor, q)));
    for v in values {
        store(v, field.words(field.mul(field.numbers(load(v)), factor)));
    }
}

#[target_feature(enable = "avx2,fma")]
fn neg_vectors(q: u64, values: &mut [[u64; 4]]) {
    let prime = _mm256_set1_epi64x(q as i64);
    for v in values {
        store(v, lift(_mm256_sub_epi64(_mm256_setzero_si256(), load(v)), prime));
    }
}

#[target_feature(enable = "avx2,fma")]
fn lift_vectors(q: u64, integers: &[[u64; 4]], residues: &mut [[u64; 4]]) {
    let prime = _mm256_set1_epi64x(q as i64);
    for (r, c) in residues.iter_mut().zip(integers) {
        store(r, lift(load(c), prime));
    }
}
