//! `plain`: ordinary split learning.

use cloven_protocols::{Observe, plain};
use cloven_wire::{Channel, Link};

use super::{Outcome, Trained};
use crate::party::{Kept, Prepared, rows::ClientData};

impl Prepared {
    pub(super) async fn plain_client<C: Channel>(
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
            ..Trained::default()
        }))
    }

    pub(super) async fn plain_server<C: Channel>(
        &self,
        kept: &Kept<'_, '_>,
        links: &mut [Link<C>],
        observe: &mut Observe<'_>,
    ) -> Outcome {
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
            ..Trained::default()
        }))
    }
}
