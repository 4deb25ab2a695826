//! Errors of a protocol run.

use cloven_nn::ModelError;
use cloven_wire::{AbortReason, WireError};

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
    /// The observer stopped the script.
    #[error(transparent)]
    Halted(#[from] Halted),
}

impl ProtocolError {
    /// What to tell the peers.
    pub fn abort_reason(&self) -> AbortReason {
        match self {
            Self::Wire(error) => error.abort_reason(),
            Self::Model(ModelError::Diverged { .. }) => AbortReason::Diverged,
            Self::Model(_) => AbortReason::Configuration,
            Self::Halted(_) => AbortReason::Limit,
        }
    }
}
