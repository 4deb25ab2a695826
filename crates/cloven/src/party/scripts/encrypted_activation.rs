//! `encrypted-activation`, in both modes.

use cloven_protocols::{
    Observe,
    encrypted_activation::{self, Fellows, HelpedLattice, LatticeCipher, ServerCipher, ServerLattice, paper},
};
use cloven_wire::{Channel, Link};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{Outcome, Trained, fresh_randomness};
use crate::{
    Error,
    party::{Kept, Prepared, rows::ClientData},
};

impl Prepared {
    pub(super) async fn sealed_client<C: Channel>(
        &self,
        data: &ClientData,
        kept: &Kept<'_, '_>,
        link: &mut Link<C>,
        observe: &mut Observe<'_>,
    ) -> Outcome {
        let cut = self.job.cut()?;
        let me = encrypted_activation::Client {
            front: self.network(&cut, 0..cut.server.start)?,
            // It starts from nothing, whatever the server's layer starts from.
            unrevealed: self.random_network(&cut, cut.server.clone(), self.job.seed)?,
            tail: self.network(&cut, cut.server.end..cut.model.layers.len())?,
            cipher: LatticeCipher::new(self.job.sealing()?, &mut ChaCha20Rng::from_seed(*kept.secret)),
            reveal_after: self.reveal_after(),
            fellows: self.fellows()?,
        };
        let me = encrypted_activation::client(me, self.task(data, kept), link, observe).await;
        Ok(me.map(|me| Trained {
            parts: vec![me.front, me.tail],
            unrevealed: Some(me.unrevealed),
            ..Trained::default()
        }))
    }

    pub(super) async fn sealed_server<C: Channel>(
        &self,
        kept: &Kept<'_, '_>,
        links: &mut [Link<C>],
        observe: &mut Observe<'_>,
    ) -> Outcome {
        match self.helpers() {
            None => {
                let cipher = |_| Ok(ServerLattice::new(self.job.sealing()?));
                self.sealed_server_with(cipher, kept, links, observe).await
            }
            Some(helpers) => {
                let cipher = |client| Ok(HelpedLattice::new(self.job.sealing()?, client, helpers));
                self.sealed_server_with(cipher, kept, links, observe).await
            }
        }
    }

    async fn sealed_server_with<C: Channel, K: ServerCipher>(
        &self,
        cipher: impl Fn(usize) -> Result<K, Error>,
        kept: &Kept<'_, '_>,
        links: &mut [Link<C>],
        observe: &mut Observe<'_>,
    ) -> Outcome {
        let keeps = kept.keeps();
        let cut = self.job.cut()?;
        let me = encrypted_activation::Server {
            layer: self.network(&cut, cut.server.clone())?,
            ciphers: (0..links.len()).map(cipher).collect::<Result<_, Error>>()?,
            reveal_after: self.reveal_after(),
        };
        let me = encrypted_activation::server(me, self.service(kept, &keeps), links, observe).await;
        Ok(me.map(|me| Trained {
            parts: vec![me.layer],
            ..Trained::default()
        }))
    }

    pub(super) async fn paper_client<C: Channel>(
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
            ..Trained::default()
        }))
    }

    pub(super) async fn paper_server<C: Channel>(
        &self,
        kept: &Kept<'_, '_>,
        links: &mut [Link<C>],
        observe: &mut Observe<'_>,
    ) -> Outcome {
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
            ..Trained::default()
        }))
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
}
