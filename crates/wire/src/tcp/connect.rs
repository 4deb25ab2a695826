//! Reaching every peer: dialling some, accepting the rest, until a deadline.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, rustls::pki_types::ServerName};

use super::{
    hello::{Hello, exchange},
    identity::{Certificate, Identity, Roster},
    socket::{Counted, TcpChannel},
    tls::{PinVerifier, client_config, server_config},
};
use crate::{Party, WireError};

/// How long a stranger may take over a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many unfinished handshakes are served at once; further connections wait in the kernel's queue.
const MAX_HANDSHAKES: usize = 16;

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
    /// A connection without a pinned certificate was turned away.
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

/// What a party brings to its connections.
pub struct Endpoint<'a> {
    /// This party's name and key.
    pub identity: &'a Identity,
    /// The certificates it pins.
    pub roster: &'a Roster,
    /// The digest of the job it runs.
    pub job: [u8; 32],
    /// Where peers dial in; needed when any peer is to be accepted.
    pub listener: Option<TcpListener>,
    /// How long to wait for all peers.
    pub connect_deadline: Duration,
    /// How long to wait for any later message.
    pub message_deadline: Duration,
}

impl Endpoint<'_> {
    /// Connects to every peer. Fails when one cannot be reached in time, is not who the roster says, or runs another job.
    pub async fn connect(
        self,
        peers: &BTreeMap<Party, Reach>,
        notice: &dyn Fn(Notice),
    ) -> Result<BTreeMap<Party, TcpChannel>, WireError> {
        let until = Instant::now() + self.connect_deadline;
        let (mut dialled, accepted) =
            tokio::try_join!(self.dial_all(peers, until, notice), self.accept_all(peers, until, notice))?;
        dialled.extend(accepted);
        Ok(dialled)
    }

    async fn dial_all(
        &self,
        peers: &BTreeMap<Party, Reach>,
        until: Instant,
        notice: &dyn Fn(Notice),
    ) -> Result<BTreeMap<Party, TcpChannel>, WireError> {
        let mut channels = BTreeMap::new();
        for (party, reach) in peers {
            if let Reach::Dial(address) = reach {
                channels.insert(party.clone(), self.dial(party, address, until, notice).await?);
                notice(Notice::Connected { party: party.clone() });
            }
        }
        Ok(channels)
    }

    async fn dial(&self, party: &Party, address: &str, until: Instant, notice: &dyn Fn(Notice)) -> Result<TcpChannel, WireError> {
        let pinned = self.pinned(party)?;
        let (config, verifier) = client_config(self.identity, pinned)?;
        let stream = self.reach(party, address, until, notice).await?;
        let name = ServerName::try_from(party.as_str().to_owned()).map_err(|e| WireError::Local {
            what: format!("cannot dial {party}"),
            cause: e.to_string(),
        })?;
        let connect = TlsConnector::from(Arc::new(config)).connect(name, Counted::new(stream));
        let unreachable = |cause: String| WireError::Unreachable {
            party: party.clone(),
            address: address.to_owned(),
            waited: HANDSHAKE,
            cause,
        };
        let stream = match timeout(HANDSHAKE, connect).await {
            Err(_) => return Err(unreachable("the TLS handshake did not finish".into())),
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return Err(match verifier.refused() {
                    Some(got) => WireError::WrongCertificate {
                        party: party.clone(),
                        expected: pinned.fingerprint(),
                        got,
                    },
                    None => unreachable(error.to_string()),
                });
            }
        };
        let channel = TcpChannel::new(party.clone(), stream.into(), self.message_deadline);
        exchange(channel, self.hello(), HANDSHAKE).await
    }

    /// Dials until somebody answers.
    async fn reach(&self, party: &Party, address: &str, until: Instant, notice: &dyn Fn(Notice)) -> Result<TcpStream, WireError> {
        let mut pause = Duration::from_millis(50);
        let mut told = false;
        loop {
            let cause = match timeout_at(until, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            if Instant::now() + pause >= until {
                return Err(WireError::Unreachable {
                    party: party.clone(),
                    address: address.to_owned(),
                    waited: self.connect_deadline,
                    cause,
                });
            }
            if !std::mem::replace(&mut told, true) {
                notice(Notice::Waiting {
                    party: party.clone(),
                    address: address.to_owned(),
                });
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn accept_all(
        &self,
        peers: &BTreeMap<Party, Reach>,
        until: Instant,
        notice: &dyn Fn(Notice),
    ) -> Result<BTreeMap<Party, TcpChannel>, WireError> {
        let mut missing: BTreeSet<&Party> = peers.iter().filter(|(_, r)| **r == Reach::Accept).map(|(p, _)| p).collect();
        let mut channels = BTreeMap::new();
        let Some(first) = missing.first() else { return Ok(channels) };
        let listener = self.listener.as_ref().ok_or_else(|| WireError::Local {
            what: format!("cannot wait for {first}"),
            cause: "no listen address is configured".into(),
        })?;
        let address = listener.local_addr().map(|a| a.to_string()).unwrap_or_default();
        let door = Arc::new(self.door(&missing)?);
        missing.iter().for_each(|&party| {
            notice(Notice::Waiting {
                party: party.clone(),
                address: address.clone(),
            })
        });
        let mut handshakes = JoinSet::new();
        let mut last = None;
        while let Some(&awaited) = missing.first() {
            tokio::select! {
                accepted = listener.accept(), if handshakes.len() < MAX_HANDSHAKES => {
                    if let Ok((stream, from)) = accepted {
                        let door = door.clone();
                        handshakes.spawn(async move { (from, door.admit(stream).await) });
                    }
                }
                Some(Ok((from, outcome))) = handshakes.join_next() => match outcome {
                    Ok(channel) => {
                        let party = crate::Channel::peer(&channel).clone();
                        if missing.remove(&party) {
                            notice(Notice::Connected { party: party.clone() });
                            channels.insert(party, channel);
                        }
                    }
                    Err(Rejected::Peer(error)) => return Err(*error),
                    Err(Rejected::Stranger(why)) => {
                        last = Some(format!("from {from}: {why}"));
                        notice(Notice::TurnedAway { from, why });
                    }
                },
                () = tokio::time::sleep_until(until) => {
                    return Err(WireError::Absent { party: awaited.clone(), address, waited: self.connect_deadline, last });
                }
            }
        }
        Ok(channels)
    }

    fn door(&self, expected: &BTreeSet<&Party>) -> Result<Door, WireError> {
        let pinned = expected.iter().map(|p| self.pinned(p).cloned()).collect::<Result<_, _>>()?;
        let (config, verifier) = server_config(self.identity, pinned)?;
        Ok(Door {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            verifier,
            roster: self.roster.clone(),
            hello: self.hello(),
            deadline: self.message_deadline,
        })
    }

    fn pinned(&self, party: &Party) -> Result<&Certificate, WireError> {
        self.roster.get(party).ok_or_else(|| WireError::Local {
            what: format!("{party} is not in the roster"),
            cause: "pin its identity file with `cloven roster add`".into(),
        })
    }

    fn hello(&self) -> Hello {
        Hello {
            party: self.identity.party.to_string(),
            job: self.job,
        }
    }
}

/// What one incoming connection is checked against.
struct Door {
    acceptor: TlsAcceptor,
    verifier: Arc<PinVerifier>,
    roster: Roster,
    hello: Hello,
    deadline: Duration,
}

enum Rejected {
    /// Somebody without a pinned certificate: no reason to stop waiting.
    Stranger(String),
    /// The expected party, but it cannot take part.
    Peer(Box<WireError>),
}

impl Door {
    async fn admit(&self, stream: TcpStream) -> Result<TcpChannel, Rejected> {
        let _ = stream.set_nodelay(true);
        let stranger = |why: String| Rejected::Stranger(why);
        let stream = match timeout(HANDSHAKE, self.acceptor.accept(Counted::new(stream))).await {
            Err(_) => return Err(stranger("the TLS handshake did not finish".into())),
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return Err(stranger(match self.verifier.refused() {
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
        let party = owner.ok_or_else(|| stranger("it presented no certificate".into()))?.clone();
        let channel = TcpChannel::new(party, stream.into(), self.deadline);
        exchange(channel, self.hello.clone(), HANDSHAKE)
            .await
            .map_err(|e| Rejected::Peer(Box::new(e)))
    }
}
