//! How a response travels: all of c1 modulo 2^76, the wanted coefficients of c0 modulo 2^68, each in two halves, bit-packed.

use crate::{
    LatticeError,
    wire::{check_len, fractions_len, read_fractions, read_parts, write_fractions, write_limbs},
};

use super::LOG2_DEGREE;

/// Bits of a coefficient of c1: see `noise`.
pub const WHOLE_BITS: u32 = 76;
/// Bits of a wanted coefficient of c0, whose rounding no secret multiplies.
pub const WANTED_BITS: u32 = 68;

/// Bytes of a response with so many wanted coefficients.
pub(super) fn len(wanted: usize) -> usize {
    fractions_len(1 << LOG2_DEGREE, WHOLE_BITS) + fractions_len(wanted, WANTED_BITS)
}

/// Appends a response, from fractions: `whole` writes those of c1 in limbs, from a number on; `wanted` are in units of 2^-128.
pub(super) fn write(
    whole: impl FnMut(usize, &mut [u64], &mut [u64]) -> Result<(), LatticeError>,
    wanted: &[u128],
    out: &mut Vec<u8>,
) -> Result<(), LatticeError> {
    write_limbs(1 << LOG2_DEGREE, WHOLE_BITS, out, whole)?;
    write_fractions(wanted, WANTED_BITS, out);
    Ok(())
}

/// A response as it came.
pub(super) struct Received {
    /// Low and high halves of c1.
    pub(super) whole: Vec<Vec<u64>>,
    /// c0 at the wanted places, in units of 2^-128.
    pub(super) wanted: Vec<u128>,
}

/// Reads what [`write`] wrote. Every length and all padding is checked; any other bits are valid.
pub(super) fn read(bytes: &[u8], wanted: usize) -> Result<Received, LatticeError> {
    check_len(len(wanted), bytes)?;
    let degree = 1 << LOG2_DEGREE;
    let (whole, c0) = bytes.split_at(fractions_len(degree, WHOLE_BITS));
    Ok(Received {
        whole: read_parts(whole, WHOLE_BITS, degree)?,
        wanted: read_fractions(c0, WANTED_BITS, wanted)?,
    })
}
