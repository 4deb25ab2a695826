//! Dialling one peer until it answers.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};
use tracing::debug;

use super::{
    connect::{Endpoint, HANDSHAKE, Notice, Wait},
    hello::exchange,
    socket::{Counted, TcpChannel},
    tls::client_config,
};
use crate::{Party, WireError};

/// Pauses between attempts double from the first to the second of these.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// Why an attempt did not succeed.
enum Failed {
    /// The peer is not there, or not ready for this party: another attempt may succeed.
    ForNow(String),
    /// No further attempt would help.
    ForGood(Box<WireError>),
}

impl Endpoint<'_> {
    /// Dials until the peer answers and agrees on the job.
    pub(super) async fn dial(&self, party: &Party, address: &str, wait: &Wait<'_>) -> Result<(Party, TcpChannel), WireError> {
        let [mut pause, longest] = PAUSES;
        let mut told = false;
        loop {
            let cause = match self.attempt(party, address, wait).await {
                Ok(channel) => {
                    wait.tell(Notice::Connected { party: party.clone() });
                    return Ok((party.clone(), channel));
                }
                Err(Failed::ForGood(error)) => return Err(*error),
                Err(Failed::ForNow(cause)) => cause,
            };
            debug!(peer = %party, address, cause, "no connection yet");
            if Instant::now() + pause >= wait.until {
                return Err(WireError::Unreachable {
                    party: party.clone(),
                    address: address.to_owned(),
                    waited: wait.deadline,
                    cause,
                });
            }
            if !std::mem::replace(&mut told, true) {
                wait.tell(Notice::Waiting {
                    party: party.clone(),
                    address: address.to_owned(),
                });
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn attempt(&self, party: &Party, address: &str, wait: &Wait<'_>) -> Result<TcpChannel, Failed> {
        debug!(peer = %party, address, "dialling");
        let stream = match timeout_at(wait.until, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Failed::ForNow(error.to_string())),
            Err(_) => return Err(Failed::ForNow("no answer".to_owned())),
        };
        let _ = stream.set_nodelay(true);
        let until = wait.until.min(Instant::now() + HANDSHAKE);
        let stream = self.prove(party, address, stream, until).await?;
        let channel = TcpChannel::new(party.clone(), stream.into(), self.deadlines());
        let left = until.saturating_duration_since(Instant::now());
        exchange(channel, self.hello(), left).await.map_err(|error| match error {
            // A peer that is busy with an earlier connection of ours, or just ended, hangs up without a word.
            WireError::Closed { .. } | WireError::Deadline { .. } => Failed::ForNow(error.to_string()),
            _ => Failed::ForGood(Box::new(error)),
        })
    }

    /// The TLS handshake: both keys are proved.
    async fn prove(&self, party: &Party, address: &str, stream: TcpStream, until: Instant) -> Result<TlsStream<Counted>, Failed> {
        let good = |error: WireError| Failed::ForGood(Box::new(error));
        let pinned = self.pinned(party).map_err(good)?;
        let (config, verifier) = client_config(self.identity, pinned).map_err(good)?;
        let name = ServerName::try_from(party.as_str().to_owned()).map_err(|e| {
            good(WireError::Local {
                what: format!("cannot dial {party}"),
                cause: e.to_string(),
            })
        })?;
        let stream = Counted::new(stream, self.emulation).map_err(|e| Failed::ForNow(e.to_string()))?;
        let connect = TlsConnector::from(Arc::new(config)).connect(name, stream);
        match timeout_at(until, connect).await {
            Ok(Ok(stream)) => {
                debug!(peer = %party, address, "TLS handshake done: the pinned certificate");
                Ok(stream)
            }
            Err(_) => Err(Failed::ForNow("the TLS handshake did not finish".into())),
            Ok(Err(error)) => Err(match verifier.refused() {
                Some(got) => good(WireError::WrongCertificate {
                    party: party.clone(),
                    expected: pinned.fingerprint(),
                    got,
                }),
                // Whoever answers does not speak TLS 1.3 as we do.
                None if error.kind() == io::ErrorKind::InvalidData => good(WireError::Unreachable {
                    party: party.clone(),
                    address: address.to_owned(),
                    waited: Duration::ZERO,
                    cause: error.to_string(),
                }),
                None => Failed::ForNow(error.to_string()),
            }),
        }
    }
}
