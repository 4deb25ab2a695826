//! Uniform words below M from AES-128 in counter mode.
//!
//! A block of the cipher's input is: number of the operand (64 bits), part of the operand (32), counter (32). Every operand of a key has a number of its own, so
//! no block is ever encrypted twice. A word of 32 bits below M is a mask; others, 22 of 100, are left out, so that masks are exactly uniform.

use crate::words::M;
use aes::{
    Aes128Enc,
    cipher::{Array, BlockCipherEncrypt, KeyInit},
};
use rand::CryptoRng;
use zeroize::Zeroizing;

/// The masks of one key, by position. The key is wiped on drop.
pub(super) struct MaskStream(Aes128Enc);

/// Most blocks of the cipher at a time.
const BLOCKS: usize = 128;
/// Words that [`keep`] looks at.
const GROUP: usize = 16;
/// Blocks of so many words.
const GROUP_BLOCKS: usize = GROUP / 4;

/// Room for the masks of one part of an operand. Wiped on drop.
pub(super) struct MaskBuffer {
    /// Four words each: wiped one by one.
    words: Zeroizing<Vec<u128>>,
    blocks: Zeroizing<[u128; BLOCKS]>,
}

impl MaskBuffer {
    /// For parts of at most `len` elements.
    pub(super) fn new(len: usize) -> Self {
        Self {
            // Whole groups are written.
            words: Zeroizing::new(vec![0; (len + GROUP).div_ceil(4)]),
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

    /// `len` words in `0..M`, one part of one operand.
    pub(super) fn words<'a>(&self, number: u64, part: u32, len: usize, buffer: &'a mut MaskBuffer) -> &'a [u32] {
        let MaskBuffer { words, blocks } = buffer;
        let words: &mut [u32] = bytemuck::cast_slice_mut(words);
        let mut input = u128::from(number) << 64 | u128::from(part) << 32;
        let mut filled = 0;
        while filled < len {
            // Of four words three are kept.
            let wanted = ((len - filled).div_ceil(3) + GROUP_BLOCKS).next_multiple_of(GROUP_BLOCKS);
            let blocks = &mut blocks[..wanted.min(BLOCKS)];
            for block in blocks.iter_mut() {
                *block = input.to_le();
                input += 1;
            }
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(blocks);
            self.0
                .encrypt_blocks(Array::cast_slice_from_core_mut(bytes.as_chunks_mut::<16>().0));
            filled += keep(bytes.as_chunks().0, len - filled, &mut words[filled..]);
        }
        &words[..len]
    }
}

/// Sixteen words.
type Group = [u8; 4 * GROUP];

/// The words below M, in their order, at the beginning of `out`, group by group until there are `wanted` or no groups are left; how many there are. `out` has
/// room for a group more than is wanted, and may change behind the words.
fn keep(groups: &[Group], wanted: usize, out: &mut [u32]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was just detected.
        return unsafe { keep_vector(groups, wanted, out) };
    }
    keep_scalar(groups, wanted, out)
}

fn keep_scalar(groups: &[Group], wanted: usize, out: &mut [u32]) -> usize {
    let mut kept = 0;
    for group in groups {
        if kept >= wanted {
            break;
        }
        for bytes in group.as_chunks().0 {
            let word = u32::from_le_bytes(*bytes);
            out[kept] = word;
            kept += usize::from(word < M);
        }
    }
    kept
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,popcnt")]
fn keep_vector(groups: &[Group], wanted: usize, out: &mut [u32]) -> usize {
    use std::arch::x86_64::*;
    let mut kept = 0;
    for group in groups {
        if kept >= wanted {
            break;
        }
        let room: &mut [u32; GROUP] = (&mut out[kept..kept + GROUP])
            .try_into()
            .unwrap_or_else(|_| unreachable!("sixteen words"));
        // SAFETY: 64 bytes are read.
        let words = unsafe { _mm512_loadu_si512(group.as_ptr().cast()) };
        let below = _mm512_cmplt_epu32_mask(words, _mm512_set1_epi32(M as i32));
        let packed = _mm512_maskz_compress_epi32(below, words);
        // SAFETY: 64 bytes are written.
        unsafe { _mm512_storeu_si512(room.as_mut_ptr().cast(), packed) };
        kept += below.count_ones() as usize;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    #[test]
    fn vectors_keep_what_the_loop_keeps() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut edges = [[M - 1, M, 0, u32::MAX]; 4].concat();
        edges.rotate_right(1);
        let edges: Vec<u8> = edges.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut groups = vec![[0; 64], [255; 64], edges.try_into().unwrap()];
        groups.extend((0..50).map(|_| {
            let mut bytes = [0; 64];
            rng.fill_bytes(&mut bytes);
            bytes
        }));
        for (count, wanted) in [(0, 5), (1, 1), (3, 16), (3, 17), (53, 100), (53, 600)] {
            let (mut fast, mut slow) = (vec![0; wanted + 16], vec![0; wanted + 16]);
            let kept = keep(&groups[..count], wanted, &mut fast);
            let expected = keep_scalar(&groups[..count], wanted, &mut slow);
            assert_eq!((kept, &fast[..kept]), (expected, &slow[..expected]));
            assert!(slow[..expected].iter().all(|word| *word < M));
            assert!(expected < wanted + 16 && (expected >= wanted || count < 53));
        }
    }

    #[test]
    fn masks_are_the_words_of_the_counter_mode_below_the_modulus() {
        let stream = MaskStream::new(&mut ChaCha20Rng::seed_from_u64(2));
        let mut buffer = MaskBuffer::new(5000);
        for len in [0, 1, 12, 13, 400, 5000] {
            let masks = stream.words(7, 3, len, &mut buffer).to_vec();
            let blocks = (0u128..).map(|counter| {
                let mut block = Array((7u128 << 64 | 3 << 32 | counter).to_le_bytes());
                stream.0.encrypt_block(&mut block);
                block.0
            });
            let words = blocks
                .flat_map(|block| *block.as_chunks().0.first_chunk::<4>().unwrap())
                .map(u32::from_le_bytes);
            assert!(masks.iter().copied().eq(words.filter(|word| *word < M).take(len)));
        }
    }

    #[test]
    fn every_position_has_masks_of_its_own() {
        let stream = MaskStream::new(&mut ChaCha20Rng::seed_from_u64(3));
        let other = MaskStream::new(&mut ChaCha20Rng::seed_from_u64(4));
        let mut buffer = MaskBuffer::new(32);
        let mut seen = std::collections::BTreeSet::new();
        for (number, part) in [(0, 0), (1, 0), (0, 1), (u64::MAX, u32::MAX)] {
            assert!(seen.insert(stream.words(number, part, 32, &mut buffer).to_vec()));
            assert!(seen.insert(other.words(number, part, 32, &mut buffer).to_vec()));
        }
    }
}
