//! Predicting with a network that was trained on encrypted samples: the server sees no sample here either.
//!
//! For each of the server's layers, in order:
//!
//! 1. client: Enc(x), of the first layer in parts  → `encrypted rows`
//! 2. server: Enc(x W) of each part                → `encrypted output`
//!
//! The client computes all other layers, in the clear.
//!
//! Before the first batch the client sends `ask`, the number of rows, `key`, the fingerprint of its key, and the `relinearisation key`; the server sends
//! back what the client needs to read answers about a layer whose ciphertexts share masks: Enc(W), as `held weights`.

use cloven_nn::Network;
use cloven_wire::{Channel, Link, Message};
use ndarray::{ArrayD, Axis};

use super::msg::{EncryptedRows, Relinearisation};
use crate::{
    Ask, Leak, Observe, ProtocolError, Queries,
    encrypted_model::{
        EncryptedOutput, HeldLayers, HeldWeights, Key, ProductKey,
        products::{self, Batch, HeldProducts, ProductLayer},
    },
    inference,
};

/// The name and kind of every message, in the order of first use.
pub const MESSAGES: [(&str, u8); 6] = [
    (Ask::NAME, Ask::KIND),
    (Key::NAME, Key::KIND),
    (Relinearisation::NAME, Relinearisation::KIND),
    (HeldWeights::NAME, HeldWeights::KIND),
    (EncryptedRows::NAME, EncryptedRows::KIND),
    (EncryptedOutput::NAME, EncryptedOutput::KIND),
];

/// What training left at the client.
#[derive(Clone, Copy)]
pub struct Forward<'a> {
    /// The whole network, with the products of the server's layers [outside](Network::with_products_outside).
    pub network: &'a Network,
    /// The key of each layer outside; at least one.
    pub keys: &'a [ProductKey],
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
    let (mut sent, mut held) = (0, Vec::new());
    inference::client(queries, link, observe, async |link: &mut Link<C>, round, x: &ArrayD<f32>| {
        if sent == 0 {
            link.send(round, &Key(me.keys[0].fingerprint())).await?;
            products::send_relinearisation(me.keys, link, round).await?;
            held = products::receive_held(me.keys, link, round).await?;
        }
        let batch = Batch::Prediction {
            session: me.session,
            round,
            rows: sent,
        };
        sent += x.len_of(Axis(0)) as u64;
        products::forward((me.keys, &held), me.network, x, batch, link).await
    })
    .await
}

/// Answers until the client has all it asked for; `batch` is the job's.
pub async fn server<C: Channel>(
    layers: &[ProductLayer],
    held: &HeldLayers,
    batch: usize,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let mut products = HeldProducts::holding(layers.to_vec(), &held.weights)?;
    let mut asked = false;
    inference::server(batch, link, observe, async |link: &mut Link<C>, round, rows| {
        if !std::mem::replace(&mut asked, true) {
            let Key(_) = link.receive(round, &Some(held.key)).await?;
            products.receive_relinearisation(link, round).await?;
            products.send_held(0, link, round).await?;
        }
        products.forward(0, rows, false, link, round).await
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
