//! The enclave's script.

use std::ops::Range;

use cloven_attest::Attester;
use cloven_nn::{BatchTargets, InputGradient as Wish, Loss, Network, offload::OffloadedNetwork};
use cloven_wire::{Channel, DecodeError, Link, Message, WireError, tcp::Identity, wait_while};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

use super::{
    Terms, attestation,
    customer::receive_network,
    msg::{BatchLoss, Outputs, Samples, SealingKey, Targets, TrainedNetwork},
    products::{Products, Teller},
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

/// Trains for the customer with the workers; `links` are to all of them, in any order. A worker that is not among them counts as one that failed.
///
/// Workers that fail are told to `observe` ([`Event::WorkerDropped`](crate::Event::WorkerDropped)), and the training goes on without them.
///
/// # Errors
/// [`ProtocolError`], naming the party whose message cannot be; [`ProtocolError::NoWorker`] where the workers that are left cannot go on.
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
    let teller = Teller::new(observe);
    let met = meet(me, terms, links, &teller).await?;
    let mut session = Session {
        network: met.network,
        products: met.products,
        loss,
        seal: Seal::new(&met.sealing_key, &job),
    };
    training::server(&mut session, service, met.customer, &mut |event| teller.tell(event)).await?;
    session.products.end().await;
    Ok(())
}

/// What the enclave has when it has met the others.
pub(super) struct Met<'l, C> {
    /// One link.
    pub(super) customer: &'l mut [Link<C>],
    pub(super) network: OffloadedNetwork,
    pub(super) products: Products<'l, C>,
    sealing_key: Zeroizing<[u8; 32]>,
}

/// Steps 1 to 3, while the workers wait; `teller` hears of workers that fail.
pub(super) async fn meet<'l, C: Channel>(
    me: Enclave<'_>,
    terms: &Terms,
    links: &'l mut [Link<C>],
    teller: &'l Teller<'l>,
) -> Result<Met<'l, C>, ProtocolError> {
    let place = links.iter().position(|link| *link.peer() == terms.customer);
    let place = place.ok_or_else(|| WireError::Local {
        what: "taking part as the enclave".into(),
        cause: format!("{} is not connected", terms.customer),
    })?;
    let (before, rest) = links.split_at_mut(place);
    let (customer, after) = rest.split_at_mut(1);
    let mut found: Vec<&mut Link<C>> = before.iter_mut().chain(after).collect();
    let workers = terms.workers.iter().map(|worker| {
        let place = found.iter().position(|link| link.peer() == worker)?;
        Some(found.swap_remove(place))
    });
    let mut workers: Vec<Option<&mut Link<C>>> = workers.collect();
    let begin = begin((me.attester, me.identity), me.network, &mut customer[0]);
    let (sealing_key, network) = wait_while(workers.iter_mut().flatten().map(|link| &mut **link), begin).await?;
    let derive = |purpose| ChaCha20Rng::from_seed(blake3::derive_key(purpose, me.secret));
    let network = OffloadedNetwork::new(network, Wish::NotWanted);
    let products = Products::new(
        network.products(),
        terms,
        workers,
        teller,
        derive("cloven v1 enclave: blinding"),
    )?;
    Ok(Met {
        customer,
        network,
        products,
        sealing_key,
    })
}

/// Shows the customer what runs here; what it gives then.
async fn begin<C: Channel>(
    (attester, identity): (&Attester, &Identity),
    mut network: Network,
    customer: &mut Link<C>,
) -> Result<(Zeroizing<[u8; 32]>, Network), ProtocolError> {
    attestation::give(attester, identity.certificate.as_der(), customer).await?;
    let SealingKey(key) = customer.receive(0, &()).await?;
    receive_network(&mut network, customer, 0).await?;
    Ok((key, network))
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
        let shape = network.network().batch_shape(rows.len());
        let batch = async {
            let Samples(x) = link.receive(round, &shape[..]).await?;
            let targets = receive_targets(*loss, network.network(), rows.len(), link, round).await?;
            Ok::<_, ProtocolError>((x, targets))
        };
        let (x, targets) = products.wait_while(batch).await?;
        // Workers that fail may take as long as they have to answer.
        let step = async {
            let outputs = network.forward_train(products, round, &x).await?;
            let (mean, gradient) = loss.value_and_gradient(&outputs, &targets)?;
            network.backward(products, &gradient).await?;
            network.update()?;
            Ok::<_, ProtocolError>(mean)
        };
        let mean = link.wait_while(step).await?;
        products.end_step(network)?;
        Ok(link.send(round, &BatchLoss(mean)).await?)
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, rows: Range<usize>) -> Result<(), ProtocolError> {
        answer(&self.network, &mut self.products, link, round, rows.len()).await
    }

    async fn snapshot(&mut self) -> Result<Parts, ProtocolError> {
        let sealed = self.seal.seal(NETWORK, &self.network.network().checkpoint()?)?;
        Ok([(NETWORK.to_owned(), sealed)].into())
    }

    fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError> {
        let plain = self.seal.open(NETWORK, part(parts, NETWORK)?)?;
        self.products.forget_weights();
        Ok(self.network.network_mut().restore(&plain)?)
    }
}

/// The outputs for the customer's rows.
pub(super) async fn answer<C: Channel>(
    network: &OffloadedNetwork,
    products: &mut Products<'_, C>,
    link: &mut Link<C>,
    round: u64,
    rows: usize,
) -> Result<(), ProtocolError> {
    let shape = network.network().batch_shape(rows);
    let Samples(x) = products.wait_while(link.receive(round, &shape[..])).await?;
    let outputs = link.wait_while(network.forward(products, &x)).await?;
    Ok(link.send(round, &Outputs(outputs)).await?)
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
