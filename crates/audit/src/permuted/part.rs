//! Which lines of the known weights a worker was sent, that has only some rows or some columns of W~.

use ndarray::{Array2, ArrayView2, Axis};

use super::{
    GUESSES, SURE, Scales, known_weights,
    matching::{Likeness, assigned, features, first_guess, scores},
};
use crate::AuditError;

/// Turns from one first guess.
const TURNS: usize = 6;

/// Rows and columns of `known`, which `seen` are some of: the one or the other may be fewer. Lines of the side that is whole are compared by the distribution of their values; then in
/// turn the permutation of that side is found from these lines ([`known_weights`]), and the lines of the other given that one.
///
/// # Errors
/// [`AuditError::Weights`] where both sides are fewer, or one is more.
pub(super) fn lines(known: &Array2<f32>, seen: &Array2<f32>, scales: Scales) -> Result<[Vec<usize>; 2], AuditError> {
    let all = [known.nrows(), known.ncols()].map(|count| (0..count).collect::<Vec<_>>());
    let [rows, columns] = all;
    let fewer = (seen.nrows() < known.nrows(), seen.ncols() < known.ncols());
    match fewer {
        (true, false) if seen.ncols() == known.ncols() => Ok([rows_of(known.view(), seen.view(), scales)?, columns]),
        (false, true) if seen.nrows() == known.nrows() => Ok([rows, rows_of(known.t(), seen.t(), scales)?]),
        (false, false) if seen.dim() == known.dim() => Ok([rows, columns]),
        _ => Err(AuditError::Weights {
            expected: format!("{} x {}, or fewer rows or columns", known.nrows(), known.ncols()),
            got: format!("{} x {}", seen.nrows(), seen.ncols()),
        }),
    }
}

fn rows_of(known: ArrayView2<'_, f32>, seen: ArrayView2<'_, f32>, scales: Scales) -> Result<Vec<usize>, AuditError> {
    let [known, seen] = [known, seen].map(|weights| weights.as_standard_layout().into_owned());
    let magnitudes = [&known, &seen].map(|weights| features(weights, scales));
    let mut best = (f64::MIN, Vec::new());
    for sigma in GUESSES {
        let mut rows = first_guess(magnitudes[1].view(), magnitudes[0].view(), sigma);
        for _ in 0..TURNS {
            rows.sort_unstable();
            let found = known_weights(&known.select(Axis(0), &rows), &seen, scales)?;
            if found.agreement > best.0 {
                best = (found.agreement, rows.clone());
            }
            let mut next = assigned(&scores(
                found.columns.undo_columns(&seen)?.view(),
                known.view(),
                Likeness::UpToSign,
            ));
            next.sort_unstable();
            if next == rows {
                break;
            }
            rows = next;
        }
        if best.0 > SURE {
            break;
        }
    }
    Ok(best.1)
}
