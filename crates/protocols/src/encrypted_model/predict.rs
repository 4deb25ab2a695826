//! Predicting with a network that `encrypted_model` trained.
//!
//! 1. client: x                       → `samples`, in the clear, as in training
//! 2. server: Enc(x W)                → `encrypted output`
//! 3. client: the result is tail(Dec)
//!
//! The server's layers after the first are asked for as in [`super::encrypted_samples::predict`].
//!
//! Before the first batch the client sends `ask`, the number of rows, and `key`, the fingerprint of its key: a server whose weights are under
//! another refuses; and in stride layout `merge keys`.
//!
//! **Who learns what.** [`leaks`] says it in full.

use cloven_nn::Network;
use cloven_wire::{Channel, Link, Message};
use ndarray::{ArrayD, Axis};

use super::{
    client::{receive_output, send_merge_keys},
    encrypted_samples::{EncryptedRows, Relinearisation},
    layer::{LayerEncryption, LayerKey},
    msg::{EncryptedOutput, Key, MergeKeys, Samples},
    product::ProductKey,
    products::{self, Batch, HeldProducts, ProductLayer},
    samples::Rows,
    server::{HeldLayers, nothing_held, receive_merge_keys},
};
use crate::{Ask, Leak, Observe, ProtocolError, Queries, inference};

/// The name and kind of every message, in the order of first use.
pub const MESSAGES: [(&str, u8); 7] = [
    (Ask::NAME, Ask::KIND),
    (Key::NAME, Key::KIND),
    (MergeKeys::NAME, MergeKeys::KIND),
    (Relinearisation::NAME, Relinearisation::KIND),
    (Samples::NAME, Samples::KIND),
    (EncryptedOutput::NAME, EncryptedOutput::KIND),
    (EncryptedRows::NAME, EncryptedRows::KIND),
];

/// What training left at the client.
#[derive(Clone, Copy)]
pub struct Forward<'a> {
    /// The layers after the server's first, those of the server's with their products [outside](Network::with_products_outside); may be empty.
    pub tail: &'a Network,
    /// The key that the server's layer is encrypted under.
    pub key: &'a LayerKey,
    /// The key of each of the server's layers after the first.
    pub inner: &'a [ProductKey],
    /// Drawn at random for each prediction: without it the server could tell that two predictions have the same row in the same place.
    pub session: [u8; 16],
    /// The server's weights are its ciphertexts times this factor.
    pub factor: f64,
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
            send_merge_keys(me.key, link, round).await?;
            products::send_relinearisation(me.inner, link, round).await?;
        }
        // 1.
        link.send(round, &Samples(me.key.encryption().integers(x)?)).await?;
        // 3.
        let y = receive_output(me.key, me.factor, link, round, x.len_of(Axis(0))).await?;
        let batch = Batch::Prediction {
            session: me.session,
            round,
            rows: sent,
        };
        sent += x.len_of(Axis(0)) as u64;
        products::forward(me.inner, me.tail, &y, batch, link).await
    })
    .await
}

/// Answers until the client has all it asked for; `batch` is the job's.
pub async fn server<C: Channel>(
    encryption: &LayerEncryption,
    inner: &[ProductLayer],
    layers: &HeldLayers,
    batch: usize,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let (first, others) = layers.weights.split_first().ok_or_else(nothing_held)?;
    let mut weights = encryption.held(first)?;
    let mut inner = HeldProducts::holding(inner.to_vec(), others)?;
    let mut asked = false;
    inference::server(batch, link, observe, async |link: &mut Link<C>, round, rows| {
        if !std::mem::replace(&mut asked, true) {
            let Key(_) = link.receive(round, &Some(layers.key)).await?;
            let keys = receive_merge_keys(encryption, link, round).await?;
            encryption.give_merge_keys(&mut weights, &keys)?;
            inner.receive_relinearisation(link, round).await?;
        }
        let Samples(numbers) = link.receive(round, &(rows * encryption.inputs())).await?;
        let mut samples = Rows::new(encryption);
        samples.extend(&numbers);
        // 2.
        let x = encryption.encode((0..rows).map(|row| samples.row(row)))?;
        link.send(round, &EncryptedOutput(encryption.forward(&weights, &x)?)).await?;
        inner.forward(0, rows, false, link, round).await
    })
    .await
}

/// What each role learns by predicting.
pub fn leaks(client: &str, server: &str) -> Vec<Leak> {
    vec![
        Leak::new(
            server,
            "every sample to predict, in the clear; no weight, output or prediction",
        ),
        Leak::new(client, "the outputs of the whole network, which is its own"),
    ]
}
