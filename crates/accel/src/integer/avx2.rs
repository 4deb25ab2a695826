//! Tiles of 6 x 16 with AVX2: bytes widened to 16 bits, of which one instruction multiplies 16 pairs and adds neighbours.

use super::tiled;
use crate::shape::Lines;
use std::{arch::x86_64::*, ops::Range};

const ROWS: usize = 6;
const COLUMNS: usize = 16;
const GROUP: usize = 2;

/// Some rows of one product. For machines with `avx2`: only [`crate::Backend::available`] leads here.
pub(super) fn multiply(left: Lines<i8>, right: Lines<i8>, rows: Range<usize>, out: &mut [i32]) {
    // SAFETY: a backend of this kind exists only where the features were detected.
    unsafe { on_vectors(left, right, rows, out) }
}

#[target_feature(enable = "avx2")]
fn on_vectors(left: Lines<i8>, right: Lines<i8>, rows: Range<usize>, out: &mut [i32]) {
    tiled(left, right, rows, out, (i16::from, i16::from), |_| [0; _], tile);
}

/// Adds the products of a panel's depth to `sums`, of which only the first `columns` are wanted.
fn tile(left: &[[[i16; GROUP]; ROWS]], right: &[[[i16; GROUP]; COLUMNS]], columns: usize, sums: &mut [[i32; COLUMNS]; ROWS]) {
    // SAFETY: a backend of this kind exists only where the feature was detected.
    match columns {
        ..=8 => unsafe { vectors::<1>(left, right, sums) },
        _ => unsafe { vectors::<2>(left, right, sums) },
    }
}

#[target_feature(enable = "avx2")]
fn vectors<const V: usize>(left: &[[[i16; GROUP]; ROWS]], right: &[[[i16; GROUP]; COLUMNS]], sums: &mut [[i32; COLUMNS]; ROWS]) {
    // SAFETY: vector v < 2 of a row holds sums 8 v to 8 v + 7 of 16.
    let mut totals: [[__m256i; V]; ROWS] =
        std::array::from_fn(|r| std::array::from_fn(|v| unsafe { _mm256_loadu_si256(sums[r].as_ptr().add(8 * v).cast()) }));
    for (left, right) in left.iter().zip(right) {
        // SAFETY: vector v < 2 holds columns 8 v to 8 v + 7 of 16, four bytes each.
        let columns: [__m256i; V] = std::array::from_fn(|v| unsafe { _mm256_loadu_si256(right.as_ptr().add(8 * v).cast()) });
        for (totals, [first, second]) in totals.iter_mut().zip(left) {
            let row = _mm256_set1_epi32(i32::from(*second) << 16 | i32::from(*first as u16));
            for (total, columns) in totals.iter_mut().zip(columns) {
                *total = _mm256_add_epi32(*total, _mm256_madd_epi16(columns, row));
            }
        }
    }
    for (sums, totals) in sums.iter_mut().zip(totals) {
        for (v, total) in totals.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().add(8 * v).cast(), total) };
        }
    }
}
