//! The AVX-512 IFMA loop.

use super::{LIMB, Term, scalar};
use crate::backend::Ifma;
use crate::simd512::{load, store};
use std::arch::x86_64::*;

pub(super) fn read(_licence: Ifma, terms: &[Term<'_>], low: &mut [u64], high: &mut [u64]) {
    let ((lows, low_rest), (highs, high_rest)) = (low.as_chunks_mut(), high.as_chunks_mut());
    // SAFETY: the token shows that the machine has the features `read_vectors` is compiled for.
    unsafe { read_vectors(terms, lows, highs) }
    scalar::read(terms, low_rest, high_rest, 8 * lows.len());
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn read_vectors(terms: &[Term<'_>], lows: &mut [[u64; 8]], highs: &mut [[u64; 8]]) {
    let (zero, mask) = (_mm512_setzero_si512(), _mm512_set1_epi64((1 << LIMB) - 1));
    for (at, (low, high)) in lows.iter_mut().zip(highs).enumerate() {
        let mut sums = [zero; 3];
        for term in terms {
            let y = load(&term.residues.as_chunks().0[at]);
            let [first, second, third] = term.factor.map(|limb| _mm512_set1_epi64(limb as i64));
            sums[0] = _mm512_madd52lo_epu64(sums[0], y, first);
            sums[1] = _mm512_madd52hi_epu64(_mm512_madd52lo_epu64(sums[1], y, second), y, first);
            sums[2] = _mm512_madd52hi_epu64(_mm512_madd52lo_epu64(sums[2], y, third), y, second);
        }
        let middle = _mm512_add_epi64(sums[1], _mm512_srli_epi64::<LIMB>(sums[0]));
        let top = _mm512_add_epi64(sums[2], _mm512_srli_epi64::<LIMB>(middle));
        store(low, _mm512_and_si512(middle, mask));
        store(high, _mm512_and_si512(top, mask));
    }
}
