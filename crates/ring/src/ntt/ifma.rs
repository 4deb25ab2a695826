//! The AVX-512 IFMA kernel: eight residues to a register, butterflies as in the scalar kernel with 52-bit Shoup
//! quotients, two stages to a pass over memory (radix 4) and the last four or five stages in registers.
//!
//! Every value stays below 4q < 2^52, so that a lane of the 52-bit multiplier holds it.

mod tail;

use super::{Runs, roots::Roots};
use crate::Modulus;
use crate::backend::Ifma;
use crate::simd512::{self, Constant, Field, load, store};
use std::{arch::x86_64::*, ops::Range};
use tail::Tail;

/// Above this many words a pass no longer stays in the first-level cache: the transform then goes depth first.
const CACHED: usize = 2048;

/// Twiddles of the passes over memory, the two halves of a Shoup constant side by side.
type Passes = Vec<[u64; 2]>;

#[derive(Clone, Debug)]
pub(super) struct Tables {
    _licence: Ifma,
    q: u64,
    forward: Passes,
    inverse: Passes,
    /// 1/N, and the last inverse twiddle times 1/N.
    scale: [[u64; 2]; 2],
    forward_tail: Tail,
    inverse_tail: Tail,
}

impl Tables {
    pub(super) fn new(licence: Ifma, modulus: &Modulus, roots: &Roots) -> Self {
        let q = modulus.value();
        let shoup = |&w: &u64| [w, simd512::shoup_quotient(w, q)];
        let passes = |list: &[u64]| list[..list.len() / 16].iter().map(shoup).collect();
        let scale = [roots.degree_inverse, modulus.mul(roots.degree_inverse, roots.inverse[1])];
        Self {
            _licence: licence,
            q,
            forward: passes(&roots.forward),
            inverse: passes(&roots.inverse),
            scale: scale.each_ref().map(shoup),
            forward_tail: Tail::new(&roots.forward, q),
            inverse_tail: Tail::new(&roots.inverse, q),
        }
    }

    pub(super) fn forward(&self, values: &mut [u64]) {
        // SAFETY: the token in `self` shows that the machine has the features `forward_block` is compiled for.
        unsafe { self.forward_block(values, 1, 0) }
    }

    pub(super) fn inverse(&self, values: &mut [u64]) {
        self.inverse_columns(values, &Columns::all(values.len()));
    }

    /// The inverse for some coefficients; leaves anything in the place of the others.
    pub(super) fn inverse_runs(&self, values: &mut [u64], runs: &Runs) {
        self.inverse_columns(values, &Columns::of(runs));
    }

    fn inverse_columns(&self, values: &mut [u64], columns: &Columns) {
        // SAFETY: the token in `self` shows that the machine has the features these functions are compiled for.
        unsafe {
            self.inverse_block(values, 1, 0, columns);
            if values.len() < 64 {
                self.scale_short(values);
            }
        }
    }

    /// All stages of group `index` of the stage that has `groups` groups.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    fn forward_block(&self, block: &mut [u64], groups: usize, index: usize) {
        let field = Field::new(self.q);
        if block.len() > CACHED {
            self.forward_pass(&field, block, groups + index, 2 * (groups + index));
            let quarter = block.len() / 4;
            for (i, part) in block.chunks_exact_mut(quarter).enumerate() {
                self.forward_block(part, 4 * groups, 4 * index + i);
            }
            return;
        }
        let (mut first, mut length) = (groups + index, block.len());
        while length >= 64 {
            for (i, group) in block.chunks_exact_mut(length).enumerate() {
                self.forward_pass(&field, group, first + i, 2 * (first + i));
            }
            (first, length) = (4 * first, length / 4);
        }
        self.forward_tail.forward(&field, block, length, first);
    }

    /// The inverse of [`Self::forward_block`], short of the factor 1/N when there is no pass over memory.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    fn inverse_block(&self, block: &mut [u64], groups: usize, index: usize, columns: &Columns) {
        let field = Field::new(self.q);
        if block.len() > CACHED {
            let quarter = block.len() / 4;
            for (i, part) in block.chunks_exact_mut(quarter).enumerate() {
                self.inverse_block(part, 4 * groups, 4 * index + i, columns);
            }
            self.inverse_pass(&field, block, groups + index, columns);
            return;
        }
        let mut length = block.len();
        while length >= 64 {
            length /= 4;
        }
        let mut first = (groups + index) * (block.len() / length);
        self.inverse_tail.inverse(&field, block, length, first);
        while length < block.len() {
            (first, length) = (first / 4, length * 4);
            for (i, group) in block.chunks_exact_mut(length).enumerate() {
                self.inverse_pass(&field, group, first + i, columns);
            }
        }
    }

    /// Two forward stages on one group: twiddle `one` for the first, `two` and `two + 1` for the second.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    fn forward_pass(&self, field: &Field, group: &mut [u64], one: usize, two: usize) {
        let [w1, w2, w3] = [one, two, two + 1].map(|i| Constant::splat(self.forward[i]));
        let all = Columns::all(group.len());
        for_quarters(group, &all, |[a, b, c, d]| {
            let (a, c) = field.forward(a, c, w1);
            let (b, d) = field.forward_low_bits(b, d, w1);
            let (a, b) = field.forward(a, b, w2);
            let (c, d) = field.forward(c, d, w3);
            [a, b, c, d]
        });
    }

    /// Two inverse stages on one group; the last group of all also takes the factor 1/N and full reduction.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    fn inverse_pass(&self, field: &Field, group: &mut [u64], one: usize, columns: &Columns) {
        let [w1, w2, w3] = [one, 2 * one, 2 * one + 1].map(|i| Constant::splat(self.inverse[i]));
        if one > 1 {
            for_quarters(group, columns, |[a, b, c, d]| {
                let (a, b) = field.inverse(a, b, w2);
                let (c, d) = field.inverse(c, d, w3);
                let (a, c) = field.inverse(a, c, w1);
                let (b, d) = field.inverse(b, d, w1);
                [a, b, c, d]
            });
            return;
        }
        let [scale, scaled_w1] = self.scale.map(|c| Constant::splat(c));
        for_quarters(group, columns, |[a, b, c, d]| {
            let (a, b) = field.inverse(a, b, w2);
            let (c, d) = field.inverse(c, d, w3);
            let (a, c) = field.inverse_scaled(a, c, scale, scaled_w1);
            let (b, d) = field.inverse_scaled(b, d, scale, scaled_w1);
            [a, b, c, d]
        });
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    fn scale_short(&self, values: &mut [u64]) {
        let field = Field::new(self.q);
        let scale = Constant::splat(self.scale[0]);
        for v in values.as_chunks_mut().0 {
            store(v, field.below_q(field.mul(load(v), scale)));
        }
    }
}

/// Which columns of a pass are wanted. Once the quarters are as long as the stride, a word's place in its quarter tells the exponent modulo the stride.
struct Columns {
    stride: usize,
    /// A multiple of eight at either end.
    run: Range<usize>,
}

impl Columns {
    fn all(length: usize) -> Self {
        Self {
            stride: length,
            run: 0..length,
        }
    }

    fn of(runs: &Runs) -> Self {
        // Shorter strides than a register have nothing to leave out.
        let stride = runs.stride.max(8);
        let run = match runs.stride {
            8.. => runs.run.start / 8 * 8..runs.run.end.next_multiple_of(8),
            _ => 0..8,
        };
        Self { stride, run }
    }
}

/// Applies `butterfly` to the four quarters of `group`, eight columns at a time, where they are wanted.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn for_quarters(group: &mut [u64], columns: &Columns, butterfly: impl Fn([__m512i; 4]) -> [__m512i; 4]) {
    let quarter = group.len() / 4;
    let (stride, run) = match columns.stride <= quarter {
        true => (columns.stride, columns.run.clone()),
        false => (quarter, 0..quarter),
    };
    let (left, right) = group.split_at_mut(2 * quarter);
    let (a, b) = left.split_at_mut(quarter);
    let (c, d) = right.split_at_mut(quarter);
    let (a, b, c, d) = (
        a.as_chunks_mut().0,
        b.as_chunks_mut().0,
        c.as_chunks_mut().0,
        d.as_chunks_mut().0,
    );
    // As many in each quarter; and no closure but the butterfly, for the compiler puts none of them in place here.
    let mut part = 0;
    while part < a.len() {
        let (first, end) = (part + run.start / 8, part + run.end / 8);
        let left = a[first..end].iter_mut().zip(&mut b[first..end]);
        for ((a, b), (c, d)) in left.zip(c[first..end].iter_mut().zip(&mut d[first..end])) {
            let out = butterfly([load(a), load(b), load(c), load(d)]);
            store(a, out[0]);
            store(b, out[1]);
            store(c, out[2]);
            store(d, out[3]);
        }
        part += stride / 8;
    }
}
