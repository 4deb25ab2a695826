//! The AVX-512 IFMA kernels: six multiply-adds a term for eight slots.

use super::{HALVES, Residues, TILE};
use crate::Modulus;
use crate::backend::Ifma;
use crate::simd512::{Field, Reduction, load, store};
use std::arch::x86_64::*;

/// Vectors of a tile.
const VECTORS: usize = TILE / 8;
/// One polynomial's slots of a tile.
type Slots = [[u64; 8]; VECTORS];
/// The unreduced sums of eight slots: (low, high) of component 0, of component 2, of the product of the sums.
type Sums = [[u64; 8]; HALVES];

/// Adds the products of the terms; every slice has a whole number of tiles.
pub(super) fn add(_licence: Ifma, sums: &mut [u64], terms: &[Residues<'_>]) {
    let mut tiles = Vec::with_capacity(terms.len());
    let sums: &mut [Sums] = sums.as_chunks_mut().0.as_chunks_mut().0;
    for (tile, sums) in sums.chunks_exact_mut(VECTORS).enumerate() {
        gather(terms, tile, &mut tiles);
        // SAFETY: the token shows that the machine has the features `add_tile` is compiled for.
        unsafe { add_tile(sums, &tiles) }
    }
}

/// Tile number `tile` of every term; there are as many in the polynomials as in the sums.
fn gather<'a>(terms: &[Residues<'a>], tile: usize, tiles: &mut Vec<[&'a Slots; 4]>) {
    tiles.clear();
    tiles.extend(terms.iter().filter_map(|term| {
        let [a0, a1, b0, b1] = term.map(|residues| slots(residues, tile));
        Some([a0?, a1?, b0?, b1?])
    }));
}

/// Tile number `tile` of a polynomial.
fn slots(residues: &[u64], tile: usize) -> Option<&Slots> {
    residues.get(tile * TILE..)?.as_chunks().0.first_chunk()
}

/// Reduces the sums and keeps them as low halves: one term, for the bound.
pub(super) fn shrink(_licence: Ifma, modulus: &Modulus, sums: &mut [u64]) {
    // SAFETY: the token shows that the machine has the features `shrink_all` is compiled for.
    unsafe { shrink_all(modulus.value(), sums.as_chunks_mut().0.as_chunks_mut().0) }
}

/// The residues of the three components of the sums, if there are any, and the products of the terms.
pub(super) fn reduce(
    _licence: Ifma,
    modulus: &Modulus,
    sums: Option<&[u64]>,
    terms: &[Residues<'_>],
    components: [&mut [u64]; 3],
) {
    let mut tiles = Vec::with_capacity(terms.len());
    let [c0, c1, c2] = components.map(|residues| residues.chunks_exact_mut(TILE));
    for (tile, ((c0, c1), c2)) in c0.zip(c1).zip(c2).enumerate() {
        gather(terms, tile, &mut tiles);
        let of_tile = sums.and_then(|sums| {
            let sums: &[Sums] = sums.as_chunks().0.as_chunks().0;
            sums.get(tile * VECTORS..)?.first_chunk::<VECTORS>()
        });
        let components = [c0, c1, c2].map(|residues| residues.as_chunks_mut().0);
        // SAFETY: the token shows that the machine has the features `reduce_tile` is compiled for.
        unsafe { reduce_tile(modulus.value(), of_tile, &tiles, components) }
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn add_tile(sums: &mut [Sums], terms: &[[&Slots; 4]]) {
    for (v, sums) in sums.iter_mut().enumerate().take(VECTORS) {
        let added = add_vector(sums.each_ref().map(|half| load(half)), terms, v);
        for (half, s) in sums.iter_mut().zip(added) {
            store(half, s);
        }
    }
}

/// The sums of eight slots with the terms' products added.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn add_vector(mut s: [__m512i; HALVES], terms: &[[&Slots; 4]], v: usize) -> [__m512i; HALVES] {
    for [a0, a1, b0, b1] in terms {
        let (a0, a1, b0, b1) = (load(&a0[v]), load(&a1[v]), load(&b0[v]), load(&b1[v]));
        let (a, b) = (_mm512_add_epi64(a0, a1), _mm512_add_epi64(b0, b1));
        s[0] = _mm512_madd52lo_epu64(s[0], a0, b0);
        s[1] = _mm512_madd52hi_epu64(s[1], a0, b0);
        s[2] = _mm512_madd52lo_epu64(s[2], a1, b1);
        s[3] = _mm512_madd52hi_epu64(s[3], a1, b1);
        s[4] = _mm512_madd52lo_epu64(s[4], a, b);
        s[5] = _mm512_madd52hi_epu64(s[5], a, b);
    }
    s
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn shrink_all(q: u64, sums: &mut [Sums]) {
    let (reduction, zero) = (Reduction::new(q), _mm512_setzero_si512());
    for [low0, high0, low2, high2, low, high] in sums {
        for (low, high) in [(low0, high0), (low2, high2), (low, high)] {
            store(low, reduction.reduce(load(low), load(high), zero));
            store(high, zero);
        }
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn reduce_tile(q: u64, sums: Option<&[Sums; VECTORS]>, terms: &[[&Slots; 4]], [c0, c1, c2]: [&mut [[u64; 8]]; 3]) {
    let (field, reduction, zero) = (Field::new(q), Reduction::new(q), _mm512_setzero_si512());
    for (v, ((c0, c1), c2)) in c0.iter_mut().zip(c1).zip(c2).enumerate().take(VECTORS) {
        let before = match sums {
            Some(sums) => sums[v].each_ref().map(|half| load(half)),
            None => [zero; HALVES],
        };
        let [low0, high0, low2, high2, low, high] = add_vector(before, terms, v);
        let first = reduction.reduce(low0, high0, zero);
        let last = reduction.reduce(low2, high2, zero);
        let all = reduction.reduce(low, high, zero);
        store(c0, first);
        store(c1, field.sub(field.sub(all, first), last));
        store(c2, last);
    }
}
