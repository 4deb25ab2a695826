//! Tiles of 8 x 8 with AVX-512: one 64-bit multiplication and one addition for eight terms.

use super::Block;
use std::arch::x86_64::*;

const ROWS: usize = 8;

/// For machines with `avx512f` and `avx512dq`: only [`super::Backend::available`] leads here.
pub(super) fn tile(left: &Block<ROWS>, panel: &[[u64; 8]]) -> [[u64; 8]; ROWS] {
    // SAFETY: a backend of this kind exists only where the features were detected, and blocks are as deep as their panel.
    unsafe { vectors(left, panel) }
}

/// # Safety
/// The block is as deep as the panel.
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn vectors(left: &Block<ROWS>, panel: &[[u64; 8]]) -> [[u64; 8]; ROWS] {
    let mut sums = [_mm512_setzero_si512(); ROWS];
    for (depth, words) in panel.iter().enumerate() {
        // SAFETY: eight words are 64 bytes.
        let right = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
        for (row, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            let factor = _mm512_set1_epi64(unsafe { left.get(row, depth) } as i64);
            *sum = _mm512_add_epi64(*sum, _mm512_mullo_epi64(factor, right));
        }
    }
    sums.map(|sum| {
        let mut words = [0u64; 8];
        // SAFETY: eight words are 64 bytes.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), sum) };
        words
    })
}
