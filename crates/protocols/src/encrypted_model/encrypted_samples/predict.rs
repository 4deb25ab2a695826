//! Predicting with a network that was trained on encrypted samples: the server sees no sample here either.
//!
//! 1. client: Enc(x), in parts            → `encrypted rows`
//! 2. server: Enc(x W) of each part       → `encrypted output`
//! 3. client: the result is tail(Dec + bias)
//!
//! Before the first batch the client sends `ask`, the number of rows, `key`, the fingerprint of its key, and the `relinearisation key`.

use cloven_nn::Network;
use cloven_wire::{Channel, Link, Message};
use ndarray::{ArrayD, Axis, Slice, concatenate};

use super::{
    client::receive_output,
    msg::{EncryptedRows, Relinearisation},
    server::receive_relinearisation,
};
use crate::{
    Ask, Leak, Observe, ProtocolError, Queries,
    encrypted_model::{EncryptedOutput, HeldLayer, Key, ProductEncryption, ProductKey, product::Purpose},
    error::malformed,
    inference,
};

/// The name and kind of every message, in the order of first use.
pub const MESSAGES: [(&str, u8); 5] = [
    (Ask::NAME, Ask::KIND),
    (Key::NAME, Key::KIND),
    (Relinearisation::NAME, Relinearisation::KIND),
    (EncryptedRows::NAME, EncryptedRows::KIND),
    (EncryptedOutput::NAME, EncryptedOutput::KIND),
];

/// What training left at the client.
#[derive(Clone, Copy)]
pub struct Forward<'a> {
    /// The server's layer, for its bias.
    pub layer: &'a Network,
    /// The layers after it; may be empty.
    pub tail: &'a Network,
    /// The key that the server's layer is encrypted under.
    pub key: &'a ProductKey,
    /// Drawn at random for each prediction: without it the server could tell that two predictions have the same row in the same place.
    pub session: [u8; 16],
}

/// The network's outputs on the client's rows, in order: `[rows, outputs]`.
pub async fn client<C: Channel>(
    me: Forward<'_>,
    queries: Queries<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<ArrayD<f32>, ProtocolError> {
    let mut sent = 0;
    inference::client(queries, link, observe, async |link: &mut Link<C>, round, x: &ArrayD<f32>| {
        if sent == 0 {
            link.send(round, &Key(me.key.fingerprint())).await?;
            link.send(round, &Relinearisation(me.key.relinearisation_key()?)).await?;
        }
        let (mut parts, mut done) = (Vec::new(), 0);
        for rows in me.key.encryption().row_parts(x.len_of(Axis(0))) {
            // 1.
            let part = x.slice_axis(Axis(0), Slice::from(done..done + rows)).to_owned();
            let purpose = |index| Purpose::Query {
                session: me.session,
                row: sent + index as u64,
            };
            link.send(round, &EncryptedRows(me.key.encrypt_rows(&part, purpose)?)).await?;
            // 2.
            parts.push(receive_output(me.key, me.layer, link, round, rows).await?);
            done += rows;
            sent += rows as u64;
        }
        // 3.
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        let y = concatenate(Axis(0), &views).expect("every part has the layer's output shape");
        Ok(me.tail.forward(&y)?)
    })
    .await
}

/// Answers until the client has all it asked for; `batch` is the job's.
pub async fn server<C: Channel>(
    encryption: &ProductEncryption,
    layer: &HeldLayer,
    batch: usize,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let product = encryption.product();
    let weights = product.receive_weights(&layer.weights)?;
    let mut relinearisation = None;
    inference::server(batch, link, observe, async |link: &mut Link<C>, round, rows| {
        let key = match relinearisation.take() {
            Some(key) => key,
            None => {
                let Key(_) = link.receive(round, &Some(layer.key)).await?;
                receive_relinearisation(encryption, link, round).await?
            }
        };
        for rows in encryption.row_parts(rows) {
            let EncryptedRows(bytes) = link.receive(round, &(rows * encryption.row_len())).await?;
            let answer = encryption.outputs_of(&bytes, &weights, &key);
            let answer = answer.map_err(|cause| malformed(link.peer(), round, EncryptedRows::NAME, cause))?;
            link.send(round, &EncryptedOutput(answer)).await?;
        }
        relinearisation = Some(key);
        Ok(())
    })
    .await
}

/// What each role learns by predicting.
pub fn leaks(client: &str, server: &str) -> Vec<Leak> {
    vec![
        Leak::new(server, "the number of rows; no sample, weight, output or prediction"),
        Leak::new(client, "the outputs of the whole network, which is its own"),
    ]
}
