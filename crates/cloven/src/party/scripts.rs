//! From a job and a role to the protocol's script.

use std::path::Path;

use cloven_nn::Network;
use cloven_protocols::{
    Event, Keep, Observe, ProtocolError, Service, Task,
    encrypted_activation::{self, Fellows, LatticeCipher, ServerLattice, paper},
    encrypted_model::{self, HeldLayers, LayerKey, ProductKey, encrypted_samples},
    plain,
};
use cloven_wire::{Channel, Link};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{Kept, Prepared, rows::ClientData};
use crate::{
    Error,
    encrypted_layer::KeptKey,
    encrypted_rows::EncryptedRows,
    job::{Cut, InitialWeights, Mode, Protocol, Samples},
    reporter::Reporter,
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
        self.observed_script(links, kept, &mut |event| reporter.observe(event)).await
    }

    /// As [`Prepared::script`], for any observer.
    async fn observed_script<C: Channel>(
        &self,
        links: &mut [Link<C>],
        kept: &Kept<'_, '_>,
        observe: &mut Observe<'_>,
    ) -> Result<Trained, Error> {
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
            (Protocol::EncryptedModel, _, _, []) => return Err(Error::configuration("parties", "the job has no client")),
        };
        trained.map_err(|cause| self.protocol_error(cause))
    }

    fn protocol_error(&self, cause: ProtocolError) -> Error {
        Error::Protocol {
            party: self.party.clone(),
            cause: Box::new(cause),
        }
    }

    async fn plain_client<C: Channel>(
        &self,
        data: &ClientData,
        kept: &Kept<'_, '_>,
        link: &mut Link<C>,
        observe: &mut Observe<'_>,
    ) -> Outcome {
        let cut = self.job.cut()?;
        let front = self.network(&cut, 0..cut.server.start)?;
        let tail = self.network(&cut, cut.server.end..cut.model.layers.len())?;
        let me = plain::client(plain::Client { front, tail }, self.task(data, kept), link, observe).await;
        Ok(me.map(|me| Trained {
            parts: vec![me.front, me.tail],
            unrevealed: None,
            encrypted: None,
        }))
    }

    async fn plain_server<C: Channel>(&self, kept: &Kept<'_, '_>, links: &mut [Link<C>], observe: &mut Observe<'_>) -> Outcome {
        let keeps = kept.keeps();
        let cut = self.job.cut()?;
        let middle = links.iter().map(|_| self.network(&cut, cut.server.clone()));
        let me = plain::Server {
            middle: middle.collect::<Result<_, _>>()?,
        };
        let me = plain::server(me, self.service(kept, &keeps), links, observe).await;
        Ok(me.map(|me| Trained {
            // All copies are alike.
            parts: me.middle.into_iter().take(1).collect(),
            unrevealed: None,
            encrypted: None,
        }))
    }

    async fn sealed_client<C: Channel>(
        &self,
        data: &ClientData,
        kept: &Kept<'_, '_>,
        link: &mut Link<C>,
        observe: &mut Observe<'_>,
    ) -> Outcome {
        let cut = self.job.cut()?;
        let me = encrypted_activation::Client {
            front: self.network(&cut, 0..cut.server.start)?,
            unrevealed: self.network(&cut, cut.server.clone())?,
            tail: self.network(&cut, cut.server.end..cut.model.layers.len())?,
            cipher: LatticeCipher::new(self.job.sealing()?, &mut ChaCha20Rng::from_seed(*kept.secret)),
            reveal_after: self.reveal_after(),
            fellows: self.fellows()?,
        };
        let me = encrypted_activation::client(me, self.task(data, kept), link, observe).await;
        Ok(me.map(|me| Trained {
            parts: vec![me.front, me.tail],
            unrevealed: Some(me.unrevealed),
            encrypted: None,
        }))
    }

    async fn sealed_server<C: Channel>(&self, kept: &Kept<'_, '_>, links: &mut [Link<C>], observe: &mut Observe<'_>) -> Outcome {
        let keeps = kept.keeps();
        let cut = self.job.cut()?;
        let me = encrypted_activation::Server {
            layer: self.network(&cut, cut.server.clone())?,
            ciphers: links
                .iter()
                .map(|_| Ok(ServerLattice::new(self.job.sealing()?)))
                .collect::<Result<_, Error>>()?,
            reveal_after: self.reveal_after(),
        };
        let me = encrypted_activation::server(me, self.service(kept, &keeps), links, observe).await;
        Ok(me.map(|me| Trained {
            parts: vec![me.layer],
            unrevealed: None,
            encrypted: None,
        }))
    }

    async fn paper_client<C: Channel>(
        &self,
        data: &ClientData,
        kept: &Kept<'_, '_>,
        link: &mut Link<C>,
        observe: &mut Observe<'_>,
    ) -> Outcome {
        let cut = self.job.cut()?;
        let me = paper::Client {
            front: self.network(&cut, 0..cut.server.start)?,
            layer: self.network(&cut, cut.server.clone())?,
            tail: self.network(&cut, cut.server.end..cut.model.layers.len())?,
            cipher: LatticeCipher::new(self.job.sealing()?, &mut ChaCha20Rng::from_seed(*kept.secret)),
        };
        let me = paper::client(me, self.task(data, kept), link, observe).await;
        Ok(me.map(|me| Trained {
            parts: vec![me.front, me.tail],
            unrevealed: None,
            encrypted: None,
        }))
    }

    async fn paper_server<C: Channel>(&self, kept: &Kept<'_, '_>, links: &mut [Link<C>], observe: &mut Observe<'_>) -> Outcome {
        let keeps = kept.keeps();
        let cut = self.job.cut()?;
        let session = |_| {
            Ok(paper::Session {
                layer: self.network(&cut, cut.server.clone())?,
                cipher: ServerLattice::new(self.job.sealing()?),
            })
        };
        let me = paper::Server {
            sessions: links.iter().map(session).collect::<Result<_, Error>>()?,
        };
        let me = paper::server(me, self.service(kept, &keeps), links, observe).await;
        Ok(me.map(|me| Trained {
            parts: me.sessions.into_iter().take(1).map(|session| session.layer).collect(),
            unrevealed: None,
            encrypted: None,
        }))
    }

    async fn model_client<C: Channel>(
        &self,
        data: &ClientData,
        kept: &Kept<'_, '_>,
        link: &mut Link<C>,
        observe: &mut Observe<'_>,
    ) -> Outcome {
        let cut = self.job.cut()?;
        let key = LayerKey::new(self.job.layer_encryption()?, &kept.secret);
        let inner = self.job.product_keys(&kept.secret)?;
        let mut layer = self.network(&cut, self.job.first_encrypted(&cut)?)?;
        let tail = self.encrypted_network(&cut, &inner)?;
        if self.job.initial_weights() == InitialWeights::Secret {
            key.draw_weights(&mut layer).map_err(|cause| self.protocol_error(cause))?;
        }
        let me = encrypted_model::Client {
            layer,
            tail,
            key,
            inner,
            optimiser: self.job.training.optimiser.clone(),
            precision: self.job.precision(),
        };
        let me = encrypted_model::client(me, self.task(data, kept), link, observe).await;
        Ok(me.map(|me| Trained {
            parts: vec![me.tail],
            unrevealed: None,
            encrypted: Some(Encrypted::Key(KeptKey {
                secret: kept.secret.clone(),
                factor: me.factor,
            })),
        }))
    }

    async fn model_server<C: Channel>(&self, kept: &Kept<'_, '_>, link: &mut Link<C>, observe: &mut Observe<'_>) -> Outcome {
        let keeps = kept.keeps();
        let me = encrypted_model::Server {
            encryption: self.job.layer_encryption()?,
            inner: self.job.product_layers()?,
            shuffle: self.job.shuffle(),
        };
        let me = encrypted_model::server(me, self.service(kept, &keeps), link, observe).await;
        Ok(me.map(|layers| Trained {
            parts: Vec::new(),
            unrevealed: None,
            encrypted: Some(Encrypted::Layers(layers)),
        }))
    }

    async fn samples_client<C: Channel>(
        &self,
        data: &ClientData,
        kept: &Kept<'_, '_>,
        link: &mut Link<C>,
        observe: &mut Observe<'_>,
    ) -> Outcome {
        let cut = self.job.cut()?;
        let keys = self.job.product_keys(&kept.secret)?;
        let network = self.encrypted_network(&cut, &keys)?;
        let me = encrypted_samples::Client { network, keys };
        let me = encrypted_samples::client(me, self.task(data, kept), link, observe).await;
        Ok(me.map(|network| Trained {
            parts: vec![network],
            unrevealed: None,
            encrypted: Some(Encrypted::Key(KeptKey {
                secret: kept.secret.clone(),
                factor: 1.0,
            })),
        }))
    }

    async fn samples_server<C: Channel>(&self, kept: &Kept<'_, '_>, link: &mut Link<C>, observe: &mut Observe<'_>) -> Outcome {
        let keeps = kept.keeps();
        let rows = EncryptedRows::open(&kept.rows, self.job.digest(), self.job.first_product()?.row_len());
        let me = encrypted_samples::Server {
            layers: self.job.product_layers()?,
            shuffle: self.job.shuffle(),
            rows: &rows,
        };
        let me = encrypted_samples::server(me, self.service(kept, &keeps), link, observe).await;
        Ok(me.map(|layers| Trained {
            parts: Vec::new(),
            unrevealed: None,
            encrypted: Some(Encrypted::Layers(layers)),
        }))
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

    /// In a rehearsal, whose few rows are made up, an epoch ends as one of many rows does.
    fn reveal_after(&self) -> usize {
        if self.rehearsal {
            1
        } else {
            encrypted_activation::REVEAL_AFTER
        }
    }

    /// The other clients, where there are any.
    fn fellows(&self) -> Result<Option<(Fellows<'_>, ChaCha20Rng)>, Error> {
        let clients: Vec<_> = self.job.clients().cloned().collect();
        if clients.len() == 1 {
            return Ok(None);
        }
        let fellows = Fellows {
            identity: &self.identity,
            roster: &self.roster,
            clients,
            job: self.job.digest(),
        };
        Ok(Some((fellows, fresh_randomness()?)))
    }

    /// The client's part of the network under `encrypted-model`, with secret weights where the server computes products.
    fn encrypted_network(&self, cut: &Cut, keys: &[ProductKey]) -> Result<Network, Error> {
        let mut network = self
            .job
            .client_network(cut)?
            .with_optimiser(self.job.training.optimiser.clone())?;
        if self.job.initial_weights() == InitialWeights::Secret {
            let names: Vec<String> = network.outside().iter().map(|layer| layer.weight.clone()).collect();
            for (key, weight) in keys.iter().zip(&names) {
                let drawn = key.draw_weights(&mut network, weight);
                drawn.map_err(|cause| self.protocol_error(cause))?;
            }
        }
        Ok(network)
    }

    fn network(&self, cut: &Cut, layers: std::ops::Range<usize>) -> Result<Network, Error> {
        Ok(Network::new(&cut.model, layers, self.job.seed)?.with_optimiser(self.job.training.optimiser.clone())?)
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
        self.observed_script(links, &kept, observe).await.map(drop)
    }
}

impl Kept<'_, '_> {
    fn keeps(&self) -> Vec<&dyn Keep> {
        self.links.iter().map(|link| link as &dyn Keep).collect()
    }
}

/// What a party's script leaves behind.
pub(super) struct Trained {
    /// This party's layers.
    pub(super) parts: Vec<Network>,
    /// `encrypted_activation`: what the client has not revealed of the server's layer; to be added to it.
    pub(super) unrevealed: Option<Network>,
    /// `encrypted_model`.
    pub(super) encrypted: Option<Encrypted>,
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
