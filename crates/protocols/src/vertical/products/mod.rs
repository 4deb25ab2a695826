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

impl Step {
    /// One of a batch's.
    pub(super) fn of_batch(direction: Direction, round: u64) -> Self {
        Self {
            once: false,
            direction,
            round,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// X_i W, `[rows, columns]` times `[columns, width]`.
    Forward,
    /// X_i^T W, `[columns, rows]` times `[rows, width]`.
    Backward,
}

/// What a step multiplies the fellows' columns by.
struct Crossing<'a> {
    step: Step,
    /// For each fellow in order.
    operands: Vec<&'a Matrix>,
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

    /// What the products of these steps of one round need that depends on no weights and no gradients. Before they are computed. `x` are
    /// the batch's rows of the own columns.
    pub(super) async fn prepare<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        steps: &[Step],
        x: &Matrix,
    ) -> Result<(), ProtocolError> {
        match self {
            Self::Triples(triples) => triples.prepare(peers, steps, x).await,
            Self::Encrypted(_) => Ok(()),
        }
    }

    /// The products of a step, which was prepared, with all fellows. `rows` are the numbers of the batch's rows, `x` is as before; `operands` are this holder's, one for each fellow in order.
    pub(super) async fn cross<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        step: Step,
        rows: &[usize],
        x: &Matrix,
        operands: Vec<&Matrix>,
    ) -> Result<Crossed, ProtocolError> {
        match self {
            Self::Triples(triples) => triples.cross(peers, step, rows, x, &operands).await,
            Self::Encrypted(encrypted) => {
                let crossings = [Crossing { step, operands }];
                let mut all = encrypted.cross(peers, step.round, x, &crossings).await?;
                Ok(all.swap_remove(0))
            }
        }
    }
}
