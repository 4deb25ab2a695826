//! The attacker's arithmetic: solving for activations, comparing guesses with the truth.

use ndarray::{Array1, Array2, ArrayView1, Axis, Zip, concatenate, s};

/// The activations that solve dW = dy^T a by least squares, a = (dy dy^T)^-1 dy dW with dW as `[outputs, inputs]`, and the condition number
/// of dy (from the maximum norm of dy dy^T and its inverse). `None` where the rows of dy are linearly dependent.
pub fn activations(dy: &Array2<f64>, dw: &Array2<f64>) -> Option<(Array2<f64>, f64)> {
    let gram = dy.dot(&dy.t());
    let inverse = inverse(&gram)?;
    let norm = |m: &Array2<f64>| m.map(|v| v.abs()).sum_axis(Axis(1)).fold(0.0, |a: f64, &b| a.max(b));
    let condition = (norm(&gram) * norm(&inverse)).sqrt();
    Some((inverse.dot(&dy.dot(dw)), condition))
}

/// Gauss-Jordan elimination with partial pivoting.
fn inverse(matrix: &Array2<f64>) -> Option<Array2<f64>> {
    let n = matrix.nrows();
    let mut m = concatenate![Axis(1), *matrix, Array2::eye(n)];
    for column in 0..n {
        let pivot = (column..n).max_by(|&i, &j| m[[i, column]].abs().total_cmp(&m[[j, column]].abs()))?;
        if m[[pivot, column]] == 0.0 {
            return None;
        }
        let (upper, lower) = (m.row(column).to_owned(), m.row(pivot).to_owned());
        m.row_mut(pivot).assign(&upper);
        m.row_mut(column).assign(&(&lower / lower[column]));
        let pivot = m.row(column).to_owned();
        for row in (0..n).filter(|&row| row != column) {
            let factor = m[[row, column]];
            m.row_mut(row).scaled_add(-factor, &pivot);
        }
    }
    Some(m.slice(s![.., n..]).to_owned())
}

/// The eigenvalues of a symmetric matrix and, a line each, their eigenvectors, by Jacobi's rotations; in no order.
pub fn eigenvectors(symmetric: &Array2<f64>) -> (Array1<f64>, Array2<f64>) {
    /// Enough for any matrix: convergence is quadratic.
    const SWEEPS: usize = 30;
    let n = symmetric.nrows();
    let (mut a, mut vectors) = (symmetric.clone(), Array2::eye(n));
    for _ in 0..SWEEPS {
        let off: f64 = a.indexed_iter().filter(|((i, j), _)| i != j).map(|(_, v)| v * v).sum();
        if off <= 1e-30 * a.iter().map(|v| v * v).sum::<f64>() {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, p, q);
            }
        }
    }
    (a.diag().to_owned(), vectors)
}

/// Makes the entry (p, q) zero.
fn rotate(a: &mut Array2<f64>, vectors: &mut Array2<f64>, p: usize, q: usize) {
    if a[[p, q]] == 0.0 {
        return;
    }
    let theta = (a[[q, q]] - a[[p, p]]) / (2.0 * a[[p, q]]);
    let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    for k in 0..a.nrows() {
        let (kp, kq) = (a[[k, p]], a[[k, q]]);
        a[[k, p]] = cosine * kp - sine * kq;
        a[[k, q]] = sine * kp + cosine * kq;
    }
    for matrix in [a, vectors] {
        let (first, second) = (matrix.row(p).to_owned(), matrix.row(q).to_owned());
        matrix.slice_mut(s![p, ..]).assign(&(&first * cosine - &second * sine));
        matrix.slice_mut(s![q, ..]).assign(&(&first * sine + &second * cosine));
    }
}

/// Pearson's correlation.
pub fn correlation(a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    let [a, b] = [a, b].map(|v| v.map(|x| x - v.mean().unwrap_or(0.0)));
    let scale = (a.dot(&a) * b.dot(&b)).sqrt();
    if scale > 0.0 { a.dot(&b) / scale } else { 0.0 }
}

/// How well guessed activations fit the true ones, row by row, once the mean over all rows is taken from every column: what all rows have in
/// common says nothing about one. The mean correlation of a row with its guess, and the share of rows that fit their guess better than a row
/// of another batch does: by chance 0 and one half.
///
/// # Panics
/// If the shapes differ.
pub fn fit(guess: &Array2<f64>, truth: &Array2<f64>) -> [f64; 2] {
    let centred = |m: &Array2<f64>| m.mean_axis(Axis(0)).map_or_else(|| m.clone(), |mean| m - &mean);
    let [guess, truth] = [guess, truth].map(centred);
    let n = truth.nrows();
    if n == 0 {
        return [0.0, 0.5];
    }
    let mut other = truth.clone();
    (0..n).for_each(|i| other.row_mut(i).assign(&truth.row((i + n / 2) % n)));
    let (mut total, mut better) = (0.0, 0.0);
    Zip::from(guess.rows())
        .and(truth.rows())
        .and(other.rows())
        .for_each(|g, t, o| {
            total += correlation(g, t);
            better += f64::from(u8::from(correlation(g, t).abs() > correlation(g, o).abs()));
        });
    [total, better].map(|sum| sum / n as f64)
}

/// The place of the least number in each row; 0 in an empty one.
pub fn least(rows: &Array2<f64>) -> Vec<u32> {
    let place = |row: ArrayView1<f64>| (0..row.len()).min_by(|&i, &j| row[i].total_cmp(&row[j])).unwrap_or(0) as u32;
    rows.rows().into_iter().map(place).collect()
}

/// The share of equal entries; 0 of none.
pub fn agreement(a: &[u32], b: &[u32]) -> f64 {
    if a.is_empty() {
        return 0.0;
    }
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}
