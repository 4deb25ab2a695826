//! The wire form of whole polynomials: residues, prime after prime, bit-packed, each checked on arrival.

use std::ops::Range;

use cloven_ring::{Domain, LIMB, Poly, RnsBasis};

use crate::{
    LatticeError,
    bits::{MAX_BITS, pack, pack_into, packed_len, unpack, unpack_into},
};

/// Fractions that are written at a time: eight fill whole bytes.
const CHUNK: usize = 512;

/// The length in bytes of a polynomial sent without its `dropped` lowest bits.
pub(crate) fn residues_len(basis: &RnsBasis, dropped: u32) -> usize {
    let of_prime = |bits: u32| packed_len(basis.degree(), bits - dropped);
    basis.moduli().iter().map(|m| of_prime(m.bits())).sum()
}

/// Appends the residues without their `dropped` lowest bits.
pub(crate) fn write_residues<D: Domain>(poly: &Poly<D>, dropped: u32, out: &mut Vec<u8>) {
    for (prime, modulus) in poly.basis().moduli().iter().enumerate() {
        let residues = poly.residues(prime);
        match dropped {
            0 => pack(residues, modulus.bits(), out),
            _ => {
                let kept: Vec<u64> = residues.iter().map(|c| c >> dropped).collect();
                pack(&kept, modulus.bits() - dropped, out);
            }
        }
    }
}

/// Reads what [`write_residues`] wrote; a residue that is not reduced is an error.
pub(crate) fn read_residues<D: Domain>(basis: &RnsBasis, dropped: u32, bytes: &[u8]) -> Result<Poly<D>, LatticeError> {
    let mut poly = Poly::zero(basis);
    read_residues_into(basis, dropped, bytes, &mut poly)?;
    Ok(poly)
}

/// The same into the memory of a polynomial of this basis.
pub(crate) fn read_residues_into<D: Domain>(
    basis: &RnsBasis,
    dropped: u32,
    bytes: &[u8],
    poly: &mut Poly<D>,
) -> Result<(), LatticeError> {
    check_len(residues_len(basis, dropped), bytes)?;
    let mut rest = bytes;
    for (prime, modulus) in basis.moduli().iter().enumerate() {
        let bits = modulus.bits() - dropped;
        let (packed, tail) = rest.split_at(packed_len(basis.degree(), bits));
        rest = tail;
        let residues = poly.residues_mut(prime);
        unpack_into(packed, bits, residues)?;
        // The largest value that stands for reduced residues.
        let largest = (modulus.value() - 1) >> dropped;
        if let Some(position) = first_above(residues, largest) {
            return Err(LatticeError::Coefficient {
                position,
                modulus: modulus.value(),
                actual: residues[position] << dropped,
            });
        }
        if dropped > 0 {
            // The middle of the values that were rounded to this one, if it is one.
            let middle = (1 << dropped) >> 1;
            residues
                .iter_mut()
                .for_each(|residue| *residue = ((*residue << dropped) + middle).min(modulus.value() - 1));
        }
    }
    Ok(())
}

/// The first value above `largest`; nearly always there is none, which takes one pass without a branch.
fn first_above(values: &[u64], largest: u64) -> Option<usize> {
    // Packed values are below 2^63: the sign of the difference is the comparison.
    match values.iter().fold(0, |any, &value| any | largest.wrapping_sub(value)) >> 63 {
        0 => None,
        _ => values.iter().position(|&value| value > largest),
    }
}

/// Refuses bytes of another length.
pub(crate) fn check_len(expected: usize, bytes: &[u8]) -> Result<(), LatticeError> {
    match bytes.len() == expected {
        true => Ok(()),
        false => Err(LatticeError::Length {
            expected,
            actual: bytes.len(),
        }),
    }
}

/// The parts that fractions of `bits` bits travel in, lowest first, as wide as each other or nearly: where each begins, and its width.
fn parts(bits: u32) -> impl Iterator<Item = (u32, u32)> {
    let count = bits.div_ceil(MAX_BITS);
    let widths = (0..count).map(move |index| (bits + index) / count);
    widths.scan(0, |end, width| {
        *end += width;
        Some((*end - width, width))
    })
}

/// Bytes of `count` fractions of `bits` bits.
pub(crate) fn fractions_len(count: usize, bits: u32) -> usize {
    parts(bits).map(|(_, width)| packed_len(count, width)).sum()
}

/// Appends fractions, in units of 2^-128, rounded to `bits` bits (below 128).
pub(crate) fn write_fractions(values: &[u128], bits: u32, out: &mut Vec<u8>) {
    let (start, count) = (out.len(), values.len());
    out.resize(start + fractions_len(count, bits), 0);
    let mut part = [0; CHUNK];
    for (index, values) in values.chunks(CHUNK).enumerate() {
        let (first, part) = (index * CHUNK, &mut part[..values.len()]);
        let mut begin = start;
        for (low, width) in parts(bits) {
            let (shift, mask) = (128 - bits + low, (1 << width) - 1);
            for (part, value) in part.iter_mut().zip(values) {
                *part = (value.wrapping_add(1 << (127 - bits)) >> shift) as u64 & mask;
            }
            begin = pack_part(part, width, first..count, begin, out);
        }
    }
}

/// Appends `count` fractions, in units of 2^-104 and limbs of [`LIMB`] bits, rounded to `bits` bits (below 104): as [`write_fractions`]. `fill` writes some
/// at a time: it is given the number of the first, and room for the low and the high limbs.
pub(crate) fn write_limbs<E>(
    count: usize,
    bits: u32,
    out: &mut Vec<u8>,
    mut fill: impl FnMut(usize, &mut [u64], &mut [u64]) -> Result<(), E>,
) -> Result<(), E> {
    let (start, mask) = (out.len(), (1 << LIMB) - 1);
    out.resize(start + fractions_len(count, bits), 0);
    let [mut low, mut high, mut part] = [[0; CHUNK]; 3];
    for first in (0..count).step_by(CHUNK) {
        let size = CHUNK.min(count - first);
        let (low, high, part) = (&mut low[..size], &mut high[..size], &mut part[..size]);
        fill(first, low, high)?;
        let half = 1u128 << (2 * LIMB - bits - 1);
        let [half_low, half_high] = [half as u64 & mask, (half >> LIMB) as u64];
        for (low, high) in low.iter_mut().zip(&mut *high) {
            *low += half_low;
            *high = (*high + half_high + (*low >> LIMB)) & mask;
            *low &= mask;
        }
        let mut begin = start;
        for (from, width) in parts(bits) {
            let (shift, mask) = (2 * LIMB - bits + from, (1 << width) - 1);
            let pairs = part.iter_mut().zip(low.iter().zip(&*high));
            match shift < LIMB {
                true => pairs.for_each(|(part, (low, high))| *part = (low >> shift | high << (LIMB - shift)) & mask),
                false => pairs.for_each(|(part, (_, high))| *part = high >> (shift - LIMB) & mask),
            }
            begin = pack_part(part, width, first..count, begin, out);
        }
    }
    Ok(())
}

/// Writes some values of a part whose bytes begin at `begin`: those from the first number of `rest` on, which ends with the number of all. Returns where
/// the next part begins. All values before fill whole bytes.
fn pack_part(values: &[u64], width: u32, rest: Range<usize>, begin: usize, out: &mut [u8]) -> usize {
    let at = begin + packed_len(rest.start, width);
    pack_into(values, width, &mut out[at..at + packed_len(values.len(), width)]);
    begin + packed_len(rest.end, width)
}

/// Reads what [`write_fractions`] wrote, in units of 2^-128. Length and padding are checked; any other bits are valid.
pub(crate) fn read_fractions(bytes: &[u8], bits: u32, count: usize) -> Result<Vec<u128>, LatticeError> {
    let mut values = vec![0; count];
    for ((start, _), part) in parts(bits).zip(read_parts(bytes, bits, count)?) {
        let shift = 128 - bits + start;
        values
            .iter_mut()
            .zip(part)
            .for_each(|(value, part)| *value |= u128::from(part) << shift);
    }
    Ok(values)
}

/// The same part by part.
pub(crate) fn read_parts(bytes: &[u8], bits: u32, count: usize) -> Result<Vec<Vec<u64>>, LatticeError> {
    check_len(fractions_len(count, bits), bytes)?;
    let mut rest = bytes;
    let read = |(_, width)| {
        let (packed, tail) = rest.split_at(packed_len(count, width));
        rest = tail;
        unpack(packed, width, count)
    };
    parts(bits).map(read).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Slow: every fraction alone.
        #[test]
        fn fractions_come_back_rounded(bits in 30u32..=110, count in 0usize..1200, start in any::<u128>()) {
            let step = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835u128;
            let values: Vec<u128> = (0..count as u128).map(|i| start.wrapping_add(i.wrapping_mul(step))).collect();
            let mut bytes = vec![1, 2];
            write_fractions(&values, bits, &mut bytes);
            prop_assert_eq!(bytes.len(), 2 + fractions_len(count, bits));
            let read = read_fractions(&bytes[2..], bits, count).unwrap();
            if bits < 2 * LIMB {
                // The same from 104 bits, where the rest is nothing.
                let values: Vec<u128> = values.iter().map(|value| value >> 24).collect();
                let (mut bytes, mut of_limbs) = (vec![1, 2], vec![1, 2]);
                write_fractions(&values.iter().map(|value| value << 24).collect::<Vec<_>>(), bits, &mut bytes);
                let limbs = |first: usize, low: &mut [u64], high: &mut [u64]| -> Result<(), ()> {
                    for (value, (low, high)) in values[first..].iter().zip(low.iter_mut().zip(high)) {
                        (*low, *high) = (*value as u64 & ((1 << LIMB) - 1), (value >> LIMB) as u64);
                    }
                    Ok(())
                };
                write_limbs(count, bits, &mut of_limbs, limbs).unwrap();
                prop_assert_eq!(bytes, of_limbs);
            }
            let unit = 1u128 << (128 - bits);
            for (read, value) in read.into_iter().zip(values) {
                prop_assert_eq!(read % unit, 0);
                prop_assert!(read.wrapping_sub(value).wrapping_add(unit / 2) <= unit, "half a unit");
            }
        }
    }
}
