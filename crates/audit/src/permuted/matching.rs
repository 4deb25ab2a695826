//! Which lines of one matrix are which of another.

use std::f32::consts::PI;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::Scales;

/// Lines with fewer values are compared by distance: a correlation of so few says nothing.
const FEW: usize = 8;
/// Logarithms of magnitudes are cut off here: an element of e^-3 of its usual size is as good as zero, and updates move it at will.
const SMALLEST: f32 = 3.0;
/// Passes in which logarithms are centred, and how many of them by medians. With many zeros it takes some until scales are gone.
const PASSES: usize = 16;
const MEDIANS: usize = 2;
/// Sums that describe the distribution of a line's values.
const SUMS: usize = 32;
/// Values that are less than this apart, of root mean square about 1, have one rank: an update of nothing does not make zeros different ones.
const CELL: f32 = 0.01;
const CELLS: usize = 1 << 12;
/// Rounds of an assignment, before what is left is assigned in order.
const ROUNDS: usize = 64;

/// How lines are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// By their correlation.
    Centred,
    /// By their angle, up to the sign of the line.
    UpToSign,
}

/// What of the elements does not depend on signs, and on scales where these are unknown; 0 on average.
pub(super) fn features(weights: &Array2<f32>, scales: Scales) -> Array2<f32> {
    match scales {
        Scales::Signs => {
            let mean = weights.iter().map(|value| value.abs()).sum::<f32>() / weights.len() as f32;
            weights.mapv(|value| value.abs() - mean)
        }
        Scales::Unknown => centred_logarithms(weights),
    }
}

/// Zeros have no part in the centring; then they are the smallest elements. First by medians, which elements near zero do not move.
fn centred_logarithms(weights: &Array2<f32>) -> Array2<f32> {
    let mut logs = weights.mapv(|value| value.abs().ln());
    for pass in 0..PASSES {
        for axis in [Axis(1), Axis(0)] {
            for mut line in logs.lanes_mut(axis) {
                let present = line.iter().copied().filter(|value| value.is_finite()).collect();
                let middle = if pass < MEDIANS { median(present) } else { mean(&present) };
                line.mapv_inplace(|value| value - middle);
            }
        }
    }
    logs.mapv_inplace(|value| value.clamp(-SMALLEST, SMALLEST));
    logs
}

/// Of none 0.
pub(super) fn median(mut values: Vec<f32>) -> f32 {
    match values.len() / 2 {
        0 => values.first().copied().unwrap_or(0.0),
        middle => *values.select_nth_unstable_by(middle, f32::total_cmp).1,
    }
}

/// Without elements that are as good as zero.
fn mean(values: &[f32]) -> f32 {
    let kept = values.iter().filter(|value| **value > -SMALLEST);
    let (sum, count) = kept.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    if count > 0 { sum / count as f32 } else { 0.0 }
}

/// Lines (rows) of the second matrix for those of the first, by the distribution of their values alone: sums of cos(pi k u) over the values' ranks u in 0..1 among all of
/// their matrix, k = 1, 2, ... An update that moves ranks by `sigma` leaves sum k with a correlation of exp(-(pi k sigma)^2 / 2); lines are matched by how much more likely
/// that is than none.
pub(super) fn first_guess(known: ArrayView2<'_, f32>, seen: ArrayView2<'_, f32>, sigma: f32) -> Vec<usize> {
    let [known, seen] = [known, seen].map(distribution);
    let weights = |of: fn(f32) -> f32| -> Array1<f32> {
        let correlation = |k: usize| (-(PI * (k + 1) as f32 * sigma).powi(2) / 2.0).exp().min(0.999);
        (0..SUMS).map(|k| of(correlation(k))).collect()
    };
    let products = weights(|rho| rho / (1.0 - rho * rho));
    let squares = weights(|rho| rho * rho / (1.0 - rho * rho) / 2.0);
    let lengths = |sums: &Array2<f32>| sums.mapv(|sum| sum * sum).dot(&squares);
    let (of_known, of_seen) = (lengths(&known), lengths(&seen));
    assigned(&((known * &products).dot(&seen.t()) - of_known.insert_axis(Axis(1)) - of_seen))
}

/// The sums of every line, `[lines, SUMS]`, each of about mean 0 and variance 1.
fn distribution(lines: ArrayView2<'_, f32>) -> Array2<f32> {
    let smallest = lines.iter().copied().fold(f32::INFINITY, f32::min);
    let cell = |value: f32| (((value - smallest) / CELL) as usize).min(CELLS - 1);
    let mut counts = vec![0usize; CELLS];
    lines.iter().for_each(|value| counts[cell(*value)] += 1);
    // The angle of the middle of its ranks.
    let mut below = 0;
    let cosines = counts.iter().map(|count| {
        below += count;
        (PI * (2 * below - count) as f32 / (2 * lines.len()) as f32).cos()
    });
    let cosines: Vec<f32> = cosines.collect();
    let half = (lines.ncols() as f32 / 2.0).sqrt();
    let mut sums = Array2::zeros((lines.nrows(), SUMS));
    for (line, mut sums) in lines.rows().into_iter().zip(sums.rows_mut()) {
        for value in line {
            let first = cosines[cell(*value)];
            let (mut last, mut cosine) = (1.0, first);
            for sum in &mut sums {
                *sum += cosine / half;
                (last, cosine) = (cosine, 2.0 * first * cosine - last);
            }
        }
    }
    let mean = sums.mean_axis(Axis(0)).unwrap_or_default();
    sums - &mean
}

/// How alike each line (row) of the first matrix is to each of the second, `[known, seen]`: larger is more alike.
pub(super) fn scores(known: ArrayView2<'_, f32>, seen: ArrayView2<'_, f32>, likeness: Likeness) -> Array2<f32> {
    if known.ncols() < FEW {
        return Array2::from_shape_fn((known.nrows(), seen.nrows()), |(k, s)| {
            -distance(known.row(k), seen.row(s), likeness)
        });
    }
    let mut scores = normalised(known, likeness).dot(&normalised(seen, likeness).t());
    if likeness == Likeness::UpToSign {
        scores.mapv_inplace(f32::abs);
    }
    scores
}

/// Squared, of a line or of its negative.
fn distance(known: ArrayView1<'_, f32>, seen: ArrayView1<'_, f32>, likeness: Likeness) -> f32 {
    let to = |sign: f32| known.iter().zip(seen).map(|(k, s)| (k - sign * s).powi(2)).sum::<f32>();
    match likeness {
        Likeness::Centred => to(1.0),
        Likeness::UpToSign => to(1.0).min(to(-1.0)),
    }
}

/// Every line at length 1, or 0 where nothing is left of it.
fn normalised(lines: ArrayView2<'_, f32>, likeness: Likeness) -> Array2<f32> {
    // Row by row in memory, whatever the view is of.
    let mut lines = lines.as_standard_layout().into_owned();
    for mut line in lines.rows_mut() {
        if likeness == Likeness::Centred {
            let mean = line.mean().unwrap_or(0.0);
            line.mapv_inplace(|value| value - mean);
        }
        let length = line.iter().map(|value| value * value).sum::<f32>().sqrt();
        if length > f32::EPSILON {
            line.mapv_inplace(|value| value / length);
        } else {
            line.fill(0.0);
        }
    }
    lines
}

/// For each row of `[n, m]` scores, n <= m, a column, each column once at most: in rounds in which every free row asks for its best free column, and every column takes the best
/// of the rows that ask.
pub(super) fn assigned(scores: &Array2<f32>) -> Vec<usize> {
    let (count, places) = scores.dim();
    let mut taken = vec![None; count];
    let (mut rows, mut columns): (Vec<usize>, Vec<usize>) = ((0..count).collect(), (0..places).collect());
    for _ in 0..ROUNDS {
        let mut asked: Vec<Option<(f32, usize)>> = vec![None; places];
        for &row in &rows {
            let line = scores.row(row);
            let best = columns
                .iter()
                .copied()
                .max_by(|a, b| line[*a].total_cmp(&line[*b]).then(b.cmp(a)));
            if let Some(column) = best
                && asked[column].is_none_or(|(most, _)| line[column] > most)
            {
                asked[column] = Some((line[column], row));
            }
        }
        for (column, asked) in asked.into_iter().enumerate() {
            if let Some((_, row)) = asked {
                taken[row] = Some(column);
            }
        }
        rows.retain(|row| taken[*row].is_none());
        let mut free = vec![true; places];
        taken.iter().flatten().for_each(|column| free[*column] = false);
        columns.retain(|column| free[*column]);
        if rows.is_empty() {
            break;
        }
    }
    // Lines that cannot be told apart.
    let mut rest = columns.into_iter();
    taken
        .into_iter()
        .map(|column| column.or_else(|| rest.next()).unwrap_or(0))
        .collect()
}
