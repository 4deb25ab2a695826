//! The frame header.

use crate::{AbortReason, DecodeError};

/// No payload is longer than this, whatever a message type allows: 1 GiB.
pub const MAX_PAYLOAD: usize = 1 << 30;

/// What precedes every payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Payload length in bytes.
    pub len: u32,
    /// Message kind; unique within a protocol. [`Header::ABORT`] and [`Header::KEEP_ALIVE`] are reserved.
    pub kind: u8,
    /// The protocol round the message belongs to.
    pub round: u64,
}

impl Header {
    /// Length of an encoded header in bytes.
    pub const LEN: usize = 16;
    /// The kind that ends a session; its payload is one byte, an [`crate::AbortReason`].
    pub const ABORT: u8 = 0xff;
    /// The kind that asks for more time, without payload and of round 0; see [`crate::Link::keep_alive`].
    pub const KEEP_ALIVE: u8 = 0xfe;

    /// A whole frame of kind [`Header::ABORT`].
    pub(crate) fn abort_frame(reason: AbortReason) -> [u8; Self::LEN + 1] {
        let header = Self {
            len: 1,
            kind: Self::ABORT,
            round: 0,
        };
        let mut frame = [reason as u8; Self::LEN + 1];
        frame[..Self::LEN].copy_from_slice(&header.to_bytes());
        frame
    }

    /// The header's wire form.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.len.to_le_bytes());
        bytes[4] = self.kind;
        bytes[8..].copy_from_slice(&self.round.to_le_bytes());
        bytes
    }

    /// Reads a header. Fails when a reserved byte is not zero or the length exceeds [`MAX_PAYLOAD`].
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Result<Self, DecodeError> {
        let [l0, l1, l2, l3, kind, p0, p1, p2, round @ ..] = bytes;
        let header = Self {
            len: u32::from_le_bytes([l0, l1, l2, l3]),
            kind,
            round: u64::from_le_bytes(round),
        };
        let refused = |field, expected: String, got: String| Err(DecodeError::Field { field, expected, got });
        if [p0, p1, p2] != [0; 3] {
            return refused("reserved bytes", "zeros".into(), format!("{:?}", [p0, p1, p2]));
        }
        if header.len as usize > MAX_PAYLOAD {
            return refused("payload length", format!("at most {MAX_PAYLOAD}"), header.len.to_string());
        }
        Ok(header)
    }
}
