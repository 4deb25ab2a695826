//! The AVX-512 IFMA kernel: eight outputs to a register. Evaluations in registers, up to sixteen slots at a time; sums of four slots and both halves,
//! as low and high halves of products, in sixteen registers.

use super::{Argument, Chunk, Lanes};
use crate::Modulus;
use crate::backend::Ifma;

use crate::simd512::{Constant, Field, Reduction, load, store};
use std::arch::x86_64::*;

/// Slots whose sums are in registers.
const SLOTS: usize = 4;
/// Unreduced sums of these: two halves of two halves.
const SUMS: usize = 4 * SLOTS;

type Roots = [[u64; 2]];

/// Adds reduced sums, `[slot][half]`, to the slots of one half of the outputs from `start` on.
pub(super) fn add(_licence: Ifma, modulus: &Modulus, sums: &[Lanes], half: usize, start: usize, outputs: &mut [[&mut [u64]; 2]]) {
    // SAFETY: the token shows that the machine has the features `add_vectors` is compiled for.
    unsafe { add_vectors(modulus, sums, half, start, outputs) }
}

/// Evaluates the factors of a chunk and adds their products to the partial sums, each two words.
pub(super) fn run(_licence: Ifma, chunk: &Chunk<'_>, roots: &Roots, evaluated: &mut [Lanes], partial: &mut [Lanes]) {
    // SAFETY: the token shows that the machine has the features these functions are compiled for.
    unsafe {
        if chunk.coefficients == 1 {
            return accumulate(chunk, chunk.factors, partial, |values, _| [&values[0]; SLOTS]);
        }
        evaluate(chunk, roots, evaluated);
        match chunk.argument {
            Argument::Plain => accumulate(chunk, evaluated, partial, |values, first| {
                std::array::from_fn(|k| &values[first + k])
            }),
            Argument::Inverse => accumulate(chunk, evaluated, partial, |values, first| {
                let last = values.len() - 1 - first;
                std::array::from_fn(|k| &values[last - k])
            }),
        }
    }
}

pub(super) fn reduce(_licence: Ifma, modulus: &Modulus, partial: &[Lanes], sums: &mut [Lanes]) {
    // SAFETY: the token shows that the machine has the features `reduce_vectors` is compiled for.
    unsafe { reduce_vectors(modulus, partial, sums) }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn evaluate(chunk: &Chunk<'_>, roots: &Roots, evaluated: &mut [Lanes]) {
    let field = Field::new(chunk.modulus.value());
    match chunk.coefficients {
        2 => evaluate_short::<2>(&field, chunk, roots, evaluated),
        4 => evaluate_short::<4>(&field, chunk, roots, evaluated),
        8 => evaluate_short::<8>(&field, chunk, roots, evaluated),
        16 => evaluate_short::<16>(&field, chunk, roots, evaluated),
        _ => {
            let factors = chunk.factors.chunks_exact(chunk.coefficients);
            for (factor, values) in factors.zip(evaluated.chunks_exact_mut(chunk.tile)) {
                values.copy_from_slice(factor);
                transform_long(&field, roots, chunk.degree + chunk.first_slot, values);
            }
        }
    }
}

/// Factors of up to sixteen coefficients: these are read once for all blocks of slots, which differ in their roots.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn evaluate_short<const T: usize>(field: &Field, chunk: &Chunk<'_>, roots: &Roots, evaluated: &mut [Lanes]) {
    let (factors, tiles) = (chunk.factors.as_chunks::<T>().0, evaluated.chunks_exact_mut(chunk.tile));
    for (factor, values) in factors.iter().zip(tiles) {
        let mut coefficients = [_mm512_setzero_si512(); T];
        coefficients.iter_mut().zip(factor).for_each(|(slot, c)| *slot = load(&c.0));
        // N plus the first slot: divided by the length of a group, the index of the group's root.
        let mut place = chunk.degree + chunk.first_slot;
        for values in values.as_chunks_mut::<T>().0 {
            let mut slots = coefficients;
            transform(field, roots, place, &mut slots);
            values
                .iter_mut()
                .zip(slots)
                .for_each(|(value, slot)| store(&mut value.0, slot));
            place += T;
        }
    }
}

/// The last stages of a transform, of `T` slots. All values stay below 4q < 2^52.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn transform<const T: usize>(field: &Field, roots: &Roots, place: usize, slots: &mut [__m512i; T]) {
    if T >= 16 {
        stage::<T, 8>(field, roots, place, slots);
    }
    if T >= 8 {
        stage::<T, 4>(field, roots, place, slots);
    }
    if T >= 4 {
        stage::<T, 2>(field, roots, place, slots);
    }
    stage::<T, 1>(field, roots, place, slots);
}

/// The stage with groups of 2 `HALF` slots.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn stage<const T: usize, const HALF: usize>(field: &Field, roots: &Roots, place: usize, slots: &mut [__m512i; T]) {
    let roots = &roots[place / (2 * HALF)..][..T / (2 * HALF)];
    for (group, &root) in roots.iter().enumerate() {
        let w = Constant::splat(root);
        for k in 0..HALF {
            let (x, y) = (2 * HALF * group + k, 2 * HALF * group + HALF + k);
            (slots[x], slots[y]) = field.forward(slots[x], slots[y], w);
        }
    }
}

/// The same for more than sixteen slots: the first stages in memory.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn transform_long(field: &Field, roots: &Roots, place: usize, values: &mut [Lanes]) {
    let mut half = values.len() / 2;
    while half >= 16 {
        for (group, &root) in values.chunks_exact_mut(2 * half).zip(&roots[place / (2 * half)..]) {
            let w = Constant::splat(root);
            let (left, right) = group.split_at_mut(half);
            for (x, y) in left.iter_mut().zip(right) {
                let (a, b) = field.forward(load(&x.0), load(&y.0), w);
                store(&mut x.0, a);
                store(&mut y.0, b);
            }
        }
        half /= 2;
    }
    for (block, values) in values.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let mut slots = [_mm512_setzero_si512(); 16];
        slots
            .iter_mut()
            .zip(&*values)
            .for_each(|(slot, value)| *slot = load(&value.0));
        transform(field, roots, place + 16 * block, &mut slots);
        values
            .iter_mut()
            .zip(slots)
            .for_each(|(value, slot)| store(&mut value.0, slot));
    }
}

/// `at` gives the evaluations at four slots from `first` on.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn accumulate(chunk: &Chunk<'_>, evaluated: &[Lanes], partial: &mut [Lanes], at: impl Fn(&[Lanes], usize) -> [&Lanes; SLOTS]) {
    for (block, partial) in partial.as_chunks_mut::<SUMS>().0[..chunk.tile / SLOTS].iter_mut().enumerate() {
        let first = SLOTS * block;
        let mut sums = [_mm512_setzero_si512(); SUMS];
        sums.iter_mut()
            .zip(&*partial)
            .for_each(|(sum, former)| *sum = load(&former.0));
        let panels = chunk.panel.chunks_exact(2 * chunk.tile);
        for (values, panel) in evaluated.chunks_exact(chunk.stride()).zip(panels) {
            let (left, right) = panel.split_at(chunk.tile);
            let (Some(left), Some(right)) = (left[first..].first_chunk::<SLOTS>(), right[first..].first_chunk::<SLOTS>()) else {
                return;
            };
            let values = at(values, first);
            for k in 0..SLOTS {
                let x = load(&values[k].0);
                let (left, right) = (_mm512_set1_epi64(left[k] as i64), _mm512_set1_epi64(right[k] as i64));
                sums[4 * k] = _mm512_madd52lo_epu64(sums[4 * k], x, left);
                sums[4 * k + 1] = _mm512_madd52hi_epu64(sums[4 * k + 1], x, left);
                sums[4 * k + 2] = _mm512_madd52lo_epu64(sums[4 * k + 2], x, right);
                sums[4 * k + 3] = _mm512_madd52hi_epu64(sums[4 * k + 3], x, right);
            }
        }
        partial
            .iter_mut()
            .zip(sums)
            .for_each(|(former, sum)| store(&mut former.0, sum));
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn reduce_vectors(modulus: &Modulus, partial: &[Lanes], sums: &mut [Lanes]) {
    let reduction = Reduction::new(modulus.value());
    for ([low, high], sum) in partial.as_chunks::<2>().0.iter().zip(sums) {
        store(
            &mut sum.0,
            reduction.reduce(load(&low.0), load(&high.0), _mm512_setzero_si512()),
        );
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn add_vectors(modulus: &Modulus, sums: &[Lanes], half: usize, start: usize, outputs: &mut [[&mut [u64]; 2]]) {
    let field = Field::new(modulus.value());
    for (block, sums) in sums.as_chunks::<16>().0.iter().enumerate() {
        let columns = transpose(std::array::from_fn(|slot| load(&sums[2 * slot + half].0)));
        for (output, column) in outputs.iter_mut().zip(columns) {
            if let Some(slots) = output[half][start + 8 * block..].first_chunk_mut() {
                store(slots, field.add(load(slots), column));
            }
        }
    }
}

/// Word j of row i to word i of row j.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn transpose(rows: [__m512i; 8]) -> [__m512i; 8] {
    let [a, b, c, d, e, f, g, h] = rows;
    let even = quarters([(a, b), (c, d), (e, f), (g, h)].map(|(x, y)| _mm512_unpacklo_epi64(x, y)));
    let odd = quarters([(a, b), (c, d), (e, f), (g, h)].map(|(x, y)| _mm512_unpackhi_epi64(x, y)));
    [even[0], odd[0], even[1], odd[1], even[2], odd[2], even[3], odd[3]]
}

/// Quarter j of row i to quarter i of row j.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn quarters([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    const EVEN: i32 = 0x88;
    const ODD: i32 = 0xdd;
    let (ab_even, ab_odd) = (_mm512_shuffle_i64x2::<EVEN>(a, b), _mm512_shuffle_i64x2::<ODD>(a, b));
    let (cd_even, cd_odd) = (_mm512_shuffle_i64x2::<EVEN>(c, d), _mm512_shuffle_i64x2::<ODD>(c, d));
    [
        _mm512_shuffle_i64x2::<EVEN>(ab_even, cd_even),
        _mm512_shuffle_i64x2::<EVEN>(ab_odd, cd_odd),
        _mm512_shuffle_i64x2::<ODD>(ab_even, cd_even),
        _mm512_shuffle_i64x2::<ODD>(ab_odd, cd_odd),
    ]
}
