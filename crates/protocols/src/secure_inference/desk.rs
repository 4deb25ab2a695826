//! Where users' requests wait at the gateway: the sessions with users, any number at once, hand them in, and the one script that works with the other servers
//! takes them out, in the order in which they came.

use std::sync::{Arc, Weak};

use cloven_wire::{Channel, Link, Message, WireError};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    FirstLayers, Terms,
    boxes::{input_len, put_output, take_input},
    first_layers::GatewaySide,
    msg::{SealedInput, SealedOutput, ServerKeys},
    words,
};
use crate::{Ask, Event, Observe, ProtocolError, SignedKey};

/// Requests that wait before a session with a user does not take another.
const WAITING: usize = 64;

/// A user's input, and where the answer goes.
pub(super) struct Request {
    /// The gateway's share.
    pub(super) share: Vec<u64>,
    /// The other servers' shares, sealed.
    pub(super) boxes: Vec<Vec<u8>>,
    /// For the keys of which meeting they are sealed.
    meeting: u64,
    pub(super) answer: oneshot::Sender<Vec<u8>>,
    /// Counts it among those that wait, until it is dropped.
    _waits: Weak<()>,
}

/// The keys of the servers, and which of their meetings these are of.
type Keys = Option<Arc<(u64, Vec<SignedKey>)>>;

/// How a session with a user ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// The user has all that it asked for.
    Done,
    /// The servers lost one of them before that: the user asks for the rest when they have met again.
    Interrupted,
}

/// The sessions' side.
#[derive(Clone)]
pub struct Desk {
    requests: mpsc::Sender<Request>,
    keys: watch::Receiver<Keys>,
    /// Every request that waits points to it.
    waiting: Arc<()>,
}

/// The other side. When every [`Desk`] is gone, the service ends.
pub struct Requests {
    waiting: mpsc::Receiver<Request>,
    keys: watch::Sender<Keys>,
    meetings: u64,
}

/// A desk without requests.
pub fn desk() -> (Desk, Requests) {
    let (sender, waiting) = mpsc::channel(WAITING);
    let (keys_sender, keys) = watch::channel(None);
    let desk = Desk {
        requests: sender,
        keys,
        waiting: Arc::new(()),
    };
    let keys = keys_sender;
    let meetings = 0;
    (desk, Requests { waiting, keys, meetings })
}

impl Requests {
    /// The servers have met, and these are their keys; or they have lost one of them.
    pub(super) fn open(&mut self, keys: Option<Vec<SignedKey>>) {
        self.meetings += u64::from(keys.is_some());
        self.keys.send_replace(keys.map(|keys| Arc::new((self.meetings, keys))));
    }

    /// Without other servers: users are served at once.
    pub fn open_alone(&mut self) {
        self.open(Some(Vec::new()));
    }

    /// The next request, if one waits; whether there will be more.
    pub(super) fn poll(&mut self) -> (Option<Request>, bool) {
        loop {
            match self.waiting.try_recv() {
                Ok(request) if request.meeting == self.meetings => return (Some(request), true),
                // Sealed for keys that are gone: its session ends.
                Ok(_) => (),
                Err(mpsc::error::TryRecvError::Empty) => return (None, true),
                Err(mpsc::error::TryRecvError::Disconnected) => return (None, false),
            }
        }
    }

    /// The next request; none when there will be no more.
    pub(super) async fn next(&mut self) -> Option<Request> {
        loop {
            match self.waiting.recv().await {
                Some(request) if request.meeting != self.meetings => (),
                next => return next,
            }
        }
    }
}

impl Desk {
    /// Users' inputs that came and are not answered.
    pub fn waiting(&self) -> usize {
        Arc::weak_count(&self.waiting)
    }

    /// The gateway's script with one user: keys, then answers until the user has all that it asked for, or a server is lost. `first` are the gateway's layers,
    /// if it has some, and a secret for this connection only.
    ///
    /// # Errors
    /// [`ProtocolError`], naming the user whose message cannot be.
    pub async fn serve<C: Channel>(
        &mut self,
        terms: &Terms,
        first: Option<(&FirstLayers, &[u8; 32])>,
        link: &mut Link<C>,
        observe: &mut Observe<'_>,
    ) -> Result<Session, ProtocolError> {
        let keys = link.wait_while(self.keys.wait_for(Option::is_some)).await;
        let Some(keys) = keys.ok().and_then(|keys| keys.clone()) else {
            return Ok(Session::Interrupted);
        };
        let (meeting, keys) = &*keys;
        link.send(0, &ServerKeys(keys.clone())).await?;
        let Ask { rows } = link.receive(0, &()).await?;
        let mut side = match first {
            None => None,
            Some((layers, secret)) => Some(GatewaySide::set_up(layers, terms, (rows, secret), link).await?),
        };
        let shared = first.map_or(terms.inputs, |(layers, _)| layers.outputs());
        let traffic = link.traffic();
        observe(Event::Asked {
            rows: rows as usize,
            traffic,
        })?;
        for round in 1..=rows {
            let prepared = match &mut side {
                None => None,
                Some(side) => Some(side.prepare(link, round).await?),
            };
            let input = match terms.remotes.is_empty() {
                true => None,
                false => Some(receive_input(terms, shared, link, round).await?),
            };
            let own = match (&side, prepared) {
                (Some(side), Some(prepared)) => Some(side.answer(prepared, link, round).await?),
                _ => None,
            };
            let output = match (input, own) {
                (None, own) => own.map(|own| put_output(terms, &own, &[])),
                (Some((mut share, boxes)), own) => {
                    if let Some(own) = own {
                        let parts = share.iter_mut().zip(own.iter());
                        parts.for_each(|(share, own)| *share = share.wrapping_add(*own) & words::mask(terms.ring_bits));
                    }
                    self.answer(share, boxes, *meeting, link).await
                }
            };
            let Some(output) = output else {
                return Ok(Session::Interrupted);
            };
            link.send(round, &SealedOutput(output)).await?;
            let (rows, traffic) = (round as usize, link.traffic());
            observe(Event::Predicted { rows, traffic })?;
        }
        Ok(Session::Done)
    }

    /// What the servers answer to an input; none if one of them is lost before that.
    async fn answer<C: Channel>(
        &mut self,
        share: Vec<u64>,
        boxes: Vec<Vec<u8>>,
        meeting: u64,
        link: &mut Link<C>,
    ) -> Option<Vec<u8>> {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            share,
            boxes,
            meeting,
            answer,
            _waits: Arc::downgrade(&self.waiting),
        };
        let output = async {
            self.requests.send(request).await.ok()?;
            answered.await.ok()
        };
        link.wait_while(output).await
    }
}

/// The gateway's share of an input of so many words, and the boxes of the others.
async fn receive_input<C: Channel>(
    terms: &Terms,
    inputs: usize,
    link: &mut Link<C>,
    round: u64,
) -> Result<(Vec<u64>, Vec<Vec<u8>>), ProtocolError> {
    let SealedInput(input) = link.receive(round, &input_len(terms, inputs)).await?;
    let taken = take_input(terms, &input).map_err(|cause| WireError::Malformed {
        party: link.peer().clone(),
        round,
        what: SealedInput::NAME,
        cause,
    })?;
    Ok(taken)
}
