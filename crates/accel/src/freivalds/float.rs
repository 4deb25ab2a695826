//! The check of a product in f32, which no two machines round alike: a lie below a tolerance passes.

use crate::{AccelError, Backend, Kind, Matrices, backend::vectorised, parallel, shape::Lines};
use rand::CryptoRng;

/// Half a unit in the last place of an f32 near 1.
const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// Deviations of the rounding errors of an honest worker that are tolerated.
const DEVIATIONS: f64 = 8.0;

/// That every product of a batch is the product of its operands up to rounding, in `rounds` rounds of fresh coefficients.
///
/// With random coefficients r in -1..1 a round compares each line of Y r with that of X (W r), in f64. For the line i it tolerates
///
///   T = 8 sqrt(depth) 2^-24 |x_i| |W|      (norm of the line of the one operand, Frobenius norm of the other)
///
/// eight times what independent rounding errors of f32 sums come to. An honest product passes but for an accident of rounding, which costs another worker's
/// time and nothing else. An error of `d` in one element or more of a line passes a round with a probability of at most T/d (r times d lies in an interval
/// of length 2 T out of 2 d), all rounds with (T/d)^rounds: **lies below T pass**, lies of 2^20 T pass one round once in a million. For `[m, 576]` by
/// `[576, 64]` with entries of one size T is about 0.2 % of a typical element of Y.
pub fn check_floats(
    kind: Kind,
    left: &Matrices<f32>,
    right: &Matrices<f32>,
    product: &Matrices<f32>,
    rounds: usize,
    rng: &mut impl CryptoRng,
) -> Result<(), AccelError> {
    let (dimensions, orientation) = super::orient(kind, left.shape(), right.shape(), product.shape())?;
    for _ in 0..rounds {
        let coefficient = |_| f64::from(rng.next_u32() as i32) / f64::from(1u32 << 31);
        let coefficients: Vec<f64> = (0..orientation.coefficients(&dimensions)).map(coefficient).collect();
        for index in 0..dimensions.batch {
            let factors = [
                Lines::left(kind, left.shape(), left.values(), index),
                Lines::right(kind, right.shape(), right.values(), index),
            ];
            let (factors, product) = orientation.apply(factors, Lines::rows(product.shape(), product.values(), index));
            if !agrees(factors, product, &coefficients) {
                return Err(AccelError::WrongProduct { index });
            }
        }
    }
    Ok(())
}

fn agrees([left, right]: [Lines<f32>; 2], product: Lines<f32>, coefficients: &[f64]) -> bool {
    let (inner, _) = times(right.transposed(), coefficients);
    let frobenius = right.values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let (expected, squares) = times(left, &inner);
    let (actual, _) = times(product, coefficients);
    let unit = DEVIATIONS * (left.depth as f64).sqrt() * UNIT * frobenius;
    let lines = actual.iter().zip(&expected).zip(&squares);
    // What is not a number is not within any tolerance.
    lines
        .into_iter()
        .all(|((actual, expected), squares)| (actual - expected).abs() <= unit * squares.sqrt())
}

/// Every line times a vector of its depth, and its sum of squares.
fn times(lines: Lines<f32>, vector: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let backend = Backend::best();
    let zeros = || (vec![0.0; lines.count], vec![0.0; lines.count]);
    match lines.along {
        1 => {
            let parts = parallel::map_parts(lines.count, 256, lines.depth / 4, |part| {
                let rows = part.map(|line| &lines.values[line * lines.across..][..lines.depth]);
                rows.map(|row| dot(backend, row, vector)).collect::<Vec<_>>()
            });
            parts.concat().into_iter().unzip()
        }
        _ => {
            let parts = parallel::map_parts(lines.depth, 1024, lines.count / 4, |part| {
                let (mut sums, mut squares) = zeros();
                for depth in part {
                    let row = &lines.values[depth * lines.along..][..lines.count];
                    add_row(backend, row, vector[depth], &mut sums[..], &mut squares[..]);
                }
                (sums, squares)
            });
            parts
                .into_iter()
                .fold(zeros(), |(mut sums, mut squares), (more, more_squares)| {
                    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
                    squares.iter_mut().zip(more_squares).for_each(|(sum, more)| *sum += more);
                    (sums, squares)
                })
        }
    }
}

vectorised! {
    /// Adds a row times a factor, and its squares.
    fn add_row(row: &[f32], factor: f64, sums: &mut [f64], squares: &mut [f64]) {
        for ((value, sum), square) in row.iter().zip(sums).zip(squares) {
            let value = f64::from(*value);
            *sum += factor * value;
            *square += value * value;
        }
    }
}

vectorised! {
    /// A row times a vector, and its sum of squares.
    fn dot(row: &[f32], vector: &[f64]) -> (f64, f64) {
        let (mut sums, mut squares) = ([0f64; 16], [0f64; 16]);
        let (groups, rest) = row.as_chunks::<16>();
        let (factors, rest_factors) = vector.as_chunks::<16>();
        for (group, factors) in groups.iter().zip(factors) {
            for lane in 0..16 {
                let value = f64::from(group[lane]);
                sums[lane] += value * factors[lane];
                squares[lane] += value * value;
            }
        }
        for (value, factor) in rest.iter().zip(rest_factors) {
            sums[0] += f64::from(*value) * factor;
            squares[0] += f64::from(*value).powi(2);
        }
        (sums.iter().sum(), squares.iter().sum())
    }
}
