//! Accepting the peers that dial in.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::{
    connect::{Endpoint, HANDSHAKE, Notice, Wait},
    emulation::Emulation,
    hello::{Hello, exchange},
    identity::Roster,
    socket::{Counted, TcpChannel},
    tls::{PinVerifier, server_config},
};
use crate::{Channel, Deadlines, Party, WireError};

/// How many unfinished handshakes are served at once; further connections wait in the kernel's queue.
const MAX_HANDSHAKES: usize = 16;
/// How long to leave the door alone when the system cannot accept, such as for want of file descriptors.
const REST: Duration = Duration::from_millis(100);

/// Where parties dial in, one after the other, in any order and again: see [`Endpoint::reception`].
pub struct Reception<'a> {
    listener: &'a TcpListener,
    door: Arc<Door>,
    handshakes: JoinSet<(std::io::Result<SocketAddr>, Result<TcpChannel, Rejected>)>,
}

/// What came of a connection.
pub enum Arrival {
    /// A party that is awaited.
    Party(Box<TcpChannel>),
    /// A party that cannot take part, such as for another job, however often it tries.
    Unfit(Party, SocketAddr, WireError),
    /// Anybody else.
    TurnedAway(SocketAddr, String),
}

impl Reception<'_> {
    /// The next connection that came to something; handshakes of several go on at the same time. May be dropped and called again.
    pub async fn next(&mut self) -> Arrival {
        loop {
            tokio::select! {
                stream = knock(self.listener), if self.handshakes.len() < MAX_HANDSHAKES => {
                    let door = self.door.clone();
                    self.handshakes.spawn(async move { (stream.peer_addr(), door.admit(stream).await) });
                }
                Some(Ok((from, outcome))) = self.handshakes.join_next() => match (outcome, from) {
                    (Ok(channel), _) => return Arrival::Party(Box::new(channel)),
                    (Err(Rejected { party: Some(party), error: Some(error), .. }), Ok(from)) => return Arrival::Unfit(party, from, *error),
                    (Err(Rejected { why, .. }), Ok(from)) => return Arrival::TurnedAway(from, why),
                    // It was gone at once.
                    (Err(_), Err(_)) => (),
                }
            }
        }
    }
}

impl Endpoint<'_> {
    /// Lets the parties of `awaited` in whenever they dial, for as long as the reception is kept. Each connection is a new one: a party that dials again has
    /// proved its key, so its earlier connection is lost or about to be.
    ///
    /// # Errors
    /// [`WireError::Local`] without a listen address, or for a party that is not pinned.
    pub fn reception<'p>(&self, awaited: impl IntoIterator<Item = &'p Party>) -> Result<Reception<'_>, WireError> {
        let awaited: BTreeSet<&Party> = awaited.into_iter().collect();
        let listener = self.listener.as_ref().ok_or_else(|| WireError::Local {
            what: match awaited.first() {
                Some(first) => format!("cannot wait for {first}"),
                None => "cannot wait for anybody".into(),
            },
            cause: "no listen address is configured".into(),
        })?;
        Ok(Reception {
            listener,
            door: Arc::new(self.door(&awaited)?),
            handshakes: JoinSet::new(),
        })
    }

    /// Waits until every party of `awaited` has dialled in. A party that dials again meanwhile replaces its own earlier connection:
    /// it has proved its key, so the earlier one is lost.
    pub(super) async fn accept(
        &self,
        awaited: BTreeSet<&Party>,
        wait: &Wait<'_>,
    ) -> Result<BTreeMap<Party, TcpChannel>, WireError> {
        let mut channels = BTreeMap::new();
        if awaited.is_empty() {
            return Ok(channels);
        }
        let mut reception = self.reception(awaited.iter().copied())?;
        let address = reception.listener.local_addr().map(|a| a.to_string()).unwrap_or_default();
        awaited.iter().for_each(|&party| {
            wait.tell(Notice::Waiting {
                party: party.clone(),
                address: address.clone(),
            })
        });
        let mut missing = awaited;
        let mut last = None;
        while let Some(&absent) = missing.first() {
            let arrival = tokio::select! {
                arrival = reception.next() => arrival,
                () = sleep_until(wait.until) => {
                    return Err(WireError::Absent { party: absent.clone(), address, waited: wait.deadline, last });
                }
            };
            let (from, why) = match arrival {
                Arrival::Party(channel) => {
                    let party = channel.peer().clone();
                    missing.remove(&party);
                    wait.tell(Notice::Connected { party: party.clone() });
                    channels.insert(party, *channel);
                    continue;
                }
                Arrival::Unfit(party, _, error) if missing.contains(&party) => return Err(error),
                Arrival::Unfit(_, from, error) => (from, error.to_string()),
                Arrival::TurnedAway(from, why) => (from, why),
            };
            last = Some(format!("from {from}: {why}"));
            wait.tell(Notice::TurnedAway { from, why });
        }
        Ok(channels)
    }

    fn door(&self, awaited: &BTreeSet<&Party>) -> Result<Door, WireError> {
        for party in awaited {
            self.pinned(party)?;
        }
        let (config, verifier) = server_config(self.identity, self.roster.iter().map(|(_, pin)| pin.clone()).collect())?;
        Ok(Door {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            verifier,
            roster: self.roster.clone(),
            awaited: awaited.iter().map(|&party| party.clone()).collect(),
            hello: self.hello(),
            deadlines: self.deadlines(),
            emulation: self.emulation,
        })
    }
}

/// The next connection.
async fn knock(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(_) => sleep(REST).await,
        }
    }
}

/// What one incoming connection is checked against.
struct Door {
    acceptor: TlsAcceptor,
    verifier: Arc<PinVerifier>,
    roster: Roster,
    awaited: BTreeSet<Party>,
    hello: Hello,
    deadlines: Deadlines,
    emulation: Option<Emulation>,
}

/// Why a connection was turned away.
struct Rejected {
    /// Who it was, when it proved a pinned key.
    party: Option<Party>,
    why: String,
    /// Why that party cannot take part at all, however often it tries.
    error: Option<Box<WireError>>,
}

impl Rejected {
    fn stranger(why: impl Into<String>) -> Self {
        Self {
            party: None,
            why: why.into(),
            error: None,
        }
    }
}

impl Door {
    async fn admit(&self, stream: TcpStream) -> Result<TcpChannel, Rejected> {
        if let Ok(from) = stream.peer_addr() {
            debug!(%from, "somebody connected");
        }
        let _ = stream.set_nodelay(true);
        let stream = Counted::new(stream, self.emulation).map_err(|e| Rejected::stranger(e.to_string()))?;
        let stream = match timeout(HANDSHAKE, self.acceptor.accept(stream)).await {
            Err(_) => return Err(Rejected::stranger("the TLS handshake did not finish")),
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return Err(Rejected::stranger(match self.verifier.refused() {
                    Some(got) => format!("wrong certificate: {got} is not pinned"),
                    None => error.to_string(),
                }));
            }
        };
        let owner = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| self.roster.owner(chain.first()?));
        let party = owner
            .ok_or_else(|| Rejected::stranger("it presented no certificate"))?
            .clone();
        if !self.awaited.contains(&party) {
            return Err(Rejected::stranger(format!("{party} is not awaited now")));
        }
        debug!(peer = %party, "TLS handshake done: the pinned certificate");
        let channel = TcpChannel::new(party.clone(), stream.into(), self.deadlines);
        exchange(channel, self.hello.clone(), HANDSHAKE)
            .await
            .map_err(|error| Rejected {
                party: Some(party),
                why: error.to_string(),
                // One that broke off may try again.
                error: match error {
                    WireError::Closed { .. } | WireError::Deadline { .. } => None,
                    _ => Some(Box::new(error)),
                },
            })
    }
}
