//! From a job and a role to the protocol's script.

mod enclave;
mod encrypted_activation;
mod encrypted_model;
mod plain;
mod vertical;

use std::{ops::Range, path::Path};

use cloven_nn::Network;
use cloven_protocols::{Event, Keep, Observe, ProtocolError, Service, Task, encrypted_model::HeldLayers};
use cloven_wire::{Channel, Link};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

use super::{Kept, Prepared, rows::ClientData};
use crate::{
    Error,
    encrypted_layer::KeptKey,
    job::{Cut, Mode, Protocol, Samples},
    reporter::Reporter,
    vertical_preprocessing::VerticalPreprocessing,
};

impl Prepared {
    /// Runs the role's script, with a link for each party that this one talks to, in the order of their names; returns the trained parts of the
    /// network.
    pub(super) async fn script<C: Channel>(
        &self,
        links: &mut [Link<C>],
        kept: &Kept<'_, '_>,
        reporter: &Reporter<'_>,
    ) -> Result<Trained, Error> {
        self.observed_script(links, kept, reporter, &mut |event| reporter.observe(event))
            .await
    }

    /// As [`Prepared::script`], for any observer.
    async fn observed_script<C: Channel>(
        &self,
        links: &mut [Link<C>],
        kept: &Kept<'_, '_>,
        reporter: &Reporter<'_>,
        observe: &mut Observe<'_>,
    ) -> Result<Trained, Error> {
        let of_many = match self.job.protocol {
            Protocol::Vertical => Some(self.vertical(links, kept, reporter, observe).await?),
            Protocol::Enclave => Some(self.enclave(kept, links, (reporter, observe)).await?),
            _ => None,
        };
        if let Some(trained) = of_many {
            return trained.map_err(|cause| self.protocol_error(cause));
        }
        let trained = match (self.job.protocol, self.job.mode(), &self.data, &mut *links) {
            (Protocol::Plain, _, Some(data), [link]) => self.plain_client(data, kept, link, observe).await?,
            (Protocol::Plain, _, _, links) => self.plain_server(kept, links, observe).await?,
            (Protocol::EncryptedActivation, Mode::Sealed, Some(data), [link]) => {
                self.sealed_client(data, kept, link, observe).await?
            }
            (Protocol::EncryptedActivation, Mode::Sealed, _, links) => self.sealed_server(kept, links, observe).await?,
            (Protocol::EncryptedActivation, Mode::Paper, Some(data), [link]) => {
                self.paper_client(data, kept, link, observe).await?
            }
            (Protocol::EncryptedActivation, Mode::Paper, _, links) => self.paper_server(kept, links, observe).await?,
            (Protocol::EncryptedModel, _, Some(data), [link]) if self.job.samples() == Samples::Encrypted => {
                self.samples_client(data, kept, link, observe).await?
            }
            (Protocol::EncryptedModel, _, None, [link, ..]) if self.job.samples() == Samples::Encrypted => {
                self.samples_server(kept, link, observe).await?
            }
            (Protocol::EncryptedModel, _, Some(data), [link]) => self.model_client(data, kept, link, observe).await?,
            (Protocol::EncryptedModel, _, _, [link, ..]) => self.model_server(kept, link, observe).await?,
            (Protocol::EncryptedModel | Protocol::Vertical | Protocol::Enclave, _, _, _) => {
                return Err(Error::configuration("parties", "the job has no client"));
            }
        };
        trained.map_err(|cause| self.protocol_error(cause))
    }

    pub(crate) fn protocol_error(&self, cause: ProtocolError) -> Error {
        Error::Protocol {
            party: self.party.clone(),
            cause: Box::new(cause),
        }
    }

    fn task<'a>(&self, data: &'a ClientData, kept: &'a Kept<'_, '_>) -> Task<'a> {
        let ClientData {
            train, test, subsets, ..
        } = data;
        let (loss, schedule, shuffle) = (self.job.training.loss, self.job.schedule(), self.job.shuffle());
        Task {
            train,
            test,
            subsets,
            loss,
            class_weights: data.class_weights.as_ref(),
            schedule,
            shuffle,
            clients: self.job.clients().count() as u32,
            keep: kept.links.first().map(|link| link as &dyn Keep),
            alone: kept.alone.get(),
        }
    }

    fn service<'a>(&self, kept: &Kept<'_, '_>, keeps: &'a [&'a dyn Keep]) -> Service<'a> {
        Service {
            schedule: self.job.schedule(),
            keeps,
            alone: kept.alone.get(),
        }
    }

    /// Layers as training begins with them: random by the job's seed, or out of this party's file of initial weights.
    fn network(&self, cut: &Cut, layers: Range<usize>) -> Result<Network, Error> {
        let mut network = self.random_network(cut, layers, self.job.seed)?;
        self.begins_with_given(&mut network)?;
        Ok(network)
    }

    fn random_network(&self, cut: &Cut, layers: Range<usize>, seed: u64) -> Result<Network, Error> {
        Ok(Network::new(&cut.model, layers, seed)?.with_optimiser(self.job.training.optimiser.clone())?)
    }

    /// Gives the network this party's initial weights, and says whether there are any.
    fn begins_with_given(&self, network: &mut Network) -> Result<bool, Error> {
        let Some(path) = &self.local.initial_weights else {
            return Ok(false);
        };
        network.import_safetensors(path, &[])?;
        Ok(true)
    }
}

impl Prepared {
    /// Runs the role's script for a rehearsal; `heard` hears of every event before the reporter does. Checkpoints go to `folder`.
    pub(crate) async fn rehearse<C: Channel>(
        &self,
        links: &mut [Link<C>],
        folder: &Path,
        reporter: &Reporter<'_>,
        heard: &mut dyn FnMut(&Event),
    ) -> Result<(), Error> {
        let kept = self.kept(folder, reporter)?;
        let observe: &mut Observe<'_> = &mut |event| {
            heard(&event);
            reporter.observe(event)
        };
        self.observed_script(links, &kept, reporter, observe).await.map(drop)
    }
}

impl Kept<'_, '_> {
    fn keeps(&self) -> Vec<&dyn Keep> {
        self.links.iter().map(|link| link as &dyn Keep).collect()
    }
}

/// What a party's script leaves behind.
#[derive(Default)]
pub(super) struct Trained {
    /// This party's layers.
    pub(super) parts: Vec<Network>,
    /// `encrypted_activation`: what the client has not revealed of the server's layer; to be added to it.
    pub(super) unrevealed: Option<Network>,
    /// `encrypted_model`.
    pub(super) encrypted: Option<Encrypted>,
    /// `vertical`: a holder's shares of the first layer.
    pub(super) shares: Option<Zeroizing<Vec<u8>>>,
    /// `vertical`: how a holder's rows came into form.
    pub(super) preprocessing: Option<VerticalPreprocessing>,
    /// `vertical`: where in a holder's table the rows are that all have.
    pub(super) places: Option<Vec<usize>>,
}

/// What a training by `encrypted_model` leaves: the key at the client, ciphertexts at the server.
pub(super) enum Encrypted {
    Key(KeptKey),
    Layers(HeldLayers),
}

/// The outer error is of this party's own set-up, the inner one of the script.
type Outcome = Result<Result<Trained, ProtocolError>, Error>;

/// A generator seeded by the operating system.
pub(crate) fn fresh_randomness() -> Result<ChaCha20Rng, Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| Error::File {
        path: "random numbers".into(),
        cause: std::io::Error::other(e.to_string()),
    })?;
    Ok(ChaCha20Rng::from_seed(seed))
}
