//! A party of a service, and how it reaches the others.

use std::collections::BTreeMap;

use cloven_protocols::{ProtocolError, secure_inference::Terms};
use cloven_wire::{
    Party, WireError,
    tcp::{Endpoint, Identity, Reach, Roster},
};
use tokio::net::TcpListener;

use super::job::{ServiceJob, ServiceRole};
use crate::{Error, Local, RosterFile, Update, identity, reporter::Reporter};

/// A party of a service that has checked everything it can check alone: job, key and roster.
pub struct Member {
    pub(super) job: ServiceJob,
    pub(super) terms: Terms,
    pub(super) local: Local,
    pub(super) party: Party,
    pub(super) role: ServiceRole,
    pub(super) identity: Identity,
    pub(super) roster: Roster,
}

impl Member {
    /// Checks job, key and roster. A user pins all servers, the gateway everybody, a remote server all servers.
    ///
    /// # Errors
    /// [`Error::Roster`] for a party that is not pinned, and others for what is wrong with job or key.
    pub fn new(job: ServiceJob, party: Party, local: Local) -> Result<Self, Error> {
        let role = job.role(&party)?;
        let terms = job.terms()?;
        let identity = identity::load(&party, &local.key, &local.certificate)?;
        let roster = RosterFile::read(&local.roster)?.roster(&local.roster)?;
        let users = job.of_role(ServiceRole::User).filter(|_| role == ServiceRole::Gateway);
        for other in job.servers().chain(users).filter(|other| **other != party) {
            if roster.get(other).is_none() {
                let roster = local.roster.display();
                return Err(Error::Roster(format!(
                    "{roster} does not pin {other}: run `cloven roster add {other}.identity.toml`"
                )));
            }
        }
        Ok(Self {
            job,
            terms,
            local,
            party,
            role,
            identity,
            roster,
        })
    }

    /// Where this party listens, if it does, and how long it waits.
    pub(super) async fn endpoint(&self, reporter: &Reporter<'_>) -> Result<Endpoint<'_>, Error> {
        let listener = match &self.local.listen {
            None => None,
            Some(address) => {
                let listener = TcpListener::bind(address).await.map_err(|e| {
                    self.failed(WireError::Local {
                        what: format!("cannot listen on {address}"),
                        cause: e.to_string(),
                    })
                })?;
                let address = listener.local_addr().map_err(Error::file(address))?.to_string();
                reporter.tell(Update::Listening { address });
                Some(listener)
            }
        };
        Ok(Endpoint {
            identity: &self.identity,
            roster: &self.roster,
            job: self.job.digest(),
            listener,
            connect_deadline: self.local.deadlines.connect(),
            message_deadline: self.local.deadlines.message(),
            total_deadline: self.local.deadlines.total(),
            emulation: self.local.emulate,
        })
    }

    /// How other servers are reached: dialled where an address is known, else awaited.
    ///
    /// # Errors
    /// [`Error::Configuration`] where neither is possible.
    pub(super) fn reach<'p>(&self, others: impl Iterator<Item = &'p Party>) -> Result<BTreeMap<Party, Reach>, Error> {
        let one = |other: &Party| match (self.local.dial.get(other), &self.local.listen) {
            (Some(address), _) => Ok((other.clone(), Reach::Dial(address.clone()))),
            (None, Some(_)) => Ok((other.clone(), Reach::Accept)),
            (None, None) => Err(Error::configuration(
                Local::FILE,
                format!("say how to reach {other}: `listen` here, or an address under [dial]"),
            )),
        };
        others.map(one).collect()
    }

    pub(super) fn failed(&self, cause: impl Into<ProtocolError>) -> Error {
        Error::Protocol {
            party: self.party.clone(),
            cause: Box::new(cause.into()),
        }
    }

    /// Whether an error is the loss of another party, after which it is waited for.
    pub(super) fn lost(&self, error: &Error) -> Option<Update> {
        let Error::Protocol { cause, .. } = error else { return None };
        let ProtocolError::Wire(cause) = cause.as_ref() else {
            return None;
        };
        let seconds = self.local.deadlines.reconnect_seconds;
        let peer = cause.lost_party().filter(|_| seconds > 0)?;
        Some(Update::Lost {
            peer: peer.clone(),
            why: cause.to_string(),
            seconds,
        })
    }
}
