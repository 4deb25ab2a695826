//! The customer's script.

use std::time::SystemTime;

use cloven_attest::Policy;
use cloven_nn::{BatchTargets, Network};
use cloven_wire::{Channel, DecodeError, Link, Message, WireError};
use ndarray::ArrayD;
use zeroize::Zeroizing;

use super::{
    attestation,
    msg::{BatchLoss, Outputs, Samples, SealingKey, Targets, TrainedNetwork},
};
use crate::{
    Observe, Parts, ProtocolError, Task,
    checkpoint::part,
    training::{self, ClientRounds, Cohort},
};

/// The part of a checkpoint that is the network.
const NETWORK: &str = "network";

/// What the customer brings.
pub struct Customer<'a> {
    /// The network to begin with.
    pub network: Network,
    /// What an enclave must be to get anything, and when that is asked.
    pub policy: (&'a Policy, SystemTime),
    /// The enclave's certificate, as it is pinned.
    pub certificate: &'a [u8],
    /// Fresh for every connection.
    pub nonce: [u8; 32],
    /// Under it the enclave seals its state: the same after an interruption.
    pub sealing_key: Zeroizing<[u8; 32]>,
}

/// Trains by the enclave at the other end of `link`; returns the trained network.
///
/// # Errors
/// [`ProtocolError`]; before the enclave's evidence is accepted nothing but a nonce is sent.
pub async fn customer<C: Channel>(
    me: Customer<'_>,
    task: Task<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<Network, ProtocolError> {
    let network = match task.alone {
        true => me.network,
        false => meet(me, link).await?,
    };
    let mut rounds = Rounds { network };
    training::client(&mut rounds, &task, link, observe).await?;
    Ok(rounds.network)
}

/// Steps 1 to 3.
pub(super) async fn meet<C: Channel>(me: Customer<'_>, link: &mut Link<C>) -> Result<Network, ProtocolError> {
    attestation::ask(me.policy, me.certificate, me.nonce, link).await?;
    link.send(0, &SealingKey(me.sealing_key)).await?;
    link.send(0, &TrainedNetwork(me.network.checkpoint()?)).await?;
    Ok(me.network)
}

/// Bytes of the longest checkpoint of a network like this one: names and numbers, and the optimiser's state, which it may not have yet.
fn most_bytes(network: &Network) -> Result<usize, ProtocolError> {
    Ok(4 * network.checkpoint()?.len() + (1 << 20))
}

/// Takes the weights that the peer sends.
pub(super) async fn receive_network<C: Channel>(
    network: &mut Network,
    link: &mut Link<C>,
    round: u64,
) -> Result<(), ProtocolError> {
    let TrainedNetwork(bytes) = link.receive(round, &most_bytes(network)?).await?;
    network.restore(&bytes).map_err(|cause| {
        let party = link.peer().clone();
        let cause = DecodeError::Field {
            field: "network",
            expected: "weights of the job's layers".into(),
            got: cause.to_string(),
        };
        let what = TrainedNetwork::NAME;
        ProtocolError::Wire(WireError::Malformed {
            party,
            round,
            what,
            cause,
        })
    })
}

struct Rounds {
    /// As it was at the end of the last epoch.
    network: Network,
}

impl<C: Channel> ClientRounds<C> for Rounds {
    async fn train(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>, t: &BatchTargets) -> Result<f64, ProtocolError> {
        link.send(round, &Samples(x.clone())).await?;
        link.send(round, &Targets(numbers(t))).await?;
        let BatchLoss(loss) = link.receive(round, &()).await?;
        Ok(loss)
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>) -> Result<ArrayD<f32>, ProtocolError> {
        link.send(round, &Samples(x.clone())).await?;
        let shape = [&x.shape()[..1], self.network.output_shape()].concat();
        let Outputs(outputs) = link.receive(round, &shape[..]).await?;
        Ok(outputs)
    }

    async fn end_epoch(&mut self, link: &mut Link<C>, round: u64, _: &Cohort) -> Result<(), ProtocolError> {
        receive_network(&mut self.network, link, round).await
    }

    fn snapshot(&self) -> Result<Parts, ProtocolError> {
        Ok([(NETWORK.to_owned(), self.network.checkpoint()?)].into())
    }

    fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError> {
        Ok(self.network.restore(part(parts, NETWORK)?)?)
    }
}

/// Targets as numbers: those of classes are exact.
fn numbers(targets: &BatchTargets) -> ArrayD<f32> {
    match targets {
        BatchTargets::Classes(classes) => classes
            .iter()
            .map(|class| *class as f32)
            .collect::<ndarray::Array1<f32>>()
            .into_dyn(),
        BatchTargets::Values(values) => values.clone(),
    }
}
