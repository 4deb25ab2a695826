//! The enclave's script.

use std::ops::Range;

use cloven_attest::Attester;
use cloven_nn::{BatchTargets, InputGradient as Wish, Loss, Network, offload::OffloadedNetwork};
use cloven_wire::{Channel, DecodeError, Link, Message, WireError, tcp::Identity};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

use super::{
    Terms, attestation,
    customer::most_bytes,
    msg::{BatchLoss, Outputs, Samples, SealingKey, Targets, TrainedNetwork},
    products::Products,
    sealing::Seal,
};
use crate::{
    Observe, Parts, ProtocolError, Service,
    checkpoint::part,
    training::{self, Cohort, ServerRounds, Sessions},
};

/// The part of a checkpoint that is the sealed network.
const NETWORK: &str = "network";

/// What the enclave brings.
pub struct Enclave<'a> {
    /// Its own name and key, which its evidence is bound to.
    pub identity: &'a Identity,
    /// Where its evidence comes from.
    pub attester: &'a Attester,
    /// The network, of which the customer has the weights.
    pub network: Network,
    /// The loss at its output.
    pub loss: Loss,
    /// The job's digest.
    pub job: [u8; 32],
    /// Fresh for every connection: blinding and checks are drawn from it.
    pub secret: &'a [u8; 32],
}

/// Trains for the customer with the workers; `links` are to all of them, in any order.
///
/// # Errors
/// [`ProtocolError`], naming the party whose message cannot be, and the worker whose product is wrong.
pub async fn enclave<C: Channel>(
    me: Enclave<'_>,
    terms: &Terms,
    service: Service<'_>,
    links: &mut [Link<C>],
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    if service.alone {
        return Ok(());
    }
    let (loss, job) = (me.loss, me.job);
    let met = meet(me, terms, links).await?;
    let mut session = Session {
        network: met.network,
        products: met.products,
        loss,
        seal: Seal::new(&met.sealing_key, &job),
    };
    training::server(&mut session, service, met.customer, observe).await?;
    session.products.end().await
}

/// What the enclave has when it has met the others.
pub(super) struct Met<'l, C> {
    pub(super) customer: &'l mut [Link<C>],
    pub(super) network: OffloadedNetwork,
    pub(super) products: Products<'l, C>,
    sealing_key: Zeroizing<[u8; 32]>,
}

/// Steps 1 to 3, and the workers.
pub(super) async fn meet<'l, C: Channel>(
    me: Enclave<'_>,
    terms: &Terms,
    links: &'l mut [Link<C>],
) -> Result<Met<'l, C>, ProtocolError> {
    let missing = |party: &cloven_wire::Party| {
        ProtocolError::Wire(WireError::Local {
            what: "taking part as the enclave".into(),
            cause: format!("{party} is not connected"),
        })
    };
    let place = links.iter().position(|link| *link.peer() == terms.customer);
    let place = place.ok_or_else(|| missing(&terms.customer))?;
    let (before, rest) = links.split_at_mut(place);
    let (customer, after) = rest.split_at_mut(1);
    let mut found: Vec<&mut Link<C>> = before.iter_mut().chain(after).collect();
    let mut workers = Vec::new();
    for worker in terms.at_work() {
        let place = found.iter().position(|link| link.peer() == worker);
        workers.push(found.swap_remove(place.ok_or_else(|| missing(worker))?));
    }
    // 2., 3.
    attestation::give(me.attester, me.identity.certificate.as_der(), &mut customer[0]).await?;
    let SealingKey(sealing_key) = customer[0].receive(0, &()).await?;
    let mut network = me.network;
    let TrainedNetwork(bytes) = customer[0].receive(0, &most_bytes(&network)?).await?;
    network.restore(&bytes).map_err(|cause| WireError::Malformed {
        party: customer[0].peer().clone(),
        round: 0,
        what: TrainedNetwork::NAME,
        cause: DecodeError::Field {
            field: "network",
            expected: "weights of the job's layers".into(),
            got: cause.to_string(),
        },
    })?;
    let derive = |purpose| ChaCha20Rng::from_seed(blake3::derive_key(purpose, me.secret));
    let network = OffloadedNetwork::new(network, Wish::NotWanted);
    let products = Products::new(network.products(), terms, workers, derive("cloven v1 enclave: blinding"))?;
    Ok(Met {
        customer,
        network,
        products,
        sealing_key,
    })
}

/// The one customer's training.
struct Session<'l, C> {
    network: OffloadedNetwork,
    products: Products<'l, C>,
    loss: Loss,
    seal: Seal,
}

impl<C: Channel> Sessions<C> for Session<'_, C> {
    type Session = Self;

    fn sessions(&mut self) -> &mut [Self] {
        std::slice::from_mut(self)
    }

    async fn end_epoch(&mut self, links: &mut [Link<C>], rounds: &[u64], _: &Cohort) -> Result<(), ProtocolError> {
        for (link, round) in links.iter_mut().zip(rounds) {
            link.send(*round, &TrainedNetwork(self.network.network().checkpoint()?))
                .await?;
        }
        Ok(())
    }
}

impl<C: Channel> ServerRounds<C> for Session<'_, C> {
    async fn train(&mut self, link: &mut Link<C>, round: u64, _: u32, rows: Range<usize>) -> Result<(), ProtocolError> {
        let Self {
            network, products, loss, ..
        } = self;
        let Samples(x) = link.receive(round, &network.network().batch_shape(rows.len())[..]).await?;
        let targets = receive_targets(*loss, network.network(), rows.len(), link, round).await?;
        let outputs = network.forward_train(products, round, &x).await?;
        let (mean, gradient) = loss.value_and_gradient(&outputs, &targets)?;
        network.backward(products, &gradient).await?;
        network.update()?;
        products.end_step()?;
        Ok(link.send(round, &BatchLoss(mean)).await?)
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, rows: Range<usize>) -> Result<(), ProtocolError> {
        let Self { network, products, .. } = self;
        let Samples(x) = link.receive(round, &network.network().batch_shape(rows.len())[..]).await?;
        let outputs = network.forward(products, &x).await?;
        Ok(link.send(round, &Outputs(outputs)).await?)
    }

    fn snapshot(&self) -> Result<Parts, ProtocolError> {
        let sealed = self.seal.seal(NETWORK, &self.network.network().checkpoint()?)?;
        Ok([(NETWORK.to_owned(), sealed)].into())
    }

    fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError> {
        let plain = self.seal.open(NETWORK, part(parts, NETWORK)?)?;
        Ok(self.network.network_mut().restore(&plain)?)
    }
}

/// The targets of a batch: numbers of classes where the loss is of classes.
async fn receive_targets<C: Channel>(
    loss: Loss,
    network: &Network,
    rows: usize,
    link: &mut Link<C>,
    round: u64,
) -> Result<BatchTargets, ProtocolError> {
    let outputs = [&[rows], network.output_shape()].concat();
    if loss != Loss::CrossEntropy {
        let Targets(values) = link.receive(round, &outputs[..]).await?;
        return Ok(BatchTargets::Values(values));
    }
    let Targets(classes) = link.receive(round, &[rows][..]).await?;
    let most = outputs[1..].iter().product::<usize>();
    let class = |value: &f32| match *value {
        value if value >= 0.0 && value.fract() == 0.0 && (value as usize) < most => Ok(value as u32),
        value => Err(WireError::Malformed {
            party: link.peer().clone(),
            round,
            what: Targets::NAME,
            cause: DecodeError::Field {
                field: "class",
                expected: format!("a number from 0 to {}", most - 1),
                got: value.to_string(),
            },
        }),
    };
    Ok(BatchTargets::Classes(classes.iter().map(class).collect::<Result<_, _>>()?))
}
