//! The stages of stride 16, 8, 4, 2 and 1, in registers.

use crate::simd512::{Constant, Field, load, shoup_quotient, store};
use std::arch::x86_64::*;

/// Factors for sixteen consecutive words. First line: one for stride 8, two for stride 4, four for stride 2, one
/// unused; second line: eight for stride 1, in the order the shuffles leave the pairs in.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Lines {
    w: [[u64; 8]; 2],
    quotient: [[u64; 8]; 2],
}

#[derive(Clone, Debug)]
pub(super) struct Tail {
    lines: Vec<Lines>,
    /// For stride 16, when the number of stages left is odd: one to 32 words, as Shoup constants.
    wide: Vec<[u64; 2]>,
}

/// Pairs (a0,a1) (a2,a3) (a8,a9) (a10,a11) (a4,a5) (a6,a7) (a12,a13) (a14,a15): where stride 1 finds its operands.
const PAIRS: [usize; 8] = [0, 1, 4, 5, 2, 3, 6, 7];

impl Tail {
    /// From the list of all N roots, bit-reversed.
    pub(super) fn new(roots: &[u64], q: u64) -> Self {
        let n = roots.len();
        let lines = (0..n / 16).map(|v| {
            let (four, two, one) = (&roots[n / 8 + 2 * v..], &roots[n / 4 + 4 * v..], &roots[n / 2 + 8 * v..]);
            let first = [roots[n / 16 + v], four[0], four[1], two[0], two[1], two[2], two[3], 0];
            let w = [first, PAIRS.map(|pair| one[pair])];
            Lines {
                w,
                quotient: w.map(|line| line.map(|w| shoup_quotient(w, q))),
            }
        });
        let wide = roots[n / 32..n / 16].iter().map(|&w| [w, shoup_quotient(w, q)]);
        Self {
            lines: lines.collect(),
            wide: wide.collect(),
        }
    }

    /// The last stages of `block`, whose groups hold `length` (16 or 32) words, the first being number `first` of all.
    /// Leaves fully reduced residues.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(super) fn forward(&self, field: &Field, block: &mut [u64], length: usize, first: usize) {
        let groups = self.groups(block.len(), length, first);
        if length == 16 {
            for ([v0, v1], lines) in block.as_chunks_mut().0.as_chunks_mut().0.iter_mut().zip(groups) {
                let (a, b) = forward_sixteen(field, load(v0), load(v1), lines);
                store(v0, a);
                store(v1, b);
            }
            return;
        }
        let wide = &self.wide[first - self.wide.len()..];
        let pairs = groups.as_chunks().0.iter().zip(wide);
        for ([v0, v1, v2, v3], ([lower, upper], w)) in block.as_chunks_mut().0.as_chunks_mut().0.iter_mut().zip(pairs) {
            let w = Constant::splat(*w);
            let (a, c) = field.forward(load(v0), load(v2), w);
            let (b, d) = field.forward(load(v1), load(v3), w);
            let (a, b) = forward_sixteen(field, a, b, lower);
            let (c, d) = forward_sixteen(field, c, d, upper);
            store(v0, a);
            store(v1, b);
            store(v2, c);
            store(v3, d);
        }
    }

    /// The first inverse stages of `block`; leaves residues below 2q.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(super) fn inverse(&self, field: &Field, block: &mut [u64], length: usize, first: usize) {
        let groups = self.groups(block.len(), length, first);
        if length == 16 {
            for ([v0, v1], lines) in block.as_chunks_mut().0.as_chunks_mut().0.iter_mut().zip(groups) {
                let (a, b) = inverse_sixteen(field, load(v0), load(v1), lines);
                store(v0, a);
                store(v1, b);
            }
            return;
        }
        let wide = &self.wide[first - self.wide.len()..];
        let pairs = groups.as_chunks().0.iter().zip(wide);
        for ([v0, v1, v2, v3], ([lower, upper], w)) in block.as_chunks_mut().0.as_chunks_mut().0.iter_mut().zip(pairs) {
            let w = Constant::splat(*w);
            let (a, b) = inverse_sixteen(field, load(v0), load(v1), lower);
            let (c, d) = inverse_sixteen(field, load(v2), load(v3), upper);
            let (a, c) = field.inverse(a, c, w);
            let (b, d) = field.inverse(b, d, w);
            store(v0, a);
            store(v1, b);
            store(v2, c);
            store(v3, d);
        }
    }

    /// The lines of a block of `words` words whose first group of `length` is number `first` in its stage.
    fn groups(&self, words: usize, length: usize, first: usize) -> &[Lines] {
        let number = first * length / 16 - self.lines.len();
        &self.lines[number..number + words / 16]
    }
}

impl Lines {
    /// The factors of the four stages, spread over the lanes; `four` is the lane order of stride 4.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    fn spread(&self, four: __m512i) -> [Constant; 4] {
        let (w, quotient) = (load(&self.w[0]), load(&self.quotient[0]));
        let pick = |lanes| Constant {
            w: _mm512_permutexvar_epi64(lanes, w),
            quotient: _mm512_permutexvar_epi64(lanes, quotient),
        };
        let one = Constant {
            w: load(&self.w[1]),
            quotient: load(&self.quotient[1]),
        };
        [
            pick(_mm512_setzero_si512()),
            pick(four),
            pick(_mm512_setr_epi64(3, 3, 5, 5, 4, 4, 6, 6)),
            one,
        ]
    }
}

/// Strides 8, 4, 2, 1 on a0..a7, a8..a15.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn forward_sixteen(field: &Field, x: __m512i, y: __m512i, lines: &Lines) -> (__m512i, __m512i) {
    let [w8, w4, w2, w1] = lines.spread(_mm512_setr_epi64(1, 1, 1, 1, 2, 2, 2, 2));
    let (x, y) = field.forward(x, y, w8);
    let (x, y) = (_mm512_shuffle_i64x2::<0x44>(x, y), _mm512_shuffle_i64x2::<0xee>(x, y));
    let (x, y) = field.forward(x, y, w4);
    let (x, y) = (_mm512_shuffle_i64x2::<0x88>(x, y), _mm512_shuffle_i64x2::<0xdd>(x, y));
    let (x, y) = field.forward(x, y, w2);
    let (x, y) = (_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
    let (x, y) = field.forward(x, y, w1);
    let (x, y) = (field.below_q(field.below_2q(x)), field.below_q(field.below_2q(y)));
    let lower = _mm512_setr_epi64(0, 8, 1, 9, 4, 12, 5, 13);
    let upper = _mm512_setr_epi64(2, 10, 3, 11, 6, 14, 7, 15);
    (_mm512_permutex2var_epi64(x, lower, y), _mm512_permutex2var_epi64(x, upper, y))
}

/// Strides 1, 2, 4, 8 on a0..a7, a8..a15.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn inverse_sixteen(field: &Field, x: __m512i, y: __m512i, lines: &Lines) -> (__m512i, __m512i) {
    let [w8, w4, w2, w1] = lines.spread(_mm512_setr_epi64(1, 1, 2, 2, 1, 1, 2, 2));
    let even = _mm512_setr_epi64(0, 2, 8, 10, 4, 6, 12, 14);
    let odd = _mm512_setr_epi64(1, 3, 9, 11, 5, 7, 13, 15);
    let (x, y) = (_mm512_permutex2var_epi64(x, even, y), _mm512_permutex2var_epi64(x, odd, y));
    let (x, y) = field.inverse(x, y, w1);
    let (x, y) = (_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
    let (x, y) = field.inverse(x, y, w2);
    let (x, y) = (_mm512_shuffle_i64x2::<0x44>(x, y), _mm512_shuffle_i64x2::<0xee>(x, y));
    let (x, y) = field.inverse(x, y, w4);
    let (x, y) = (_mm512_shuffle_i64x2::<0x88>(x, y), _mm512_shuffle_i64x2::<0xdd>(x, y));
    field.inverse(x, y, w8)
}
