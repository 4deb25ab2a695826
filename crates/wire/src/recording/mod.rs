//! A party's *view* on disk: every message it received, in order, with its payload.
//!
//! A view is as confidential as what it holds: under protocol `plain` that is other people's activations and gradients. It is written with
//! mode 0600.
//!
//! Format, little-endian, nothing between the fields:
//!
//! | part | fields |
//! |---|---|
//! | head | `CLOVVIEW`, version `u16` (1), the recording party's name, the job's digest (32 bytes) |
//! | message | tag `u8` = 1, the peer's name, the message's name, kind `u8`, round `u64`, length `u32`, payload |
//! | end | tag `u8` = 2, reason `u8` ([`End`]), the limit `u64` or 0 |
//!
//! A name is its length `u8` and UTF-8 bytes. Any number of messages, then one end; a file without it was cut.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{Received, Recording, RecordingError};
pub use writer::{Limits, Recorder};

const MAGIC: &[u8; 8] = b"CLOVVIEW";
const VERSION: u16 = 1;
const MESSAGE: u8 = 1;
const END: u8 = 2;
/// The longest name of a message, in bytes.
const MAX_NAME: usize = 64;

/// How a recording ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the run: everything that was received is in it.
    Complete,
    /// At the size cap, in bytes; what came later is left out.
    Bytes(u64),
    /// After the rounds asked for; what came later is left out.
    Rounds(u64),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Complete => f.write_str("everything that was received is recorded"),
            Self::Bytes(limit) => write!(f, "stopped at the cap of {limit} bytes: what came later is not recorded"),
            Self::Rounds(limit) => write!(f, "stopped after round {limit}, as asked: what came later is not recorded"),
        }
    }
}
