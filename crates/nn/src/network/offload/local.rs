//! Products computed here.

use std::future::ready;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::{Job, Matrices, ProductKind, Products};
use crate::ModelError;

/// Fewest rows of a result that one thread works out.
const ROWS: usize = 64;

/// Multiplies on the threads of this process, in f32.
#[derive(Clone, Copy, Default)]
pub struct LocalProducts;

impl LocalProducts {
    /// The result of a job.
    ///
    /// # Errors
    /// [`ModelError::Shape`] for operands that do not fit each other.
    pub fn product(job: &Job) -> Result<Matrices, ModelError> {
        match (job.kind, job.windows) {
            (kind, None) => Self::of_matrices(kind, &job.left, &job.right),
            (ProductKind::InputGradient, Some(windows)) => windows.fold(&Self::of_matrices(job.kind, &job.left, &job.right)?),
            (kind, Some(windows)) => Self::of_matrices(kind, &windows.unfold(&job.left)?, &job.right),
        }
    }

    fn of_matrices(kind: ProductKind, left: &Matrices, right: &Matrices) -> Result<Matrices, ModelError> {
        let ([count, rows, columns], [others, below, beside]) = (left.dims(), right.dims());
        let (inner, expected) = match kind {
            ProductKind::Forward => (columns, [count, columns, beside]),
            ProductKind::WeightGradient => (rows, [count, rows, beside]),
            ProductKind::InputGradient => (columns, [count, below, columns]),
        };
        if [others, below, beside] != expected {
            return Err(ModelError::Shape {
                what: "right operand of a product",
                expected: format!("{expected:?}"),
                actual: vec![others, below, beside],
            });
        }
        let dims = match kind {
            ProductKind::Forward => [count, rows, beside],
            ProductKind::WeightGradient => [count, columns, beside],
            ProductKind::InputGradient => [count, rows, below],
        };
        let mut values = vec![0.0; dims.iter().product()];
        if inner > 0 && !values.is_empty() {
            let (left, right) = (left.values(), right.values());
            let matrices = values.par_chunks_exact_mut(dims[1] * dims[2]);
            let operands = left
                .par_chunks_exact(rows * columns)
                .zip(right.par_chunks_exact(below * beside));
            matrices.zip(operands).for_each(|(y, (left, right))| {
                let (left, right) = (matrix(left, [rows, columns]), matrix(right, [below, beside]));
                match kind {
                    ProductKind::Forward => multiply(left, right, y),
                    ProductKind::WeightGradient => multiply(left.reversed_axes(), right, y),
                    ProductKind::InputGradient => multiply(left, right.reversed_axes(), y),
                }
            });
        }
        Matrices::new(dims, values)
    }
}

impl Products for LocalProducts {
    type Error = ModelError;

    fn multiply(&mut self, jobs: Vec<Job>) -> impl Future<Output = Result<Vec<Matrices>, ModelError>> {
        ready(jobs.iter().map(Self::product).collect())
    }
}

fn matrix(values: &[f32], [rows, columns]: [usize; 2]) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape([rows, columns], values).expect("chunks have the matrix's size")
}

/// y = left right, by blocks of rows of the left.
fn multiply(left: ArrayView2<'_, f32>, right: ArrayView2<'_, f32>, y: &mut [f32]) {
    let columns = right.ncols();
    let block = ROWS.max(left.nrows().div_ceil(rayon::current_num_threads()));
    y.par_chunks_mut(block * columns).enumerate().for_each(|(number, y)| {
        let rows = y.len() / columns;
        let part = left.slice_axis(Axis(0), (number * block..number * block + rows).into());
        let mut y = ArrayViewMut2::from_shape([rows, columns], y).expect("whole rows");
        general_mat_mul(1.0, &part, &right, 0.0, &mut y);
    });
}
