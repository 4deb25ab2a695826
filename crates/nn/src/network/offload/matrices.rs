//! Matrices on their way to and from whoever multiplies them.

use rayon::prelude::*;

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

    /// The same values as matrices of other dimensions.
    pub(super) fn reshaped(self, dims: [usize; 3]) -> Self {
        Self::of(dims, self.values)
    }

    /// Whether no value is an infinity or NaN; without an early end, so that the compiler's vectors apply.
    pub(super) fn are_finite(&self) -> bool {
        let chunk_is = |chunk: &[f32]| chunk.iter().fold(true, |finite, value| finite & value.is_finite());
        self.values.chunks(1 << 12).all(chunk_is)
    }

    /// Each matrix turned.
    pub(super) fn transposed(&self) -> Self {
        let [count, rows, columns] = self.dims;
        let mut values = vec![0.0; self.values.len()];
        if rows * columns > 0 {
            let matrices = self.values.par_chunks_exact(rows * columns);
            let turned = values.par_chunks_exact_mut(rows * columns);
            turned.zip(matrices).for_each(|(to, from)| transpose(from, to, rows, columns));
        }
        Self::of([count, columns, rows], values)
    }
}

/// Writes `from`, rows x columns, into `to`, columns x rows.
fn transpose(from: &[f32], to: &mut [f32], rows: usize, columns: usize) {
    for top in (0..rows).step_by(TALL) {
        for left in (0..columns).step_by(WIDE) {
            if top + TALL <= rows && left + WIDE <= columns {
                transpose_block(&from[top * columns + left..], &mut to[left * rows + top..], rows, columns);
                continue;
            }
            for row in top..(top + TALL).min(rows) {
                for column in left..(left + WIDE).min(columns) {
                    to[column * rows + row] = from[row * columns + column];
                }
            }
        }
    }
}

/// Rows and columns of a block that is turned in registers, so that whole cache lines are written at once.
const TALL: usize = 16;
const WIDE: usize = 8;

fn transpose_block(from: &[f32], to: &mut [f32], rows: usize, columns: usize) {
    let mut block = [[0.0; TALL]; WIDE];
    for (row, line) in from.chunks(columns).take(TALL).enumerate() {
        for (column, value) in block.iter_mut().zip(&line[..WIDE]) {
            column[row] = *value;
        }
    }
    for (line, column) in to.chunks_mut(rows).zip(&block) {
        line[..TALL].copy_from_slice(column);
    }
}
