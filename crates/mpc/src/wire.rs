//! Words, points and lengths of messages.

use crate::MpcError;
use curve25519_dalek::{RistrettoPoint, ristretto::CompressedRistretto, traits::IsIdentity};

/// Bytes of one group element.
pub(crate) const POINT: usize = 32;
/// Bytes of one word.
pub(crate) const WORD: usize = 16;

pub(crate) fn expect_length(bytes: &[u8], expected: usize) -> Result<(), MpcError> {
    match bytes.len() {
        actual if actual == expected => Ok(()),
        actual => Err(MpcError::Length { expected, actual }),
    }
}

pub(crate) fn expect_count(what: &'static str, actual: usize, min: usize, max: usize) -> Result<(), MpcError> {
    match (min..=max).contains(&actual) {
        true => Ok(()),
        false => Err(MpcError::Count { what, min, max, actual }),
    }
}

pub(crate) fn expect_equal(what: &'static str, actual: usize, expected: usize) -> Result<(), MpcError> {
    match actual == expected {
        true => Ok(()),
        false => Err(MpcError::Mismatch { what, expected, actual }),
    }
}

/// The words of a message whose length was checked; a rest below one word is left out.
pub(crate) fn words(bytes: &[u8]) -> impl ExactSizeIterator<Item = u128> + '_ {
    bytes.as_chunks::<WORD>().0.iter().map(|word| u128::from_le_bytes(*word))
}

pub(crate) fn put_words(out: &mut Vec<u8>, words: &[u128]) {
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

/// The group element at `index` of a message whose length was checked. The neutral element is refused: no honest step sends it.
pub(crate) fn point(bytes: &[u8], index: usize) -> Result<RistrettoPoint, MpcError> {
    bytes
        .get(index * POINT..(index + 1) * POINT)
        .and_then(|bytes| CompressedRistretto::from_slice(bytes).ok())
        .and_then(|point| point.decompress())
        .filter(|point| !point.is_identity())
        .ok_or(MpcError::Point { index })
}
