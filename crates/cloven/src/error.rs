//! Every way in which the tool can fail, and the exit code of each.

use std::path::{Path, PathBuf};

use cloven_data::DataError;
use cloven_nn::ModelError;
use cloven_protocols::ProtocolError;
use cloven_wire::{Particulars, Party, WireError, tcp::IdentityError};

/// The documented exit codes of the `cloven` binary.
pub const EXIT_CODES: [(u8, &str); 11] = [
    (0, "success"),
    (1, "internal error, or the file system refused something"),
    (2, "the command line is wrong"),
    (3, "job.toml, local.toml or the model is invalid"),
    (4, "the data cannot be read or does not fit the job"),
    (
        5,
        "identity: key, certificate or roster; another job's digest; the job was not accepted",
    ),
    (6, "connection: a party is unreachable, absent, late or gone"),
    (7, "a party sent something the protocol does not allow"),
    (8, "training diverged, or a result left the range of the encryption"),
    (9, "a memory cap was reached"),
    (130, "interrupted"),
];

/// An error of any front.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A configuration file or setting is wrong.
    #[error("{place}: {problem}")]
    Configuration {
        /// A file, `--set`, or a key.
        place: String,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// The model cannot be built or trained.
    #[error("model: {0}")]
    Model(#[from] ModelError),
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A key or certificate cannot be used.
    #[error("{}: {cause}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: IdentityError,
    },
    /// A pin in the roster is missing or would change.
    #[error("{0}")]
    Roster(String),
    /// Trained weights, or what belongs to them, are of another job.
    #[error("{}: it belongs to job {got}, this run folder's job is {expected}", path.display())]
    OtherJob {
        /// The file.
        path: PathBuf,
        /// Digest of the run folder's job.
        expected: String,
        /// The digest in the file.
        got: String,
    },
    /// The operator did not accept the job.
    #[error("job {digest} was not accepted{}", given.as_deref().map(|g| format!(": --accept names {g}")).unwrap_or_default())]
    NotAccepted {
        /// The job's digest.
        digest: String,
        /// The digest that was given, if any.
        given: Option<String>,
    },
    /// The protocol ended early.
    #[error("{party}: {cause}")]
    Protocol {
        /// The party that reports.
        party: Party,
        /// Why.
        cause: Box<ProtocolError>,
    },
    /// A party's process failed; the text is its own.
    #[error("{message}")]
    Party {
        /// The party.
        party: Party,
        /// Its error.
        message: String,
        /// Its exit code.
        exit_code: u8,
        /// What else it said.
        particulars: Box<Particulars>,
    },
    /// The operator interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// The process exit code; see [`EXIT_CODES`].
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::File { .. } => 1,
            Self::Configuration { .. } => 3,
            Self::Model(error) => model_code(error),
            Self::Data(_) => 4,
            Self::Identity { .. } | Self::Roster(_) | Self::OtherJob { .. } | Self::NotAccepted { .. } => 5,
            Self::Protocol { cause, .. } => match cause.as_ref() {
                ProtocolError::Wire(error) => wire_code(error),
                ProtocolError::Model(error) => model_code(error),
                ProtocolError::Encryption(_) => 8,
                ProtocolError::Precision { .. } => 3,
                ProtocolError::Identity(_) => 5,
                ProtocolError::Halted(_) => 9,
                ProtocolError::Alignment(_) => 4,
                _ => 1,
            },
            Self::Party { exit_code, .. } => *exit_code,
            Self::Interrupted => 130,
        }
    }

    /// What the error is about, for programs.
    pub fn particulars(&self) -> Particulars {
        let of = |party: &Party| Particulars {
            party: Some(party.clone()),
            ..Particulars::default()
        };
        match self {
            Self::Protocol { party, cause } => match cause.as_ref() {
                ProtocolError::Wire(error) => error.particulars(),
                ProtocolError::NoWorker { cause, .. } => cause.particulars(),
                _ => of(party),
            },
            Self::Party { party, particulars, .. } => Particulars {
                party: particulars.party.clone().or_else(|| Some(party.clone())),
                ..particulars.as_ref().clone()
            },
            Self::OtherJob { expected, got, .. } => Particulars {
                expected: Some(expected.clone()),
                got: Some(got.clone()),
                ..Particulars::default()
            },
            Self::NotAccepted { digest, given } => Particulars {
                expected: Some(digest.clone()),
                got: given.clone(),
                ..Particulars::default()
            },
            _ => Particulars::default(),
        }
    }

    pub(crate) fn file(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::File {
            path: path.as_ref().to_owned(),
            cause,
        }
    }

    pub(crate) fn configuration(place: impl std::fmt::Display, problem: impl std::fmt::Display) -> Self {
        Self::Configuration {
            place: place.to_string(),
            problem: problem.to_string(),
        }
    }
}

fn model_code(error: &ModelError) -> u8 {
    match error {
        ModelError::Diverged { .. } => 8,
        _ => 3,
    }
}

fn wire_code(error: &WireError) -> u8 {
    match error {
        WireError::WrongCertificate { .. }
        | WireError::CertificateRefused { .. }
        | WireError::WrongJob { .. }
        | WireError::WrongVersion { .. }
        | WireError::WrongParty { .. } => 5,
        WireError::BadHeader { .. } | WireError::Unexpected { .. } | WireError::Malformed { .. } => 7,
        _ => 6,
    }
}
