//! Declared messages and bytes of `plain`: headers and payloads, without TLS.

use cloven_wire::{Header, f32_array_len};

use crate::Cost;

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
