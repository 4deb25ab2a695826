//! Errors of the steps.

/// Why a step cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MpcError {
    /// Bytes of a wrong length.
    #[error("expected {expected} bytes, got {actual}")]
    Length {
        /// Bytes that the shape demands.
        expected: usize,
        /// Bytes that came.
        actual: usize,
    },
}
