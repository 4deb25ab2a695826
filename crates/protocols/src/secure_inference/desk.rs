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
    pub(super) answer: oneshot::Sender<Vec<u8>>,
}

/// The sessions' side.
#[derive(Clone)]
pub struct Desk {
    requests: mpsc::Sender<Request>,
    keys: watch::Receiver<Option<Arc<Vec<SignedKey>>>>,
}

/// The other side. When every [`Desk`] is gone, the service ends.
pub struct Requests {
    waiting: mpsc::Receiver<Request>,
    keys: watch::Sender<Option<Arc<Vec<SignedKey>>>>,
}

/// A desk without requests.
pub fn desk() -> (Desk, Requests) {
    let (sender, waiting) = mpsc::channel(WAITING);
    let (keys_sender, keys) = watch::channel(None);
    let desk = Desk { requests: sender, keys };
    let keys = keys_sender;
    (desk, Requests { waiting, keys })
}

impl Requests {
    /// The servers are ready, and these are their keys; or they are not.
    pub(super) fn open(&self, keys: Option<Vec<SignedKey>>) {
        self.keys.send_replace(keys.map(Arc::new));
    }

    /// The next request, if one waits; whether there will be more.
    pub(super) fn poll(&mut self) -> (Option<Request>, bool) {
        match self.waiting.try_recv() {
            Ok(request) => (Some(request), true),
            Err(mpsc::error::TryRecvError::Empty) => (None, true),
            Err(mpsc::error::TryRecvError::Disconnected) => (None, false),
        }
    }

    /// The next request; none when there will be no more.
    pub(super) async fn next(&mut self) -> Option<Request> {
        self.waiting.recv().await
    }
}

impl Desk {
    /// The gateway's script with one user: keys, then answers until the user has all that it asked for. An answer that does not come since another server is gone
    /// ends the session; the user connects again and asks for the rest.
    ///
    /// # Errors
    /// [`ProtocolError`], naming the user whose message cannot be.
    pub async fn serve<C: Channel>(
        &mut self,
        terms: &Terms,
        link: &mut Link<C>,
        observe: &mut Observe<'_>,
    ) -> Result<(), ProtocolError> {
        let keys = link.wait_while(self.keys.wait_for(Option::is_some)).await;
        let keys = keys.ok().and_then(|keys| keys.clone()).ok_or_else(|| closed(link))?;
        link.send(0, &ServerKeys(keys.to_vec())).await?;
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
            let request = Request { share, boxes, answer };
            let output = async {
                self.requests.send(request).await.ok()?;
                answered.await.ok()
            };
            let output = link.wait_while(output).await.ok_or_else(|| closed(link))?;
            link.send(round, &SealedOutput(output)).await?;
            let (rows, traffic) = (round as usize, link.traffic());
            observe(Event::Predicted { rows, traffic })?;
        }
        Ok(())
    }
}

/// The servers lost one of them.
fn closed<C: Channel>(link: &Link<C>) -> ProtocolError {
    ProtocolError::Wire(WireError::Local {
        what: format!("answering {}", link.peer()),
        cause: "the servers lost one of them; they begin anew when it is back".into(),
    })
}
