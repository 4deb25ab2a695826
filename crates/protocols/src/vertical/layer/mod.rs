//! The first layer: at each holder of columns, and the server's side of it.

mod activation;
mod server;
mod shared;
mod unprotected;

use cloven_mpc::{
    MpcError,
    shares::{Matrix, expand},
};
use cloven_wire::Channel;
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

pub(super) use self::{
    activation::{relu, transfer_width},
    server::{outputs, send_gradient},
    shared::STRIP,
};
use self::{shared::Shared, unprotected::Unprotected};
use super::{Columns, FirstLayer, Terms, peers::Peers};
use crate::{Position, ProtocolError};

/// A holder's part.
pub(super) enum Layer<'a> {
    Shared(Box<Shared<'a>>),
    Plain(Unprotected<'a>),
}

impl<'a> Layer<'a> {
    /// # Errors
    /// [`ProtocolError::Alignment`] for columns that are not those of the job, or numbers that are too large.
    pub(super) fn new(place: usize, terms: &'a Terms, columns: &Columns, secret: &[u8; 32]) -> Result<Self, ProtocolError> {
        Ok(match terms.first_layer {
            FirstLayer::Plain => Self::Plain(Unprotected::new(place, terms, columns, secret)?),
            _ => Self::Shared(Box::new(Shared::new(place, terms, columns, secret)?)),
        })
    }

    /// Before the first batch, which is that after `from`. `session` is a seed that nobody has who does not take part.
    pub(super) async fn begin<C: Channel>(
        &mut self,
        from: Position,
        session: &[u8; 32],
        peers: &mut Peers<'_, C>,
    ) -> Result<(), ProtocolError> {
        match self {
            Self::Shared(layer) => layer.begin(from, session, peers).await,
            Self::Plain(_) => Ok(()),
        }
    }

    /// Steps 1 and 2, for these rows: training rows first, then test rows. With `training` also step 0: a gradient follows.
    pub(super) async fn send_outputs<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        round: u64,
        rows: &[usize],
        training: bool,
    ) -> Result<(), ProtocolError> {
        match self {
            Self::Shared(layer) => layer.send_outputs(peers, round, rows, training).await,
            Self::Plain(layer) => layer.send_outputs(peers, round, rows).await,
        }
    }

    /// Step 6, in this round, as the update of this number.
    pub(super) async fn step<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        at: (u64, u64),
        rows: &[usize],
    ) -> Result<(), ProtocolError> {
        match self {
            Self::Shared(layer) => layer.step(peers, at, rows).await,
            Self::Plain(layer) => layer.step(peers, at, rows).await,
        }
    }

    /// The weights, or this holder's shares of all.
    pub(super) fn state(&self) -> Vec<u8> {
        match self {
            Self::Shared(layer) => layer.shares(),
            Self::Plain(layer) => layer.weights(),
        }
    }

    /// Names the randomness that holders and dealer share, from `begin` on: another one after somebody lost its secret.
    pub(super) fn session(&self) -> [u8; 32] {
        match self {
            Self::Shared(layer) => layer.session(),
            Self::Plain(_) => [0; 32],
        }
    }

    pub(super) fn restore(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        match self {
            Self::Shared(layer) => layer.restore(bytes),
            Self::Plain(layer) => layer.restore(bytes),
        }
    }
}

/// A holder's share of the gradient of a batch, `[rows, width]`, which it has before there is a gradient: the server, which gave it the seed, takes those of all from
/// the gradient and tells everybody what is left.
fn gradient_share(session: &[u8; 32], round: u64, rows: usize, width: usize) -> Result<Matrix, MpcError> {
    let context = Zeroizing::new([&session[..], &round.to_le_bytes()].concat());
    let seed = Zeroizing::new(blake3::derive_key("cloven v1 vertical: share of a gradient", &context));
    expand(rows, width, &*seed)
}

/// Normal numbers of deviation 1: Box and Muller.
fn normal(rng: &mut ChaCha20Rng) -> f64 {
    let mut unit = || (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    (-2.0 * (1.0 - unit()).ln()).sqrt() * (std::f64::consts::TAU * unit()).cos()
}

/// One holder's noise for one purpose, in one update or round.
fn noise_of(purpose: &str, secret: &[u8; 32], number: u64) -> ChaCha20Rng {
    let context = [&secret[..], &number.to_le_bytes(), purpose.as_bytes()].concat();
    ChaCha20Rng::from_seed(blake3::derive_key("cloven v1 vertical: noise of a holder", &context))
}
