//! What can be wrong with an attestation, with what was expected and what came.

use std::{fmt, io, path::PathBuf};

use crate::{Kind, TcbStatus};

/// Why an attestation was not made, or not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// Another kind of attestation than the policy asks for; simulated where a real one is asked for is this error too.
    #[error("expected an attestation of kind {expected}, got {got}")]
    Kind {
        /// What the policy asks for, or what was set up.
        expected: Kind,
        /// What came.
        got: Kind,
    },
    /// The attested environment runs other code, or has another configuration, than the one pinned.
    #[error("{kind} attests another {register}: expected {expected}, got {got}")]
    Measurement {
        /// The kind of attestation.
        kind: Kind,
        /// Which measurement differs.
        register: &'static str,
        /// The pinned value.
        expected: String,
        /// The attested value.
        got: String,
    },
    /// The quote was made for another connection, key or nonce: it is replayed or relayed.
    #[error("the {kind} quote is for another connection: expected report data {expected}, got {got}")]
    ReportData {
        /// The kind of attestation.
        kind: Kind,
        /// In hexadecimal, what this connection's quote must hold.
        expected: String,
        /// In hexadecimal, what it holds.
        got: String,
    },
    /// The environment can be read by its host: never accepted.
    #[error("the {kind} environment runs in debug mode, so its host can read it")]
    Debug {
        /// The kind of attestation.
        kind: Kind,
    },
    /// Firmware and microcode of the platform are not as good as the policy asks for.
    #[error("the platform's TCB status is {got}, the policy accepts {}", list(.expected))]
    TcbStatus {
        /// What the policy accepts.
        expected: Vec<TcbStatus>,
        /// What the manufacturer says of the platform.
        got: TcbStatus,
    },
    /// The platform is below every level that Intel still lists, or revoked.
    #[error("the platform's TCB is too low to be judged or revoked: {0}")]
    TcbUnlisted(String),
    /// Security advisories are open for the platform that the policy does not accept.
    #[error("open advisories {got:?} are not among those that the policy accepts, {expected:?}")]
    Advisories {
        /// What the policy accepts.
        expected: Vec<String>,
        /// Those that are open and not accepted.
        got: Vec<String>,
    },
    /// A version number of the platform or the code is below the one that the policy asks for.
    #[error("{what}: expected at least {expected}, got {got}")]
    TooOld {
        /// Which number.
        what: &'static str,
        /// The least that the policy accepts.
        expected: u64,
        /// What is attested.
        got: u64,
    },
    /// A property of the environment that the policy does not accept.
    #[error("{kind} attests {what} {got}, expected {expected}")]
    Property {
        /// The kind of attestation.
        kind: Kind,
        /// Which property.
        what: &'static str,
        /// What the policy asks for.
        expected: String,
        /// What is attested.
        got: String,
    },
    /// A signature, a chain of certificates, or what these sign does not hold.
    #[error("the {kind} quote is not authentic: {cause}")]
    Signature {
        /// The kind of attestation.
        kind: Kind,
        /// What does not hold.
        cause: String,
    },
    /// Collateral or a certificate is not valid at the time of verification. Times are seconds since 1970.
    #[error(
        "{what} is valid from {from} until {until}, the time is {now} (seconds since 1970): fetch a current one, or set the clock"
    )]
    Expired {
        /// What is not valid.
        what: &'static str,
        /// Since when it is valid.
        from: u64,
        /// The first second at which it is not.
        until: u64,
        /// The time of verification.
        now: u64,
    },
    /// What vouches for the quote (Intel's collateral, AMD's certificate) is missing or unreadable.
    #[error("endorsements of the {kind} quote: {cause}")]
    Endorsements {
        /// The kind of attestation.
        kind: Kind,
        /// What is wrong with them.
        cause: String,
    },
    /// Bytes that are no evidence, or no quote.
    #[error("{what}: {cause}")]
    Malformed {
        /// What could not be read.
        what: &'static str,
        /// Why.
        cause: String,
    },
    /// More bytes than are ever needed.
    #[error("{what}: {got} bytes, the limit is {limit}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// The limit, in bytes.
        limit: usize,
        /// The length, in bytes; of a file, what was read of it.
        got: usize,
    },
    /// The customer's policy cannot be used.
    #[error("attestation policy: {0}")]
    Policy(String),
    /// A file of the interface to the hardware, or of the policy, cannot be used.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The kernel or Gramine offers another kind of attestation than the one asked for.
    #[error("{}: expected {expected:?}, got {got:?}", path.display())]
    Provider {
        /// The file that says so.
        path: PathBuf,
        /// What it must hold.
        expected: &'static str,
        /// What it holds.
        got: String,
    },
    /// Another program used the same report entry at the same time.
    #[error("{}: expected generation {expected}, got {got}: something else writes to this entry", path.display())]
    Generation {
        /// The file that counts.
        path: PathBuf,
        /// The count after this program's one write.
        expected: u64,
        /// The count that is there.
        got: u64,
    },
    /// The operating system gave no random bytes for a nonce.
    #[error("no random bytes: {0}")]
    Random(String),
}

/// What a library says about bytes of a peer, no longer than a person reads.
pub(crate) fn short(cause: impl fmt::Display) -> String {
    const MAX: usize = 400;
    let text = cause.to_string();
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn list(statuses: &[TcbStatus]) -> String {
    statuses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
