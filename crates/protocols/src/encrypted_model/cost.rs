//! Declared bytes of `encrypted_model`: headers and payloads, without TLS.

use cloven_wire::Header;

use super::{key::Fingerprint, layer::LayerEncryption};
use crate::Cost;

/// What goes before the first batch, checkpoints apart: key, samples, weights.
pub fn set_up(encryption: &LayerEncryption, [train_rows, test_rows]: [usize; 2]) -> Cost {
    let parts = |rows: usize| encryption.sample_parts(rows).map(|rows| 2 * rows * encryption.inputs());
    let samples = parts(train_rows).chain(parts(test_rows));
    let weights = encryption.weight_parts().map(|blocks| encryption.fresh_len(blocks.len()));
    from_client(samples.chain(weights)) + prediction_key(encryption)
}

/// One training batch of `rows` rows.
pub fn training_batch(encryption: &LayerEncryption, rows: usize) -> Cost {
    evaluation_batch(encryption, rows) + from_client([1 + encryption.delta_len(rows)])
}

/// One evaluation batch.
pub fn evaluation_batch(encryption: &LayerEncryption, rows: usize) -> Cost {
    from_server([encryption.output_len(rows)])
}

/// One refresh of the server's weights.
pub fn refresh(encryption: &LayerEncryption) -> Cost {
    let parts = || encryption.weight_parts().map(|blocks| blocks.len());
    from_server(parts().map(|blocks| encryption.held_part_len(blocks)))
        + from_client(parts().map(|blocks| encryption.fresh_len(blocks)))
}

/// The key's fingerprint, and in stride layout the keys for merging; of a prediction, with its first batch.
pub fn prediction_key(encryption: &LayerEncryption) -> Cost {
    let merging = Some(encryption.merge_keys_len()).filter(|len| *len > 0);
    from_client([Fingerprint::LEN].into_iter().chain(merging))
}

/// One batch of a prediction.
pub fn prediction_batch(encryption: &LayerEncryption, rows: usize) -> Cost {
    evaluation_batch(encryption, rows) + from_client([2 * rows * encryption.inputs()])
}

pub(super) fn from_client(payloads: impl IntoIterator<Item = usize>) -> Cost {
    let (client_messages, client_bytes) = total(payloads);
    Cost {
        client_messages,
        client_bytes,
        ..Cost::default()
    }
}

pub(super) fn from_server(payloads: impl IntoIterator<Item = usize>) -> Cost {
    let (server_messages, server_bytes) = total(payloads);
    Cost {
        server_messages,
        server_bytes,
        ..Cost::default()
    }
}

fn total(payloads: impl IntoIterator<Item = usize>) -> (u64, u64) {
    let framed = payloads.into_iter().map(|len| (Header::LEN + len) as u64);
    framed.fold((0, 0), |(messages, bytes), len| (messages + 1, bytes + len))
}
