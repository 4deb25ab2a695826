//! How a response travels: all of c1 modulo 2^76, the wanted coefficients of c0 modulo 2^68, each in two halves, bit-packed.

use crate::{
    LatticeError,
    bits::{pack, packed_len, unpack},
    wire::check_len,
};

use super::LOG2_DEGREE;

/// Bits of a coefficient of c1: see `noise`.
pub const WHOLE_BITS: u32 = 76;
/// Bits of a wanted coefficient of c0, whose rounding no secret multiplies.
pub const WANTED_BITS: u32 = 68;

/// Bytes of a response with so many wanted coefficients.
pub(super) fn len(wanted: usize) -> usize {
    halves_len(1 << LOG2_DEGREE, WHOLE_BITS) + halves_len(wanted, WANTED_BITS)
}

/// Appends a response, from fractions in units of 2^-128.
pub(super) fn write(whole: &[u128], wanted: &[u128], out: &mut Vec<u8>) {
    for (values, bits) in [(whole, WHOLE_BITS), (wanted, WANTED_BITS)] {
        let mask = (1 << (bits / 2)) - 1;
        let rounded = |v: &u128| v.wrapping_add(1 << (127 - bits)) >> (128 - bits);
        let low: Vec<u64> = values.iter().map(|v| rounded(v) as u64 & mask).collect();
        let high: Vec<u64> = values.iter().map(|v| (rounded(v) >> (bits / 2)) as u64).collect();
        pack(&low, bits / 2, out);
        pack(&high, bits / 2, out);
    }
}

/// A response as it came.
pub(super) struct Received {
    /// Low and high halves of c1.
    pub(super) whole: [Vec<u64>; 2],
    /// c0 at the wanted places, in units of 2^-128.
    pub(super) wanted: Vec<u128>,
}

/// Reads what [`write`] wrote. Every length and all padding is checked; any other bits are valid.
pub(super) fn read(bytes: &[u8], wanted: usize) -> Result<Received, LatticeError> {
    check_len(len(wanted), bytes)?;
    let degree = 1 << LOG2_DEGREE;
    let (whole, c0) = bytes.split_at(halves_len(degree, WHOLE_BITS));
    let [low, high] = halves(c0, wanted, WANTED_BITS)?;
    let joined = |(&low, &high): (&u64, &u64)| {
        let value = u128::from(low) | u128::from(high) << (WANTED_BITS / 2);
        value << (128 - WANTED_BITS)
    };
    Ok(Received {
        whole: halves(whole, degree, WHOLE_BITS)?,
        wanted: low.iter().zip(&high).map(joined).collect(),
    })
}

fn halves_len(count: usize, bits: u32) -> usize {
    2 * packed_len(count, bits / 2)
}

fn halves(bytes: &[u8], count: usize, bits: u32) -> Result<[Vec<u64>; 2], LatticeError> {
    let (low, high) = bytes.split_at(bytes.len() / 2);
    Ok([unpack(low, bits / 2, count)?, unpack(high, bits / 2, count)?])
}
