//! The AVX2 kernel: eight outputs to two registers. Evaluations as exact f64 numbers, products of 25-bit digits as in the matrix product.

use super::{Argument, Chunk, Lanes};
use crate::Modulus;
use crate::backend::Avx2;
use crate::product::avx2::{DIGIT, Reduction};
use crate::simd256::{Constant, Field, load, load_pd, store, store_pd};
use std::arch::x86_64::*;

/// Sums of one slot: weights 1, 2^25 and 2^50 for both halves.
const SUMS: usize = 6;

/// Evaluates the factors of a chunk and adds their products to the partial sums, each three words.
pub(super) fn run(_licence: Avx2, chunk: &Chunk<'_>, roots: &[[f64; 2]], evaluated: &mut [Lanes], partial: &mut [Lanes]) {
    // SAFETY: the token shows that the machine has the features these functions are compiled for.
    unsafe {
        evaluate(chunk, roots, evaluated);
        accumulate(chunk, evaluated, partial);
    }
}

pub(super) fn reduce(_licence: Avx2, modulus: &Modulus, partial: &[Lanes], sums: &mut [Lanes]) {
    // SAFETY: the token shows that the machine has the features `reduce_vectors` is compiled for.
    unsafe { reduce_vectors(modulus, partial, sums) }
}

#[target_feature(enable = "avx2,fma")]
fn evaluate(chunk: &Chunk<'_>, roots: &[[f64; 2]], evaluated: &mut [Lanes]) {
    let field = Field::new(chunk.modulus.value());
    let factors = chunk.factors.chunks_exact(chunk.coefficients);
    for (factor, values) in factors.zip(evaluated.chunks_exact_mut(chunk.stride())) {
        if factor.len() == 1 {
            values.copy_from_slice(factor);
            continue;
        }
        for (block, values) in values.chunks_exact_mut(chunk.coefficients).enumerate() {
            for (value, c) in values.iter_mut().zip(factor) {
                for (value, c) in value.0.as_chunks_mut().0.iter_mut().zip(c.0.as_chunks().0) {
                    store_pd(value, field.numbers(load(c)));
                }
            }
            // N plus the first slot: divided by the length of a group, the index of the group's root.
            transform(
                &field,
                roots,
                chunk.degree + chunk.first_slot + block * chunk.coefficients,
                values,
            );
        }
    }
}

/// The last stages of a transform. A butterfly's left side is centred first, so that results stay below 0.6 + 1/2 + 1.3/8 times q.
#[target_feature(enable = "avx2,fma")]
fn transform(field: &Field, roots: &[[f64; 2]], place: usize, values: &mut [Lanes]) {
    let mut half = values.len() / 2;
    while half > 0 {
        for (group, &root) in values.chunks_exact_mut(2 * half).zip(&roots[place / (2 * half)..]) {
            let w = Constant::splat(root);
            let (left, right) = group.split_at_mut(half);
            for (x, y) in left.iter_mut().zip(right) {
                for (x, y) in x.0.as_chunks_mut().0.iter_mut().zip(y.0.as_chunks_mut().0) {
                    let (a, b) = field.forward(field.centre(load_pd(x)), load_pd(y), w);
                    store_pd(x, a);
                    store_pd(y, b);
                }
            }
        }
        half /= 2;
    }
    for value in values.iter_mut().flat_map(|value| value.0.as_chunks_mut().0) {
        store(value, field.words(load_pd(value)));
    }
}

#[target_feature(enable = "avx2,fma")]
fn accumulate(chunk: &Chunk<'_>, evaluated: &[Lanes], partial: &mut [Lanes]) {
    for (slot, partial) in partial.as_chunks_mut::<SUMS>().0[..chunk.tile].iter_mut().enumerate() {
        let at = match chunk.argument {
            _ if chunk.coefficients == 1 => 0,
            Argument::Plain => slot,
            Argument::Inverse => chunk.tile - 1 - slot,
        };
        for part in 0..2 {
            accumulate_slot(chunk, evaluated, partial, slot, at, part);
        }
    }
}

/// Four of the eight lanes of one slot. A product of digits is below 2^50 and there are at most 2^10 of them, or twice as many in the middle: every
/// sum is below 2^63.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn accumulate_slot(chunk: &Chunk<'_>, evaluated: &[Lanes], partial: &mut [Lanes; SUMS], slot: usize, at: usize, part: usize) {
    let mask = _mm256_set1_epi64x((1 << DIGIT) - 1);
    let mut sums = [_mm256_setzero_si256(); SUMS];
    for (sum, former) in sums.iter_mut().zip(&*partial) {
        *sum = load(&former.0.as_chunks().0[part]);
    }
    let panels = chunk.panel.chunks_exact(2 * chunk.tile);
    for (values, panel) in evaluated.chunks_exact(chunk.stride()).zip(panels) {
        let x = load(&values[at].0.as_chunks().0[part]);
        let (low, high) = (_mm256_and_si256(x, mask), _mm256_srli_epi64::<DIGIT>(x));
        for half in 0..2 {
            let input = _mm256_set1_epi64x(panel[half * chunk.tile + slot] as i64);
            let (i0, i1) = (_mm256_and_si256(input, mask), _mm256_srli_epi64::<DIGIT>(input));
            let sums = &mut sums[3 * half..3 * half + 3];
            sums[0] = _mm256_add_epi64(sums[0], _mm256_mul_epu32(i0, low));
            sums[1] = _mm256_add_epi64(sums[1], _mm256_mul_epu32(i0, high));
            sums[1] = _mm256_add_epi64(sums[1], _mm256_mul_epu32(i1, low));
            sums[2] = _mm256_add_epi64(sums[2], _mm256_mul_epu32(i1, high));
        }
    }
    for (former, sum) in partial.iter_mut().zip(sums) {
        store(&mut former.0.as_chunks_mut().0[part], sum);
    }
}

#[target_feature(enable = "avx2,fma")]
fn reduce_vectors(modulus: &Modulus, partial: &[Lanes], sums: &mut [Lanes]) {
    let reduction = Reduction::new(modulus.value());
    for (parts, sum) in partial.as_chunks::<3>().0.iter().zip(sums) {
        for (part, sum) in sum.0.as_chunks_mut().0.iter_mut().enumerate() {
            let parts = parts.each_ref().map(|p| load(&p.0.as_chunks().0[part]));
            store(sum, reduction.reduce(parts));
        }
    }
}
