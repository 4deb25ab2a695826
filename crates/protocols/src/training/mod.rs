//! What every training protocol between a server and one or several clients shares: epochs, batches, evaluation, progress.
//! What happens inside a batch, and to the server's layers between epochs, is the protocol's own.
//!
//! **Several clients.** Each client trains on its own rows with its own layers; they share the server's. In an epoch every client works with
//! the server's layers as they were at its start, in a session of its own, at the same time as the others. After the epoch the sessions' changes are averaged,
//! each weighted by its client's share of all training rows (federated averaging of the server's part, as "SplitFed", arXiv 2004.12088,
//! does). So the result does not depend on who is faster, and it is the same as if the clients took turns. With one client
//! it is ordinary training.

mod client;
mod server;

use std::ops::Range;

use cloven_nn::{BatchTargets, ClassWeights, Loss, Network, WeightedLoss};
use cloven_wire::{Channel, Link};
use ndarray::ArrayD;

pub use self::server::release;
pub(crate) use self::{
    client::client,
    server::{Barrier, server},
};
use crate::{Begin, Examples, Keep, Parts, Position, ProtocolError, Schedule, Shuffle, Start, Subset};

/// What a client trains on and how.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// Training rows.
    pub train: &'a Examples,
    /// Test rows; may be none.
    pub test: &'a Examples,
    /// Named subsets of the test rows that are evaluated as well.
    pub subsets: &'a [Subset],
    /// The loss at the network's output.
    pub loss: Loss,
    /// How much classes count in it, if not all alike.
    pub class_weights: Option<&'a ClassWeights>,
    /// The job's schedule.
    pub schedule: Schedule,
    /// The order of the training rows.
    pub shuffle: Shuffle,
    /// The number of clients in the job, this one included.
    pub clients: u32,
    /// Where checkpoints are kept, if the schedule has any; without it this party can only begin anew.
    pub keep: Option<&'a dyn Keep>,
    /// The training is [complete](Keep::complete): take the last state from `keep` and send nothing.
    pub alone: bool,
}

impl Task<'_> {
    /// The loss with the weights of classes.
    pub fn weighted_loss(&self) -> WeightedLoss {
        WeightedLoss {
            loss: self.loss,
            class_weights: self.class_weights.cloned(),
        }
    }
}

/// What a server serves.
#[derive(Clone, Copy)]
pub struct Service<'a> {
    /// The job's schedule.
    pub schedule: Schedule,
    /// Where checkpoints are kept: one place for each link; or none.
    pub keeps: &'a [&'a dyn Keep],
    /// The training is [complete](Keep::complete): take the last state from `keeps` and send nothing.
    pub alone: bool,
}

impl From<Schedule> for Service<'_> {
    /// Keeps no checkpoints.
    fn from(schedule: Schedule) -> Self {
        Self {
            schedule,
            keeps: &[],
            alone: false,
        }
    }
}

/// The clients of a job together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cohort {
    /// Training rows of all clients.
    pub rows: u64,
    /// Each client's part of them; at a client, only its own.
    pub shares: Vec<f64>,
    /// The number of clients.
    pub clients: usize,
    /// Test rows of each client; at a client, only its own.
    pub test_rows: Vec<u64>,
    /// Where training goes on, for each client; at a client, only its own.
    pub from: Vec<Position>,
}

impl Cohort {
    fn of_server(starts: &[Start], from: &[Position]) -> Self {
        let rows = starts.iter().map(|start| start.train_rows).sum();
        Self {
            rows,
            shares: starts.iter().map(|start| start.train_rows as f64 / rows as f64).collect(),
            clients: starts.len(),
            test_rows: starts.iter().map(|start| start.test_rows).collect(),
            from: from.to_vec(),
        }
    }

    fn of_client([own, test_rows]: [usize; 2], begin: Begin) -> Self {
        Self {
            rows: begin.train_rows,
            shares: vec![own as f64 / begin.train_rows as f64],
            clients: begin.clients as usize,
            test_rows: vec![test_rows as u64],
            from: vec![begin.from],
        }
    }
}

/// A client's part in a batch. `round` is fresh for each call, the same at both parties.
pub(crate) trait ClientRounds<C: Channel> {
    /// Before the first batch.
    async fn begin(&mut self, _: &mut Link<C>, _: &Cohort) -> Result<(), ProtocolError> {
        Ok(())
    }

    /// Trains on a batch; returns its mean loss.
    async fn train(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>, t: &BatchTargets) -> Result<f64, ProtocolError>;

    /// The network's outputs on a batch.
    async fn outputs(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>) -> Result<ArrayD<f32>, ProtocolError>;

    /// After the last batch of an epoch, in a round of its own.
    async fn end_epoch(&mut self, _: &mut Link<C>, _round: u64, _: &Cohort) -> Result<(), ProtocolError> {
        Ok(())
    }

    /// All that a later process needs to go on from here.
    fn snapshot(&self) -> Result<Parts, ProtocolError>;

    /// Goes back to a snapshot; called after `begin`.
    fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError>;
}

/// The server's part in a batch of one client; the counterparts of [`ClientRounds`].
pub(crate) trait ServerRounds<C: Channel> {
    /// A batch: these rows of the epoch's order.
    async fn train(&mut self, link: &mut Link<C>, round: u64, epoch: u32, rows: Range<usize>) -> Result<(), ProtocolError>;

    /// These test rows.
    async fn outputs(&mut self, link: &mut Link<C>, round: u64, rows: Range<usize>) -> Result<(), ProtocolError>;

    /// What of this session's state has changed since the beginning of the epoch.
    async fn snapshot(&mut self) -> Result<Parts, ProtocolError>;

    fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError>;
}

/// The server's side of a job: a session for each client, in the order of the links, and what happens to the shared layers between epochs.
pub(crate) trait Sessions<C: Channel> {
    type Session: ServerRounds<C>;

    fn sessions(&mut self) -> &mut [Self::Session];

    /// Before the first batch.
    async fn begin(&mut self, _: &mut [Link<C>], _: &Cohort) -> Result<(), ProtocolError> {
        Ok(())
    }

    /// After every client's last batch of an epoch, in a round of each client's link. Afterwards all sessions have the same layers.
    async fn end_epoch(&mut self, links: &mut [Link<C>], rounds: &[u64], cohort: &Cohort) -> Result<(), ProtocolError>;

    /// What all sessions share, at the end of an epoch; names differ from those of a session's snapshot.
    fn shared(&self) -> Result<Parts, ProtocolError> {
        Ok(Parts::new())
    }

    fn restore_shared(&mut self, _: &Parts) -> Result<(), ProtocolError> {
        Ok(())
    }
}

/// Gives every copy of the same layers the mean of all, weighted by `shares`, which add up to 1. One copy stays as it is, bit for bit.
pub(crate) fn average<'a>(copies: impl Iterator<Item = &'a mut Network>, shares: &[f64]) -> Result<(), ProtocolError> {
    let mut copies: Vec<_> = copies.collect();
    let Some(first) = copies.first() else { return Ok(()) };
    let all = |copy: &Network| [copy.parameters(), copy.buffers()].concat();
    let mut mean: Vec<(String, ArrayD<f64>)> = all(first)
        .into_iter()
        .map(|(name, value)| (name, ArrayD::zeros(value.raw_dim())))
        .collect();
    for (copy, share) in copies.iter().zip(shares) {
        for ((_, sum), (_, value)) in mean.iter_mut().zip(all(copy)) {
            sum.zip_mut_with(&value, |sum, value| *sum += share * f64::from(*value));
        }
    }
    let mean: Vec<_> = mean
        .into_iter()
        .map(|(name, value)| (name, value.mapv(|v| v as f32)))
        .collect();
    let (parameters, buffers) = mean.split_at(first.parameters().len());
    for copy in &mut copies {
        copy.set_parameters(parameters)?;
        copy.set_buffers(buffers)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
