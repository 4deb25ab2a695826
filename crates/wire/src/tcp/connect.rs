//! Reaching every peer: dialling some, accepting the rest, until a deadline.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    net::SocketAddr,
    task::Poll,
    time::Duration,
};

use tokio::{net::TcpListener, time::Instant};

use super::{
    emulation::Emulation,
    hello::Hello,
    identity::{Certificate, Identity, Roster},
    socket::TcpChannel,
};
use crate::{Deadlines, Party, WireError};

/// How long one attempt at a connection may take over its handshake.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);

/// How a peer is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Dial this `host:port`.
    Dial(String),
    /// Wait until it dials in.
    Accept,
}

/// What happens while connecting; for a person to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A peer is not there yet.
    Waiting {
        /// The peer.
        party: Party,
        /// Its address, or ours when it dials.
        address: String,
    },
    /// A connection was turned away: its certificate is not pinned, its party is not awaited, or it broke before it was complete.
    TurnedAway {
        /// Who connected.
        from: SocketAddr,
        /// Why it was turned away.
        why: String,
    },
    /// A peer is connected.
    Connected {
        /// The peer.
        party: Party,
    },
}

/// What a party brings to its connections. One endpoint serves a whole run: a peer that is lost can be awaited again on the same
/// listener, with [`Endpoint::reconnect`].
pub struct Endpoint<'a> {
    /// This party's name and key.
    pub identity: &'a Identity,
    /// The certificates it pins.
    pub roster: &'a Roster,
    /// The digest of the job it runs.
    pub job: [u8; 32],
    /// Where peers dial in; needed when any peer is to be accepted.
    pub listener: Option<TcpListener>,
    /// How long [`Endpoint::connect`] waits for all peers.
    pub connect_deadline: Duration,
    /// How long to wait for any later message, its next part, or a sign that the peer is still at work.
    pub message_deadline: Duration,
    /// How long to wait for any later message however many such signs come.
    pub total_deadline: Duration,
    /// The link to imitate on what this party sends.
    pub emulation: Option<Emulation>,
}

impl Endpoint<'_> {
    /// Connects to every peer, to all at the same time. Fails when one cannot be reached in time, is not who the roster says, or runs
    /// another job.
    pub async fn connect(
        &self,
        peers: &BTreeMap<Party, Reach>,
        notice: &dyn Fn(Notice),
    ) -> Result<BTreeMap<Party, TcpChannel>, WireError> {
        self.connect_within(self.connect_deadline, peers, notice).await
    }

    /// Waits up to `deadline` for one peer that was connected before and is lost; the other peers' channels are not touched.
    pub async fn reconnect(
        &self,
        peer: &Party,
        reach: &Reach,
        deadline: Duration,
        notice: &dyn Fn(Notice),
    ) -> Result<TcpChannel, WireError> {
        let peers = BTreeMap::from([(peer.clone(), reach.clone())]);
        let mut channels = self.connect_within(deadline, &peers, notice).await?;
        Ok(channels.remove(peer).expect("every peer asked for is connected"))
    }

    async fn connect_within(
        &self,
        deadline: Duration,
        peers: &BTreeMap<Party, Reach>,
        notice: &dyn Fn(Notice),
    ) -> Result<BTreeMap<Party, TcpChannel>, WireError> {
        let wait = Wait {
            deadline,
            until: Instant::now() + deadline,
            notice,
        };
        let dialled = peers.iter().filter_map(|(party, reach)| match reach {
            Reach::Dial(address) => Some(self.dial(party, address, &wait)),
            Reach::Accept => None,
        });
        let accepted = peers
            .iter()
            .filter(|(_, reach)| **reach == Reach::Accept)
            .map(|(party, _)| party);
        let (dialled, mut channels) = tokio::try_join!(try_all(dialled), self.accept(accepted.collect(), &wait))?;
        channels.extend(dialled);
        Ok(channels)
    }

    pub(super) fn pinned(&self, party: &Party) -> Result<&Certificate, WireError> {
        self.roster.get(party).ok_or_else(|| WireError::Local {
            what: format!("{party} is not in the roster"),
            cause: "pin its identity file with `cloven roster add`".into(),
        })
    }

    pub(super) fn hello(&self) -> Hello {
        Hello {
            party: self.identity.party.clone(),
            job: self.job,
            deadline: self.message_deadline,
        }
    }

    pub(super) fn deadlines(&self) -> Deadlines {
        Deadlines {
            message: self.message_deadline,
            total: self.total_deadline,
            ..Deadlines::default()
        }
    }
}

/// How long to wait, and who hears of it.
pub(super) struct Wait<'a> {
    pub(super) deadline: Duration,
    pub(super) until: Instant,
    pub(super) notice: &'a dyn Fn(Notice),
}

impl Wait<'_> {
    pub(super) fn tell(&self, notice: Notice) {
        (self.notice)(notice);
    }
}

/// Runs all futures at once; the first error ends them.
async fn try_all<T, E>(futures: impl Iterator<Item = impl Future<Output = Result<T, E>>>) -> Result<Vec<T>, E> {
    let mut running: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    poll_fn(|cx| {
        let mut index = 0;
        while index < running.len() {
            match running[index].as_mut().poll(cx) {
                Poll::Ready(result) => {
                    drop(running.swap_remove(index));
                    done.push(result?);
                }
                Poll::Pending => index += 1,
            }
        }
        match running.is_empty() {
            true => Poll::Ready(Ok(std::mem::take(&mut done))),
            false => Poll::Pending,
        }
    })
    .await
}
