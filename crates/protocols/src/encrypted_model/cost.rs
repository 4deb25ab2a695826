//! Declared bytes of `encrypted_model`: headers and payloads, without TLS.

use cloven_lattice::LatticeError;
use cloven_wire::Header;

use super::{ProductLayer, encrypted_samples::cost as products, key::Fingerprint, layer::LayerEncryption};
use crate::Cost;

/// What goes before the first batch, checkpoints apart: key, samples, weights.
pub fn set_up(encryption: &LayerEncryption, inner: &[ProductLayer], [train_rows, test_rows]: [usize; 2]) -> Cost {
    let parts = |rows: usize| encryption.sample_parts(rows).map(|rows| 2 * rows * encryption.inputs());
    let samples = parts(train_rows).chain(parts(test_rows));
    let weights = encryption.weight_parts().map(|blocks| encryption.fresh_len(blocks.len()));
    from_client(samples.chain(weights)) + keys(encryption, inner) + products::weights(inner)
}

/// One training batch of `rows` rows.
pub fn training_batch(encryption: &LayerEncryption, inner: &[ProductLayer], rows: usize) -> Cost {
    let first = from_server([encryption.output_len(rows)]) + from_client([1 + encryption.delta_len(rows)]);
    first + products::training_batch(inner, rows, false)
}

/// One evaluation batch.
pub fn evaluation_batch(encryption: &LayerEncryption, inner: &[ProductLayer], rows: usize) -> Cost {
    from_server([encryption.output_len(rows)]) + products::evaluation_batch(inner, rows, false)
}

/// One refresh of the server's first layer.
pub fn refresh(encryption: &LayerEncryption) -> Cost {
    let parts = || encryption.weight_parts().map(|blocks| blocks.len());
    from_server(parts().map(|blocks| encryption.held_part_len(blocks)))
        + from_client(parts().map(|blocks| encryption.fresh_len(blocks)))
}

/// The key's fingerprint, in stride layout the keys for merging, and the relinearisation key of inner layers.
fn keys(encryption: &LayerEncryption, inner: &[ProductLayer]) -> Cost {
    let merging = Some(encryption.merge_keys_len()).filter(|len| *len > 0);
    from_client([Fingerprint::LEN].into_iter().chain(merging)) + products::relinearisation(inner)
}

/// What goes with the first batch of a prediction: keys, the form of the input, and Enc(W) of the layers after the first, back.
pub fn prediction_keys(encryption: &LayerEncryption, inner: &[ProductLayer]) -> Cost {
    keys(encryption, inner) + from_client([1]) + products::held(inner)
}

/// One batch of a prediction.
pub fn prediction_batch(encryption: &LayerEncryption, inner: &[ProductLayer], rows: usize) -> Cost {
    evaluation_batch(encryption, inner, rows) + from_client([2 * rows * encryption.inputs()])
}

/// What goes with the first batch of a prediction on hidden rows, in batches of at most `batch`: keys, the form of the input, and the first layer, there
/// and back in another form; Enc(W) of the others, back.
///
/// # Errors
/// Where no layout fits the layer ([`ProductEncryption::of`](super::ProductEncryption::of)).
pub fn hidden_prediction_set_up(
    encryption: &LayerEncryption,
    inner: &[ProductLayer],
    batch: usize,
) -> Result<Cost, LatticeError> {
    let first = [hidden_layer(encryption, batch)?];
    let parts = encryption.weight_parts().map(|blocks| encryption.held_part_len(blocks.len()));
    let handed_over = from_server(parts) + from_client([1]) + products::weights(&first);
    // The first layer's is at hand.
    Ok(handed_over + products::prediction_keys(inner))
}

/// One batch of `rows` rows of a prediction on hidden rows, in batches of at most `batch`.
///
/// # Errors
/// As [`hidden_prediction_set_up`].
pub fn hidden_prediction_batch(
    encryption: &LayerEncryption,
    inner: &[ProductLayer],
    [batch, rows]: [usize; 2],
) -> Result<Cost, LatticeError> {
    let first = [hidden_layer(encryption, batch)?];
    let of = |layers| products::evaluation_batch(layers, rows, false);
    Ok(of(&first) + of(inner))
}

fn hidden_layer(encryption: &LayerEncryption, batch: usize) -> Result<ProductLayer, LatticeError> {
    Ok(ProductLayer {
        encryption: encryption.for_hidden_rows(batch)?,
        input_gradient: false,
    })
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
