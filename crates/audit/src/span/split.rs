//! Splitting rows in two so that the split is near to a span.

use ndarray::{Array1, Array2, Axis};

use super::{LEAST_SHARE, TwoValued, rows_right};

/// Random directions to start from.
const STARTS: usize = 96;
/// Rows that are looked at before the best splits are taken up with all rows.
const ROWS_AT_FIRST: usize = 4096;
/// Rounds of rounding and projecting; few take more than 20.
const ROUNDS: usize = 60;
/// Splits that agree in this share of the rows are one.
const SAME: f64 = 0.95;
/// Splits taken from the few rows to all.
const TAKEN_UP: usize = 16;

/// The splits nearest to the span of an orthonormal basis (a vector a line), best first.
pub fn search(basis: &Array2<f64>) -> Vec<TwoValued> {
    let (vectors, rows) = basis.dim();
    if vectors == 0 || rows < 2 {
        return Vec::new();
    }
    let taken = rows.min(ROWS_AT_FIRST);
    let sample: Vec<usize> = (0..taken).map(|k| k * rows / taken).collect();
    let few = super::basis::of(&basis.select(Axis(1), &sample));
    // Back to all rows: the coordinates of the sample's basis in the whole one are not needed, the values are.
    let mut state = 1;
    let found = (0..STARTS).map(|_| {
        let direction = Array1::from_shape_simple_fn(few.nrows(), || uniform(&mut state));
        refine(&few, few.t().dot(&direction))
    });
    let found = best(found.collect(), TAKEN_UP);
    let all = found.iter().map(|split| {
        let mut start = Array1::zeros(rows);
        let known = indicator(&split.values);
        // A direction of the whole basis from the rows that are known.
        let direction = basis.select(Axis(1), &sample).dot(&known);
        start += &basis.t().dot(&direction);
        refine(basis, start)
    });
    best(all.collect(), TAKEN_UP)
}

/// Rounds to two values and projects onto the span, until nothing changes.
pub fn refine(basis: &Array2<f64>, start: Array1<f64>) -> TwoValued {
    let mut values = halves(&start);
    let mut along = basis.dot(&indicator(&values));
    for _ in 0..ROUNDS {
        let next = halves(&basis.t().dot(&along));
        if next == values {
            break;
        }
        values = next;
        along = basis.dot(&indicator(&values));
    }
    TwoValued {
        residual: (1.0 - along.dot(&along)).max(0.0).sqrt(),
        values,
    }
}

/// A column of two values, of mean 0 and length 1; zeros of a constant one.
pub fn indicator(values: &[bool]) -> Array1<f64> {
    let share = values.iter().filter(|v| **v).count() as f64 / values.len().max(1) as f64;
    let length = (share * (1.0 - share) * values.len() as f64).sqrt();
    if length == 0.0 {
        return Array1::zeros(values.len());
    }
    values.iter().map(|v| (f64::from(u8::from(*v)) - share) / length).collect()
}

/// The best of those that differ.
pub fn best(mut splits: Vec<TwoValued>, most: usize) -> Vec<TwoValued> {
    splits.sort_by(|a, b| a.residual.total_cmp(&b.residual));
    let mut kept: Vec<TwoValued> = Vec::new();
    for split in splits {
        if kept.len() == most {
            break;
        }
        if kept.iter().all(|other| rows_right(&split.values, &other.values) < SAME) {
            kept.push(split);
        }
    }
    kept
}

/// The split at the threshold that leaves least variance within the two sides (two means on a line), each side with its least share of the rows.
fn halves(numbers: &Array1<f64>) -> Vec<bool> {
    let mut order = numbers.to_vec();
    order.sort_unstable_by(f64::total_cmp);
    let (n, total) = (order.len(), order.iter().sum::<f64>());
    let least = ((LEAST_SHARE * n as f64).ceil() as usize).max(1);
    let (mut sum, mut threshold, mut greatest) = (0.0, f64::NEG_INFINITY, f64::NEG_INFINITY);
    for (at, pair) in order.windows(2).enumerate() {
        sum += pair[0];
        let (below, above) = ((at + 1) as f64, (n - at - 1) as f64);
        let between = below * above * (sum / below - (total - sum) / above).powi(2);
        if at + 1 >= least && n - at > least && between > greatest {
            (threshold, greatest) = (0.5 * (pair[0] + pair[1]), between);
        }
    }
    numbers.iter().map(|v| *v > threshold).collect()
}

/// A fixed sequence (splitmix64), uniform in -1/2..1/2; the attack is repeatable.
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 - 0.5
}
