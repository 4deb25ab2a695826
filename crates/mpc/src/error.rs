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
    /// Too many or too few of something for one step.
    #[error("expected {min} to {max} {what}, got {actual}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// The fewest that a step takes.
        min: usize,
        /// The most that a step takes.
        max: usize,
        /// How many there are.
        actual: usize,
    },
    /// Two things that belong together differ in number.
    #[error("expected {expected} {what}, got {actual}")]
    Mismatch {
        /// What is counted.
        what: &'static str,
        /// How many belong there.
        expected: usize,
        /// How many there are.
        actual: usize,
    },
    /// Bytes that are no valid element of the group, or its neutral element.
    #[error("element {index} of the message is not a valid group element")]
    Point {
        /// Its place in the message, from zero.
        index: usize,
    },
    /// The keys of a table depend on each other: once in 2^40 sessions. A new session has other bands.
    #[error("the table for {keys} keys cannot be filled; start again in a new session")]
    Table {
        /// How many keys there are.
        keys: usize,
    },
    /// A number that does not fit its fixed point.
    #[error("value {index} is not a finite number below 2^{bits} in magnitude")]
    Range {
        /// Its place, row after row, from zero.
        index: usize,
        /// Bits before the point.
        bits: u32,
    },
    /// Randomness that was asked for a second time, or after a later one.
    #[error("{what} was given before: number {index}")]
    Used {
        /// What it is.
        what: &'static str,
        /// Which of them.
        index: u64,
    },
    /// A step out of its turn.
    #[error("{expected} comes first")]
    Turn {
        /// What has to be done before.
        expected: &'static str,
    },
    /// A message of another party, of several that a step takes at once.
    #[error("{cause}")]
    Message {
        /// Its place among them, from zero.
        index: usize,
        /// Why it cannot be taken.
        cause: MessageFault,
    },
    /// A party that prepares or runs something else than this one.
    #[error("another party is at a different step: layer, chunk or number of outputs")]
    OutOfStep,
    /// Bytes that no honest party sends.
    #[error("{what} at {index} of the message is not valid")]
    Invalid {
        /// What is wrong.
        what: &'static str,
        /// Its place.
        index: usize,
    },
    /// Bits beyond the last of a row of packed bits that are not zero.
    #[error("row {row} of packed bits has ones beyond its last bit")]
    Padding {
        /// The row, from zero.
        row: usize,
    },
    /// A correlated OT's offset whose lowest bit is zero, so that it cannot carry permutation bits.
    #[error("the offset of a correlated transfer must be odd")]
    EvenOffset,
}

/// Why a message cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageFault {
    /// As [`MpcError::Length`].
    #[error("expected {expected} bytes, got {actual}")]
    Length {
        /// Bytes that the shape demands.
        expected: usize,
        /// Bytes that came.
        actual: usize,
    },
    /// As [`MpcError::Point`].
    #[error("element {index} is not a valid group element")]
    Point {
        /// Its place in the message, from zero.
        index: usize,
    },
    /// As [`MpcError::Padding`].
    #[error("row {row} of packed bits has ones beyond its last bit")]
    Padding {
        /// The row, from zero.
        row: usize,
    },
    /// As [`MpcError::OutOfStep`].
    #[error("the sender is at a different step: layer, chunk or number of outputs")]
    OutOfStep,
}

impl MpcError {
    /// Says of which of a step's messages a fault is, for `map_err`; what no message causes stays as it is.
    pub(crate) fn of(index: usize) -> impl Fn(Self) -> Self {
        move |error| {
            let cause = match error {
                Self::Length { expected, actual } => MessageFault::Length { expected, actual },
                Self::Point { index } => MessageFault::Point { index },
                Self::Padding { row } => MessageFault::Padding { row },
                Self::OutOfStep => MessageFault::OutOfStep,
                other => return other,
            };
            Self::Message { index, cause }
        }
    }
}
