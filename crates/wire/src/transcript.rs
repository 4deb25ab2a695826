//! A record of what crossed a link.

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From this party to the peer.
    Sent,
    /// From the peer to this party.
    Received,
}

/// One message of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which way it went.
    pub direction: Direction,
    /// The message's name.
    pub what: &'static str,
    /// Its round.
    pub round: u64,
    /// Its payload's length in bytes.
    pub len: usize,
    /// BLAKE3 of the payload.
    pub digest: [u8; 32],
}

/// The messages of a link in order.
pub type Transcript = Vec<Entry>;
