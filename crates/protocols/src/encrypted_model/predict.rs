//! Predicting with a network that `encrypted_model` trained.
//!
//! 1. client: x                       → `samples`, in the clear, as in training
//! 2. server: Enc(x W)                → `encrypted output`
//! 3. client: the result is tail(Dec)
//!
//! The server's layers after the first are asked for as in [`super::encrypted_samples::predict`].
//!
//! Before the first batch the client sends `ask`, the number of rows; `key`, the fingerprint of its key: a server whose weights are under
//! another refuses; `input form`; and in stride layout `merge keys`. The server sends back Enc(W) of its layers after the first, where the client needs it
//! to read answers, as `held weights`.
//!
//! **Hidden input.** With [`InputForm::Encrypted`] the rows are ciphertexts too, and the server learns nothing but their number: [`hidden`].
//!
//! **Who learns what.** [`leaks`] and [`hidden::leaks`] say it in full.

use cloven_nn::Network;
use cloven_wire::{Channel, Link, Message};
use ndarray::{ArrayD, Axis};

use super::{
    client::{receive_output, send_merge_keys},
    encrypted_samples::{EncryptedRows, Relinearisation},
    layer::{LayerEncryption, LayerKey},
    msg::{EncryptedOutput, HeldWeights, InputForm, Key, MergeKeys, Samples},
    product::ProductKey,
    products::{self, Batch, HeldProducts, ProductLayer},
    samples::Rows,
    server::{HeldLayers, nothing_held, receive_merge_keys},
};
use crate::{Ask, Leak, Observe, ProtocolError, Queries, inference};

pub mod hidden;

/// The name and kind of every message for rows in the clear, in the order of first use.
pub const MESSAGES: [(&str, u8); 9] = [
    (Ask::NAME, Ask::KIND),
    (Key::NAME, Key::KIND),
    (InputForm::NAME, InputForm::KIND),
    (MergeKeys::NAME, MergeKeys::KIND),
    (Relinearisation::NAME, Relinearisation::KIND),
    (HeldWeights::NAME, HeldWeights::KIND),
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
    /// How the rows go to the server.
    pub input: InputForm,
}

/// The network's outputs on the client's rows, in order: `[rows, outputs]`.
pub async fn client<C: Channel>(
    me: Forward<'_>,
    queries: Queries<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<ArrayD<f32>, ProtocolError> {
    let (mut sent, mut hidden, mut held) = (0, None, Vec::new());
    inference::client(queries, link, observe, async |link: &mut Link<C>, round, x: &ArrayD<f32>| {
        if sent == 0 {
            link.send(round, &Key(me.key.fingerprint())).await?;
            link.send(round, &me.input).await?;
            match me.input {
                InputForm::Clear => {
                    send_merge_keys(me.key, link, round).await?;
                    products::send_relinearisation(me.inner, link, round).await?;
                }
                InputForm::Encrypted => hidden = Some(hidden::FirstLayer::fetch(me, queries.batch, link, round).await?),
            }
            held = products::receive_held(me.inner, link, round).await?;
        }
        let batch = Batch::Prediction {
            session: me.session,
            round,
            rows: sent,
        };
        sent += x.len_of(Axis(0)) as u64;
        let y = match &hidden {
            Some(first) => first.outputs(x, batch, link).await?,
            None => {
                // 1.
                link.send(round, &Samples(me.key.encryption().integers(x)?)).await?;
                // 3.
                receive_output(me.key, me.factor, link, round, x.len_of(Axis(0))).await?
            }
        };
        products::forward((me.inner, &held), me.tail, &y, batch, link).await
    })
    .await
}

/// Answers until the client has all it asked for, in whichever form it sends its rows; `batch` is the job's.
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
    let mut products = HeldProducts::holding(inner.to_vec(), others)?;
    let mut form = None;
    inference::server(batch, link, observe, async |link: &mut Link<C>, round, rows| {
        if form.is_none() {
            let Key(_) = link.receive(round, &Some(layers.key)).await?;
            let asked = link.receive(round, &()).await?;
            match asked {
                InputForm::Clear => {
                    let keys = receive_merge_keys(encryption, link, round).await?;
                    encryption.give_merge_keys(&mut weights, &keys)?;
                    products.receive_relinearisation(link, round).await?;
                    products.send_held(0, link, round).await?;
                }
                InputForm::Encrypted => hidden::hand_over(encryption, &weights, &mut products, batch, link, round).await?,
            }
            form = Some(asked);
        }
        if form == Some(InputForm::Clear) {
            let Samples(numbers) = link.receive(round, &(rows * encryption.inputs())).await?;
            let mut samples = Rows::new(encryption);
            samples.extend(&numbers);
            // 2.
            let x = encryption.encode(&encryption.widened((0..rows).map(|row| samples.row(row))))?;
            link.send(round, &EncryptedOutput(encryption.forward(&weights, &x)?)).await?;
        }
        products.forward(0, rows, false, link, round).await
    })
    .await
}

/// What each role learns by predicting rows in the clear.
pub fn leaks(client: &str, server: &str) -> Vec<Leak> {
    vec![
        Leak::new(
            server,
            "every sample to predict, in the clear (unless the client hides its input); no weight, output or prediction",
        ),
        Leak::new(client, "the outputs of the whole network, which is its own"),
    ]
}
