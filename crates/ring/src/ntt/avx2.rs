//! The AVX2 kernel: four residues to a register as exact f64 numbers, two stages to a pass over memory (radix 4) and the last
//! three or four stages in registers. Between the passes the words hold the bits of the f64 numbers.
//!
//! Bounds, in units of q (`simd256` allows 8). A butterfly adds to x a product of at most 1/2 + |y|/8. Forward, every second
//! pass centres its x: from 1, values grow to 2.4, 2.0 (centred), 3.6, 2.2, 3.8, ... and the last stages, which centre first,
//! end below 4. Inverse, sums of two double: a pass takes values below 2 to sums of four below 8, which it centres, and to
//! others of at most 1 + 2/2 = 2, never reached.

mod tail;

use super::roots::Roots;
use crate::Modulus;
use crate::backend::Avx2;
use crate::simd256::{Constant, Field, constant, load_pd, store, store_pd};
use std::arch::x86_64::*;
use tail::Tail;

/// Above this many words a pass no longer stays in the first-level cache: the transform then goes depth first.
const CACHED: usize = 2048;
/// Words below which there is no pass over memory, only last stages.
const SHORTEST_PASS: usize = 32;

#[derive(Clone, Debug)]
pub(super) struct Tables {
    _licence: Avx2,
    q: u64,
    forward: Vec<[f64; 2]>,
    inverse: Vec<[f64; 2]>,
    /// 1/N, and the last inverse twiddle times 1/N.
    scale: [[f64; 2]; 2],
    forward_tail: Tail,
    inverse_tail: Tail,
}

impl Tables {
    pub(super) fn new(licence: Avx2, modulus: &Modulus, roots: &Roots) -> Self {
        let q = modulus.value();
        let passes = |list: &[u64]| list[..list.len() / 8].iter().map(|&w| constant(w, q)).collect();
        let scale = [roots.degree_inverse, modulus.mul(roots.degree_inverse, roots.inverse[1])];
        Self {
            _licence: licence,
            q,
            forward: passes(&roots.forward),
            inverse: passes(&roots.inverse),
            scale: scale.map(|w| constant(w, q)),
            forward_tail: Tail::new(&roots.forward, q),
            inverse_tail: Tail::new(&roots.inverse, q),
        }
    }

    pub(super) fn forward(&self, values: &mut [u64]) {
        // SAFETY: the token in `self` shows that the machine has the features these functions are compiled for.
        unsafe {
            if values.len() < SHORTEST_PASS {
                self.convert_short(values);
            }
            self.forward_block(values, 1, 0);
        }
    }

    pub(super) fn inverse(&self, values: &mut [u64]) {
        // SAFETY: the token in `self` shows that the machine has the features these functions are compiled for.
        unsafe {
            self.inverse_block(values, 1, 0);
            if values.len() < SHORTEST_PASS {
                self.scale_short(values);
            }
        }
    }

    /// All stages of group `index` of the stage that has `groups` groups.
    #[target_feature(enable = "avx2,fma")]
    fn forward_block(&self, block: &mut [u64], groups: usize, index: usize) {
        let field = Field::new(self.q);
        if block.len() > CACHED {
            self.forward_pass(&field, block, groups + index);
            let quarter = block.len() / 4;
            for (i, part) in block.chunks_exact_mut(quarter).enumerate() {
                self.forward_block(part, 4 * groups, 4 * index + i);
            }
            return;
        }
        let (mut first, mut length) = (groups + index, block.len());
        while length >= SHORTEST_PASS {
            for (i, group) in block.chunks_exact_mut(length).enumerate() {
                self.forward_pass(&field, group, first + i);
            }
            (first, length) = (4 * first, length / 4);
        }
        self.forward_tail.forward(&field, block, length, first);
    }

    /// The inverse of [`Self::forward_block`], short of the factor 1/N when there is no pass over memory.
    #[target_feature(enable = "avx2,fma")]
    fn inverse_block(&self, block: &mut [u64], groups: usize, index: usize) {
        let field = Field::new(self.q);
        if block.len() > CACHED {
            let quarter = block.len() / 4;
            for (i, part) in block.chunks_exact_mut(quarter).enumerate() {
                self.inverse_block(part, 4 * groups, 4 * index + i);
            }
            self.inverse_pass(&field, block, groups + index);
            return;
        }
        let mut length = block.len();
        while length >= SHORTEST_PASS {
            length /= 4;
        }
        let mut first = (groups + index) * (block.len() / length);
        self.inverse_tail.inverse(&field, block, length, first);
        while length < block.len() {
            (first, length) = (first / 4, length * 4);
            for (i, group) in block.chunks_exact_mut(length).enumerate() {
                self.inverse_pass(&field, group, first + i);
            }
        }
    }

    /// Two forward stages on one group: twiddle `one` for the first, `2 * one` and its successor for the second.
    #[target_feature(enable = "avx2,fma")]
    fn forward_pass(&self, field: &Field, group: &mut [u64], one: usize) {
        let w = [one, 2 * one, 2 * one + 1].map(|i| Constant::splat(self.forward[i]));
        // The stage has a power of four groups; its logarithm is the number of passes before this one.
        let passes = one.ilog2() / 2;
        if passes == 0 {
            for_quarters(group, |[a, b, c, d]| {
                let (a, b) = (field.unpacked(a), field.unpacked(b));
                forward_butterfly(field, [a, b, field.unpacked(c), field.unpacked(d)], w)
            });
        } else if passes % 2 == 1 {
            for_quarters(group, |[a, b, c, d]| {
                forward_butterfly(field, [field.centre(a), field.centre(b), c, d], w)
            });
        } else {
            for_quarters(group, |values| forward_butterfly(field, values, w));
        }
    }

    /// Two inverse stages on one group; the last group of all also takes the factor 1/N and becomes words.
    #[target_feature(enable = "avx2,fma")]
    fn inverse_pass(&self, field: &Field, group: &mut [u64], one: usize) {
        let [w1, w2, w3] = [one, 2 * one, 2 * one + 1].map(|i| Constant::splat(self.inverse[i]));
        if one > 1 {
            for_quarters(group, |[a, b, c, d]| {
                let (a, b) = field.inverse(a, b, w2);
                let (c, d) = field.inverse(c, d, w3);
                let (a, c) = field.inverse(a, c, w1);
                let (b, d) = field.inverse(b, d, w1);
                [field.centre(a), b, c, d]
            });
            return;
        }
        let [scale, scaled_w1] = self.scale.map(|c| Constant::splat(c));
        for_quarters(group, |[a, b, c, d]| {
            let (a, b) = field.inverse(a, b, w2);
            let (c, d) = field.inverse(c, d, w3);
            let (a, c) = field.inverse(a, c, scaled_w1);
            let (b, d) = field.inverse(b, d, scaled_w1);
            let (a, b) = (field.mul(a, scale), field.mul(b, scale));
            [field.packed(a), field.packed(b), field.packed(c), field.packed(d)]
        });
    }

    #[target_feature(enable = "avx2,fma")]
    fn convert_short(&self, values: &mut [u64]) {
        let field = Field::new(self.q);
        for v in values.as_chunks_mut().0 {
            store_pd(v, field.unpacked(load_pd(v)));
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn scale_short(&self, values: &mut [u64]) {
        let (field, scale) = (Field::new(self.q), Constant::splat(self.scale[0]));
        for v in values.as_chunks_mut().0 {
            store(v, field.words(field.mul(load_pd(v), scale)));
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn forward_butterfly(field: &Field, [a, b, c, d]: [__m256d; 4], [w1, w2, w3]: [Constant; 3]) -> [__m256d; 4] {
    let (a, c) = field.forward(a, c, w1);
    let (b, d) = field.forward(b, d, w1);
    let (a, b) = field.forward(a, b, w2);
    let (c, d) = field.forward(c, d, w3);
    [a, b, c, d]
}

/// Applies `butterfly` to the four quarters of `group`, four columns at a time.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn for_quarters(group: &mut [u64], butterfly: impl Fn([__m256d; 4]) -> [__m256d; 4]) {
    let (left, right) = group.split_at_mut(group.len() / 2);
    let (a, b) = left.split_at_mut(left.len() / 2);
    let (c, d) = right.split_at_mut(right.len() / 2);
    let columns = a.as_chunks_mut().0.iter_mut().zip(b.as_chunks_mut().0);
    let columns = columns.zip(c.as_chunks_mut().0.iter_mut().zip(d.as_chunks_mut().0));
    for ((a, b), (c, d)) in columns {
        let out = butterfly([load_pd(a), load_pd(b), load_pd(c), load_pd(d)]);
        store_pd(a, out[0]);
        store_pd(b, out[1]);
        store_pd(c, out[2]);
        store_pd(d, out[3]);
    }
}
