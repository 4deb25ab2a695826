//! Bit-packed integers: the wire form of coefficients.

use crate::LatticeError;

/// The widest value that [`pack`] takes.
pub(crate) const MAX_BITS: u32 = 57;

/// Appends each value's low `bits` bits (1 to [`MAX_BITS`]), least significant first; the last byte is filled up with zeros.
pub(crate) fn pack(values: &[u64], bits: u32, out: &mut Vec<u8>) {
    debug_assert!((1..=MAX_BITS).contains(&bits));
    let start = out.len();
    let len = packed_len(values.len(), bits);
    // Whole words first; what is too much is cut off again.
    out.resize(start + len.next_multiple_of(8), 0);
    let (mut held, mut count) = (0, 0);
    let mut words = out[start..].as_chunks_mut::<8>().0.iter_mut();
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
    if let Some(word) = words.next() {
        *word = held.to_le_bytes();
    }
    out.truncate(start + len);
}

/// The length in bytes of `count` packed values.
pub(crate) fn packed_len(count: usize, bits: u32) -> usize {
    (count * bits as usize).div_ceil(8)
}

/// Reads `count` values; `bytes` must have exactly [`packed_len`] bytes and zeros in the unused bits.
pub(crate) fn unpack(bytes: &[u8], bits: u32, count: usize) -> Result<Vec<u64>, LatticeError> {
    let expected = packed_len(count, bits);
    if bytes.len() != expected {
        return Err(LatticeError::Length {
            expected,
            actual: bytes.len(),
        });
    }
    let mask = (1u64 << bits) - 1;
    let at = |position: usize| {
        let bit = position * bits as usize;
        let mut word = [0; 8];
        let from = &bytes[bit / 8..];
        match from.first_chunk::<8>() {
            Some(whole) => word = *whole,
            None => word[..from.len()].copy_from_slice(from),
        }
        u64::from_le_bytes(word) >> (bit % 8) & mask
    };
    let unused = 8 * expected - count * bits as usize;
    if unused > 0 && bytes.last().is_some_and(|last| last >> (8 - unused) != 0) {
        return Err(LatticeError::Padding);
    }
    Ok((0..count).map(at).collect())
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
