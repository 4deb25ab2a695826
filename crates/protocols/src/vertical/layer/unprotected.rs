//! The first layer without protection: each holder has its columns' weights and sends its part of h1 as it is. For comparison.

use cloven_wire::Channel;
use ndarray::{Array2, Axis, Ix2, concatenate, s};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

use super::{noise_of, normal};
use crate::{
    CheckpointError, ProtocolError,
    vertical::{
        Columns, Terms,
        msg::{PlainGradient, PlainOutput},
        peers::Peers,
    },
};

pub(in crate::vertical) struct Unprotected<'a> {
    terms: &'a Terms,
    secret: Zeroizing<[u8; 32]>,
    /// All rows of the own columns: training, then test; at the first holder with a last column of ones.
    x: Array2<f32>,
    /// `[columns, width]`.
    weights: Array2<f32>,
}

impl<'a> Unprotected<'a> {
    pub(super) fn new(place: usize, terms: &'a Terms, columns: &Columns, secret: &[u8; 32]) -> Result<Self, ProtocolError> {
        let mut x = terms.rows_of(place, columns)?;
        if place == 0 {
            let ones = Array2::ones((x.nrows(), 1));
            x = concatenate(Axis(1), &[x.view(), ones.view()]).expect("as many rows");
        }
        let weights = match &terms.public_weights {
            Some(weights) => {
                let from: usize = terms.columns.values().take(place).sum();
                let own = weights.slice(s![from..from + columns.train.ncols(), ..]);
                let bias = weights.slice(s![-1.., ..]);
                let parts = if place == 0 { vec![own, bias] } else { vec![own] };
                concatenate(Axis(0), &parts).expect("as many columns")
            }
            None => {
                let mut rng = ChaCha20Rng::from_seed(blake3::derive_key("cloven v1 vertical: initial weights", secret));
                let bound = 1.0 / (terms.features() as f32).sqrt();
                let mut uniform = || ((rng.next_u32() >> 8) as f32 / (1u32 << 23) as f32 - 1.0) * bound;
                Array2::from_shape_simple_fn((x.ncols(), terms.width), &mut uniform)
            }
        };
        Ok(Self {
            terms,
            secret: Zeroizing::new(*secret),
            x,
            weights,
        })
    }

    pub(super) async fn send_outputs<C: Channel>(
        &self,
        peers: &mut Peers<'_, C>,
        round: u64,
        rows: &[usize],
    ) -> Result<(), ProtocolError> {
        let part = self.x.select(Axis(0), rows).dot(&self.weights);
        Ok(peers.server.send(round, &PlainOutput(part.into_dyn())).await?)
    }

    pub(super) async fn step<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        (round, update): (u64, u64),
        rows: &[usize],
    ) -> Result<(), ProtocolError> {
        let PlainGradient(delta) = peers.server.receive(round, &[rows.len(), self.weights.ncols()][..]).await?;
        let delta = delta.into_dimensionality::<Ix2>().expect("the shape that was received");
        self.weights -= &self.x.select(Axis(0), rows).t().dot(&delta);
        let deviation = self.terms.noise_deviation(update);
        if deviation > 0.0 {
            let mut rng = noise_of("an update", &self.secret, update);
            self.weights
                .mapv_inplace(|weight| weight + (normal(&mut rng) * deviation) as f32);
        }
        Ok(())
    }

    /// The weights, row by row.
    pub(super) fn weights(&self) -> Vec<u8> {
        self.weights.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    pub(super) fn restore(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        if bytes.len() != 4 * self.weights.len() {
            let why = format!("expected {} bytes of weights, got {}", 4 * self.weights.len(), bytes.len());
            return Err(CheckpointError { why }.into());
        }
        let values = bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value));
        self.weights
            .iter_mut()
            .zip(values)
            .for_each(|(weight, value)| *weight = value);
        Ok(())
    }
}
