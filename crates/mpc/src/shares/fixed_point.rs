//! Numbers in fixed point.

use super::Matrix;
use crate::{MpcError, wire::expect_count};

/// A scale: the number x is the word round(x 2^`bits`) modulo 2^64, halves to even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedPoint {
    bits: u32,
}

impl FixedPoint {
    /// Numbers with `bits` binary digits after the point, 0 to 62; the others stand before it.
    ///
    /// # Errors
    /// [`MpcError::Count`] outside of that.
    pub fn new(bits: u32) -> Result<Self, MpcError> {
        expect_count("bits after the point", bits as usize, 0, 62).map(|()| Self { bits })
    }

    /// Bits after the point.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// The scale of products of numbers at this one and at `other`.
    ///
    /// # Errors
    /// [`MpcError::Count`] beyond 62 bits.
    pub fn of_products(self, other: Self) -> Result<Self, MpcError> {
        Self::new(self.bits + other.bits)
    }

    /// Numbers as a matrix.
    ///
    /// # Errors
    /// [`MpcError::Range`] for a number that is not finite or not below 2^(63 - bits) in magnitude; otherwise as [`Matrix::new`].
    pub fn encode<T: Copy + Into<f64>>(self, rows: usize, columns: usize, values: &[T]) -> Result<Matrix, MpcError> {
        let scale = 2f64.powi(self.bits as i32);
        let bits = 63 - self.bits;
        let word = |(index, value): (usize, &T)| {
            // Exact: a power of two changes only the exponent.
            let scaled = ((*value).into() * scale).round_ties_even();
            // The largest word is 2^63 - 1, which no f64 is.
            let fits = (-2f64.powi(63)..2f64.powi(63)).contains(&scaled);
            if fits {
                Ok(scaled as i64 as u64)
            } else {
                Err(MpcError::Range { index, bits })
            }
        };
        Matrix::new(rows, columns, values.iter().enumerate().map(word).collect::<Result<_, _>>()?)
    }

    /// One word's number, to the nearest f64.
    pub fn decode(self, word: u64) -> f64 {
        word as i64 as f64 / 2f64.powi(self.bits as i32)
    }

    /// A matrix's numbers, row after row.
    pub fn decode_all(self, matrix: &Matrix) -> Vec<f64> {
        matrix.words().iter().map(|word| self.decode(*word)).collect()
    }
}
