//! Errors of a protocol run.

use cloven_accel::AccelError;
use cloven_attest::AttestError;
use cloven_lattice::LatticeError;
use cloven_mpc::MpcError;
use cloven_nn::ModelError;
use cloven_wire::{AbortReason, DecodeError, Party, WireError};

use crate::CheckpointError;

/// The observer asked the script to stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Halted {
    /// Why, for the operator.
    pub why: String,
}

/// Why a party's script ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Something between the parties.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// This party's own part of the network.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// This party's own encryption.
    #[error("encryption: {0}")]
    Encryption(#[from] LatticeError),
    /// This party's own step of a secure computation.
    #[error("secure computation: {0}")]
    Computation(#[from] MpcError),
    /// This party's own part in a blinded product.
    #[error("blinded products: {0}")]
    Acceleration(#[from] AccelError),
    /// The workers that are left cannot do what one did that failed.
    #[error("{cause}; {why}")]
    NoWorker {
        /// Who would have to.
        why: String,
        /// What the last one did that failed.
        cause: Box<WireError>,
    },
    /// What runs at the other end, or here, is not what the customer wants.
    #[error("attestation: {0}")]
    Attestation(#[from] AttestError),
    /// The rows of the parties do not fit together.
    #[error("alignment: {0}")]
    Alignment(String),
    /// A user's input cannot be shared.
    #[error("input: {0}")]
    Input(String),
    /// A model is not one that the parties of the job can evaluate.
    #[error("model: {0}")]
    Structure(String),
    /// Training would be less exact than is accepted.
    #[error(
        "encryption: the error of an output could reach {actual:.2e} within one batch, and {accepted:.2e} is accepted; samples of fewer bits \
         after the point or of smaller values (standardised), or smaller batches, have less"
    )]
    Precision {
        /// The largest error that is accepted, in units of the output.
        accepted: f64,
        /// The bound on the error.
        actual: f64,
    },
    /// One of this party's own helpers did not do its work.
    #[error("helper {helper}: {why}")]
    Helper {
        /// Its number, from 0.
        helper: usize,
        /// Why, for the operator.
        why: String,
    },
    /// This party's own key cannot be used.
    #[error("{0}")]
    Identity(String),
    /// A state could not be kept or found again.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The observer stopped the script.
    #[error(transparent)]
    Halted(#[from] Halted),
}

impl ProtocolError {
    /// What to tell the peers.
    pub fn abort_reason(&self) -> AbortReason {
        match self {
            Self::Wire(error) => error.abort_reason(),
            Self::NoWorker { .. } | Self::Helper { .. } => AbortReason::Internal,
            Self::Model(ModelError::Diverged { .. }) => AbortReason::Diverged,
            Self::Encryption(_) => AbortReason::Diverged,
            Self::Model(_)
            | Self::Identity(_)
            | Self::Attestation(_)
            | Self::Precision { .. }
            | Self::Alignment(_)
            | Self::Input(_)
            | Self::Structure(_) => AbortReason::Configuration,
            Self::Checkpoint(_) | Self::Computation(_) | Self::Acceleration(_) => AbortReason::Internal,
            Self::Halted(_) => AbortReason::Limit,
        }
    }
}

/// The error of ciphertext bytes from `party` that cannot be read.
pub(crate) fn malformed(party: &Party, round: u64, what: &'static str, cause: LatticeError) -> ProtocolError {
    match cause {
        // A result outside its range is no fault of the peer's bytes' form: training left the range of the encryption.
        LatticeError::Range { .. } => ProtocolError::Encryption(cause),
        _ => {
            let cause = DecodeError::Field {
                field: "ciphertext",
                expected: "a valid ciphertext".into(),
                got: cause.to_string(),
            };
            ProtocolError::Wire(WireError::Malformed {
                party: party.clone(),
                round,
                what,
                cause,
            })
        }
    }
}

/// The same where something else may have failed, which is no fault of the peer's.
pub(crate) fn blamed(cause: ProtocolError, party: &Party, round: u64, what: &'static str) -> ProtocolError {
    match cause {
        ProtocolError::Encryption(cause) => malformed(party, round, what, cause),
        other => other,
    }
}

/// The error of a message from `party` that a step of a secure computation refuses.
pub(crate) fn refused(party: &Party, round: u64, what: &'static str, cause: &MpcError) -> ProtocolError {
    let cause = DecodeError::Field {
        field: "content",
        expected: "what the step makes".into(),
        got: cause.to_string(),
    };
    ProtocolError::Wire(WireError::Malformed {
        party: party.clone(),
        round,
        what,
        cause,
    })
}
