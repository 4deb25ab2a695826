//! Matrices over Z_2^64.

use super::product::{self, Backend, Left};
use crate::{
    MpcError,
    wire::{expect_count, expect_equal, expect_length},
};
use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Rows of words, one after the other. May hold secrets: wiped on drop, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    words: Vec<u64>,
}

impl Matrix {
    /// The most words of one matrix: 1 GiB of them.
    pub const MAX_WORDS: usize = 1 << 27;

    /// `rows` x `columns` words, row after row.
    ///
    /// # Errors
    /// [`MpcError::Count`] beyond [`Self::MAX_WORDS`]; [`MpcError::Mismatch`] for another number of words.
    pub fn new(rows: usize, columns: usize, words: Vec<u64>) -> Result<Self, MpcError> {
        expect_equal("words of a matrix", words.len(), count(rows, columns)?)?;
        Ok(Self { rows, columns, words })
    }

    /// All zero.
    ///
    /// # Errors
    /// [`MpcError::Count`] beyond [`Self::MAX_WORDS`].
    pub fn zeros(rows: usize, columns: usize) -> Result<Self, MpcError> {
        Self::new(rows, columns, vec![0; count(rows, columns)?])
    }

    /// Uniform words.
    ///
    /// # Errors
    /// [`MpcError::Count`] beyond [`Self::MAX_WORDS`].
    pub fn random(rows: usize, columns: usize, rng: &mut impl CryptoRng) -> Result<Self, MpcError> {
        let mut matrix = Self::zeros(rows, columns)?;
        rng.fill_bytes(bytemuck::cast_slice_mut(&mut matrix.words));
        matrix.words.iter_mut().for_each(|word| *word = u64::from_le(*word));
        Ok(matrix)
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All words, row after row.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// All words, to be changed in place.
    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// The rows of a batch, by number, in its order.
    ///
    /// # Errors
    /// [`MpcError::Count`] for a row that the matrix has not.
    pub fn select(&self, rows: &[usize]) -> Result<Self, MpcError> {
        let mut selected = Self::zeros(rows.len(), self.columns)?;
        for (place, row) in rows.iter().enumerate() {
            expect_count("as a row's number", *row, 0, self.rows.saturating_sub(1))?;
            let from = &self.words[row * self.columns..][..self.columns];
            selected.words[place * self.columns..][..self.columns].copy_from_slice(from);
        }
        Ok(selected)
    }

    /// `self + other`, of the same shape.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`].
    pub fn add_assign(&mut self, other: &Self) -> Result<(), MpcError> {
        self.expect_shape(other.rows, other.columns)?;
        let pairs = self.words.iter_mut().zip(&other.words);
        pairs.for_each(|(left, right)| *left = left.wrapping_add(*right));
        Ok(())
    }

    /// `self - other`, of the same shape.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`].
    pub fn sub_assign(&mut self, other: &Self) -> Result<(), MpcError> {
        self.expect_shape(other.rows, other.columns)?;
        let pairs = self.words.iter_mut().zip(&other.words);
        pairs.for_each(|(left, right)| *left = left.wrapping_sub(*right));
        Ok(())
    }

    /// `-self`.
    pub fn negate(&mut self) {
        self.words.iter_mut().for_each(|word| *word = word.wrapping_neg());
    }

    /// `self right`: `[n, k]` times `[k, m]` is `[n, m]`.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] when the inner sizes differ; [`MpcError::Count`] for a result beyond [`Self::MAX_WORDS`].
    pub fn times(&self, right: &Self) -> Result<Self, MpcError> {
        self.times_on(Backend::best(), right)
    }

    /// `self^T right`: `[n, k]` and `[n, m]` give `[k, m]`.
    ///
    /// # Errors
    /// As [`Self::times`].
    pub fn transposed_times(&self, right: &Self) -> Result<Self, MpcError> {
        self.transposed_times_on(Backend::best(), right)
    }

    /// [`Self::times`] by one implementation, for comparisons.
    ///
    /// # Errors
    /// As [`Self::times`].
    pub fn times_on(&self, backend: Backend, right: &Self) -> Result<Self, MpcError> {
        expect_equal("rows of the right factor", right.rows, self.columns)?;
        Self::product(backend, Left::rows(&self.words, self.rows, self.columns), right)
    }

    /// [`Self::transposed_times`] by one implementation, for comparisons.
    ///
    /// # Errors
    /// As [`Self::times`].
    pub fn transposed_times_on(&self, backend: Backend, right: &Self) -> Result<Self, MpcError> {
        expect_equal("rows of the right factor", right.rows, self.rows)?;
        Self::product(backend, Left::columns(&self.words, self.rows, self.columns), right)
    }

    fn product(backend: Backend, left: Left, right: &Self) -> Result<Self, MpcError> {
        let mut product = Self::zeros(left.count, right.columns)?;
        product::multiply(backend, left, (&right.words, right.columns), &mut product.words);
        Ok(product)
    }

    /// Row after row, each word in eight bytes, the lowest first.
    pub fn encode(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Reads what [`Self::encode`] wrote for this shape.
    ///
    /// # Errors
    /// [`MpcError::Length`] for any other number of bytes; [`MpcError::Count`] beyond [`Self::MAX_WORDS`].
    pub fn decode(rows: usize, columns: usize, bytes: &[u8]) -> Result<Self, MpcError> {
        expect_length(bytes, 8 * count(rows, columns)?)?;
        let words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
        Self::new(rows, columns, words.collect())
    }

    pub(crate) fn expect_shape(&self, rows: usize, columns: usize) -> Result<(), MpcError> {
        expect_equal("rows of a matrix", self.rows, rows)?;
        expect_equal("columns of a matrix", self.columns, columns)
    }
}

/// The words of a shape, if they are not too many.
fn count(rows: usize, columns: usize) -> Result<usize, MpcError> {
    let words = rows.saturating_mul(columns);
    expect_count("words of a matrix", words, 0, Matrix::MAX_WORDS).map(|()| words)
}
