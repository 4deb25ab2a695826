//! Declared messages and bytes of `plain`: headers and payloads, without TLS.

use cloven_wire::{Header, f32_array_len};

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

/// The set-up.
pub const START: Cost = Cost {
    client_messages: 1,
    server_messages: 0,
    client_bytes: (Header::LEN + 16) as u64,
    server_bytes: 0,
};

/// One training batch of `rows` rows; `cut` are the sample shapes at the server's input and output.
pub fn training_batch(rows: usize, cut: [&[usize]; 2]) -> Cost {
    let bytes = cut.map(|shape| tensor(rows, shape)).iter().sum();
    Cost {
        client_messages: 2,
        server_messages: 2,
        client_bytes: bytes,
        server_bytes: bytes,
    }
}

/// One evaluation batch.
pub fn evaluation_batch(rows: usize, cut: [&[usize]; 2]) -> Cost {
    let [client_bytes, server_bytes] = cut.map(|shape| tensor(rows, shape));
    Cost {
        client_messages: 1,
        server_messages: 1,
        client_bytes,
        server_bytes,
    }
}

fn tensor(rows: usize, shape: &[usize]) -> u64 {
    (Header::LEN + f32_array_len(&[&[rows], shape].concat())) as u64
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
