//! The channel: a point-to-point link to one named peer.

use std::{future::Future, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{AbortReason, Header, Party, WireError};

/// What crossed a channel, in bytes. On a socket these are the bytes below TLS: handshake, record headers and tags included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes this party sent.
    pub sent: u64,
    /// Bytes this party received.
    pub received: u64,
}

impl Traffic {
    /// What was added since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            sent: self.sent - earlier.sent,
            received: self.received - earlier.received,
        }
    }
}

impl std::iter::Sum for Traffic {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            sent: sum.sent + one.sent,
            received: sum.received + one.received,
        })
    }
}

/// How long the two ends of a channel wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// How long this party waits for a message to begin, a keep-alive, or the next part of a long message, to come or to leave.
    pub message: Duration,
    /// How long this party waits for a message to begin, however many keep-alives come (one more `message` may pass before it notices),
    /// and then for the rest of it.
    pub total: Duration,
    /// How long the peer waits for a message or a keep-alive, as it said when it connected.
    pub peer: Duration,
}

impl Default for Deadlines {
    /// Two minutes for a message, an hour in all.
    fn default() -> Self {
        Self {
            message: Duration::from_secs(120),
            total: Duration::from_secs(3600),
            peer: Duration::from_secs(120),
        }
    }
}

/// Bytes of a frame's first piece where there is a second one: a long payload is sent from where it lies, but for its beginning, which goes with the header.
pub const FIRST_PIECE: usize = 1 << 16;

/// A reliable, ordered, authenticated link to one peer.
///
/// Both directions work at the same time: one task may poll a [`Channel::send`] together with a [`Channel::receive_header`] or
/// [`Channel::receive_payload`]. Of each direction there is one call at a time.
///
/// Implementations: [`crate::memory::MemoryChannel`] and [`crate::tcp::TcpChannel`].
pub trait Channel {
    /// The peer at the other end.
    fn peer(&self) -> &Party;

    /// Sends one complete frame in two pieces, the first with the header; the second may be empty, and where it is not, the first is [`FIRST_PIECE`] long, so
    /// that records are cut as those of one piece.
    /// `what` and `round` name the message in errors.
    fn send(&self, what: &'static str, round: u64, frame: [&[u8]; 2]) -> impl Future<Output = Result<(), WireError>>;

    /// Receives the next frame's header. `what` and `round` name what the caller waits for in errors.
    fn receive_header(&self, what: &'static str, round: u64) -> impl Future<Output = Result<Header, WireError>>;

    /// Receives the payload that follows `header` into `into`, which is cleared first. The caller has checked the length.
    fn receive_payload(
        &self,
        what: &'static str,
        header: Header,
        into: &mut Vec<u8>,
    ) -> impl Future<Output = Result<(), WireError>>;

    /// A value for this purpose (`label`) and `context` that both ends of this session have and nobody else can bring about: it binds what is proven to
    /// the session (RFC 5705, RFC 9266).
    ///
    /// # Errors
    /// [`WireError::Local`] where the session has none.
    fn exporter(&mut self, label: &[u8], context: &[u8]) -> Result<[u8; 32], WireError>;

    /// How long both ends wait.
    fn deadlines(&self) -> Deadlines;

    /// Bytes so far.
    fn traffic(&self) -> Traffic;

    /// Tells the peer that this party stops, and why; best effort.
    fn abort(&mut self, reason: AbortReason) -> impl Future<Output = ()>;
}
