//! Declared costs: what a protocol says that it puts on a link, compared with the channel's counters by tests.

use cloven_wire::Header;

use crate::{Begin, Start};

/// Messages and bytes that one exchange puts on the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Messages from the client.
    pub client_messages: u64,
    /// Messages from the server.
    pub server_messages: u64,
    /// Bytes from the client.
    pub client_bytes: u64,
    /// Bytes from the server.
    pub server_bytes: u64,
}

impl Cost {
    /// The messages `start` and `begin` of a training from the beginning.
    pub const START: Self = Cost {
        client_messages: 1,
        server_messages: 1,
        client_bytes: (Header::LEN + Start::LEN) as u64,
        server_bytes: (Header::LEN + Begin::LEN) as u64,
    };
    /// The `ask` message, with which a prediction begins.
    pub const ASK: Self = Cost {
        client_messages: 1,
        server_messages: 0,
        client_bytes: (Header::LEN + 8) as u64,
        server_bytes: 0,
    };
}

impl Cost {
    /// Settling the checkpoint of an epoch.
    pub const SETTLED: Self = Cost {
        client_messages: 1,
        server_messages: 1,
        client_bytes: (Header::LEN + 4) as u64,
        server_bytes: (Header::LEN + 4) as u64,
    };
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            client_messages: self.client_messages + other.client_messages,
            server_messages: self.server_messages + other.server_messages,
            client_bytes: self.client_bytes + other.client_bytes,
            server_bytes: self.server_bytes + other.server_bytes,
        }
    }
}
