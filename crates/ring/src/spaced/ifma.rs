//! The AVX-512 IFMA kernel: four sums at a time share the loads of their left factor, and give eight chains of multiply-adds.

use super::{Sums, scalar};
use crate::backend::Ifma;
use crate::simd512::{Reduction, load, store};
use std::arch::x86_64::*;

/// Sums that are computed side by side.
const TOGETHER: usize = 4;
/// Classes that are reduced together.
const LANES: usize = 8;

/// Adds to every class of every sum the products of its slots.
pub(super) fn add(licence: Ifma, job: &Sums<'_>, wanted: &mut [u64]) {
    let Some(degree) = job.left.first().map(|words| words.len()) else {
        return;
    };
    let classes = degree / job.spacing;
    if classes < LANES {
        return scalar::add(job, wanted);
    }
    let sums = wanted.len() / classes;
    for first in (0..sums).step_by(TOGETHER) {
        let count = TOGETHER.min(sums - first);
        let wanted = &mut wanted[first * classes..][..count * classes];
        match count {
            4 => add_sums::<4>(licence, job, first, wanted),
            3 => add_sums::<3>(licence, job, first, wanted),
            2 => add_sums::<2>(licence, job, first, wanted),
            _ => add_sums::<1>(licence, job, first, wanted),
        }
    }
}

/// `S` sums from number `first` on.
fn add_sums<const S: usize>(_licence: Ifma, job: &Sums<'_>, first: usize, wanted: &mut [u64]) {
    let terms: Vec<Term<'_, S>> = (0..job.left.len())
        .map(|term| Term {
            left: job.left[term].as_chunks().0,
            rights: std::array::from_fn(|sum| job.right(first + sum)[term].as_chunks().0),
        })
        .collect();
    // SAFETY: the token shows that the machine has the features `add_classes` is compiled for.
    unsafe { add_classes(job.modulus.value(), job.spacing / 8, &terms, wanted) }
}

/// The slots of one term, eight by eight.
struct Term<'a, const S: usize> {
    left: &'a [[u64; 8]],
    rights: [&'a [[u64; 8]]; S],
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn add_classes<const S: usize>(q: u64, vectors: usize, terms: &[Term<'_, S>], wanted: &mut [u64]) {
    let reduction = Reduction::new(q);
    let classes = wanted.len() / S;
    for first in (0..classes).step_by(LANES) {
        // Low and high halves of the sums of eight classes.
        let mut halves = [[[0u64; LANES]; 2]; S];
        for lane in 0..LANES {
            for (halves, [low, high]) in halves.iter_mut().zip(class_sums(vectors, first + lane, terms)) {
                halves[0][lane] = _mm512_reduce_add_epi64(low) as u64;
                halves[1][lane] = _mm512_reduce_add_epi64(high) as u64;
            }
        }
        for (sum, [low, high]) in halves.iter().enumerate() {
            // A power of two of at least eight classes: there are eight from `first` on.
            if let Some(values) = wanted[sum * classes + first..].first_chunk_mut::<LANES>() {
                // Highs are below 2^48, and there are at most 2^12 of them.
                store(values, reduction.reduce(load(low), load(high), load(values)));
            }
        }
    }
}

/// The unreduced sums of one class, spread over eight lanes: low and high halves.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn class_sums<const S: usize>(vectors: usize, class: usize, terms: &[Term<'_, S>]) -> [[__m512i; 2]; S] {
    let mut sums = [[_mm512_setzero_si512(); 2]; S];
    let slots = class * vectors..(class + 1) * vectors;
    for term in terms {
        let left = &term.left[slots.clone()];
        let rights = term.rights.map(|right| &right[slots.clone()]);
        for (at, left) in left.iter().enumerate() {
            let left = load(left);
            for (sum, right) in sums.iter_mut().zip(rights) {
                let right = load(&right[at]);
                sum[0] = _mm512_madd52lo_epu64(sum[0], left, right);
                sum[1] = _mm512_madd52hi_epu64(sum[1], left, right);
            }
        }
    }
    sums
}
