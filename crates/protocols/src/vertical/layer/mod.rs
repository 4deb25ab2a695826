//! The first layer: at each holder of columns, and the server's side of it.

mod activation;
mod server;
mod shared;
mod unprotected;

use cloven_wire::Channel;

pub(super) use self::{
    server::{outputs, send_gradient},
    shared::STRIP,
};
use self::{shared::Shared, unprotected::Unprotected};
use super::{Columns, FirstLayer, Terms, peers::Peers};
use crate::{Position, ProtocolError};

/// A holder's part.
pub(super) enum Layer<'a> {
    Shared(Box<Shared<'a>>),
    Plain(Unprotected),
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

    /// Before the first batch, which is that after `from`.
    pub(super) async fn begin<C: Channel>(&mut self, from: Position, peers: &mut Peers<'_, C>) -> Result<(), ProtocolError> {
        match self {
            Self::Shared(layer) => layer.begin(from, peers).await,
            Self::Plain(_) => Ok(()),
        }
    }

    /// Steps 1 and 2, for these rows: training rows first, then test rows.
    pub(super) async fn send_outputs<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        round: u64,
        rows: &[usize],
    ) -> Result<(), ProtocolError> {
        match self {
            Self::Shared(layer) => layer.send_outputs(peers, round, rows).await,
            Self::Plain(layer) => layer.send_outputs(peers, round, rows).await,
        }
    }

    /// Step 6.
    pub(super) async fn step<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        round: u64,
        rows: &[usize],
    ) -> Result<(), ProtocolError> {
        match self {
            Self::Shared(layer) => layer.step(peers, round, rows).await,
            Self::Plain(layer) => layer.step(peers, round, rows).await,
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
