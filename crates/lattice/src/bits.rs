//! Bit-packed integers: the wire form of coefficients.

use crate::LatticeError;

/// The widest value that [`pack`] takes.
pub(crate) const MAX_BITS: u32 = 57;

/// Bytes from which any value of a group of eight is read as a word.
const WINDOW: usize = 64 + 8;

/// Appends each value's low `bits` bits (1 to [`MAX_BITS`]), least significant first; the last byte is filled up with zeros.
pub(crate) fn pack(values: &[u64], bits: u32, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + packed_len(values.len(), bits), 0);
    pack_into(values, bits, &mut out[start..]);
}

/// The same into exactly [`packed_len`] bytes.
pub(crate) fn pack_into(values: &[u64], bits: u32, bytes: &mut [u8]) {
    debug_assert!((1..=MAX_BITS).contains(&bits));
    debug_assert_eq!(bytes.len(), packed_len(values.len(), bits));
    let (mut held, mut count) = (0, 0);
    let (words, tail) = bytes.as_chunks_mut::<8>();
    let mut words = words.iter_mut();
    for &value in values {
        debug_assert!(value >> bits == 0);
        held |= value << count;
        count += bits;
        if count >= 64 {
            if let Some(word) = words.next() {
                *word = held.to_le_bytes();
            }
            count -= 64;
            held = (value >> 1) >> (bits - 1 - count);
        }
    }
    match words.next() {
        Some(word) => *word = held.to_le_bytes(),
        None => tail.copy_from_slice(&held.to_le_bytes()[..tail.len()]),
    }
}

/// The length in bytes of `count` packed values.
pub(crate) fn packed_len(count: usize, bits: u32) -> usize {
    (count * bits as usize).div_ceil(8)
}

/// Reads `count` values; `bytes` must have exactly [`packed_len`] bytes and zeros in the unused bits.
pub(crate) fn unpack(bytes: &[u8], bits: u32, count: usize) -> Result<Vec<u64>, LatticeError> {
    let mut values = vec![0; count];
    unpack_into(bytes, bits, &mut values)?;
    Ok(values)
}

/// The same for as many values as there are in `values`.
pub(crate) fn unpack_into(bytes: &[u8], bits: u32, values: &mut [u64]) -> Result<(), LatticeError> {
    let expected = packed_len(values.len(), bits);
    if bytes.len() != expected {
        return Err(LatticeError::Length {
            expected,
            actual: bytes.len(),
        });
    }
    let unused = 8 * expected - values.len() * bits as usize;
    if unused > 0 && bytes.last().is_some_and(|last| last >> (8 - unused) != 0) {
        return Err(LatticeError::Padding);
    }
    fill(bytes, bits, values);
    Ok(())
}

/// Eight values fill whole bytes: in every group of eight they stand at the same places, and where there are enough bytes for the longest
/// group and a word, nothing is checked value by value.
fn fill(bytes: &[u8], bits: u32, values: &mut [u64]) {
    let (bits, mask) = (bits as usize, (1u64 << bits) - 1);
    let places: [(usize, usize); 8] = std::array::from_fn(|k| (k * bits / 8, k * bits % 8));
    for (index, group) in values.chunks_mut(8).enumerate() {
        let from = &bytes[index * bits..];
        match from.first_chunk::<WINDOW>() {
            Some(window) => {
                for (value, (byte, shift)) in group.iter_mut().zip(places) {
                    *value = word(&window[byte % 64..]) >> shift & mask;
                }
            }
            None => {
                for (value, (byte, shift)) in group.iter_mut().zip(places) {
                    *value = word(&from[byte..]) >> shift & mask;
                }
            }
        }
    }
}

/// The first eight bytes, or what there is and zeros.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    match bytes.first_chunk() {
        Some(whole) => word = *whole,
        None => word[..bytes.len()].copy_from_slice(bytes),
    }
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packed_values_come_back(bits in 1u32..=MAX_BITS, values in proptest::collection::vec(any::<u64>(), 0..100)) {
            let values: Vec<u64> = values.iter().map(|v| v & ((1 << bits) - 1)).collect();
            let mut bytes = Vec::new();
            pack(&values, bits, &mut bytes);
            let mut filled = vec![255; packed_len(values.len(), bits)];
            pack_into(&values, bits, &mut filled);
            prop_assert_eq!(&bytes, &filled);
            prop_assert_eq!(bytes.len(), packed_len(values.len(), bits));
            prop_assert_eq!(unpack(&bytes, bits, values.len()).unwrap(), values);
        }

        #[test]
        fn every_string_of_bytes_has_at_most_one_reading(bits in 1u32..=MAX_BITS, bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let count = bytes.len() * 8 / bits as usize;
            if let Ok(values) = unpack(&bytes, bits, count) {
                let mut again = Vec::new();
                pack(&values, bits, &mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
