//! Bit-packed integers: the wire form of coefficients.

use crate::LatticeError;

/// Appends each value's low `bits` bits, least significant first; the last byte is filled up with zeros.
pub(crate) fn pack(values: impl Iterator<Item = u64>, bits: u32, out: &mut Vec<u8>) {
    let (mut held, mut count) = (0u128, 0);
    for value in values {
        debug_assert!(value >> bits == 0);
        held |= u128::from(value) << count;
        count += bits;
        if count >= 64 {
            out.extend_from_slice(&(held as u64).to_le_bytes());
            held >>= 64;
            count -= 64;
        }
    }
    out.extend_from_slice(&(held as u64).to_le_bytes()[..count.div_ceil(8) as usize]);
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
    let (mut held, mut available) = (0u128, 0);
    let mut words = bytes.chunks(8);
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        if available < bits {
            let chunk = words.next().unwrap_or_default();
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            held |= u128::from(u64::from_le_bytes(word)) << available;
            available += 8 * chunk.len() as u32;
        }
        values.push(held as u64 & mask);
        held >>= bits;
        available -= bits;
    }
    match held {
        0 => Ok(values),
        _ => Err(LatticeError::Padding),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packed_values_come_back(bits in 1u32..=63, values in proptest::collection::vec(any::<u64>(), 0..100)) {
            let values: Vec<u64> = values.iter().map(|v| v & ((1 << bits) - 1)).collect();
            let mut bytes = Vec::new();
            pack(values.iter().copied(), bits, &mut bytes);
            prop_assert_eq!(bytes.len(), packed_len(values.len(), bits));
            prop_assert_eq!(unpack(&bytes, bits, values.len()).unwrap(), values);
        }

        #[test]
        fn every_string_of_bytes_has_at_most_one_reading(bits in 1u32..=63, bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let count = bytes.len() * 8 / bits as usize;
            if let Ok(values) = unpack(&bytes, bits, count) {
                let mut again = Vec::new();
                pack(values.into_iter(), bits, &mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
