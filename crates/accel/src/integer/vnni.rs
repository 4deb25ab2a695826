//! Tiles of 12 x 32 with AVX-512 VNNI, which adds four products of an unsigned by a signed byte to each of 16 sums in one instruction. The right factor
//! is made unsigned by adding 128; 128 times the sum of the left factor's row is what a product then has too much.

use super::tiled;
use crate::shape::Lines;
use std::{arch::x86_64::*, ops::Range};

const ROWS: usize = 12;
const COLUMNS: usize = 32;
const GROUP: usize = 4;

/// Some rows of one product. For machines with `avx512vnni` and its like: only [`crate::Backend::available`] leads here.
pub(super) fn multiply(left: Lines<i8>, right: Lines<i8>, rows: Range<usize>, out: &mut [i32]) {
    // SAFETY: a backend of this kind exists only where the features were detected.
    unsafe { on_vectors(left, right, rows, out) }
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn on_vectors(left: Lines<i8>, right: Lines<i8>, rows: Range<usize>, out: &mut [i32]) {
    tiled(
        left,
        right,
        rows,
        out,
        (|byte| byte, |byte: i8| byte as u8 ^ 0x80),
        surplus,
        tile,
    );
}

/// 128 times the sum of each row of a block, at most 256 groups deep.
#[inline(always)]
fn surplus(left: &[[[i8; GROUP]; ROWS]]) -> [i32; ROWS] {
    let mut sums = [[0i16; GROUP]; ROWS];
    for group in left {
        for (sum, byte) in sums.as_flattened_mut().iter_mut().zip(group.as_flattened()) {
            *sum += i16::from(*byte);
        }
    }
    sums.map(|sums| 128 * sums.into_iter().map(i32::from).sum::<i32>())
}

/// Adds the products of a panel's depth to `sums`, of which only the first `columns` are wanted.
fn tile(left: &[[[i8; GROUP]; ROWS]], right: &[[[u8; GROUP]; COLUMNS]], columns: usize, sums: &mut [[i32; COLUMNS]; ROWS]) {
    // SAFETY: a backend of this kind exists only where the features were detected.
    match columns {
        ..=16 => unsafe { vectors::<1>(left, right, sums) },
        _ => unsafe { vectors::<2>(left, right, sums) },
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn vectors<const V: usize>(left: &[[[i8; GROUP]; ROWS]], right: &[[[u8; GROUP]; COLUMNS]], sums: &mut [[i32; COLUMNS]; ROWS]) {
    // SAFETY: vector v < 2 of a row holds sums 16 v to 16 v + 15 of 32.
    let mut totals: [[__m512i; V]; ROWS] =
        std::array::from_fn(|r| std::array::from_fn(|v| unsafe { _mm512_loadu_si512(sums[r].as_ptr().add(16 * v).cast()) }));
    for (left, right) in left.iter().zip(right) {
        // SAFETY: vector v < 2 holds columns 16 v to 16 v + 15 of 32, four bytes each.
        let columns: [__m512i; V] = std::array::from_fn(|v| unsafe { _mm512_loadu_si512(right.as_ptr().add(16 * v).cast()) });
        for (totals, bytes) in totals.iter_mut().zip(left) {
            let row = _mm512_set1_epi32(i32::from_le_bytes(bytes.map(|byte| byte as u8)));
            for (total, columns) in totals.iter_mut().zip(columns) {
                *total = _mm512_dpbusd_epi32(*total, columns, row);
            }
        }
    }
    for (sums, totals) in sums.iter_mut().zip(totals) {
        for (v, total) in totals.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().add(16 * v).cast(), total) };
        }
    }
}
