//! The mask of the data, and the masked data.

use crate::{
    MpcError,
    shares::{Matrix, WordStream},
    wire::{expect_count, expect_equal},
};

/// The mask A of a run's data, drawn row by row from its owner's secret. Wiped on drop.
pub struct DataMask {
    stream: WordStream,
    rows: usize,
    columns: usize,
    /// Rows that were hidden.
    hidden: usize,
}

impl DataMask {
    pub(super) fn new(stream: WordStream, rows: usize, columns: usize) -> Self {
        let hidden = 0;
        Self {
            stream,
            rows,
            columns,
            hidden,
        }
    }

    /// The next rows of X - A, for all other holders. Each row is hidden once; send the data in as many pieces as memory and messages want.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for another number of columns; [`MpcError::Count`] for more rows than remain.
    pub fn hide(&mut self, data: &Matrix) -> Result<Vec<u8>, MpcError> {
        expect_equal("columns of the data", data.columns(), self.columns)?;
        expect_count("rows of the data", data.rows(), 0, self.rows - self.hidden)?;
        let rows: Vec<usize> = (self.hidden..self.hidden + data.rows()).collect();
        let mut masked = data.clone();
        masked.sub_assign(&self.select(&rows)?)?;
        self.hidden += rows.len();
        Ok(masked.encode())
    }

    /// A_b: the mask of a batch's rows, by number, in its order.
    ///
    /// # Errors
    /// [`MpcError::Count`] for a row that the data have not.
    pub fn select(&self, batch: &[usize]) -> Result<Matrix, MpcError> {
        let mut mask = Matrix::zeros(batch.len(), self.columns)?;
        let words = mask.words_mut().chunks_mut(self.columns.max(1));
        for (row, words) in batch.iter().zip(words) {
            expect_count("as a row's number", *row, 0, self.rows.saturating_sub(1))?;
            self.stream.fill(*row as u64 * self.columns.div_ceil(2) as u64, words);
        }
        Ok(mask)
    }
}

/// Another holder's masked data E, while they come in.
pub struct MaskedData {
    rows: usize,
    columns: usize,
    words: Vec<u64>,
}

impl MaskedData {
    /// Data of `rows` x `columns`, as agreed beforehand.
    ///
    /// # Errors
    /// [`MpcError::Count`] beyond [`Matrix::MAX_WORDS`] or for no columns.
    pub fn new(rows: usize, columns: usize) -> Result<Self, MpcError> {
        expect_count("columns of the data", columns, 1, Matrix::MAX_WORDS)?;
        expect_count("words of a matrix", rows.saturating_mul(columns), 0, Matrix::MAX_WORDS)?;
        let words = Vec::new();
        Ok(Self { rows, columns, words })
    }

    /// Takes what [`DataMask::hide`] gave: whole rows, at least one, at most those that remain.
    ///
    /// # Errors
    /// [`MpcError::Length`], [`MpcError::Count`].
    pub fn accept(&mut self, message: &[u8]) -> Result<(), MpcError> {
        let rows = message.len().div_ceil(8 * self.columns);
        expect_count("rows of masked data", rows, 1, self.rows - self.words.len() / self.columns)?;
        let piece = Matrix::decode(rows, self.columns, message)?;
        self.words.extend_from_slice(piece.words());
        Ok(())
    }

    /// E, once all rows have come.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] before.
    pub fn finish(self) -> Result<Matrix, MpcError> {
        expect_equal("rows of masked data", self.words.len() / self.columns, self.rows)?;
        Matrix::new(self.rows, self.columns, self.words)
    }
}
