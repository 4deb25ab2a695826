//! One-sided matrix triples: additive shares of `X_b W` and `X_b^T D` modulo 2^64, where one holder has the data X and another the operand.
//!
//! *After Beaver, Crypto 1991, with a mask that stays: Mohassel and Zhang, "SecureML", IEEE S&P 2017, section 4.1.* Holder i knows X (n rows, d columns,
//! fixed for the run), holder j knows W (`[d, h]`) or D (`[b, h]`), another one for every batch b of rows of X. As X does not change, its mask A is drawn once
//! for the run and E = X - A is sent once, the same to all; every product takes a fresh B of the operand's shape and fresh shares c_i + c_j of A_b B (or
//! A_b^T B):
//!
//! | step | who | what |
//! |---|---|---|
//! | once | i | E = X - A, with a dealer ([`DataMask::hide`] -> [`MaskedData::accept`]) |
//! | each product | j | F = W - B to i; its share E_b W + c_j ([`OperandHalf::multiply`]) |
//! | | i | its share A_b F + c_i ([`DataHalf::multiply`]) |
//!
//! The shares add up to A_b (W - B) + (X_b - A_b) W + A_b B = X_b W. Two sources of triples:
//!
//! | source | A, c_i | B | c_j | assumption |
//! |---|---|---|---|---|
//! | [`Dealer`] | from a seed of i and the dealer | from a seed of j and the dealer | sent by the dealer | the dealer sees no message between holders; together with a holder it knows the others' data |
//! | homomorphic encryption, in an upper layer | A = X; c_i is i's own | j's own, encrypted under its key | i's answer X_b B - c_i under encryption | that scheme's |
//!
//! Who multiplies by X in the clear itself has nobody to hide it from: then E = 0, which nobody sends, j's share is c_j alone ([`OperandHalf::hide`]), and
//! what is multiplied under encryption has as few bits as X. So does the preprocessing of Mishra et al., "Delphi" (USENIX Security 2020), with a model's
//! weights in the place of X. It depends on X, but on no W.
//!
//! [`TripleSecret`] derives B in both, and A and c_i with a dealer. Bytes: with a dealer 8 n d once from i to each other, and for each product 8 for each word
//! of the result, from it to j; in both 8 for each word of the operand, from j to i, for each product.
//!
//! | party | learns |
//! |---|---|
//! | i | nothing: F is uniform to it |
//! | j | nothing: E is uniform to it, and c_j to whoever knows no c_i |
//! | dealer | which rows are in which batch |
//!
//! **Nothing serves twice.** Whatever is random is a function of (secret, pair, product, number of the batch), the secret's owner counts the numbers
//! of each pair and product upwards, and a half is consumed by its product. A secret is for one run: a run that goes on after a crash takes a new one.
//! Non-goals: malicious parties.

mod data;
mod dealer;
mod halves;
mod secret;
#[cfg(test)]
mod tests;

pub use data::{DataMask, MaskedData};
pub use dealer::{DataShape, Dealer};
pub use halves::{DataHalf, OperandHalf, OperandMask};
pub use secret::TripleSecret;

use crate::{MpcError, circuit::Party, shares::Matrix};

/// Which product of the batch X_b.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Product {
    /// `X_b W`: operand `[columns, width]`, result `[batch, width]`.
    Forward,
    /// `X_b^T D`: operand `[batch, width]`, result `[columns, width]`.
    Gradient,
}

impl Product {
    /// The product of a batch of rows and an operand.
    ///
    /// # Errors
    /// As [`Matrix::times`].
    pub fn of(self, rows: &Matrix, operand: &Matrix) -> Result<Matrix, MpcError> {
        match self {
            Self::Forward => rows.times(operand),
            Self::Gradient => rows.transposed_times(operand),
        }
    }

    /// Rows of the operand.
    pub(crate) fn operand_rows(self, shape: Shape) -> usize {
        match self {
            Self::Forward => shape.columns,
            Self::Gradient => shape.batch,
        }
    }

    /// Rows of the result.
    pub(crate) fn result_rows(self, shape: Shape) -> usize {
        match self {
            Self::Forward => shape.batch,
            Self::Gradient => shape.columns,
        }
    }
}

/// The sizes of one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the batch.
    pub batch: usize,
    /// Columns of the data.
    pub columns: usize,
    /// Columns of the operand and of the result.
    pub width: usize,
}

/// Which triple: all that take part name it alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TripleId {
    /// Who has the data.
    pub data: Party,
    /// Who has the operand.
    pub operand: Party,
    /// What is computed.
    pub product: Product,
    /// The batch's number in the run: for one pair and product it only rises.
    pub batch: u64,
}
