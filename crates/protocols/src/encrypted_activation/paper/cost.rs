//! Declared bytes of mode `paper`: headers and payloads, without TLS.

use cloven_nn::Network;
use cloven_wire::{Header, f32_array_len};

use super::Gradients;
use crate::{
    Cost,
    encrypted_activation::{SealedLen, msg::arrays_len},
};

pub use crate::encrypted_activation::cost::evaluation_batch;

/// One training batch of `rows` rows through this layer.
pub fn training_batch(lengths: &impl SealedLen, layer: &Network, rows: usize) -> Cost {
    let in_the_clear = Cost {
        client_messages: 1,
        server_messages: 1,
        client_bytes: (Header::LEN + arrays_len(&Gradients::shapes(layer, rows))) as u64,
        server_bytes: (Header::LEN + f32_array_len(&layer.batch_shape(rows))) as u64,
    };
    evaluation_batch(lengths, rows) + in_the_clear
}
