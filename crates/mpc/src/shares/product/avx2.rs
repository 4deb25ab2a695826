//! Tiles of 4 x 4 with AVX2, which multiplies 32 bits only: x y = x0 y0 + 2^32 (x0 y1 + x1 y0) modulo 2^64, three multiplications and three additions for
//! four terms, as the shift waits until the end of the sum.

use super::Block;
use std::arch::x86_64::*;

const ROWS: usize = 4;

/// For machines with `avx2`: only [`super::Backend::available`] leads here.
pub(super) fn tile(left: &Block<ROWS>, panel: &[[u64; 4]]) -> [[u64; 4]; ROWS] {
    // SAFETY: a backend of this kind exists only where the feature was detected, and blocks are as deep as their panel.
    unsafe { vectors(left, panel) }
}

/// # Safety
/// The block is as deep as the panel.
#[target_feature(enable = "avx2")]
unsafe fn vectors(left: &Block<ROWS>, panel: &[[u64; 4]]) -> [[u64; 4]; ROWS] {
    let (mut low, mut high) = ([_mm256_setzero_si256(); ROWS], [_mm256_setzero_si256(); ROWS]);
    for (depth, words) in panel.iter().enumerate() {
        // SAFETY: four words are 32 bytes.
        let y = unsafe { _mm256_loadu_si256(words.as_ptr().cast()) };
        let y1 = _mm256_srli_epi64::<32>(y);
        for row in 0..ROWS {
            // SAFETY: the caller's promise.
            let x = _mm256_set1_epi64x(unsafe { left.get(row, depth) } as i64);
            let x1 = _mm256_srli_epi64::<32>(x);
            low[row] = _mm256_add_epi64(low[row], _mm256_mul_epu32(x, y));
            let crossed = _mm256_add_epi64(_mm256_mul_epu32(x, y1), _mm256_mul_epu32(x1, y));
            high[row] = _mm256_add_epi64(high[row], crossed);
        }
    }
    std::array::from_fn(|row| {
        let sum = _mm256_add_epi64(low[row], _mm256_slli_epi64::<32>(high[row]));
        let mut words = [0u64; 4];
        // SAFETY: four words are 32 bytes.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), sum) };
        words
    })
}
