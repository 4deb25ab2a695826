//! Declared bytes of training with encrypted samples: headers and payloads, without TLS.

use crate::{
    Cost,
    encrypted_model::{
        Fingerprint, ProductEncryption,
        cost::{from_client, from_server},
    },
};

/// What goes before the first batch, checkpoints apart: the upload of all rows, the relinearisation key, the weights.
pub fn set_up(encryption: &ProductEncryption, [train_rows, test_rows]: [usize; 2]) -> Cost {
    let rows = encryption.row_parts(train_rows + test_rows);
    let rows = rows.map(|rows| rows * encryption.row_len());
    let once = [
        2 * Fingerprint::LEN,
        encryption.product().relinearisation_key_len(),
        encryption.weights_len(),
    ];
    from_client(rows.chain(once)) + from_server([8])
}

/// One training batch of `rows` rows.
pub fn training_batch(encryption: &ProductEncryption, rows: usize) -> Cost {
    let product = encryption.product();
    let (up, down) = ([product.delta_len(rows), product.weights_len()], product.gradient_len());
    evaluation_batch(encryption, rows) + from_client(up) + from_server([down])
}

/// One evaluation batch.
pub fn evaluation_batch(encryption: &ProductEncryption, rows: usize) -> Cost {
    from_server([encryption.product().outputs_len(rows)])
}

/// The keys of a prediction, which go with its first batch.
pub fn prediction_keys(encryption: &ProductEncryption) -> Cost {
    from_client([Fingerprint::LEN, encryption.product().relinearisation_key_len()])
}

/// One batch of a prediction.
pub fn prediction_batch(encryption: &ProductEncryption, rows: usize) -> Cost {
    let parts = || encryption.row_parts(rows);
    let up = from_client(parts().map(|rows| rows * encryption.row_len()));
    up + from_server(parts().map(|rows| encryption.product().outputs_len(rows)))
}
