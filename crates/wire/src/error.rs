//! What can go wrong between two parties, and whose fault it is.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{DecodeError, Party};

/// Why a party ends a session; the only thing it tells its peer about the cause.
///
/// The full error stays local, because it may name rows or values of private data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum AbortReason {
    /// The operator interrupted the run.
    Interrupted = 1,
    /// The party's data, job or configuration does not allow the run.
    Configuration = 2,
    /// The peer sent something the protocol does not allow.
    BadMessage = 3,
    /// A wait ran past its deadline.
    Deadline = 4,
    /// Training produced a value that is not finite.
    Diverged = 5,
    /// A memory cap was reached.
    Limit = 6,
    /// Anything else.
    Internal = 7,
    /// It lost the connection to another party.
    PeerLost = 8,
}

impl WireError {
    /// The party that is gone or silent, where it may come back: what it was asked for is not what failed.
    pub fn lost_party(&self) -> Option<&Party> {
        match self {
            Self::Closed { party, .. } | Self::Deadline { party, .. } => Some(party),
            Self::Aborted {
                party,
                reason: AbortReason::Interrupted | AbortReason::PeerLost | AbortReason::Deadline,
            } => Some(party),
            _ => None,
        }
    }
}

impl AbortReason {
    pub(crate) fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Interrupted,
            2 => Self::Configuration,
            3 => Self::BadMessage,
            4 => Self::Deadline,
            5 => Self::Diverged,
            6 => Self::Limit,
            8 => Self::PeerLost,
            _ => Self::Internal,
        }
    }
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupted => "its operator interrupted it",
            Self::Configuration => "its data or configuration does not allow the run",
            Self::BadMessage => "it received a message the protocol does not allow",
            Self::Deadline => "it waited past a deadline",
            Self::Diverged => "its training diverged",
            Self::Limit => "it reached a memory cap",
            Self::PeerLost => "it lost another party",
            Self::Internal => "it failed; its own log says why",
        })
    }
}

/// An error of a link to one peer. Every variant names the peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Dialling did not succeed before the deadline.
    #[error("cannot reach {party} at {address} (tried for {} s): {cause}", waited.as_secs())]
    Unreachable {
        /// The peer.
        party: Party,
        /// The address dialled.
        address: String,
        /// How long it was tried.
        waited: Duration,
        /// The last failure.
        cause: String,
    },
    /// Nobody with the peer's pinned certificate dialled in before the deadline.
    #[error("{party} did not connect to {address} within {} s{}", waited.as_secs(), last.as_deref().map(|l| format!(" (last attempt {l})")).unwrap_or_default())]
    Absent {
        /// The peer.
        party: Party,
        /// The address listened on.
        address: String,
        /// How long.
        waited: Duration,
        /// Why the last connection was turned away, if there was one.
        last: Option<String>,
    },
    /// This party cannot listen or has a broken key.
    #[error("{what}: {cause}")]
    Local {
        /// What was attempted.
        what: String,
        /// Why it failed.
        cause: String,
    },
    /// The peer's certificate is not the pinned one.
    #[error("wrong certificate: {party} is pinned as {expected}, but the peer presented {got}")]
    WrongCertificate {
        /// The peer.
        party: Party,
        /// The pinned fingerprint.
        expected: String,
        /// The fingerprint presented.
        got: String,
    },
    /// The peer turned our certificate away.
    #[error("{party} refused our certificate: its roster does not pin it (give it your identity file for `cloven roster add`)")]
    CertificateRefused {
        /// The peer.
        party: Party,
    },
    /// The peer runs another job.
    #[error("wrong job: ours has digest {ours}, {party}'s has {theirs}; both parties need the same job.toml and --set values")]
    WrongJob {
        /// The peer.
        party: Party,
        /// Our digest, hexadecimal.
        ours: String,
        /// Theirs.
        theirs: String,
    },
    /// The peer speaks another version of the wire protocol.
    #[error("{party} speaks wire version {theirs}, we speak {ours}: install the same version of cloven on both sides")]
    WrongVersion {
        /// The peer.
        party: Party,
        /// Our version.
        ours: u16,
        /// Theirs.
        theirs: u16,
    },
    /// The peer calls itself by another name than its certificate's.
    #[error("{party}'s certificate belongs to {party}, but it calls itself {got}")]
    WrongParty {
        /// The certificate's owner.
        party: Party,
        /// The name in its hello.
        got: String,
    },
    /// Nothing came in time.
    #[error("waited {:.1} s for {what} ({}) {verb} {party}: deadline passed", waited.as_secs_f64(), At(*round))]
    Deadline {
        /// The peer.
        party: Party,
        /// The message.
        what: &'static str,
        /// `to reach` or `from`.
        verb: &'static str,
        /// The round.
        round: u64,
        /// The deadline.
        waited: Duration,
    },
    /// The peer is gone.
    #[error("{party} closed the connection while we waited for {what} ({}): {cause}", At(*round))]
    Closed {
        /// The peer.
        party: Party,
        /// The message.
        what: &'static str,
        /// The round.
        round: u64,
        /// What the transport said.
        cause: String,
    },
    /// The peer ended the session and said why.
    #[error("{party} stopped the run: {reason}")]
    Aborted {
        /// The peer.
        party: Party,
        /// Its reason.
        reason: AbortReason,
    },
    /// A header that no version of ours sends.
    #[error("{party}, {}: invalid header where {what} was expected: {cause}", At(*round))]
    BadHeader {
        /// The peer.
        party: Party,
        /// The round the receiver is in.
        round: u64,
        /// The message the receiver waits for.
        what: &'static str,
        /// What is wrong with it.
        cause: DecodeError,
    },
    /// Another message than the protocol's state demands.
    #[error("{party}, {}: expected {expected}, got {got}", At(*round))]
    Unexpected {
        /// The peer.
        party: Party,
        /// The round the receiver is in.
        round: u64,
        /// The message the receiver waits for.
        expected: String,
        /// What came.
        got: String,
    },
    /// A message with an invalid payload.
    #[error("{party}, {}: invalid {what}: {cause}", At(*round))]
    Malformed {
        /// The peer.
        party: Party,
        /// The round.
        round: u64,
        /// The message.
        what: &'static str,
        /// What is wrong with it.
        cause: DecodeError,
    },
}

impl WireError {
    pub(crate) fn bad_header(party: &Party, what: &'static str, round: u64, cause: DecodeError) -> Self {
        Self::BadHeader {
            party: party.clone(),
            round,
            what,
            cause,
        }
    }

    pub(crate) fn late(party: &Party, what: &'static str, verb: &'static str, round: u64, waited: Duration) -> Self {
        Self::Deadline {
            party: party.clone(),
            what,
            verb,
            round,
            waited,
        }
    }

    /// What the error says besides its sentence.
    pub fn particulars(&self) -> Particulars {
        let of = |party: &Party, round: Option<u64>, [expected, got]: [Option<String>; 2]| Particulars {
            party: Some(party.clone()),
            round,
            expected,
            got,
        };
        match self {
            Self::Unreachable { party, cause, .. } => of(party, None, [None, Some(cause.clone())]),
            Self::Absent { party, last, .. } => of(party, None, [None, last.clone()]),
            Self::Local { .. } => Particulars::default(),
            Self::WrongCertificate { party, expected, got } => of(party, None, [Some(expected.clone()), Some(got.clone())]),
            Self::CertificateRefused { party } => of(party, None, [None, None]),
            Self::WrongJob { party, ours, theirs } => of(party, None, [Some(ours.clone()), Some(theirs.clone())]),
            Self::WrongVersion { party, ours, theirs } => of(party, None, [Some(ours.to_string()), Some(theirs.to_string())]),
            Self::WrongParty { party, got } => of(party, None, [Some(party.to_string()), Some(got.clone())]),
            Self::Deadline { party, what, round, .. } => of(party, Some(*round), [Some((*what).to_owned()), None]),
            Self::Closed {
                party,
                what,
                round,
                cause,
                ..
            } => of(party, Some(*round), [Some((*what).to_owned()), Some(cause.clone())]),
            Self::Aborted { party, reason } => of(party, None, [None, Some(reason.to_string())]),
            Self::BadHeader {
                party,
                round,
                what,
                cause,
            } => of(party, Some(*round), [Some((*what).to_owned()), Some(cause.to_string())]),
            Self::Unexpected {
                party,
                round,
                expected,
                got,
            } => of(party, Some(*round), [Some(expected.clone()), Some(got.clone())]),
            Self::Malformed { party, round, cause, .. } => of(party, Some(*round), cause.expected_and_got()),
        }
    }

    /// What to tell the *other* peers when this error ends the session.
    pub fn abort_reason(&self) -> AbortReason {
        match self {
            Self::Deadline { .. } => AbortReason::Deadline,
            Self::BadHeader { .. } | Self::Unexpected { .. } | Self::Malformed { .. } => AbortReason::BadMessage,
            Self::WrongJob { .. } | Self::WrongVersion { .. } => AbortReason::Configuration,
            _ => AbortReason::Internal,
        }
    }
}

/// What an error is about, where it is about any of this: for programs. People read its sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Particulars {
    /// The party whose message, certificate or absence it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<Party>,
    /// The round that the party which reports was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u64>,
    /// What would have been right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What was there instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub got: Option<String>,
}

struct At(u64);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round {}", self.0)
    }
}
