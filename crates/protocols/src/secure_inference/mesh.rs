//! The links between servers, as one of them has them. All servers take the same steps in the same order; each step has a number, which its messages carry as
//! their round.

use std::time::Duration;

use cloven_lattice::LatticeError;
use cloven_mpc::{
    MpcError,
    nonlinear::{Next, Resume},
};
use cloven_wire::{Channel, DecodeError, Link, Party, Traffic, WireError};
use futures_util::future::try_join_all;

use super::{
    Terms,
    msg::{Command, Meeting, RemoteKey, Step},
};
use crate::{
    LayerBytes, ProtocolError, SignedKey,
    error::{malformed, refused},
};

/// The links of server `me` to the others.
pub(super) struct Mesh<'a, C> {
    pub(super) me: usize,
    /// To the other servers, in order.
    links: Vec<&'a mut Link<C>>,
    step: u64,
    ledger: Ledger,
}

/// What bytes were sent for.
#[derive(Default)]
struct Ledger {
    layers: Vec<LayerBytes>,
    /// What this server is at, and how many bytes it had sent when that began.
    place: Option<Place>,
    sent: u64,
}

/// A part of the work on an inference.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// Before an input is known, for the layer of a number.
    Preparing(usize),
    /// On an input.
    Answering(usize),
}

impl Place {
    /// Instead of a layer's number: all that is no layer's.
    pub(super) const OTHER: usize = usize::MAX;
}

impl<'a, C: Channel> Mesh<'a, C> {
    /// # Errors
    /// [`WireError::Local`] when a server is not connected.
    pub(super) fn new(me: &Party, terms: &Terms, links: &'a mut [Link<C>]) -> Result<Self, ProtocolError> {
        let mut found: Vec<_> = links
            .iter_mut()
            .filter_map(|link| Some((terms.number(link.peer())?, link)))
            .collect();
        found.sort_by_key(|(number, _)| *number);
        let number = terms.number(me);
        let others = (0..=terms.remotes.len()).filter(|other| Some(*other) != number);
        match number {
            Some(me) if others.eq(found.iter().map(|(number, _)| *number)) => Ok(Self {
                me,
                links: found.into_iter().map(|(_, link)| link).collect(),
                step: 0,
                ledger: Ledger::default(),
            }),
            _ => Err(ProtocolError::Wire(WireError::Local {
                what: format!("taking part as {me}"),
                cause: "a server of the job is not connected".into(),
            })),
        }
    }

    /// Servers in all.
    pub(super) fn servers(&self) -> usize {
        self.links.len() + 1
    }

    /// Bytes at all links.
    pub(super) fn traffic(&self) -> Traffic {
        self.links.iter().map(|link| link.traffic()).sum()
    }

    /// The layers of the model, for which bytes are counted from now on.
    pub(super) fn name_layers(&mut self, names: &[String]) {
        let one = |layer: &str| LayerBytes {
            layer: layer.to_owned(),
            preparing: 0,
            answering: 0,
        };
        let layers = &mut self.ledger.layers;
        if layers.is_empty() {
            layers.extend(names.iter().map(|name| one(name)));
            layers.push(one("input and output"));
        }
    }

    /// What this server does from now on; what it has sent until now belongs to what it did before, or to no inference.
    pub(super) fn enter(&mut self, place: Option<Place>) {
        let sent = self.traffic().sent;
        let Ledger {
            layers,
            place: now,
            sent: before,
        } = &mut self.ledger;
        let more = sent - std::mem::replace(before, sent);
        let last = layers.len().saturating_sub(1);
        match std::mem::replace(now, place) {
            Some(Place::Preparing(layer)) => layers[layer.min(last)].preparing += more,
            Some(Place::Answering(layer)) => layers[layer.min(last)].answering += more,
            None => (),
        }
    }

    /// Bytes sent for each layer.
    pub(super) fn layers(&self) -> Vec<LayerBytes> {
        self.ledger.layers.clone()
    }

    /// Sends each other server its message and receives one of `expected` bytes from it, all at the same time; where nothing is to be sent or received, nothing is.
    pub(super) async fn exchange<M: Step>(
        &mut self,
        messages: Vec<Vec<u8>>,
        expected: &[usize],
    ) -> Result<Vec<Vec<u8>>, ProtocolError> {
        self.step += 1;
        let round = self.step;
        let each = self.links.iter_mut().zip(messages).zip(expected);
        let all = each.map(|((link, message), expected)| async move {
            let (send, receive) = (!message.is_empty(), *expected > 0);
            let message = M::from(message);
            Ok(match (send, receive) {
                (true, true) => link.exchange(round, &message, expected).await?.into(),
                (false, true) => link.receive::<M>(round, expected).await?.into(),
                (true, false) => {
                    link.send(round, &message).await?;
                    Vec::new()
                }
                (false, false) => Vec::new(),
            })
        });
        try_join_all(all).await
    }

    /// Every server sends the same message, of the same length, to all others; the messages of all, in the servers' order.
    pub(super) async fn broadcast<M: Step>(&mut self, own: Vec<u8>) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let others = self.links.len();
        let mut all = self
            .exchange::<M>(vec![own.clone(); others], &vec![own.len(); others])
            .await?;
        all.insert(self.me, own);
        Ok(all)
    }

    /// Every remote server sends the gateway its message of `len` bytes; there, the messages of all, the gateway's first.
    pub(super) async fn gather<M: Step>(&mut self, own: Vec<u8>, len: usize) -> Result<Option<Vec<Vec<u8>>>, ProtocolError> {
        if self.me == 0 {
            let mut all = self.collect::<M>(len).await?;
            all.insert(0, own);
            return Ok(Some(all));
        }
        self.answer::<M>(own).await?;
        Ok(None)
    }

    /// The gateway sends every other server the same message of `len` bytes; everybody has it.
    pub(super) async fn spread<M: Step>(&mut self, own: Option<Vec<u8>>, len: usize) -> Result<Vec<u8>, ProtocolError> {
        let others = self.links.len();
        if let Some(own) = own {
            self.exchange::<M>(vec![own.clone(); others], &vec![0; others]).await?;
            return Ok(own);
        }
        let mut expected = vec![0; others];
        expected[0] = len;
        Ok(self.exchange::<M>(vec![Vec::new(); others], &expected).await?.swap_remove(0))
    }
}

/// What the gateway says happens next.
impl<C: Channel> Mesh<'_, C> {
    /// At the gateway: tells every other server its part of what happens next, in order.
    pub(super) async fn command(&mut self, each: Vec<Command>) -> Result<(), ProtocolError> {
        self.step += 1;
        let round = self.step;
        let all = self.links.iter_mut().zip(each);
        try_join_all(all.map(|(link, command)| async move { link.send(round, &command).await })).await?;
        Ok(())
    }

    /// At a remote server: what happens next, where these are the numbers of the next inference to prepare and of the oldest prepared one.
    pub(super) async fn next_command(&mut self, numbers: (u64, u64)) -> Result<Command, ProtocolError> {
        self.step += 1;
        Ok(self.links[0].receive(self.step, &numbers).await?)
    }

    /// How long the gateway may leave the other servers without a word.
    pub(super) fn patience(&mut self) -> Duration {
        let deadlines = self.links.iter_mut().map(|link| link.channel_mut().deadlines().peer);
        deadlines.min().unwrap_or(Duration::from_secs(1)) / 4
    }

    /// At the gateway: a message of every other server, in order.
    pub(super) async fn collect<M: Step>(&mut self, len: usize) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let others = self.links.len();
        self.exchange::<M>(vec![Vec::new(); others], &vec![len; others]).await
    }

    /// At the gateway: the key of every other server, in order.
    pub(super) async fn collect_keys(&mut self) -> Result<Vec<SignedKey>, ProtocolError> {
        self.step += 1;
        let round = self.step;
        let keys = self.links.iter_mut().map(|link| async move {
            let RemoteKey(key) = link.receive(round, &()).await?;
            Ok(key)
        });
        try_join_all(keys).await
    }

    /// At a remote server: the key to which users seal.
    pub(super) async fn send_key(&mut self, key: SignedKey) -> Result<(), ProtocolError> {
        self.step += 1;
        Ok(self.links[0].send(self.step, &RemoteKey(key)).await?)
    }

    /// At a remote server: a message to the gateway.
    pub(super) async fn answer<M: Step>(&mut self, message: Vec<u8>) -> Result<(), ProtocolError> {
        let others = self.links.len();
        let mut messages = vec![Vec::new(); others];
        messages[0] = message;
        self.exchange::<M>(messages, &vec![0; others]).await?;
        Ok(())
    }

    /// What the servers must agree on, and fresh randomness of each, in the servers' order.
    pub(super) async fn meet(&mut self, own: Meeting) -> Result<Vec<[u8; 32]>, ProtocolError> {
        self.step += 1;
        let round = self.step;
        let each = self.links.iter_mut().map(|link| async move {
            link.send(round, &own).await?;
            let theirs: Meeting = link.receive(round, &own.model).await?;
            Ok::<_, ProtocolError>(theirs.nonce)
        });
        let mut nonces = try_join_all(each).await?;
        nonces.insert(self.me, own.nonce);
        Ok(nonces)
    }
}

impl<C: Channel> Mesh<'_, C> {
    /// Runs a secure computation to its end.
    pub(super) async fn run<M: Step, S: Resume>(&mut self, mut next: Next<S>) -> Result<S::Output, ProtocolError> {
        loop {
            match next {
                Next::Done(output) => return Ok(output),
                Next::Exchange(mut exchange) => {
                    let received = self.exchange::<M>(exchange.outgoing(), exchange.expected()).await?;
                    next = exchange.receive(&received).map_err(|cause| self.refused(M::NAME, cause))?;
                }
            }
        }
    }

    /// The error of a round; where a message caused it, it says whose.
    fn refused(&self, what: &'static str, cause: MpcError) -> ProtocolError {
        match cause {
            MpcError::Message { index, .. } => refused(self.links[index].peer(), self.step, what, &cause),
            own => own.into(),
        }
    }

    /// The error of a step on messages of several servers, in order from number `first`: of the first that `check` refuses. This server's own are among them where
    /// every server sends one.
    pub(super) fn culprit(
        &self,
        (what, first): (&'static str, usize),
        messages: &[Vec<u8>],
        check: impl Fn(&[u8]) -> Result<(), LatticeError>,
        cause: LatticeError,
    ) -> ProtocolError {
        let numbered = (first..).zip(messages).filter(|(number, _)| *number != self.me);
        let mut refused = numbered.filter_map(|(number, message)| Some((number, check(message).err()?)));
        match refused.next() {
            Some((number, cause)) => malformed(self.links[self.place(number)].peer(), self.step, what, cause),
            None => cause.into(),
        }
    }

    /// The error of a step on a message that the gateway spread; its own are no other server's.
    pub(super) fn of_gateway(&self, what: &'static str, cause: LatticeError) -> ProtocolError {
        match self.me {
            0 => cause.into(),
            _ => malformed(self.links[0].peer(), self.step, what, cause),
        }
    }

    /// The error of a message of server `number` that cannot be.
    pub(super) fn malformed(&self, number: usize, what: &'static str, cause: DecodeError) -> ProtocolError {
        ProtocolError::Wire(WireError::Malformed {
            party: self.links[self.place(number)].peer().clone(),
            round: self.step,
            what,
            cause,
        })
    }

    /// The place of another server among the links.
    fn place(&self, number: usize) -> usize {
        number.saturating_sub(usize::from(number > self.me))
    }
}
