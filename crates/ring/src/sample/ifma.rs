//! The reference sampler, thirty-two words at a time.

use super::cumulative::{self, TABLE};
use crate::backend::Ifma;
use crate::simd512::{load, store};
use std::arch::x86_64::*;

pub(super) fn fill(_licence: Ifma, words: &[u64], coefficients: &mut [i64]) {
    let ((vectors, rest), (outputs, other_rest)) = (words.as_chunks(), coefficients.as_chunks_mut::<32>());
    // SAFETY: the token shows that the machine has the features `fill_vectors` is compiled for.
    unsafe { fill_vectors(vectors, bytemuck::cast_slice_mut(outputs)) }
    cumulative::fill(rest, other_rest);
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn fill_vectors(words: &[[u64; 32]], coefficients: &mut [[u64; 32]]) {
    let one = _mm512_set1_epi64(1);
    for (words, outputs) in words.iter().zip(coefficients) {
        let words = words.as_chunks().0;
        let words = [load(&words[0]), load(&words[1]), load(&words[2]), load(&words[3])];
        let mut uniform = words;
        uniform.iter_mut().for_each(|v| *v = _mm512_srli_epi64::<1>(*v));
        let mut magnitude = [_mm512_setzero_si512(); 4];
        for bound in TABLE {
            let bound = _mm512_set1_epi64(bound as i64);
            for i in 0..4 {
                let reached = _mm512_cmpge_epu64_mask(uniform[i], bound);
                magnitude[i] = _mm512_mask_add_epi64(magnitude[i], reached, magnitude[i], one);
            }
        }
        for (part, (word, magnitude)) in outputs.as_chunks_mut().0.iter_mut().zip(words.iter().zip(magnitude)) {
            let minus = _mm512_sub_epi64(_mm512_setzero_si512(), _mm512_and_si512(*word, one));
            store(part, _mm512_sub_epi64(_mm512_xor_si512(magnitude, minus), minus));
        }
    }
}
