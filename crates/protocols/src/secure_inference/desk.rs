//! Where users' requests wait at the gateway: the sessions with users, any number at once, hand them in, and the one script that works with the other servers
//! takes them out, in the order in which they came.

use std::sync::Arc;

use cloven_wire::{Channel, Link, Message, WireError};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Terms,
    boxes::{input_len, take_input},
    msg::{SealedInput, SealedOutput, ServerKeys},
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
    let desk = Desk { requests: sender, keys };
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
    /// The gateway's script with one user: keys, then answers until the user has all that it asked for, or a server is lost.
    ///
    /// # Errors
    /// [`ProtocolError`], naming the user whose message cannot be.
    pub async fn serve<C: Channel>(
        &mut self,
        terms: &Terms,
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
        let traffic = link.traffic();
        observe(Event::Asked {
            rows: rows as usize,
            traffic,
        })?;
        for round in 1..=rows {
            let SealedInput(input) = link.receive(round, &input_len(terms)).await?;
            let (share, boxes) = take_input(terms, &input).map_err(|cause| WireError::Malformed {
                party: link.peer().clone(),
                round,
                what: SealedInput::NAME,
                cause,
            })?;
            let (answer, answered) = oneshot::channel();
            let meeting = *meeting;
            let request = Request {
                share,
                boxes,
                meeting,
                answer,
            };
            let output = async {
                self.requests.send(request).await.ok()?;
                answered.await.ok()
            };
            let Some(output) = link.wait_while(output).await else {
                return Ok(Session::Interrupted);
            };
            link.send(round, &SealedOutput(output)).await?;
            let (rows, traffic) = (round as usize, link.traffic());
            observe(Event::Predicted { rows, traffic })?;
        }
        Ok(Session::Done)
    }
}
