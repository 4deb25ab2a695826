//! The reference sampler, sixteen words at a time.

use super::cumulative::{self, TABLE};
use crate::backend::Avx2;
use crate::simd256::{load, store};
use std::arch::x86_64::*;

pub(super) fn fill(_licence: Avx2, words: &[u64], coefficients: &mut [i64]) {
    let ((vectors, rest), (outputs, other_rest)) = (words.as_chunks(), coefficients.as_chunks_mut::<16>());
    // SAFETY: the token shows that the machine has the features `fill_vectors` is compiled for.
    unsafe { fill_vectors(vectors, bytemuck::cast_slice_mut(outputs)) }
    cumulative::fill(rest, other_rest);
}

#[target_feature(enable = "avx2,fma")]
fn fill_vectors(words: &[[u64; 16]], coefficients: &mut [[u64; 16]]) {
    for (words, outputs) in words.iter().zip(coefficients) {
        let words = words.as_chunks().0;
        let words = [load(&words[0]), load(&words[1]), load(&words[2]), load(&words[3])];
        let mut uniform = words;
        uniform.iter_mut().for_each(|v| *v = _mm256_srli_epi64::<1>(*v));
        let mut magnitude = [_mm256_setzero_si256(); 4];
        for bound in TABLE {
            let below = _mm256_set1_epi64x(bound as i64 - 1);
            for i in 0..4 {
                // A comparison that holds is -1.
                magnitude[i] = _mm256_sub_epi64(magnitude[i], _mm256_cmpgt_epi64(uniform[i], below));
            }
        }
        for (part, (word, magnitude)) in outputs.as_chunks_mut().0.iter_mut().zip(words.iter().zip(magnitude)) {
            let minus = _mm256_sub_epi64(_mm256_setzero_si256(), _mm256_and_si256(*word, _mm256_set1_epi64x(1)));
            store(part, _mm256_sub_epi64(_mm256_xor_si256(magnitude, minus), minus));
        }
    }
}
