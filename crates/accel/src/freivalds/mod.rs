//! Checks of products after Freivalds (as in Tempo, arXiv 2401.11531): Y = X W is not computed again but compared in a random direction, Y r = X (W r), for
//! three matrix-vector products.
//!
//! | check | of | a wrong product passes |
//! |---|---|---|
//! | [`check_integers`] | what [`crate::masked::decode`] gave, modulo 2^61 - 1 | with a probability of at most 2^-42, whatever is wrong with it |
//! | [`check_residues`] | one worker's answer to its shares, to name a liar | with a probability of at most 2^-47 |
//! | [`check_floats`] | products in f32 (`permute`, `none`) | if no element is off by more than a tolerance; with a probability of tolerance over error otherwise |
//!
//! Products of convolutions have checks of their own ([`crate::convolution`]): of integers with 2^-40, of floats with the tolerance that their windows would have.
//!
//! Either side may have the coefficients: they go to the longer side of the product, so that the two larger matrices meet the short coefficients and
//! the smaller operand the long ones. Matrices of a batch have the same coefficients; each is as likely to be caught as alone.
//!
//! Cost, per element: [`COEFFICIENT_OPERATIONS`] for the product and the operand that meets the coefficients first, [`INNER_OPERATIONS`] for the other.

pub(crate) mod field;
pub(crate) mod float;
pub(crate) mod integer;
mod residues;
#[cfg(test)]
mod tests;

pub use float::check_floats;
pub use integer::check_integers;
pub(crate) use integer::coefficients;
pub use residues::check_residues;

use crate::{AccelError, Dimensions, Kind, Shape, error::expect, shape::Lines};

/// Operations of [`check_integers`] for an element that is multiplied by a coefficient: a multiplication and an addition for each of two limbs.
pub const COEFFICIENT_OPERATIONS: u64 = 4;

/// Operations for an element that is multiplied by a sum: three limbs.
pub const INNER_OPERATIONS: u64 = 6;

/// Which side of the product has the coefficients.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Orientation {
    Rows,
    Columns,
}

impl Orientation {
    fn coefficients(self, dimensions: &Dimensions) -> usize {
        match self {
            Self::Rows => dimensions.rows,
            Self::Columns => dimensions.columns,
        }
    }

    /// Factors and product, transposed if rows have the coefficients: (X W)^T = W^T X^T.
    fn apply<'a, T>(self, [left, right]: [Lines<'a, T>; 2], product: Lines<'a, T>) -> ([Lines<'a, T>; 2], Lines<'a, T>) {
        match self {
            Self::Columns => ([left, right], product),
            Self::Rows => ([right, left], product.transposed()),
        }
    }
}

/// Operations of [`check_integers`].
pub fn operations(dimensions: &Dimensions) -> u64 {
    let Dimensions {
        batch,
        rows,
        depth,
        columns,
    } = *dimensions;
    let (long, short) = (rows.max(columns), rows.min(columns));
    let of = |size: usize, operations: u64| (batch * size) as u64 * operations;
    of(rows * columns, COEFFICIENT_OPERATIONS) + of(long * depth, COEFFICIENT_OPERATIONS) + of(short * depth, INNER_OPERATIONS)
}

fn orient(kind: Kind, left: Shape, right: Shape, product: Shape) -> Result<(Dimensions, Orientation), AccelError> {
    let dimensions = kind.dimensions(left, right)?;
    expect("matrices of the product", dimensions.batch, product.batch)?;
    expect("rows of the product", dimensions.rows, product.rows)?;
    expect("columns of the product", dimensions.columns, product.columns)?;
    let orientation = match dimensions.rows > dimensions.columns {
        true => Orientation::Rows,
        false => Orientation::Columns,
    };
    Ok((dimensions, orientation))
}
