//! The samples that the server holds in the clear.

use super::layer::LayerEncryption;

/// Rows of integers at the job's scale.
pub(super) struct Rows {
    width: usize,
    numbers: Vec<i16>,
}

impl Rows {
    pub(super) fn new(encryption: &LayerEncryption) -> Self {
        Self {
            width: encryption.inputs(),
            numbers: Vec::new(),
        }
    }

    /// Appends whole rows.
    pub(super) fn extend(&mut self, numbers: &[i16]) {
        self.numbers.extend_from_slice(numbers);
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len() / self.width
    }

    pub(super) fn row(&self, row: usize) -> &[i16] {
        &self.numbers[row * self.width..][..self.width]
    }
}
