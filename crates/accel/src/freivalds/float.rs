//! The check of a product in f32, which no two machines round alike: a lie below a tolerance passes.

use crate::{AccelError, Backend, Kind, Matrices, backend::vectorised, parallel, shape::Lines};
use rand::CryptoRng;
use std::ops::Range;

/// Half a unit in the last place of an f32 near 1.
const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// Lines of one task, where they are rows.
const LINES: usize = 256;

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
/// `[576, 64]` with entries of one size T is about 0.03 % of a typical element of Y times the root of the longer side, which has the coefficients: 0.2 % for m = 64, 1.8 % for m = 4096.
pub fn check_floats(
    kind: Kind,
    left: &Matrices<f32>,
    right: &Matrices<f32>,
    product: &Matrices<f32>,
    rounds: usize,
    rng: &mut impl CryptoRng,
) -> Result<(), AccelError> {
    // Two rounds at a time: a pass over an operand takes little longer for both.
    for _ in 0..rounds / 2 {
        check_rounds::<2>(kind, [left, right, product], rng)?;
    }
    match rounds % 2 {
        0 => Ok(()),
        _ => check_rounds::<1>(kind, [left, right, product], rng),
    }
}

fn check_rounds<const R: usize>(
    kind: Kind,
    [left, right, product]: [&Matrices<f32>; 3],
    rng: &mut impl CryptoRng,
) -> Result<(), AccelError> {
    let (dimensions, orientation) = super::orient(kind, left.shape(), right.shape(), product.shape())?;
    let count = orientation.coefficients(&dimensions);
    let coefficients: [Vec<f64>; R] = std::array::from_fn(|_| coefficients(count, rng));
    let coefficients = coefficients.each_ref().map(Vec::as_slice);
    for index in 0..dimensions.batch {
        let factors = [
            Lines::left(kind, left.shape(), left.values(), index),
            Lines::right(kind, right.shape(), right.values(), index),
        ];
        let (factors, product) = orientation.apply(factors, Lines::rows(product.shape(), product.values(), index));
        if !agrees(factors, product, coefficients) {
            return Err(AccelError::WrongProduct { index });
        }
    }
    Ok(())
}

/// So many coefficients in -1..1.
pub(crate) fn coefficients(count: usize, rng: &mut impl CryptoRng) -> Vec<f64> {
    let coefficient = |_| f64::from(rng.next_u32() as i32) / f64::from(1u32 << 31);
    (0..count).map(coefficient).collect()
}

/// Of lines, sums for every round, and of squares.
pub(crate) struct Sums<const R: usize> {
    pub(crate) rounds: [Vec<f64>; R],
    pub(crate) squares: Vec<f64>,
}

impl<const R: usize> Sums<R> {
    pub(crate) fn zeros(count: usize) -> Self {
        Self {
            rounds: std::array::from_fn(|_| vec![0.0; count]),
            squares: vec![0.0; count],
        }
    }

    /// The square of the Frobenius norm.
    pub(crate) fn norm(&self) -> f64 {
        self.squares.iter().sum()
    }

    pub(crate) fn vectors(&self) -> [&[f64]; R] {
        self.rounds.each_ref().map(Vec::as_slice)
    }

    /// Whether these are the expected sums, up to the rounding of products of so many terms: `expected` has the squares of the lines of the one operand, `other` is the squared norm of the
    /// other one.
    pub(crate) fn agree(&self, expected: &Self, depth: usize, other: f64) -> bool {
        let unit = DEVIATIONS * (depth as f64).sqrt() * UNIT * other.sqrt();
        let as_many = self.squares.len() == expected.squares.len();
        as_many
            && self.rounds.iter().zip(&expected.rounds).all(|(actual, sums)| {
                let mut lines = actual.iter().zip(sums).zip(&expected.squares);
                // What is not a number is not within any tolerance.
                lines.all(|((actual, expected), squares)| (actual - expected).abs() <= unit * squares.sqrt())
            })
    }
}

fn agrees<const R: usize>([left, right]: [Lines<f32>; 2], product: Lines<f32>, coefficients: [&[f64]; R]) -> bool {
    let inner = times(right.transposed(), coefficients);
    let expected = times(left, inner.vectors());
    times(product, coefficients).agree(&expected, left.depth, inner.norm())
}

/// Every line times vectors of its depth, and its sum of squares.
pub(crate) fn times<const R: usize>(lines: Lines<f32>, vectors: [&[f64]; R]) -> Sums<R> {
    let backend = Backend::best();
    let mut all = Sums::zeros(lines.count);
    match lines.along {
        1 => {
            let parts = parallel::map_parts(lines.count, LINES, lines.depth / 4, |part| {
                let rows = &lines.values[part.start * lines.across..];
                dots(backend, rows, lines.across, part.len(), vectors)
            });
            for (part, sums) in parts.into_iter().enumerate() {
                let to = all.rounds.iter_mut().chain([&mut all.squares]);
                let from = sums.rounds.into_iter().chain([sums.squares]);
                to.zip(from)
                    .for_each(|(to, from)| to[part * LINES..][..from.len()].copy_from_slice(&from));
            }
        }
        _ => {
            let parts = parallel::map_parts(lines.depth, 1024, lines.count / 4, |part| {
                let rows = &lines.values[part.start * lines.along..part.end * lines.along];
                let mut sums = Sums::zeros(lines.count);
                add_rows(
                    backend,
                    rows,
                    lines.along,
                    vectors.map(|vector| &vector[part.clone()]),
                    &mut sums,
                );
                sums
            });
            for sums in parts {
                let to = all.rounds.iter_mut().chain([&mut all.squares]);
                let from = sums.rounds.iter().chain([&sums.squares]);
                to.zip(from)
                    .for_each(|(to, from)| to.iter_mut().zip(from).for_each(|(sum, more)| *sum += more));
            }
        }
    }
    all
}

/// Rows that are added up together: sums are loaded once for all of them.
const ROWS: usize = 4;

/// Columns that are added up at a time: their sums stay in the first cache.
const BLOCK: usize = 256;

/// Terms of a row that are added up side by side.
const LANES: usize = 16;

vectorised! {
    /// Adds rows, each times its factor of every round, and their squares.
    fn add_rows<const R: usize>(rows: &[f32], width: usize, factors: [&[f64]; R], sums: &mut Sums<R>) {
        for first in (0..width).step_by(BLOCK) {
            add_columns(rows, width, first..width.min(first + BLOCK), factors, sums);
        }
    }
}

/// [`add_rows`] of at most [`BLOCK`] columns. Sums are formed in arrays of their own, which the compiler knows to overlap with nothing.
#[inline(always)]
fn add_columns<const R: usize>(rows: &[f32], width: usize, columns: Range<usize>, factors: [&[f64]; R], sums: &mut Sums<R>) {
    let (first, count) = (columns.start, columns.len().min(BLOCK));
    let (mut products, mut squares) = ([[0f64; BLOCK]; R], [0f64; BLOCK]);
    let (mut blocks, mut done) = (rows.chunks_exact(ROWS * width), 0);
    for four in blocks.by_ref() {
        let [a, b, c, d]: [&[f32]; ROWS] = std::array::from_fn(|row| &four[row * width + first..][..count]);
        let factors: [[f64; ROWS]; R] = std::array::from_fn(|round| std::array::from_fn(|row| factors[round][done + row]));
        for column in 0..count {
            let [a, b, c, d] = [a[column], b[column], c[column], d[column]].map(f64::from);
            for round in 0..R {
                let [e, f, g, h] = factors[round];
                products[round][column] += (e * a + f * b) + (g * c + h * d);
            }
            squares[column] += (a * a + b * b) + (c * c + d * d);
        }
        done += ROWS;
    }
    for (row, values) in blocks.remainder().chunks_exact(width).enumerate() {
        let factors = factors.map(|factors| factors[done + row]);
        for column in 0..count {
            let value = f64::from(values[first + column]);
            for round in 0..R {
                products[round][column] += factors[round] * value;
            }
            squares[column] += value * value;
        }
    }
    let to = sums.rounds.iter_mut().chain([&mut sums.squares]);
    for (to, from) in to.zip(products.iter().chain([&squares])) {
        to[columns.clone()].iter_mut().zip(from).for_each(|(to, from)| *to += from);
    }
}

vectorised! {
    /// So many rows, at a distance from each other, times a vector of every round, and their sums of squares.
    fn dots<const R: usize>(values: &[f32], across: usize, count: usize, vectors: [&[f64]; R]) -> Sums<R> {
        let mut all = Sums::zeros(count);
        for line in 0..count {
            let row = &values[line * across..][..vectors[0].len()];
            let (mut sums, mut squares) = ([[0f64; LANES]; R], [0f64; LANES]);
            let (groups, rest) = row.as_chunks::<LANES>();
            for (index, group) in groups.iter().enumerate() {
                let group = group.map(f64::from);
                for (sums, vector) in sums.iter_mut().zip(vectors) {
                    let vector = &vector[index * LANES..][..LANES];
                    for lane in 0..LANES {
                        sums[lane] += group[lane] * vector[lane];
                    }
                }
                for lane in 0..LANES {
                    squares[lane] += group[lane] * group[lane];
                }
            }
            for (index, value) in rest.iter().enumerate() {
                let value = f64::from(*value);
                for (sums, vector) in sums.iter_mut().zip(vectors) {
                    sums[0] += value * vector[groups.len() * LANES + index];
                }
                squares[0] += value * value;
            }
            for (round, sums) in all.rounds.iter_mut().zip(sums) {
                round[line] = sums.iter().sum();
            }
            all.squares[line] = squares.iter().sum();
        }
        all
    }
}
