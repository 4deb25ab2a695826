//! Words modulo 2^k on the wire, and words of shares from seeds.

use cloven_wire::DecodeError;
use zeroize::Zeroizing;

/// Bytes of a word modulo 2^`ring_bits`.
pub(super) fn width(ring_bits: u32) -> usize {
    ring_bits.div_ceil(8) as usize
}

/// The low `ring_bits` bits.
pub(super) fn mask(ring_bits: u32) -> u64 {
    u64::MAX >> (64 - ring_bits)
}

/// `words`, the lowest byte first.
pub(super) fn put(words: &[u64], ring_bits: u32, out: &mut Vec<u8>) {
    let width = width(ring_bits);
    out.reserve(width * words.len());
    for word in words {
        out.extend_from_slice(&word.to_le_bytes()[..width]);
    }
}

/// The words of `bytes`, a whole number of them.
///
/// # Errors
/// [`DecodeError::Field`] for one that is not below 2^`ring_bits`.
pub(super) fn get(bytes: &[u8], ring_bits: u32) -> Result<Vec<u64>, DecodeError> {
    let word = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        match u64::from_le_bytes(word) {
            word if word <= mask(ring_bits) => Ok(word),
            word => Err(DecodeError::Field {
                field: "word",
                expected: format!("below 2^{ring_bits}"),
                got: word.to_string(),
            }),
        }
    };
    bytes.chunks_exact(width(ring_bits)).map(word).collect()
}

/// `count` uniform words of a seed that is used for nothing else.
pub(super) fn expand(seed: &[u8; 32], count: usize, ring_bits: u32) -> Zeroizing<Vec<u64>> {
    let key = Zeroizing::new(blake3::derive_key("cloven v1 secure inference share of a user's input", seed));
    let mut bytes = Zeroizing::new(vec![0; 8 * count]);
    blake3::Hasher::new_keyed(&key).finalize_xof().fill(&mut bytes);
    let words = bytes
        .as_chunks()
        .0
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes) & mask(ring_bits));
    Zeroizing::new(words.collect())
}
