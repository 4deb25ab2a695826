//! Quadratic equations that all rows satisfy, and the directions they are about.
//!
//! With z = (1, coordinates of a row), an equation is z^T A z = 0 with a symmetric A. A column y = w.z of two values a and b gives one of rank 2,
//! (w.z - a)(w.z - b) = 0; two columns of which one is always zero give (w.z)(v.z) = 0. The equations are the kernel of the matrix of all products of two
//! coordinates, a line a row.

use ndarray::{Array1, Array2, Axis, s};

use super::basis::of;
use crate::algebra::eigenvectors;

/// Products of two coordinates at most; the work grows with the cube. 820 are those of 39 coordinates.
const MOST_PRODUCTS: usize = 820;
/// Equations looked for.
const EQUATIONS: usize = 16;
/// Rows beyond the number of products, so that what holds for all rows holds for no other reason than that.
const MORE_ROWS: usize = 100;
/// Inverse iterations; each divides what is no solution by the square of its residual, which is about 0.1.
const ITERATIONS: usize = 20;
/// Residuals of solutions (root mean square, of coordinates of mean square 1): below this, or below this part of the last of those looked for.
const SOLVED: f64 = 1e-6;
const SOLVED_PART: f64 = 1e-2;
/// Eigenvalues below this part of the greatest belong to directions that no equation is about.
const ABSENT: f64 = 1e-4;

/// The number of equations that all rows satisfy (16 at most) and a basis, a vector a line, of the directions that they are about; an empty one where
/// there are none, too many coordinates or too few rows.
pub fn two_valued_directions(basis: &Array2<f64>) -> (usize, Array2<f64>) {
    let none = (0, Array2::zeros((0, basis.ncols())));
    let (rows, coordinates) = (basis.ncols(), basis.nrows() + 1);
    let count = coordinates * (coordinates + 1) / 2;
    if basis.is_empty() || count > MOST_PRODUCTS || rows < count + MORE_ROWS {
        return none;
    }
    let taken = rows.min(2 * count + MORE_ROWS);
    let sample: Vec<usize> = (0..taken).map(|k| k * rows / taken).collect();
    let mut z = Array2::ones((coordinates, taken));
    z.slice_mut(s![1.., ..])
        .assign(&(basis.select(Axis(1), &sample) * (rows as f64).sqrt()));
    let equations = kernel(&triangle(products(&z)), taken);
    if equations.is_empty() {
        return none;
    }
    let zeros = Array2::<f64>::zeros((coordinates, coordinates));
    let squares = equations.iter().map(|equation| symmetric(equation, coordinates));
    let about = squares.fold(zeros, |sum, a| sum + a.dot(&a));
    let (values, vectors) = eigenvectors(&about);
    let greatest = values.fold(0.0, |a: f64, b| a.max(*b));
    let kept: Vec<usize> = (0..coordinates).filter(|&i| values[i] > ABSENT * greatest).collect();
    let directions = vectors.select(Axis(0), &kept).slice(s![.., 1..]).dot(basis);
    (equations.len(), significant(&directions))
}

/// A basis of lines that are combinations of orthonormal ones: one of them is the ones' and has lost its direction with them.
fn significant(directions: &Array2<f64>) -> Array2<f64> {
    let gram = directions.dot(&directions.t());
    let (values, vectors) = eigenvectors(&gram);
    let kept: Vec<usize> = (0..values.len()).filter(|&i| values[i] > ABSENT).collect();
    of(&vectors.select(Axis(0), &kept).dot(directions))
}

/// All products of two coordinates, a line each; those of two different ones times the square root of 2, so that lengths are those of matrices.
fn products(z: &Array2<f64>) -> Array2<f64> {
    let coordinates = z.nrows();
    let mut products = Array2::zeros((coordinates * (coordinates + 1) / 2, z.ncols()));
    let pairs = (0..coordinates).flat_map(|i| (i..coordinates).map(move |j| (i, j)));
    for (mut line, (i, j)) in products.rows_mut().into_iter().zip(pairs) {
        let factor = if i == j { 1.0 } else { std::f64::consts::SQRT_2 };
        line.assign(&(&z.row(i) * &z.row(j) * factor));
    }
    products
}

/// The matrix of an equation.
fn symmetric(equation: &Array1<f64>, coordinates: usize) -> Array2<f64> {
    let mut a = Array2::zeros((coordinates, coordinates));
    let pairs = (0..coordinates).flat_map(|i| (i..coordinates).map(move |j| (i, j)));
    for (value, (i, j)) in equation.iter().zip(pairs) {
        let factor = if i == j { 1.0 } else { std::f64::consts::FRAC_1_SQRT_2 };
        a[[i, j]] = value * factor;
        a[[j, i]] = value * factor;
    }
    a
}

/// R of the lines' QR decomposition (lines are columns of it), by modified Gram-Schmidt.
fn triangle(mut lines: Array2<f64>) -> Array2<f64> {
    let n = lines.nrows();
    let mut r = Array2::zeros((n, n));
    for i in 0..n {
        let (done, mut rest) = lines.view_mut().split_at(Axis(0), i + 1);
        let line = done.row(i);
        let length = line.dot(&line).sqrt();
        r[[i, i]] = length;
        if length == 0.0 {
            continue;
        }
        for (j, mut other) in rest.rows_mut().into_iter().enumerate() {
            let along = line.dot(&other) / length;
            r[[i, i + 1 + j]] = along;
            other.scaled_add(-along / length, &line);
        }
    }
    r
}

/// The vectors x with R x = 0 up to rounding, by inverse iteration with R^T R.
fn kernel(r: &Array2<f64>, rows: usize) -> Vec<Array1<f64>> {
    let n = r.nrows();
    let floor = 1e-14 * r.diag().fold(0.0, |a: f64, b| a.max(b.abs())).max(f64::MIN_POSITIVE);
    let mut all: Vec<Array1<f64>> = (0..EQUATIONS.min(n))
        .map(|at| Array1::from_shape_fn(n, |i| ((i * (at + 3) + at) as f64).cos()))
        .collect();
    for _ in 0..ITERATIONS {
        for at in 0..all.len() {
            let mut x = solve(r, &all[at], floor);
            for _ in 0..2 {
                for before in &all[..at] {
                    let along = x.dot(before);
                    x.scaled_add(-along, before);
                }
                x /= x.dot(&x).sqrt().max(f64::MIN_POSITIVE);
            }
            all[at] = x;
        }
    }
    let residual = |x: &Array1<f64>| {
        let image = r.dot(x);
        (image.dot(&image) / rows as f64).sqrt()
    };
    let ordinary = all.last().map_or(0.0, residual);
    all.into_iter()
        .take_while(|x| residual(x) < SOLVED.max(SOLVED_PART * ordinary))
        .collect()
}

/// (R^T R)^-1 x with no diagonal entry taken below `floor`, scaled to length 1 between the two steps.
fn solve(r: &Array2<f64>, x: &Array1<f64>, floor: f64) -> Array1<f64> {
    let n = r.nrows();
    let diagonal = |i: usize| if r[[i, i]] < floor { floor } else { r[[i, i]] };
    let mut y = x.clone();
    for i in 0..n {
        y[i] /= diagonal(i);
        let value = y[i];
        y.slice_mut(s![i + 1..]).scaled_add(-value, &r.slice(s![i, i + 1..]));
    }
    y /= y.dot(&y).sqrt().max(f64::MIN_POSITIVE);
    for i in (0..n).rev() {
        let known = r.slice(s![i, i + 1..]).dot(&y.slice(s![i + 1..]));
        y[i] = (y[i] - known) / diagonal(i);
    }
    y
}
