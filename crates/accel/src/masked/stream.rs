//! Uniform residues from AES-128 in counter mode.
//!
//! A block of the cipher's input is: number of the operand (64 bits), part of the operand (32), prime (8), counter (24). Every operand of a key has a number
//! of its own, so no block is ever encrypted twice. A byte below the prime is a residue; others are left out, so that residues are uniform.

use crate::PRIMES;
use aes::{
    Aes128Enc,
    cipher::{Array, BlockCipherEncrypt, KeyInit},
};
use rand::CryptoRng;
use zeroize::Zeroizing;

/// The masks of one key, by position. The key is wiped on drop.
pub(super) struct MaskStream(Aes128Enc);

/// Blocks of the cipher at a time.
const BLOCKS: usize = 128;
/// Bytes beyond the wanted ones that [`keep`] may write.
const SLACK: usize = 64;

/// Room for the residues of one part of an operand. Wiped on drop.
pub(super) struct MaskBuffer {
    residues: Zeroizing<Vec<u128>>,
    blocks: Zeroizing<[u128; BLOCKS]>,
}

impl MaskBuffer {
    /// For parts of at most `len` elements.
    pub(super) fn new(len: usize) -> Self {
        Self {
            residues: Zeroizing::new(vec![0; (len + SLACK).div_ceil(16)]),
            blocks: Zeroizing::new([0; BLOCKS]),
        }
    }
}

impl MaskStream {
    /// A key that nobody else has and that no other stream will have.
    pub(super) fn new(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; 16]);
        rng.fill_bytes(key.as_mut_slice());
        Self(Aes128Enc::new(Array::cast_from_core(&key)))
    }

    /// `len` residues in `0..p` for prime number `prime`, one part of one operand.
    pub(super) fn residues<'a>(&self, number: u64, part: u32, prime: usize, len: usize, buffer: &'a mut MaskBuffer) -> &'a [u8] {
        let residues: &mut [u8] = bytemuck::cast_slice_mut(&mut buffer.residues);
        let head = u128::from(number) << 64 | u128::from(part) << 32 | (prime as u128) << 24;
        let mut filled = 0;
        for first in (0u128..).step_by(BLOCKS) {
            if filled >= len {
                break;
            }
            buffer
                .blocks
                .iter_mut()
                .zip(head + first..)
                .for_each(|(block, input)| *block = input.to_le());
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(buffer.blocks.as_mut_slice());
            self.0
                .encrypt_blocks(Array::cast_slice_from_core_mut(bytes.as_chunks_mut::<16>().0));
            for bytes in bytes.as_chunks::<64>().0 {
                if filled < len {
                    filled += keep(bytes, PRIMES[prime] as u8, &mut residues[filled..]);
                }
            }
        }
        &residues[..len]
    }
}

/// The bytes below `prime`, in their order, at the beginning of `out`; how many there are. What follows them in `out` may change.
fn keep(bytes: &[u8; 64], prime: u8, out: &mut [u8]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512vbmi2") && is_x86_feature_detected!("avx512bw") && out.len() >= 64 {
        // SAFETY: the features were just detected, and 64 bytes fit.
        return unsafe { keep_vector(bytes, prime, out) };
    }
    keep_scalar(bytes, prime, out)
}

fn keep_scalar(bytes: &[u8], prime: u8, out: &mut [u8]) -> usize {
    let mut kept = 0;
    for byte in bytes {
        out[kept] = *byte;
        kept += usize::from(*byte < prime);
    }
    kept
}

/// # Safety
/// `out` has room for 64 bytes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
unsafe fn keep_vector(bytes: &[u8; 64], prime: u8, out: &mut [u8]) -> usize {
    use std::arch::x86_64::*;
    // SAFETY: 64 bytes are read.
    let bytes = unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) };
    let kept = _mm512_cmplt_epu8_mask(bytes, _mm512_set1_epi8(prime as i8));
    let packed = _mm512_maskz_compress_epi8(kept, bytes);
    // SAFETY: the caller's promise.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), packed) };
    kept.count_ones() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    #[test]
    fn vectors_keep_what_the_loop_keeps() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for p in PRIMES {
            let mut bytes = [0; 64];
            rng.fill_bytes(&mut bytes);
            let (mut fast, mut slow) = ([0; 65], [0; 65]);
            let [kept, expected] = [keep(&bytes, p as u8, &mut fast), keep_scalar(&bytes, p as u8, &mut slow)];
            assert_eq!((kept, &fast[..kept]), (expected, &slow[..expected]));
        }
    }

    #[test]
    fn residues_are_the_bytes_of_the_counter_mode_below_the_prime() {
        let stream = MaskStream::new(&mut ChaCha20Rng::seed_from_u64(2));
        let mut buffer = MaskBuffer::new(5000);
        for (prime, p) in PRIMES.iter().enumerate() {
            let residues = stream.residues(7, 3, prime, 5000, &mut buffer).to_vec();
            let blocks = (0u128..).map(|counter| {
                let mut block = Array((7u128 << 64 | 3 << 32 | (prime as u128) << 24 | counter).to_le_bytes());
                stream.0.encrypt_block(&mut block);
                block.0
            });
            let expected = blocks.flatten().filter(|byte| i32::from(*byte) < *p);
            assert!(residues.iter().copied().eq(expected.take(5000)));
        }
    }

    #[test]
    fn every_position_has_residues_of_its_own() {
        let stream = MaskStream::new(&mut ChaCha20Rng::seed_from_u64(3));
        let other = MaskStream::new(&mut ChaCha20Rng::seed_from_u64(4));
        let mut buffer = MaskBuffer::new(32);
        let mut seen = std::collections::BTreeSet::new();
        for (number, part, prime) in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (u64::MAX, u32::MAX, 3)] {
            assert!(seen.insert(stream.residues(number, part, prime, 32, &mut buffer).to_vec()));
            assert!(seen.insert(other.residues(number, part, prime, 32, &mut buffer).to_vec()));
        }
    }
}
