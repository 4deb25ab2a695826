//! Orthonormal bases, a vector a line, with the ones taken out.

use ndarray::{Array1, Array2, ArrayView1, Axis};

/// What is left of a line counts as rounding below this part of the longest.
const INSIGNIFICANT: f64 = 1e-12;
/// Vectors at most, those that add most first.
const MOST_VECTORS: usize = 128;

/// An orthonormal basis of the lines, each less its mean: Gram-Schmidt, always with the line of which most is left.
pub fn of(lines: &Array2<f64>) -> Array2<f64> {
    let mut left = lines.to_owned();
    for mut line in left.rows_mut() {
        let mean = line.mean().unwrap_or(0.0);
        line -= mean;
    }
    let norms = |left: &Array2<f64>| left.map_axis(Axis(1), |line| line.dot(&line).sqrt());
    let least = INSIGNIFICANT * norms(&left).fold(0.0, |a: f64, b| a.max(*b));
    let mut basis = Array2::zeros((0, lines.ncols()));
    while basis.nrows() < MOST_VECTORS {
        let norms = norms(&left);
        let longest = (0..norms.len()).max_by(|&i, &j| norms[i].total_cmp(&norms[j]));
        let Some(longest) = longest.filter(|&at| norms[at] > least) else {
            break;
        };
        let vector = orthonormal(&basis, left.row(longest));
        for mut line in left.rows_mut() {
            let along = line.dot(&vector);
            line.scaled_add(-along, &vector);
        }
        left.row_mut(longest).fill(0.0);
        // A vector has as many numbers as the basis has columns.
        if basis.push_row(vector.view()).is_err() {
            break;
        }
    }
    basis
}

/// What is left of a vector outside the basis, of length 1; twice, as once leaves rounding of what was taken off.
fn orthonormal(basis: &Array2<f64>, vector: ArrayView1<f64>) -> Array1<f64> {
    let mut vector = vector.to_owned();
    for _ in 0..2 {
        vector -= &basis.t().dot(&basis.dot(&vector));
        vector /= vector.dot(&vector).sqrt().max(f64::MIN_POSITIVE);
    }
    vector
}
