//! The stages of stride 8, 4, 2 and 1, in registers.

use crate::simd256::{Constant, Field, constant, load_pd, store, store_pd};
use std::arch::x86_64::*;

/// Factors for eight consecutive words, then their quotients by q. First line: one for stride 4, two for stride 2, one
/// unused; second line: four for stride 1.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Lines {
    w: [[f64; 4]; 2],
    ratio: [[f64; 4]; 2],
}

#[derive(Clone, Debug)]
pub(super) struct Tail {
    lines: Vec<Lines>,
    /// For stride 8, when the number of stages left is even: one to 16 words.
    wide: Vec<[f64; 2]>,
}

impl Tail {
    /// From the list of all N roots, bit-reversed.
    pub(super) fn new(roots: &[u64], q: u64) -> Self {
        let n = roots.len();
        let lines = (0..n / 8).map(|v| {
            let (two, one) = (&roots[n / 4 + 2 * v..], &roots[n / 2 + 4 * v..]);
            let w = [[roots[n / 8 + v], two[0], two[1], 0], [one[0], one[1], one[2], one[3]]];
            let part = |i: usize| w.map(|line| line.map(|w| constant(w, q)[i]));
            Lines {
                w: part(0),
                ratio: part(1),
            }
        });
        let wide = roots[n / 16..n / 8].iter().map(|&w| constant(w, q));
        Self {
            lines: lines.collect(),
            wide: wide.collect(),
        }
    }

    /// The last stages of `block`, whose groups hold `length` (8 or 16) words, the first being number `first` of all.
    /// Leaves residues as words.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn forward(&self, field: &Field, block: &mut [u64], length: usize, first: usize) {
        let groups = self.groups(block.len(), length, first);
        if length == 8 {
            for ([v0, v1], lines) in block.as_chunks_mut().0.as_chunks_mut().0.iter_mut().zip(groups) {
                let (a, b) = forward_eight(field, field.centre(load_pd(v0)), load_pd(v1), lines);
                store(v0, field.words(a));
                store(v1, field.words(b));
            }
            return;
        }
        let wide = &self.wide[first - self.wide.len()..];
        let pairs = groups.as_chunks().0.iter().zip(wide);
        for ([v0, v1, v2, v3], ([lower, upper], w)) in block.as_chunks_mut().0.as_chunks_mut().0.iter_mut().zip(pairs) {
            let w = Constant::splat(*w);
            let (a, c) = field.forward(field.centre(load_pd(v0)), load_pd(v2), w);
            let (b, d) = field.forward(field.centre(load_pd(v1)), load_pd(v3), w);
            let (a, b) = forward_eight(field, a, b, lower);
            let (c, d) = forward_eight(field, c, d, upper);
            store(v0, field.words(a));
            store(v1, field.words(b));
            store(v2, field.words(c));
            store(v3, field.words(d));
        }
    }

    /// The first inverse stages of `block`, from words; leaves values below 2q.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn inverse(&self, field: &Field, block: &mut [u64], length: usize, first: usize) {
        let groups = self.groups(block.len(), length, first);
        if length == 8 {
            for ([v0, v1], lines) in block.as_chunks_mut().0.as_chunks_mut().0.iter_mut().zip(groups) {
                let (a, b) = inverse_eight(field, load_pd(v0), load_pd(v1), lines);
                store_pd(v0, a);
                store_pd(v1, b);
            }
            return;
        }
        let wide = &self.wide[first - self.wide.len()..];
        let pairs = groups.as_chunks().0.iter().zip(wide);
        for ([v0, v1, v2, v3], ([lower, upper], w)) in block.as_chunks_mut().0.as_chunks_mut().0.iter_mut().zip(pairs) {
            let w = Constant::splat(*w);
            let (a, b) = inverse_eight(field, load_pd(v0), load_pd(v1), lower);
            let (c, d) = inverse_eight(field, load_pd(v2), load_pd(v3), upper);
            let (a, c) = field.inverse(a, c, w);
            let (b, d) = field.inverse(b, d, w);
            store_pd(v0, field.centre(a));
            store_pd(v1, field.centre(b));
            store_pd(v2, c);
            store_pd(v3, d);
        }
    }

    /// The lines of a block of `words` words whose first group of `length` is number `first` in its stage.
    fn groups(&self, words: usize, length: usize, first: usize) -> &[Lines] {
        let number = first * length / 8 - self.lines.len();
        &self.lines[number..number + words / 8]
    }
}

impl Lines {
    /// The factors of the three stages, spread over the lanes.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn spread(&self) -> [Constant; 3] {
        let line = |part: &[f64; 4]| _mm256_setr_pd(part[0], part[1], part[2], part[3]);
        let (w, ratio) = (line(&self.w[0]), line(&self.ratio[0]));
        [
            Constant::new(_mm256_permute4x64_pd::<0x00>(w), _mm256_permute4x64_pd::<0x00>(ratio)),
            Constant::new(_mm256_permute4x64_pd::<0xa5>(w), _mm256_permute4x64_pd::<0xa5>(ratio)),
            Constant::new(line(&self.w[1]), line(&self.ratio[1])),
        ]
    }
}

/// Strides 4, 2, 1 on a0..a3, a4..a7.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn forward_eight(field: &Field, x: __m256d, y: __m256d, lines: &Lines) -> (__m256d, __m256d) {
    let [w4, w2, w1] = lines.spread();
    let (x, y) = field.forward(x, y, w4);
    let (x, y) = swap_halves(x, y);
    let (x, y) = field.forward(x, y, w2);
    let (x, y) = swap_neighbours(x, y);
    let (x, y) = field.forward(x, y, w1);
    let (x, y) = swap_neighbours(x, y);
    swap_halves(x, y)
}

/// Strides 1, 2, 4 on the words a0..a3, a4..a7.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn inverse_eight(field: &Field, x: __m256d, y: __m256d, lines: &Lines) -> (__m256d, __m256d) {
    let [w4, w2, w1] = lines.spread();
    let (x, y) = swap_halves(field.unpacked(x), field.unpacked(y));
    let (x, y) = swap_neighbours(x, y);
    let (x, y) = field.inverse(x, y, w1);
    let (x, y) = swap_neighbours(x, y);
    let (x, y) = field.inverse(x, y, w2);
    let (x, y) = swap_halves(x, y);
    let (x, y) = field.inverse(x, y, w4);
    (field.centre(x), y)
}

/// x0 x1 x2 x3, y0 y1 y2 y3 to x0 x1 y0 y1, x2 x3 y2 y3; its own inverse.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn swap_halves(x: __m256d, y: __m256d) -> (__m256d, __m256d) {
    (_mm256_permute2f128_pd::<0x20>(x, y), _mm256_permute2f128_pd::<0x31>(x, y))
}

/// x0 x1 x2 x3, y0 y1 y2 y3 to x0 y0 x2 y2, x1 y1 x3 y3; its own inverse.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn swap_neighbours(x: __m256d, y: __m256d) -> (__m256d, __m256d) {
    (_mm256_unpacklo_pd(x, y), _mm256_unpackhi_pd(x, y))
}
