//! `vertical`: from a table to aligned rows to the script.

use std::collections::BTreeMap;

use cloven_nn::{Network, WeightedLoss};
use cloven_protocols::{
    Keep, Observe, ProtocolError,
    vertical::{self, Aligned, Terms, align},
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
    reporter::Reporter,
};

impl Prepared {
    pub(super) async fn vertical<C: Channel>(
        &self,
        links: &mut [Link<C>],
        kept: &Kept<'_, '_>,
        reporter: &Reporter<'_>,
        observe: &mut Observe<'_>,
    ) -> Outcome {
        let terms = self.job.vertical_terms()?;
        match (&self.rows, self.role) {
            (Some(rows), _) => {
                let telling = (reporter, observe);
                self.vertical_holder(rows, &terms, kept, links, telling).await
            }
            (None, Role::Dealer) => {
                let done = vertical::dealer(&kept.secret, &terms, links, observe).await;
                Ok(done.map(|()| Trained::default()))
            }
            (None, Role::Coordinator) => {
                let done = vertical::coordinator(&terms, links, observe).await;
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
        (reporter, observe): (&Reporter<'_>, &mut Observe<'_>),
    ) -> Outcome {
        let found = match self.places(rows, terms, kept, links).await? {
            Ok(found) => found,
            Err(cause) => return Ok(Err(cause)),
        };
        let table = rows;
        let rows = table.aligned(&self.job, &found.places)?;
        reporter.aligned(table.alignment(&self.party, &found, rows.rows));
        reporter.adjusted(rows.adjusted);
        let preprocessing = rows.preprocessing;
        let labels = match &rows.targets {
            None => None,
            Some([train, test]) => {
                let cut = self.job.cut()?;
                Some(vertical::Labels {
                    tail: self.noisy(cut.server.end..cut.model.layers.len(), &cut, kept)?,
                    loss: WeightedLoss {
                        loss: self.job.training.loss,
                        class_weights: self.job.class_weights(train)?,
                    },
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
            places: Some(found.places),
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
    ) -> Result<Result<Aligned, ProtocolError>, Error> {
        if let (Some(path), true) = (&kept.aligned, kept.alone.get() || kept.ending.get()) {
            let distinct = BTreeMap::new();
            let places = read_places(path, rows.digests())?;
            return Ok(Ok(Aligned { places, distinct }));
        }
        let found = match align(&self.party, terms, &kept.secret, rows.digests(), links).await {
            Ok(found) => found,
            Err(cause) => return Ok(Err(cause)),
        };
        if let Some(path) = &kept.aligned {
            write_places(
                path,
                rows.digests(),
                &found.places,
                kept.links.iter().all(|link| link.positions().is_empty()),
            )?;
        }
        Ok(Ok(found))
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
