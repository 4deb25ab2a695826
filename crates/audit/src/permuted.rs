//! Permutations of an accelerator's operands, from weights that the training began with.
//!
//! The attacker is a worker of protocol `enclave` under the paper's blinding (Tempo, arXiv 2401.11531). Of a linear layer it is sent W~ = P2 W P3^T and, for every
//! batch, X~ = P1 X P2^T, where P1, P2, P3 are secret permutations with signs (of the paper: with scales), and it knows W0, from which W differs by little: a published
//! pre-trained model, or the job's seed. [`known_weights`] finds P2 and P3; with them every row of X is a sample's features in their order, up to its sign.
//!
//! 1. Magnitudes do not depend on signs. With [`Scales::Unknown`] their logarithms, centred by rows and by columns, do not depend on a scale for each row and column either.
//! 2. A first guess for one side by what does not depend on the order of the other: the ranks of a line's values among all, as a distribution.
//! 3. In turn: columns by correlation, given the rows, and rows given the columns (greedy assignment), until nothing changes.
//! 4. Signs of rows and columns that explain most of W~ W0 element by element, in turn; then 3. again with signed numbers.
//! 5. From other first guesses as well, unless the agreement with W0 is that of small updates; the best is kept.
//!
//! How far it goes, for uniform W0 as large networks begin with, and signs: everything is found with updates of a relative size up to 0.15 for every shape from 27 x 64 to
//! 4608 x 512; at 0.2 only of the smallest (27 x 64, 128 x 10), elsewhere a tenth or no more than by chance; from 0.3 on by chance (128 x 10: a third of the rows).
//!
//! Cost, for `[n, m]`: a turn takes n m (n + m) multiply-adds and the assignment about n^2 + m^2 comparisons; 5 to 10 turns where the attack succeeds, at most
//! [`MOST_TURNS`] where it does not. Memory: max(n, m)^2 numbers.
//!
//! A worker that has only some rows, or only some columns, of W~ first finds which ([`part`]); of its part it then has everything as well.
//!
//! Magnitudes of one element decide alone where a matrix has few rows or columns; signs are found up to a common one of P2 and P3, which no product shows.

mod findings;
mod matching;
mod part;
mod signs;
#[cfg(test)]
mod tests;

use ndarray::{Array2, Axis};

pub use self::findings::{Operand, SeenProduct, audit_products};
use self::{
    matching::{Likeness, assigned, first_guess, scores},
    signs::sign_of_rows_and_columns,
};
use crate::AuditError;

/// The most rows or columns of a matrix that is attacked: a gigabyte of correlations.
pub const MOST_LINES: usize = 1 << 14;
/// The most turns of an attack.
pub const MOST_TURNS: usize = GUESSES.len() * 2 * MAGNITUDE_TURNS + SIGN_TURNS;

/// Turns from one first guess, and at the end.
const MAGNITUDE_TURNS: usize = 20;
const SIGN_TURNS: usize = 10;
/// By how much of all ranks updates may have moved values, for the first guesses.
const GUESSES: [f32; 2] = [0.01, 0.06];
/// A correlation of magnitudes that no wrong permutation of more than a few rows and columns reaches.
const SURE: f64 = 0.98;

/// What the attacker takes for possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scales {
    /// Signs only, as `cloven_accel::permuted` has them.
    Signs,
    /// Rows and columns are scaled too, as in the paper.
    Unknown,
}

/// Where lines of the known matrix stand in the one that was seen, and with which sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Of each known row or column, its number in the matrix that was seen.
    pub order: Vec<usize>,
    /// Of each known row or column, whether its sign is changed there.
    pub negative: Vec<bool>,
}

/// What the attack found: P2 as [`Self::inner`], P3 as [`Self::columns`], both perhaps with all signs the other way round.
#[derive(Debug, Clone, PartialEq)]
pub struct Permutations {
    /// Of the rows of W and the columns of X.
    pub inner: Places,
    /// Of the columns of W and of Y.
    pub columns: Places,
    /// Cosine between W0 and what was seen, put back: 1 without updates, 1 / sqrt(1 + r^2) with updates of relative size r. The attacker can see it.
    pub agreement: f64,
}

/// Finds the permutations between weights that are known and weights that were seen, both `[inner, columns]`.
///
/// # Errors
/// [`AuditError::Weights`] for matrices of different shapes, empty ones, ones with more than [`MOST_LINES`] rows or columns, or with numbers that are not finite.
pub fn known_weights(known: &Array2<f32>, seen: &Array2<f32>, scales: Scales) -> Result<Permutations, AuditError> {
    check(known, seen)?;
    let [known, seen] = [known, seen].map(unit);
    let features = [&known, &seen].map(|weights| matching::features(weights, scales));
    let mut best: Option<(f64, [Vec<usize>; 2])> = None;
    for by_rows in first_sides(known.dim()) {
        for sigma in GUESSES {
            let places = by_magnitude(&features, by_rows, sigma);
            let fit = cosine(&features[0], &put(&features[1], &places));
            if best.as_ref().is_none_or(|(most, _)| fit > *most) {
                best = Some((fit, places));
            }
            if fit > SURE {
                return Ok(with_signs(&known, &seen, places_of(best, known.dim()), scales));
            }
        }
    }
    Ok(with_signs(&known, &seen, places_of(best, known.dim()), scales))
}

impl Places {
    /// The columns of a matrix `[rows, lines]` of what was seen, in their known order and with their known signs.
    ///
    /// # Errors
    /// [`AuditError::Weights`] for another number of columns.
    pub fn undo_columns(&self, seen: &Array2<f32>) -> Result<Array2<f32>, AuditError> {
        if seen.ncols() != self.order.len() {
            return Err(AuditError::Weights {
                expected: format!("{} columns", self.order.len()),
                got: seen.ncols().to_string(),
            });
        }
        let mut out = seen.select(Axis(1), &self.order);
        for (mut column, negative) in out.columns_mut().into_iter().zip(&self.negative) {
            if *negative {
                column.mapv_inplace(|value| -value);
            }
        }
        Ok(out)
    }
}

impl Permutations {
    /// W, or dW, `[inner, columns]`, from the blinded one.
    ///
    /// # Errors
    /// [`AuditError::Weights`] for another shape.
    pub fn weights(&self, seen: &Array2<f32>) -> Result<Array2<f32>, AuditError> {
        let columns = self.columns.undo_columns(seen)?;
        let rows = self.inner.undo_columns(&columns.reversed_axes())?;
        Ok(rows.reversed_axes())
    }

    /// X, or dX, `[rows, inner]`, from the blinded one. Its rows stay in the order of P1, each with the sign that it has there.
    ///
    /// # Errors
    /// [`AuditError::Weights`] for another number of columns.
    pub fn inputs(&self, seen: &Array2<f32>) -> Result<Array2<f32>, AuditError> {
        self.inner.undo_columns(seen)
    }

    /// Y, or the gradient at it, `[rows, columns]`, from the blinded one; rows as of [`Self::inputs`].
    ///
    /// # Errors
    /// [`AuditError::Weights`] for another number of columns.
    pub fn outputs(&self, seen: &Array2<f32>) -> Result<Array2<f32>, AuditError> {
        self.columns.undo_columns(seen)
    }
}

fn check(known: &Array2<f32>, seen: &Array2<f32>) -> Result<(), AuditError> {
    let wrong = |expected: String, got: String| Err(AuditError::Weights { expected, got });
    let (rows, columns) = known.dim();
    if rows == 0 || columns == 0 || rows.max(columns) > MOST_LINES {
        return wrong(format!("1 to {MOST_LINES} rows and columns"), format!("{rows} x {columns}"));
    }
    if seen.dim() != known.dim() {
        return wrong(
            format!("{rows} x {columns}, as known"),
            format!("{} x {}", seen.nrows(), seen.ncols()),
        );
    }
    let broken = known.iter().chain(seen).find(|value| !value.is_finite());
    broken.map_or(Ok(()), |value| wrong("finite numbers".to_owned(), value.to_string()))
}

/// At a root mean square of 1, so that sums of squares stay in range.
fn unit(weights: &Array2<f32>) -> Array2<f32> {
    let squares: f64 = weights.iter().map(|value| f64::from(*value).powi(2)).sum();
    match (squares / weights.len() as f64).sqrt() {
        0.0 => weights.clone(),
        size => weights.mapv(|value| (f64::from(value) / size) as f32),
    }
}

/// The shorter side first: fewer lines with more values each are easier to tell apart. Whether it is the rows.
fn first_sides((rows, columns): (usize, usize)) -> [bool; 2] {
    [rows < columns, rows >= columns]
}

fn places_of(best: Option<(f64, [Vec<usize>; 2])>, (rows, columns): (usize, usize)) -> [Vec<usize>; 2] {
    best.map_or_else(|| [(0..rows).collect(), (0..columns).collect()], |(_, places)| places)
}

/// Steps 2 and 3: rows and columns of the second matrix that those of the first are.
fn by_magnitude([known, seen]: &[Array2<f32>; 2], by_rows: bool, sigma: f32) -> [Vec<usize>; 2] {
    let rows_given = |columns: &[usize]| {
        let seen = seen.select(Axis(1), columns);
        assigned(&scores(known.view(), seen.view(), Likeness::Centred))
    };
    let columns_given = |rows: &[usize]| {
        let seen = seen.select(Axis(0), rows);
        assigned(&scores(known.t(), seen.t(), Likeness::Centred))
    };
    let mut columns = match by_rows {
        true => columns_given(&first_guess(known.view(), seen.view(), sigma)),
        false => first_guess(known.t(), seen.t(), sigma),
    };
    let mut rows = rows_given(&columns);
    let mut fit = f64::MIN;
    for _ in 1..MAGNITUDE_TURNS {
        let next = columns_given(&rows);
        if next == columns {
            break;
        }
        columns = next;
        rows = rows_given(&columns);
        let now = cosine(known, &put(seen, &[rows.clone(), columns.clone()]));
        if now <= fit {
            break;
        }
        fit = now;
    }
    [rows, columns]
}

/// Step 4.
fn with_signs(known: &Array2<f32>, seen: &Array2<f32>, places: [Vec<usize>; 2], scales: Scales) -> Permutations {
    let mut aligned = put(seen, &places);
    if scales == Scales::Unknown {
        signs::remove_scales(known, &mut aligned);
    }
    let [rows, columns] = sign_of_rows_and_columns(known, &aligned);
    let whole = |negative: Vec<bool>| Places {
        order: (0..negative.len()).collect(),
        negative,
    };
    let (mut inner, mut outer) = (whole(rows), whole(columns));
    for _ in 0..SIGN_TURNS {
        let before = (inner.clone(), outer.clone());
        inner = signs::turn(known.view(), aligned.view(), &outer);
        outer = signs::turn(known.t(), aligned.t(), &inner);
        if before == (inner.clone(), outer.clone()) {
            break;
        }
    }
    let found = Permutations {
        inner,
        columns: outer,
        agreement: 0.0,
    };
    let agreement = found.weights(&aligned).map_or(0.0, |weights| cosine(known, &weights));
    let [rows, columns] = places;
    let within = |places: Places, of: &[usize]| Places {
        order: places.order.iter().map(|place| of[*place]).collect(),
        ..places
    };
    Permutations {
        inner: within(found.inner, &rows),
        columns: within(found.columns, &columns),
        agreement,
    }
}

/// A matrix with its rows and columns taken from these places.
fn put(seen: &Array2<f32>, [rows, columns]: &[Vec<usize>; 2]) -> Array2<f32> {
    seen.select(Axis(0), rows).select(Axis(1), columns)
}

/// 0 where one of the matrices is.
fn cosine(left: &Array2<f32>, right: &Array2<f32>) -> f64 {
    let (mut dot, mut squares) = (0.0, [0.0; 2]);
    for (left, right) in left.iter().zip(right) {
        let (left, right) = (f64::from(*left), f64::from(*right));
        dot += left * right;
        squares[0] += left * left;
        squares[1] += right * right;
    }
    let size = (squares[0] * squares[1]).sqrt();
    if size > 0.0 { dot / size } else { 0.0 }
}
