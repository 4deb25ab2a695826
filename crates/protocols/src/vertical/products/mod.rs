//! Products between holders: each two of them, i with columns X_i and j with an operand W that only j knows, get additive shares of X_i W, and nothing else.
//! W is [theta_i]_j forward and [delta]_j backward, where X_i is transposed.

mod encrypted;
mod triples;

use cloven_mpc::shares::Matrix;
use cloven_wire::Channel;

pub use self::encrypted::encryption_parameters;
pub(super) use self::encrypted::exact_products;
pub(super) use self::triples::piece_rows;
pub(super) use self::triples::{dealt_seed, id};
use self::{encrypted::Encrypted, triples::Triples};
use super::{FirstLayer, Terms, peers::Peers};
use crate::ProtocolError;

/// Which product: named the same at both holders, and for one pair of operands only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Whether it is one of the products that are computed once, before the first batch.
    pub(super) once: bool,
    pub(super) direction: Direction,
    /// The batch's round, or the number of the strip of rows.
    pub(super) round: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// X_i W, `[rows, columns]` times `[columns, width]`.
    Forward,
    /// X_i^T W, `[columns, rows]` times `[rows, width]`.
    Backward,
}

/// This holder's shares, by fellow.
pub(super) struct Crossed {
    /// Of this holder's columns times the fellow's operand.
    pub(super) own: Vec<Matrix>,
    /// Of the fellow's columns times this holder's operand.
    pub(super) theirs: Vec<Matrix>,
}

/// The numbers of a product's rows, inner sizes and columns, for data of so many columns.
pub(super) fn shape(direction: Direction, rows: usize, columns: usize, width: usize) -> [usize; 3] {
    match direction {
        Direction::Forward => [rows, columns, width],
        Direction::Backward => [columns, rows, width],
    }
}

/// How the products are computed.
pub(super) enum Products {
    Triples(Box<Triples>),
    Encrypted(Box<Encrypted>),
}

impl Products {
    /// Before the first product. `x` are all rows of the own columns.
    pub(super) async fn begin<C: Channel>(
        place: usize,
        terms: &Terms,
        secret: &[u8; 32],
        x: &Matrix,
        rows: [usize; 2],
        peers: &mut Peers<'_, C>,
    ) -> Result<Self, ProtocolError> {
        Ok(match terms.first_layer {
            FirstLayer::HomomorphicEncryption => {
                let encrypted = Encrypted::begin(place, terms, secret, rows, peers).await?;
                Self::Encrypted(Box::new(encrypted))
            }
            _ => Self::Triples(Box::new(Triples::begin(place, terms, secret, x, rows, peers).await?)),
        })
    }

    /// The dealer's half of the seed in common with it.
    pub(super) fn dealer_half(&self) -> [u8; 32] {
        match self {
            Self::Triples(triples) => triples.dealer_half(),
            Self::Encrypted(_) => [0; 32],
        }
    }

    /// The products of a step with all fellows. `rows` are the numbers of the batch's rows and `x` these rows of the own columns; `operands` are this
    /// holder's, one for each fellow in order.
    pub(super) async fn cross<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        step: Step,
        rows: &[usize],
        x: &Matrix,
        operands: &[&Matrix],
    ) -> Result<Crossed, ProtocolError> {
        match self {
            Self::Triples(triples) => triples.cross(peers, step, rows, x, operands).await,
            Self::Encrypted(encrypted) => encrypted.cross(peers, step, x, operands).await,
        }
    }
}
