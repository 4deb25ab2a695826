//! `enclave`: a client that trusts an attested enclave, which trusts none of its workers.

use std::time::SystemTime;

use cloven_accel::job::Limits;
use cloven_attest::{Attester, Kind, Policy, Requirement, Simulated, SimulatedPolicy};
use cloven_nn::Network;
use cloven_protocols::{
    Observe,
    enclave::{self, Customer, Enclave, Terms},
};
use cloven_wire::{Channel, Link};
use rand_chacha::rand_core::Rng;
use tracing::debug;
use zeroize::Zeroizing;

use super::{Outcome, Trained, fresh_randomness};
use crate::{
    AcceleratedWorker, Error, Local, Role, Update,
    job::{InitialWeights, simulated_measurement},
    party::{Kept, Prepared, rows::ClientData},
    reporter::Reporter,
};

impl Prepared {
    pub(super) async fn enclave<C: Channel>(
        &self,
        kept: &Kept<'_, '_>,
        links: &mut [Link<C>],
        (reporter, observe): (&Reporter<'_>, &mut Observe<'_>),
    ) -> Outcome {
        let terms = self.job.enclave_terms()?;
        match (self.role, &self.data, &mut *links) {
            (Role::Client, Some(data), [link]) => self.enclave_customer(data, &terms, kept, link, (reporter, observe)).await,
            (Role::Worker, _, [link]) => {
                let worker = self.accelerated()?;
                let done = worker.compute(link, observe).await;
                Ok(done.map(|()| Trained::default()))
            }
            (Role::Server, _, links) => self.enclave_server(&terms, kept, links, (reporter, observe)).await,
            _ => Err(Error::configuration("parties", format!("{} has no part in it", self.party))),
        }
    }

    /// The device that this worker computes on.
    pub(crate) fn accelerated(&self) -> Result<AcceleratedWorker, Error> {
        let worker = self.local.accelerator.open(Limits::default())?;
        debug!(device = worker.device_name(), "computing on");
        Ok(worker)
    }

    async fn enclave_customer<C: Channel>(
        &self,
        data: &ClientData,
        terms: &Terms,
        kept: &Kept<'_, '_>,
        link: &mut Link<C>,
        (reporter, observe): (&Reporter<'_>, &mut Observe<'_>),
    ) -> Outcome {
        let task = self.task(data, kept);
        let policy = self.attestation_policy()?;
        if !task.alone {
            self.warn(policy.warnings(), reporter);
        }
        let mut nonce = [0; 32];
        fresh_randomness()?.fill_bytes(&mut nonce);
        let me = Customer {
            network: self.first_network(kept)?,
            policy: (&policy, SystemTime::now()),
            certificate: self.pinned(&terms.enclave)?,
            nonce,
            sealing_key: Zeroizing::new(blake3::derive_key("cloven v1 enclave: sealing key", &*kept.secret)),
        };
        let network = enclave::customer(me, task, link, observe).await;
        Ok(network.map(|network| Trained {
            parts: vec![network],
            ..Trained::default()
        }))
    }

    /// The network that training begins with.
    fn first_network(&self, kept: &Kept<'_, '_>) -> Result<Network, Error> {
        let secret = blake3::derive_key("cloven v1 enclave: initial weights", &*kept.secret);
        let [a, b, c, d, e, f, g, h, ..] = secret;
        let seed = match self.job.enclave_settings()?.initial_weights {
            InitialWeights::Secret => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            InitialWeights::Public => self.job.seed,
        };
        let cut = self.job.cut()?;
        let mut network = self.random_network(&cut, cut.server.clone(), seed)?;
        self.begins_with_given(&mut network)?;
        Ok(network)
    }

    async fn enclave_server<C: Channel>(
        &self,
        terms: &Terms,
        kept: &Kept<'_, '_>,
        links: &mut [Link<C>],
        (reporter, observe): (&Reporter<'_>, &mut Observe<'_>),
    ) -> Outcome {
        let attester = self.attester()?;
        let keeps = kept.keeps();
        let service = self.service(kept, &keeps);
        if !service.alone {
            self.warn(attester.warning().map(str::to_owned), reporter);
        }
        let mut secret = Zeroizing::new([0; 32]);
        fresh_randomness()?.fill_bytes(&mut *secret);
        let me = self.enclave_of(&attester, &secret)?;
        let done = enclave::enclave(me, terms, service, links, observe).await;
        // It keeps no weights: the client has them.
        Ok(done.map(|()| Trained::default()))
    }

    /// What the enclave brings. Its network has the weights that the client sends.
    pub(crate) fn enclave_of<'a>(&'a self, attester: &'a Attester, secret: &'a [u8; 32]) -> Result<Enclave<'a>, Error> {
        let cut = self.job.cut()?;
        Ok(Enclave {
            identity: self.identity(),
            attester,
            network: self.network(&cut, cut.server.clone())?,
            loss: self.job.training.loss,
            job: self.job.digest(),
            secret,
        })
    }

    /// Shows what must be shown at every start.
    pub(crate) fn warn(&self, texts: impl IntoIterator<Item = String>, reporter: &Reporter<'_>) {
        texts.into_iter().for_each(|text| reporter.tell(Update::Warning { text }));
    }

    /// What this client asks of an enclave. A job never weakens it: the kind must be the job's, or nothing is sent.
    pub(crate) fn attestation_policy(&self) -> Result<Policy, Error> {
        let wanted = self.job.enclave_settings()?.attestation;
        let place = format!("{}: attestation_policy", Local::FILE);
        let wrong = |problem: String| Err(Error::configuration(&place, problem));
        let policy = match (&self.local.attestation_policy, wanted) {
            (Some(path), _) => Policy::load(path),
            (None, Kind::Simulated) => Policy::new(Requirement::Simulated(SimulatedPolicy {
                measurement: simulated_measurement(),
            })),
            (None, kind) => {
                return wrong(format!(
                    "the job asks for {kind}: say in which file the measurements are that you pin"
                ));
            }
        };
        match policy.map_err(|cause| Error::configuration(&place, cause))? {
            policy if policy.kind() == wanted => Ok(policy),
            policy => wrong(format!(
                "it accepts {} only, the job's enclave is {wanted}: nothing is sent",
                policy.kind()
            )),
        }
    }

    /// Where this enclave's evidence comes from.
    pub(crate) fn attester(&self) -> Result<Attester, Error> {
        let kind = self.job.enclave_settings()?.attestation;
        Ok(Attester::of_this_machine(kind).unwrap_or(Attester::Simulated(Simulated {
            measurement: simulated_measurement(),
            debug: false,
        })))
    }
}
