//! The AVX2 kernel: 25-bit digits, whose products a 32-bit multiplier forms exactly; four outputs by four slots in
//! registers, one sum for each of the three weights 1, 2^25 and 2^50.

use super::{TILE, Tile};
use crate::backend::Avx2;
use crate::simd256::{Constant, Field, constant, load, store};
use std::arch::x86_64::*;

/// Outputs of a register tile: 4 * 3 sums, two digits of an input and two of a factor fill the 16 registers.
const ROWS: usize = 4;
/// Slots of a vector.
const LANES: usize = 4;
pub(crate) const DIGIT: i32 = 25;

pub(super) fn run(_licence: Avx2, tile: Tile<'_>, outputs: &mut [&mut [u64]]) {
    // SAFETY: the token shows that the machine has the features `run_rows` is compiled for.
    unsafe { run_rows(&tile, outputs) }
}

#[target_feature(enable = "avx2,fma")]
fn run_rows(tile: &Tile<'_>, outputs: &mut [&mut [u64]]) {
    let reduction = Reduction::new(tile.modulus.value());
    let count = outputs.len();
    for (block, outputs) in outputs.chunks_mut(ROWS).enumerate() {
        let first = block * ROWS;
        match outputs.len() {
            4 => rows::<4>(tile, &reduction, count, first, outputs),
            3 => rows::<3>(tile, &reduction, count, first, outputs),
            2 => rows::<2>(tile, &reduction, count, first, outputs),
            _ => rows::<1>(tile, &reduction, count, first, outputs),
        }
    }
}

/// `R` outputs from number `first` of `count` on.
#[target_feature(enable = "avx2,fma")]
fn rows<const R: usize>(tile: &Tile<'_>, reduction: &Reduction, count: usize, first: usize, outputs: &mut [&mut [u64]]) {
    let mut reduced = [[0; TILE]; R];
    for column in 0..tile.slots.len().div_ceil(LANES) {
        let sums = column_sums::<R>(tile, count, first, column);
        for (row, sums) in reduced.iter_mut().zip(sums) {
            store(&mut row.as_chunks_mut().0[column], reduction.reduce(sums));
        }
    }
    reduced.iter().zip(outputs).for_each(|(row, output)| tile.write(row, output));
}

/// The sums with weights 1, 2^25 and 2^50 of four slots. A product of digits is below 2^50 and there are 2^12 of them, or
/// twice as many in the middle: every sum is below 2^63.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn column_sums<const R: usize>(tile: &Tile<'_>, count: usize, first: usize, column: usize) -> [[__m256i; 3]; R] {
    let mask = _mm256_set1_epi64x((1 << DIGIT) - 1);
    let mut sums = [[_mm256_setzero_si256(); 3]; R];
    for (factors, words) in tile.factors.chunks_exact(count).zip(tile.panel) {
        let Some(factors) = factors[first..].first_chunk::<R>() else {
            return sums;
        };
        let word = load(&words.as_chunks().0[column]);
        let (low, high) = (_mm256_and_si256(word, mask), _mm256_srli_epi64::<DIGIT>(word));
        for i in 0..R {
            let factor = _mm256_set1_epi64x(factors[i] as i64);
            let (f0, f1) = (_mm256_and_si256(factor, mask), _mm256_srli_epi64::<DIGIT>(factor));
            sums[i][0] = _mm256_add_epi64(sums[i][0], _mm256_mul_epu32(f0, low));
            sums[i][1] = _mm256_add_epi64(sums[i][1], _mm256_mul_epu32(f0, high));
            sums[i][1] = _mm256_add_epi64(sums[i][1], _mm256_mul_epu32(f1, low));
            sums[i][2] = _mm256_add_epi64(sums[i][2], _mm256_mul_epu32(f1, high));
        }
    }
    sums
}

/// What it takes to reduce a sum of products.
pub(crate) struct Reduction {
    field: Field,
    /// 2^50 and 2^100 modulo q.
    radix: [Constant; 2],
    digit: __m256i,
    half_digit: __m256i,
}

impl Reduction {
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn new(q: u64) -> Self {
        let power = |bits: u32| constant(((1u128 << bits) % u128::from(q)) as u64, q);
        Self {
            field: Field::new(q),
            radix: [Constant::splat(power(50)), Constant::splat(power(100))],
            digit: _mm256_set1_epi64x((1 << (2 * DIGIT)) - 1),
            half_digit: _mm256_set1_epi64x((1 << DIGIT) - 1),
        }
    }

    /// `low + 2^25 * middle + 2^50 * high` in `0..q`, for sums below 2^63.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn reduce(&self, [low, middle, high]: [__m256i; 3]) -> __m256i {
        // Digits to base 2^50: the low half of the middle sum joins the lowest, its rest and the carry the next.
        let low = _mm256_add_epi64(low, _mm256_slli_epi64::<DIGIT>(_mm256_and_si256(middle, self.half_digit)));
        let high = _mm256_add_epi64(high, _mm256_srli_epi64::<DIGIT>(middle));
        let high = _mm256_add_epi64(high, _mm256_srli_epi64::<{ 2 * DIGIT }>(low));
        let digits = [low, high].map(|sum| self.field.numbers(_mm256_and_si256(sum, self.digit)));
        let top = self.field.numbers(_mm256_srli_epi64::<{ 2 * DIGIT }>(high));
        let [next, last] = self.radix;
        let upper = _mm256_add_pd(self.multiple(digits[1], next), self.multiple(top, last));
        // Each part is below 1.01q.
        self.field.words(_mm256_add_pd(self.field.centre(digits[0]), upper))
    }

    /// `digit * w` for any digit below 2^50, which a small prime does not bound.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn multiple(&self, digit: __m256d, w: Constant) -> __m256d {
        self.field.mul(self.field.centre(digit), w)
    }
}
