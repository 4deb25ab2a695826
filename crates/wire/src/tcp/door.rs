//! Accepting the peers that dial in.

use std::{
    collections::{BTreeMap, BTreeSet},
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

impl Endpoint<'_> {
    /// Waits until every party of `awaited` has dialled in. A party that dials again meanwhile replaces its own earlier connection:
    /// it has proved its key, so the earlier one is lost.
    pub(super) async fn accept(
        &self,
        awaited: BTreeSet<&Party>,
        wait: &Wait<'_>,
    ) -> Result<BTreeMap<Party, TcpChannel>, WireError> {
        let mut channels = BTreeMap::new();
        let Some(first) = awaited.first() else { return Ok(channels) };
        let listener = self.listener.as_ref().ok_or_else(|| WireError::Local {
            what: format!("cannot wait for {first}"),
            cause: "no listen address is configured".into(),
        })?;
        let address = listener.local_addr().map(|a| a.to_string()).unwrap_or_default();
        let door = Arc::new(self.door(&awaited)?);
        awaited.iter().for_each(|&party| {
            wait.tell(Notice::Waiting {
                party: party.clone(),
                address: address.clone(),
            })
        });
        let mut missing = awaited;
        let mut handshakes = JoinSet::new();
        let mut last = None;
        while let Some(&absent) = missing.first() {
            tokio::select! {
                stream = knock(listener), if handshakes.len() < MAX_HANDSHAKES => {
                    let door = door.clone();
                    handshakes.spawn(async move { (stream.peer_addr(), door.admit(stream).await) });
                }
                Some(Ok((from, outcome))) = handshakes.join_next() => match outcome {
                    Ok(channel) => {
                        let party = channel.peer().clone();
                        missing.remove(&party);
                        wait.tell(Notice::Connected { party: party.clone() });
                        channels.insert(party, channel);
                    }
                    Err(Rejected { party: Some(party), error: Some(error), .. }) if missing.contains(&party) => return Err(*error),
                    Err(Rejected { why, .. }) => if let Ok(from) = from {
                        last = Some(format!("from {from}: {why}"));
                        wait.tell(Notice::TurnedAway { from, why });
                    },
                },
                () = sleep_until(wait.until) => {
                    return Err(WireError::Absent { party: absent.clone(), address, waited: wait.deadline, last });
                }
            }
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
