//! Declared bytes of training with encrypted samples: headers and payloads, without TLS.

use crate::{
    Cost,
    encrypted_model::{
        Fingerprint, ProductLayer,
        cost::{from_client, from_server},
    },
};

/// What goes before the first batch, checkpoints apart: the upload of all rows, the relinearisation key, the weights.
pub fn set_up(layers: &[ProductLayer], [train_rows, test_rows]: [usize; 2]) -> Cost {
    let upload = layers.first().map(|first| &first.encryption).map(|first| {
        let rows = first.row_parts(train_rows + test_rows).map(|rows| first.rows_len(rows));
        from_client(rows.chain([2 * Fingerprint::LEN])) + from_server([8])
    });
    upload.unwrap_or_default() + relinearisation(layers) + weights(layers)
}

/// One training batch of `rows` rows; `stored`: the server has the rows of the first layer.
pub fn training_batch(layers: &[ProductLayer], rows: usize, stored: bool) -> Cost {
    let back = layers.iter().map(|layer| {
        let encryption = &layer.encryption;
        let input_gradient = layer.input_gradient.then(|| encryption.input_gradient_len(rows));
        from_client([encryption.delta_len(rows)]) + from_server(input_gradient.into_iter().chain([encryption.gradient_len()]))
    });
    back.fold(evaluation_batch(layers, rows, stored) + weights(layers), |sum, cost| {
        sum + cost
    })
}

/// One evaluation batch; `stored` as in [`training_batch`].
pub fn evaluation_batch(layers: &[ProductLayer], rows: usize, stored: bool) -> Cost {
    let forward = layers.iter().enumerate().map(|(number, layer)| {
        let encryption = &layer.encryption;
        if stored && number == 0 {
            return from_server([encryption.outputs_len(rows)]);
        }
        let parts = || encryption.row_parts(rows);
        from_client(parts().map(|rows| encryption.rows_len(rows))) + from_server(parts().map(|rows| encryption.outputs_len(rows)))
    });
    forward.fold(Cost::default(), |sum, cost| sum + cost)
}

/// The keys of a prediction, which go with its first batch, and what comes back.
pub fn prediction_keys(layers: &[ProductLayer]) -> Cost {
    from_client([Fingerprint::LEN]) + relinearisation(layers) + held(layers)
}

/// What a prediction gets back of Enc(W) of every layer.
pub fn held(layers: &[ProductLayer]) -> Cost {
    from_server(layers.iter().filter_map(|layer| layer.encryption.held_len()))
}

/// The relinearisation key, if some layer's answers are relinearised.
pub fn relinearisation(layers: &[ProductLayer]) -> Cost {
    let mut products = layers.iter().filter_map(|layer| layer.encryption.relinearised());
    from_client(products.next().map(|product| product.relinearisation_key_len()))
}

/// Enc(W) of every layer.
pub fn weights(layers: &[ProductLayer]) -> Cost {
    from_client(layers.iter().map(|layer| layer.encryption.weights_len()))
}
