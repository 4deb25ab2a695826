//! Two-valued columns from what several passes over the same rows show of a linear layer.
//!
//! In each pass t the attacker sees H_t = X theta_t + b_t of the same n rows, `[n, width]`, and knows neither X nor theta_t. The columns of all H_t next to
//! each other lie in the span of X's columns and the column of ones; once there are as many different ones as X has columns, they span all of it. A
//! column that takes two values is then a direction w of the span in which every row has one of two values, and such directions are rare:
//!
//! 1. an orthonormal basis of the span, ones apart (`basis`);
//! 2. (y - a)(y - b) = 0 is a quadratic equation in the coordinates of a row. All quadratic equations that hold for all rows are the kernel of a linear
//!    map; what they are about are the two-valued columns and few others (`relations`). Works where the span is exact;
//! 3. from random directions, there and in the whole span: each row's coordinate is rounded to the nearer of two values, the result projected onto the span,
//!    and so on until nothing changes (`split`). Works in the whole span also where the weights drifted within a pass, approximately.

mod basis;
mod relations;
mod split;
#[cfg(test)]
mod tests;

use ndarray::{Array2, ArrayView1, Axis, concatenate};

use crate::AuditError;

/// Passes with more numbers than this in all are refused.
pub const MAX_NUMBERS: usize = 1 << 27;
/// Columns whose rarer value has a smaller share of the rows are not looked for: single rows far out would be taken for columns.
pub const LEAST_SHARE: f64 = 0.01;
/// Columns returned at most.
pub const MOST_COLUMNS: usize = 8;

/// A guess at a two-valued column.
#[derive(Debug, Clone, PartialEq)]
pub struct TwoValued {
    /// The value of each row, up to which of the two is which.
    pub values: Vec<bool>,
    /// How far the column is outside the span, of its length once the mean is taken off: 0 for one that is in it. The best split of a span that holds
    /// nothing of the kind is at about 0.5 to 0.6 (of normally distributed rows, sqrt(1 - 2/pi)).
    pub residual: f64,
}

/// The span of several passes.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its dimension, ones apart; as many as X has columns when it holds all of them.
    pub dimension: usize,
    /// Quadratic equations that hold for all rows, up to 16. With none, the columns below are approximate.
    pub relations: usize,
    /// The most nearly two-valued columns of it, best first; of an exact span those with residual 0 are columns of X or sums of them.
    pub columns: Vec<TwoValued>,
}

/// Looks for two-valued columns in the span of passes over the same rows, each `[rows, width]` with its rows in the same order. Repeatable.
///
/// # Errors
/// [`AuditError::Rows`] for no pass, passes of other numbers of rows, numbers that are not finite, or too many.
pub fn two_valued_columns(passes: &[Array2<f64>]) -> Result<Span, AuditError> {
    let basis = basis::of(&stacked(passes)?);
    let (relations, reduced) = relations::two_valued_directions(&basis);
    let mut columns = split::search(&reduced);
    columns.extend(split::search(&basis));
    // Rounded once more in the whole span, which holds what the reduced one does.
    let columns = columns
        .iter()
        .map(|column| split::refine(&basis, split::indicator(&column.values)))
        .collect();
    Ok(Span {
        dimension: basis.nrows(),
        relations,
        columns: split::best(columns, MOST_COLUMNS),
    })
}

/// The share of rows in which a guess is right, up to which value is which.
pub fn rows_right(guess: &[bool], truth: &[bool]) -> f64 {
    let same = guess.iter().zip(truth).filter(|(a, b)| a == b).count() as f64 / guess.len().max(1) as f64;
    same.max(1.0 - same)
}

/// Which rows have the greater of the two values of a column; `None` for a column that takes more or fewer.
pub fn greater_of_two(column: ArrayView1<f32>) -> Option<Vec<bool>> {
    let (low, high) = column.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| {
        (low.min(*v), high.max(*v))
    });
    let two = low < high && column.iter().all(|v| *v == low || *v == high);
    two.then(|| column.iter().map(|v| *v == high).collect())
}

/// All passes next to each other, a line a column: `[passes x width, rows]`.
fn stacked(passes: &[Array2<f64>]) -> Result<Array2<f64>, AuditError> {
    let rows = passes.first().map_or(0, Array2::nrows);
    let refused = |expected: &str, got: String| {
        Err(AuditError::Rows {
            expected: expected.to_owned(),
            got,
        })
    };
    if rows == 0 {
        return refused(
            "a pass over at least one row",
            format!("{} passes, {rows} rows", passes.len()),
        );
    }
    if let Some(other) = passes.iter().find(|pass| pass.nrows() != rows) {
        return refused(&format!("{rows} rows in every pass"), other.nrows().to_string());
    }
    let numbers: usize = passes.iter().map(Array2::len).sum();
    if numbers > MAX_NUMBERS {
        return refused(&format!("at most {MAX_NUMBERS} numbers"), numbers.to_string());
    }
    if !passes.iter().flatten().all(|v| v.is_finite()) {
        return refused("finite numbers", "others".to_owned());
    }
    let turned: Vec<_> = passes.iter().map(|pass| pass.t()).collect();
    concatenate(Axis(0), &turned).map_err(|e| AuditError::Rows {
        expected: "passes of the same rows".to_owned(),
        got: e.to_string(),
    })
}
