//! A holder's links by what is at their other ends.

use cloven_wire::{Channel, Link, Message, Party, Traffic, WireError};
use futures_util::future::try_join_all;

use super::Terms;
use crate::ProtocolError;

/// A holder's links.
pub(super) struct Peers<'a, C> {
    /// To the other holders of columns, in the order of names.
    pub(super) fellows: Vec<Fellow<'a, C>>,
    pub(super) server: &'a mut Link<C>,
    pub(super) coordinator: Option<&'a mut Link<C>>,
    pub(super) dealer: Option<&'a mut Link<C>>,
    /// Bytes so far that do not depend on anybody's data.
    pub(super) prepared: Traffic,
}

/// The link to another holder of columns.
pub(super) struct Fellow<'a, C> {
    /// Its place among the holders of columns.
    pub(super) place: usize,
    pub(super) link: &'a mut Link<C>,
}

impl<'a, C: Channel> Peers<'a, C> {
    /// # Errors
    /// [`WireError::Local`] when there is no link to somebody.
    pub(super) fn new(me: &Party, terms: &Terms, links: &'a mut [Link<C>]) -> Result<Self, ProtocolError> {
        let (mut fellows, mut server, mut coordinator, mut dealer) = (Vec::new(), None, None, None);
        for link in links {
            let peer = link.peer();
            if *peer == terms.server {
                server = Some(link);
            } else if Some(peer) == terms.coordinator.as_ref() {
                coordinator = Some(link);
            } else if Some(peer) == terms.dealer.as_ref() {
                dealer = Some(link);
            } else if let Some(place) = terms.place(peer) {
                fellows.push(Fellow { place, link });
            }
        }
        let own = usize::from(terms.place(me).is_some());
        let whole = fellows.len() + own == terms.columns.len() && dealer.is_some() == terms.dealer.is_some();
        let whole = whole && coordinator.is_some() == terms.coordinator.is_some();
        match server {
            Some(server) if whole => Ok(Self {
                fellows,
                server,
                coordinator,
                dealer,
                prepared: Traffic::default(),
            }),
            _ => Err(ProtocolError::Wire(WireError::Local {
                what: format!("taking part as {me}"),
                cause: "a party of the job is not connected".into(),
            })),
        }
    }

    /// Who says when an epoch is settled.
    pub(super) fn scheduler(&mut self) -> &mut Link<C> {
        match &mut self.coordinator {
            Some(coordinator) => coordinator,
            None => self.server,
        }
    }

    /// Bytes at all links.
    pub(super) fn traffic(&self) -> Traffic {
        let fellows = self.fellows.iter().map(|fellow| fellow.link.traffic());
        let others = self.dealer.iter().chain(&self.coordinator).map(|link| link.traffic());
        fellows.chain(others).chain([self.server.traffic()]).sum()
    }

    /// What has crossed since `before` did not depend on weights or gradients.
    pub(super) fn count_prepared(&mut self, before: Traffic) {
        let since = self.traffic().since(before);
        self.prepared = [self.prepared, since].into_iter().sum();
    }

    /// Sends a message to each fellow and receives one from each, all at the same time.
    pub(super) async fn exchange<M: Message>(
        &mut self,
        round: u64,
        messages: Vec<M>,
        expect: &[M::Expect],
    ) -> Result<Vec<M>, ProtocolError>
    where
        M::Expect: Sized,
    {
        let each = self.fellows.iter_mut().zip(&messages).zip(expect);
        let all = each.map(|((fellow, message), expect)| fellow.link.exchange(round, message, expect));
        Ok(try_join_all(all).await?)
    }
}
