//! The AVX-512 IFMA kernel: six outputs by sixteen slots in registers, low and high halves of the products in sums of
//! their own, so that a product costs two instructions for eight slots.

use super::{Former, TILE, Tile};
use crate::backend::Ifma;
use crate::simd512::{Reduction, load, store};
use std::arch::x86_64::*;

/// Outputs of a register tile: 6 * 2 * 2 sums, two inputs and two factors fill 28 of the 32 registers.
const ROWS: usize = 6;

pub(super) fn run(_licence: Ifma, tile: Tile<'_>, outputs: &mut [&mut [u64]]) {
    // SAFETY: the token shows that the machine has the features `run_rows` is compiled for.
    unsafe { run_rows(&tile, outputs) }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn run_rows(tile: &Tile<'_>, outputs: &mut [&mut [u64]]) {
    let reduction = Reduction::new(tile.modulus.value());
    let count = outputs.len();
    for (block, outputs) in outputs.chunks_mut(ROWS).enumerate() {
        let first = block * ROWS;
        match outputs.len() {
            6 => rows::<6>(tile, &reduction, count, first, outputs),
            5 => rows::<5>(tile, &reduction, count, first, outputs),
            4 => rows::<4>(tile, &reduction, count, first, outputs),
            3 => rows::<3>(tile, &reduction, count, first, outputs),
            2 => rows::<2>(tile, &reduction, count, first, outputs),
            _ => rows::<1>(tile, &reduction, count, first, outputs),
        }
    }
}

/// `R` outputs from number `first` of `count` on.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn rows<const R: usize>(tile: &Tile<'_>, reduction: &Reduction, count: usize, first: usize, outputs: &mut [&mut [u64]]) {
    // A low half is below 2^52 and there are at most 2^12: the sum fits 64 bits. A high half is below 2^48.
    let mut low = [[_mm512_setzero_si512(); 2]; R];
    let mut high = low;
    for (factors, words) in tile.factors.chunks_exact(count).zip(tile.panel) {
        let Some(factors) = factors[first..].first_chunk::<R>() else {
            return;
        };
        let [left, right] = halves(words);
        let (left, right) = (load(left), load(right));
        for i in 0..R {
            let factor = _mm512_set1_epi64(factors[i] as i64);
            low[i][0] = _mm512_madd52lo_epu64(low[i][0], factor, left);
            high[i][0] = _mm512_madd52hi_epu64(high[i][0], factor, left);
            low[i][1] = _mm512_madd52lo_epu64(low[i][1], factor, right);
            high[i][1] = _mm512_madd52hi_epu64(high[i][1], factor, right);
        }
    }
    for (i, output) in outputs.iter_mut().enumerate().take(R) {
        let sums = [0, 1].map(|half| [low[i][half], high[i][half]]);
        write(tile, reduction, sums, output);
    }
}

/// Reduces and writes sixteen sums of one output, given as low and high halves.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn write(tile: &Tile<'_>, reduction: &Reduction, sums: [[__m512i; 2]; 2], output: &mut [u64]) {
    let slots = &mut output[tile.slots.clone()];
    let Some(slots) = slots.first_chunk_mut::<TILE>() else {
        let mut narrow = [0; TILE];
        for (part, [low, high]) in narrow.as_chunks_mut().0.iter_mut().zip(sums) {
            store(part, reduction.reduce(low, high, _mm512_setzero_si512()));
        }
        tile.write(&narrow, output);
        return;
    };
    for (part, [low, high]) in slots.as_chunks_mut().0.iter_mut().zip(sums) {
        let former = if tile.former == Former::Added {
            load(part)
        } else {
            _mm512_setzero_si512()
        };
        store(part, reduction.reduce(low, high, former));
    }
}

#[inline]
fn halves(words: &[u64; TILE]) -> [&[u64; 8]; 2] {
    let (halves, _) = words.as_chunks();
    [&halves[0], &halves[1]]
}
