//! AES-128 on vectors of four blocks (VAES with AVX-512 F).

use std::arch::x86_64::*;
use zeroize::Zeroize;

/// Round keys.
const KEYS: usize = 11;
/// Blocks of a vector.
const LANES: usize = 4;
/// Vectors that are encrypted side by side: more than a round takes cycles.
const TOGETHER: usize = 8;
/// Blocks that are encrypted side by side.
const GROUP: usize = LANES * TOGETHER;

/// The round keys. That there is one shows that the machine has the features. Wiped on drop.
#[derive(Clone)]
pub(super) struct Cipher([u128; KEYS]);

impl Cipher {
    /// None where the machine lacks the instructions.
    pub(super) fn new(key: [u8; 16]) -> Option<Self> {
        let has = is_x86_feature_detected!("aes") && is_x86_feature_detected!("vaes") && is_x86_feature_detected!("avx512f");
        // SAFETY: the features were just detected.
        has.then(|| Self(unsafe { expand(u128::from_le_bytes(key)) }))
    }

    pub(super) fn encrypt(&self, words: &mut [u128]) {
        let (groups, rest) = words.as_chunks_mut();
        let mut last = [0; GROUP];
        last[..rest.len()].copy_from_slice(rest);
        // SAFETY: `new` has detected the features.
        unsafe {
            encrypt_groups(&self.0, groups);
            if !rest.is_empty() {
                encrypt_groups(&self.0, std::slice::from_mut(&mut last));
            }
        }
        rest.copy_from_slice(&last[..rest.len()]);
        last.zeroize();
    }
}

impl Drop for Cipher {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[target_feature(enable = "avx512f,vaes")]
fn encrypt_groups(keys: &[u128; KEYS], groups: &mut [[u128; GROUP]]) {
    let mut wide = [_mm512_setzero_si512(); KEYS];
    for (wide, key) in wide.iter_mut().zip(keys) {
        *wide = _mm512_broadcast_i32x4(of(*key));
    }
    let [first, middle @ .., last] = &wide;
    for group in groups {
        let mut blocks = [*first; TOGETHER];
        for (block, words) in blocks.iter_mut().zip(group.as_chunks().0) {
            *block = _mm512_xor_si512(*block, load(words));
        }
        for key in middle {
            for block in &mut blocks {
                *block = _mm512_aesenc_epi128(*block, *key);
            }
        }
        for (block, words) in blocks.iter().zip(group.as_chunks_mut().0) {
            store(words, _mm512_aesenclast_epi128(*block, *last));
        }
    }
}

/// The key schedule of FIPS 197, section 5.2.
#[target_feature(enable = "aes")]
fn expand(key: u128) -> [u128; KEYS] {
    let mut keys = [key; KEYS];
    keys[1] = next::<0x01>(keys[0]);
    keys[2] = next::<0x02>(keys[1]);
    keys[3] = next::<0x04>(keys[2]);
    keys[4] = next::<0x08>(keys[3]);
    keys[5] = next::<0x10>(keys[4]);
    keys[6] = next::<0x20>(keys[5]);
    keys[7] = next::<0x40>(keys[6]);
    keys[8] = next::<0x80>(keys[7]);
    keys[9] = next::<0x1b>(keys[8]);
    keys[10] = next::<0x36>(keys[9]);
    keys
}

/// The next round key. Words are little-endian, so that word 0 is the lowest.
#[inline]
#[target_feature(enable = "aes")]
fn next<const CONSTANT: i32>(key: u128) -> u128 {
    // Its highest 32 bits: the last word, rotated and substituted, with the constant.
    let assist = word(_mm_aeskeygenassist_si128::<CONSTANT>(of(key)));
    let substituted = assist >> 96;
    let sums = key ^ key << 32 ^ key << 64 ^ key << 96;
    sums ^ (substituted | substituted << 32 | substituted << 64 | substituted << 96)
}

#[inline]
fn of(word: u128) -> __m128i {
    // SAFETY: both are 16 bytes of which any value is valid.
    unsafe { std::mem::transmute(word) }
}

#[inline]
fn word(vector: __m128i) -> u128 {
    // SAFETY: both are 16 bytes of which any value is valid.
    unsafe { std::mem::transmute(vector) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(words: &[u128; LANES]) -> __m512i {
    // SAFETY: the reference covers 64 readable bytes, and the load asks for no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(words: &mut [u128; LANES], vector: __m512i) {
    // SAFETY: the reference covers 64 writable bytes, and the store asks for no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) }
}
