//! The integers modulo 2^k.

use super::fixed_error;
use crate::ModelError;

/// The integers modulo 2^k. A word is a `u64` in 0..2^k; its signed value is the one of its class in -2^(k-1)..2^(k-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    bits: u32,
}

impl Ring {
    /// Fewest bits of a ring.
    pub const MIN_BITS: u32 = 24;
    /// Most bits of a ring.
    pub const MAX_BITS: u32 = 48;
    /// Words of `u64` in which nothing wraps around that a smaller ring could hold: for measuring ranges.
    pub(super) const WIDE: Self = Self { bits: 64 };

    /// The integers modulo 2^bits.
    ///
    /// # Errors
    /// [`ModelError::FixedPoint`] unless `bits` is in [`Ring::MIN_BITS`]..=[`Ring::MAX_BITS`].
    pub fn new(bits: u32) -> Result<Self, ModelError> {
        match (Self::MIN_BITS..=Self::MAX_BITS).contains(&bits) {
            true => Ok(Self { bits }),
            false => Err(fixed_error(
                "ring",
                format!("{} to {} bits", Self::MIN_BITS, Self::MAX_BITS),
                bits,
            )),
        }
    }

    /// k.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// The word of any integer.
    pub fn word(self, value: i64) -> u64 {
        self.reduce(value as u64)
    }

    /// The word of a sum or product that was computed modulo 2^64.
    pub fn reduce(self, value: u64) -> u64 {
        value & (u64::MAX >> (64 - self.bits))
    }

    /// The signed value of a word.
    pub fn signed(self, word: u64) -> i64 {
        let above = 64 - self.bits;
        ((word << above) as i64) >> above
    }
}
