//! Matrices on their way to and from whoever multiplies them.

use crate::ModelError;

/// `count` matrices of one shape in row-major order, one after the other. Without `Debug`: they may be somebody's data.
#[derive(Clone, PartialEq)]
pub struct Matrices {
    dims: [usize; 3],
    values: Vec<f32>,
}

impl Matrices {
    /// Of `[count, rows, columns]`.
    ///
    /// # Errors
    /// [`ModelError::Shape`] for another number of values.
    pub fn new(dims: [usize; 3], values: Vec<f32>) -> Result<Self, ModelError> {
        let expected = dims.iter().try_fold(1usize, |product, axis| product.checked_mul(*axis));
        if expected != Some(values.len()) {
            return Err(ModelError::Shape {
                what: "values of matrices",
                expected: format!("as many as {dims:?} has"),
                actual: vec![values.len()],
            });
        }
        Ok(Self { dims, values })
    }

    /// As [`Matrices::new`], of values that were made for these dimensions.
    pub(super) fn of(dims: [usize; 3], values: Vec<f32>) -> Self {
        debug_assert_eq!(dims.iter().product::<usize>(), values.len());
        Self { dims, values }
    }

    /// `[count, rows, columns]`.
    pub fn dims(&self) -> [usize; 3] {
        self.dims
    }

    /// All values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, to keep.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Each matrix turned.
    pub(super) fn transposed(&self) -> Self {
        let [count, rows, columns] = self.dims;
        let mut values = vec![0.0; self.values.len()];
        let matrices = self.values.chunks_exact(rows * columns);
        for (from, to) in matrices.zip(values.chunks_exact_mut(rows * columns)) {
            transpose(from, to, rows, columns);
        }
        Self::of([count, columns, rows], values)
    }
}

/// Writes `from`, rows x columns, into `to`, columns x rows, by blocks that stay in the cache.
pub(super) fn transpose(from: &[f32], to: &mut [f32], rows: usize, columns: usize) {
    const BLOCK: usize = 16;
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..columns).step_by(BLOCK) {
            let right = (left + BLOCK).min(columns);
            for row in top..(top + BLOCK).min(rows) {
                let values = &from[row * columns + left..row * columns + right];
                for (column, value) in (left..right).zip(values) {
                    to[column * rows + row] = *value;
                }
            }
        }
    }
}
