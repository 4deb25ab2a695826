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

impl<'a> Crossing<'a> {
    /// The holder's share of a gradient, with the columns of so many fellows.
    fn of_share(round: u64, share: &'a Matrix, fellows: usize) -> Self {
        Self {
            step: Step::of_batch(Direction::Backward, round),
            operands: vec![share; fellows],
        }
    }
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

/// The products of a job.
pub(super) struct Products {
    way: Way,
    /// Of the batch of this round, computed before it.
    backward: Option<(u64, Crossed)>,
}

/// How they are computed.
enum Way {
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
        let way = match terms.first_layer {
            FirstLayer::HomomorphicEncryption => {
                let encrypted = Encrypted::begin(place, terms, secret, rows, peers).await?;
                Way::Encrypted(Box::new(encrypted))
            }
            _ => Way::Triples(Box::new(Triples::begin(place, terms, secret, x, rows, peers).await?)),
        };
        Ok(Self { way, backward: None })
    }

    /// The dealer's half of the seed in common with it.
    pub(super) fn dealer_half(&self) -> [u8; 32] {
        match &self.way {
            Way::Triples(triples) => triples.dealer_half(),
            Way::Encrypted(_) => [0; 32],
        }
    }

    /// The forward products of a step with all fellows; and, with this holder's share of the gradient to come, the backward products of its batch, for later.
    /// `rows` are the numbers of the rows and `x` these rows of the own columns; `operands` are this holder's, one for each fellow in order.
    pub(super) async fn forward<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        step: Step,
        rows: &[usize],
        x: &Matrix,
        operands: Vec<&Matrix>,
        share: Option<&Matrix>,
    ) -> Result<Crossed, ProtocolError> {
        let (forward, backward) = match &mut self.way {
            Way::Triples(triples) => triples.multiply(peers, step, rows, x, &operands, share).await?,
            Way::Encrypted(encrypted) => {
                let of_share = share.map(|share| Crossing::of_share(step.round, share, operands.len()));
                let forward = Crossing { step, operands };
                encrypted.cross(peers, x, forward, of_share).await?
            }
        };
        self.backward = backward.map(|crossed| (step.round, crossed));
        Ok(forward)
    }

    /// The backward products of the batch of this round, once.
    pub(super) fn backward(&mut self, round: u64) -> Result<Crossed, ProtocolError> {
        match self.backward.take() {
            Some((of, crossed)) if of == round => Ok(crossed),
            _ => Err(ProtocolError::Alignment(format!(
                "no product was computed for the gradient of round {round}"
            ))),
        }
    }
}
