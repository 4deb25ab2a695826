//! `vertical`: from a table to aligned rows to the script.

use cloven_nn::Network;
use cloven_protocols::{
    Keep, Observe, ProtocolError,
    vertical::{self, Terms, align},
};
use cloven_wire::{Channel, Link};
use zeroize::Zeroizing;

use super::{Outcome, Trained};
use crate::{
    Error, Role,
    job::Cut,
    party::{
        Kept, Prepared,
        aligned::{read_places, write_places},
        holder_rows::HolderRows,
    },
};

impl Prepared {
    pub(super) async fn vertical<C: Channel>(
        &self,
        links: &mut [Link<C>],
        kept: &Kept<'_, '_>,
        observe: &mut Observe<'_>,
    ) -> Outcome {
        let terms = self.job.vertical_terms()?;
        match (&self.rows, self.role) {
            (Some(rows), _) => self.vertical_holder(rows, &terms, kept, links, observe).await,
            (None, Role::Dealer) => {
                let done = vertical::dealer(&kept.secret, &terms, links, observe).await;
                Ok(done.map(|()| Trained::default()))
            }
            (None, _) => self.vertical_server(&terms, kept, links, observe).await,
        }
    }

    async fn vertical_holder<C: Channel>(
        &self,
        rows: &HolderRows,
        terms: &Terms,
        kept: &Kept<'_, '_>,
        links: &mut [Link<C>],
        observe: &mut Observe<'_>,
    ) -> Outcome {
        let places = match self.places(rows, terms, kept, links).await? {
            Ok(places) => places,
            Err(cause) => return Ok(Err(cause)),
        };
        let rows = rows.aligned(&self.job, &places)?;
        let preprocessing = rows.preprocessing;
        let labels = match &rows.targets {
            None => None,
            Some([train, test]) => {
                let cut = self.job.cut()?;
                Some(vertical::Labels {
                    tail: self.noisy(cut.server.end..cut.model.layers.len(), &cut, kept)?,
                    loss: self.job.training.loss,
                    train,
                    test,
                })
            }
        };
        let me = vertical::Holder {
            party: self.party.clone(),
            columns: rows.columns,
            labels,
            secret: &kept.secret,
        };
        let keep = kept.links.first().map(|link| link as &dyn Keep);
        let me = vertical::holder(me, terms, keep, kept.alone.get(), links, observe).await;
        Ok(me.map(|me| Trained {
            parts: me.tail.into_iter().collect(),
            shares: Some(Zeroizing::new(me.shares)).filter(|shares| !shares.is_empty()),
            preprocessing: Some(preprocessing),
            places: Some(places),
            ..Trained::default()
        }))
    }

    /// Where in this holder's table the rows are that all have: found together with the others, or as it was when they were there.
    async fn places<C: Channel>(
        &self,
        rows: &HolderRows,
        terms: &Terms,
        kept: &Kept<'_, '_>,
        links: &mut [Link<C>],
    ) -> Result<Result<Vec<usize>, ProtocolError>, Error> {
        if let (Some(path), true) = (&kept.aligned, kept.alone.get() || kept.ending.get()) {
            return Ok(Ok(read_places(path, rows.digests())?));
        }
        let places = match align(&self.party, terms, &kept.secret, rows.digests(), links).await {
            Ok(places) => places,
            Err(cause) => return Ok(Err(cause)),
        };
        if let Some(path) = &kept.aligned {
            write_places(
                path,
                rows.digests(),
                &places,
                kept.links.iter().all(|link| link.positions().is_empty()),
            )?;
        }
        Ok(Ok(places))
    }

    async fn vertical_server<C: Channel>(
        &self,
        terms: &Terms,
        kept: &Kept<'_, '_>,
        links: &mut [Link<C>],
        observe: &mut Observe<'_>,
    ) -> Outcome {
        let keeps = kept.keeps();
        let cut = self.job.cut()?;
        let me = vertical::Server {
            hidden: self.noisy(cut.server.clone(), &cut, kept)?,
            secret: &kept.secret,
        };
        let me = vertical::server(me, terms, self.service(kept, &keeps), links, observe).await;
        Ok(me.map(|hidden| Trained {
            parts: vec![hidden],
            ..Trained::default()
        }))
    }

    /// Layers whose optimiser's noise, if it has any, nobody else knows.
    fn noisy(&self, layers: std::ops::Range<usize>, cut: &Cut, kept: &Kept<'_, '_>) -> Result<Network, Error> {
        let key = blake3::derive_key("cloven v1 vertical: noise of own layers", &*kept.secret);
        Ok(self.network(cut, layers)?.with_noise_key(key))
    }
}
