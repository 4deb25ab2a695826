//! Predicting with a network that `encrypted_model` trained.
//!
//! 1. client: x                       → `samples`, in the clear, as in training
//! 2. server: Enc(x W)                → `encrypted output`
//! 3. client: the result is tail(Dec)
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
    layer::{LayerEncryption, LayerKey},
    msg::{EncryptedOutput, Key, MergeKeys, Samples},
    samples::Rows,
    server::{HeldLayer, receive_merge_keys},
};
use crate::{Ask, Leak, Observe, ProtocolError, Queries, inference};

/// The name and kind of every message, in the order of first use.
pub const MESSAGES: [(&str, u8); 5] = [
    (Ask::NAME, Ask::KIND),
    (Key::NAME, Key::KIND),
    (MergeKeys::NAME, MergeKeys::KIND),
    (Samples::NAME, Samples::KIND),
    (EncryptedOutput::NAME, EncryptedOutput::KIND),
];

/// What training left at the client.
#[derive(Clone, Copy)]
pub struct Forward<'a> {
    /// The layers after the server's; may be empty.
    pub tail: &'a Network,
    /// The key that the server's layer is encrypted under.
    pub key: &'a LayerKey,
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
    let mut asked = false;
    inference::client(queries, link, observe, async |link: &mut Link<C>, round, x: &ArrayD<f32>| {
        if !std::mem::replace(&mut asked, true) {
            link.send(round, &Key(me.key.fingerprint())).await?;
            send_merge_keys(me.key, link, round).await?;
        }
        // 1.
        link.send(round, &Samples(me.key.encryption().integers(x)?)).await?;
        // 3.
        let y = receive_output(me.key, me.factor, link, round, x.len_of(Axis(0))).await?;
        Ok(me.tail.forward(&y)?)
    })
    .await
}

/// Answers until the client has all it asked for; `batch` is the job's.
pub async fn server<C: Channel>(
    encryption: &LayerEncryption,
    layer: &HeldLayer,
    batch: usize,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let mut weights = encryption.held(&layer.weights)?;
    let mut asked = false;
    inference::server(batch, link, observe, async |link: &mut Link<C>, round, rows| {
        if !std::mem::replace(&mut asked, true) {
            let Key(_) = link.receive(round, &Some(layer.key)).await?;
            let keys = receive_merge_keys(encryption, link, round).await?;
            encryption.give_merge_keys(&mut weights, &keys)?;
        }
        let Samples(numbers) = link.receive(round, &(rows * encryption.inputs())).await?;
        let mut samples = Rows::new(encryption);
        samples.extend(&numbers);
        // 2.
        let x = encryption.encode((0..rows).map(|row| samples.row(row)))?;
        Ok(link.send(round, &EncryptedOutput(encryption.forward(&weights, &x)?)).await?)
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
