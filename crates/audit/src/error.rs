use cloven_nn::ModelError;
use cloven_wire::recording::RecordingError;

/// Why an audit could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The recording cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// A recorded payload is not the message that its name says.
    #[error("recorded {name} of round {round}: expected {expected}, got {got}")]
    Payload {
        /// The message's name.
        name: String,
        /// Its round.
        round: u64,
        /// What it must hold.
        expected: String,
        /// What it holds.
        got: String,
    },
    /// Rows that do not fit together.
    #[error("rows to attack: expected {expected}, got {got}")]
    Rows {
        /// What is needed.
        expected: String,
        /// What was given.
        got: String,
    },
    /// Matrices of weights that cannot be attacked.
    #[error("weights to attack: expected {expected}, got {got}")]
    Weights {
        /// What is needed.
        expected: String,
        /// What was given.
        got: String,
    },
    /// The decoder, or the front that is replayed, failed.
    #[error("model: {0}")]
    Model(#[from] ModelError),
}
