//! What the attack brought of every product, scored without the enclave's secret.

use std::collections::HashSet;

use ndarray::{Array2, ArrayView1, Axis};

use super::{MOST_LINES, Permutations, Places, Scales, known_weights, part};
use crate::{
    Audit, AuditError, Finding,
    attacks::{FEWEST_ROWS, deviation},
};

/// Of a random permutation of any size, more than this many lines are in place with a probability of 10^-6.
const MOST_IN_PLACE: usize = 8;

const ATTACK: &str = "permutations and signs from the weights that the training began with";
const MESSAGES: &str = "products to compute";

/// An operand as a worker was sent it.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// Numbers: permuted, or in the clear.
    Numbers(Array2<f32>),
    /// A secret share, its words as the integers that they stand for; nothing is permuted.
    Share(Array2<f32>),
}

impl Operand {
    /// The numbers, whatever they mean.
    pub fn values(&self) -> &Array2<f32> {
        match self {
            Self::Numbers(values) | Self::Share(values) => values,
        }
    }
}

/// A linear layer's product as a worker saw it first, when W was W0.
pub struct SeenProduct {
    /// Its name: "3.weight".
    pub name: String,
    /// W0, `[inner, columns]`.
    pub known: Array2<f32>,
    /// What was sent of W: of the same shape, or some rows or some columns of it.
    pub weights: Operand,
    /// What was sent of X, with as many columns as `weights` has rows, where it is recorded.
    pub inputs: Option<Operand>,
    /// All rows of the true X, `[any, inner]`, in any order, where they are known exactly: to score by.
    pub samples: Option<Array2<f32>>,
}

impl SeenProduct {
    /// With these rows and columns of what is known.
    fn part(&self, [rows, columns]: [Vec<usize>; 2]) -> Self {
        Self {
            name: self.name.clone(),
            known: self.known.select(Axis(0), &rows).select(Axis(1), &columns),
            weights: self.weights.clone(),
            inputs: self.inputs.clone(),
            samples: self.samples.as_ref().map(|samples| samples.select(Axis(1), &rows)),
        }
    }
}

/// Attacks every product with [`known_weights`], [`Scales::Signs`]. Findings of each: weights put back, features put in order, and rows of samples put back, where
/// these are known. A feature counts where most of the weights of its row are back: of numbers, where they equal W0 (up to one sign for all); of shares, which are
/// not permuted, where the attack leaves the row where it is. Of a worker that has a part of W all of this is about that part.
///
/// # Errors
/// [`AuditError::Weights`] for operands that do not fit each other.
pub fn audit_products(products: &[SeenProduct]) -> Result<Audit, AuditError> {
    let mut audit = Audit::default();
    for product in products {
        let (inner, columns) = product.known.dim();
        if inner.max(columns) > MOST_LINES {
            let why = format!(
                "weights {}: {inner} x {columns} is larger than {MOST_LINES} lines",
                product.name
            );
            audit.not_tried.push(why);
            continue;
        }
        let lines = part::lines(&product.known, product.weights.values(), Scales::Signs)?;
        let product = &product.part(lines);
        let found = known_weights(&product.known, product.weights.values(), Scales::Signs)?;
        let rows = product.inputs.as_ref().map_or(0, |inputs| inputs.values().nrows());
        audit.rows = audit.rows.max(rows);
        audit.findings.extend(of_weights(product, &found, rows)?);
        match (&product.inputs, &product.samples) {
            (Some(inputs), Some(samples)) => of_samples(product, &found, (inputs.values(), samples), &mut audit)?,
            (None, _) => audit
                .not_tried
                .push(format!("inputs of {}: they are not recorded", product.name)),
            (_, None) => (),
        }
    }
    if products.is_empty() {
        audit.not_tried.push("nothing: no product of weights is recorded".to_owned());
    }
    Ok(audit)
}

/// The weights put back, and the features whose places follow.
fn of_weights(product: &SeenProduct, found: &Permutations, rows: usize) -> Result<Vec<Finding>, AuditError> {
    let (inner, columns) = product.known.dim();
    let right = match &product.weights {
        Operand::Numbers(seen) => equal(&product.known, &found.weights(seen)?),
        Operand::Share(_) => unmoved(found),
    };
    let of_row = |row: ArrayView1<'_, bool>| row.iter().filter(|right| **right).count();
    let weights: usize = right.rows().into_iter().map(of_row).sum();
    let features = right
        .rows()
        .into_iter()
        .filter(|row| 2 * of_row(row.view()) > columns)
        .count();
    let share = |count: usize, of: usize| count as f64 / of as f64;
    let (most_rows, most_columns) = (most_in_place(inner), most_in_place(columns));
    let name = &product.name;
    let weights = Finding::new(
        ATTACK,
        MESSAGES,
        &format!("weights {name}"),
        inner * columns,
        &format!("share of the {inner} x {columns} weights back in place with their sign"),
        [
            share(weights, right.len()),
            share(1, right.len()),
            share(most_rows * most_columns, right.len()),
        ],
    );
    let features = Finding::new(
        ATTACK,
        MESSAGES,
        &format!("features {name}"),
        rows,
        &format!("share of the {inner} features of every row back in place with their sign, up to one for the row"),
        [share(features, inner), share(1, inner), share(most_rows, inner)],
    );
    Ok(vec![weights, features])
}

/// Lines in place that chance does not exceed; of a single one all.
fn most_in_place(lines: usize) -> usize {
    MOST_IN_PLACE.min(lines.saturating_sub(1)).max(1)
}

/// Which elements are equal, up to the sign of all; zeros say nothing and are not.
fn equal(known: &Array2<f32>, found: &Array2<f32>) -> Array2<bool> {
    let with = |sign: f32| {
        ndarray::Zip::from(known)
            .and(found)
            .map_collect(|k, f| *k == sign * f && *k != 0.0)
    };
    let [same, opposite] = [1.0, -1.0].map(with);
    let count = |which: &Array2<bool>| which.iter().filter(|right| **right).count();
    if count(&same) >= count(&opposite) { same } else { opposite }
}

/// Which elements the attack leaves where they are.
fn unmoved(found: &Permutations) -> Array2<bool> {
    let stays = |places: &Places, line: usize| places.order[line] == line;
    let shape = (found.inner.order.len(), found.columns.order.len());
    Array2::from_shape_fn(shape, |(row, column)| {
        stays(&found.inner, row) && stays(&found.columns, column)
    })
}

/// How many rows of X~, with their features put in order, are rows of the true X, up to the sign; and how many with another order.
fn of_samples(
    product: &SeenProduct,
    found: &Permutations,
    (seen, samples): (&Array2<f32>, &Array2<f32>),
    audit: &mut Audit,
) -> Result<(), AuditError> {
    let known: HashSet<Vec<u32>> = samples.rows().into_iter().filter_map(up_to_sign).collect();
    let came_back = |places: &Places| -> Result<(usize, usize), AuditError> {
        let rows = places.undo_columns(seen)?;
        let rows: Vec<_> = rows.rows().into_iter().filter_map(up_to_sign).collect();
        Ok((rows.iter().filter(|row| known.contains(*row)).count(), rows.len()))
    };
    let (back, rows) = came_back(&found.inner)?;
    if rows < FEWEST_ROWS {
        audit.not_tried.push(format!(
            "samples of {}: {rows} rows with more than one number are recorded, at least {FEWEST_ROWS} are needed to tell anything from chance",
            product.name
        ));
        return Ok(());
    }
    let mut torn = found.inner.clone();
    let middle = torn.order.len() / 2;
    torn.order.rotate_left(middle);
    let share = |count: usize| count as f64 / rows as f64;
    let chance = share(came_back(&torn)?.0);
    audit.findings.push(Finding::new(
        ATTACK,
        MESSAGES,
        "inputs",
        rows,
        &format!(
            "share of the rows of {} that are a row of the samples, bit for bit up to its sign",
            product.name
        ),
        [share(back), chance, chance + deviation(0.5, rows)],
    ));
    Ok(())
}

/// The bits of a row whose first number is positive; `None` for one with fewer than two numbers that are not zero, which say nothing of an order.
fn up_to_sign(row: ArrayView1<'_, f32>) -> Option<Vec<u32>> {
    let mut numbers = row.iter().filter(|value| **value != 0.0);
    let (first, _) = (numbers.next()?, numbers.next()?);
    let sign = first.signum();
    // Both zeros are one.
    Some(row.iter().map(|value| (sign * value + 0.0).to_bits()).collect())
}
