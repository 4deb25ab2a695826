//! Predicting with a network that was trained on samples in the clear, without showing the server the rows to predict.
//!
//! The server holds the first layer as Enc(W), made for rows in the clear. So the client first changes the form of W; its bias stays at the client:
//!
//! 1. server: Enc(W), in parts        → `held weights`
//! 2. client: W = Dec, Enc(W) anew    → `encrypted weights`, in the form for encrypted rows ([`ProductEncryption`](super::super::ProductEncryption))
//! 3. client: the `relinearisation key`, where a layer is a convolution
//! 4. server: Enc(W) of each dense layer after the first → `held weights`
//!
//! Then, for each batch, as in [`encrypted_samples::predict`](super::super::encrypted_samples::predict), for each of the server's layers in order:
//!
//! 5. client: Enc(x)                  → `encrypted rows`
//! 6. server: Enc(x W)                → `encrypted output`
//!
//! Rows are rounded to the job's `input_bits`, as the rows were that the network was trained on: predictions are those on rows in the clear but for
//! the noise of one more product. Every ciphertext's randomness is a PRF of the client's key, the prediction's session and its plaintext.
//!
//! **Who learns what.** [`leaks`] says it in full. **Assumptions.** Those of [`encrypted_samples`](super::super::encrypted_samples): a semi-honest
//! server; and where a layer is a convolution, that an encryption of s^2 under s is as safe as any other.

use std::iter::once;

use cloven_lattice::linear::{EncryptedWeights as Weights, SharedWeights};
use cloven_wire::{Channel, Link, Message};
use ndarray::{ArrayD, Axis, IxDyn};

use super::{
    super::{
        encrypted_samples::{EncryptedRows, Relinearisation},
        layer::LayerEncryption,
        msg::{EncryptedOutput, EncryptedWeights, HeldWeights, InputForm, Key},
        product::{ProductKey, Purpose},
        products::{self, Batch, HeldProducts, ProductLayer},
    },
    Forward,
};
use crate::{Ask, Leak, ProtocolError, error::malformed};

/// The name and kind of every message, in the order of first use.
pub const MESSAGES: [(&str, u8); 8] = [
    (Ask::NAME, Ask::KIND),
    (Key::NAME, Key::KIND),
    (InputForm::NAME, InputForm::KIND),
    (HeldWeights::NAME, HeldWeights::KIND),
    (EncryptedWeights::NAME, EncryptedWeights::KIND),
    (Relinearisation::NAME, Relinearisation::KIND),
    (EncryptedRows::NAME, EncryptedRows::KIND),
    (EncryptedOutput::NAME, EncryptedOutput::KIND),
];

/// The server's first layer, as the client asks it about encrypted rows.
pub(super) struct FirstLayer<'a> {
    me: Forward<'a>,
    key: ProductKey,
    /// As it was sent.
    weights: Option<SharedWeights>,
    /// `[outputs]`.
    bias: ArrayD<f32>,
}

impl<'a> FirstLayer<'a> {
    /// Changes the form of the layer at the server, for batches of at most `batch` rows.
    pub(super) async fn fetch<C: Channel>(
        me: Forward<'a>,
        batch: usize,
        link: &mut Link<C>,
        round: u64,
    ) -> Result<Self, ProtocolError> {
        let encryption = me.key.encryption();
        let mut matrix = Vec::new();
        // 1.
        for blocks in encryption.weight_parts() {
            let HeldWeights(held) = link.receive(round, &encryption.held_part_len(blocks.len())).await?;
            let rows = me.key.decrypt_blocks(&held, blocks.start, me.factor);
            matrix.extend(rows.map_err(|cause| malformed(link.peer(), round, HeldWeights::NAME, cause))?);
        }
        let [inputs, outputs] = [encryption.inputs(), encryption.outputs()];
        let mut bias = matrix.split_off(inputs * outputs);
        bias.resize(outputs, 0.0);
        let weight = array(&[inputs, outputs], matrix).reversed_axes();
        // 2.
        let key = me.key.for_hidden_rows(batch)?;
        let purpose = Purpose::QueriedWeights { session: me.session };
        let (bytes, weights) = key.encrypt_weights(&weight, purpose)?;
        link.send(round, &EncryptedWeights(bytes)).await?;
        // 3.
        products::send_relinearisation(once(&key).chain(me.inner), link, round).await?;
        let bias = array(&[outputs], bias);
        Ok(Self { me, key, weights, bias })
    }

    /// The layer's outputs on a batch of rows: `[rows, outputs]`.
    pub(super) async fn outputs<C: Channel>(
        &self,
        x: &ArrayD<f32>,
        batch: Batch,
        link: &mut Link<C>,
    ) -> Result<ArrayD<f32>, ProtocolError> {
        let rounded = self.me.key.encryption().rounded(x)?;
        let weights = self.weights.as_ref().map(SharedWeights::forward);
        let y = products::product(&self.key, weights, &rounded, batch, link).await?;
        Ok(y + self.bias.view().insert_axis(Axis(0)))
    }
}

/// The server's part in [`FirstLayer::fetch`]: the layer is the first of `products` from now on.
pub(super) async fn hand_over<C: Channel>(
    encryption: &LayerEncryption,
    weights: &Weights,
    products: &mut HeldProducts,
    batch: usize,
    link: &mut Link<C>,
    round: u64,
) -> Result<(), ProtocolError> {
    // 1.
    for blocks in encryption.weight_parts() {
        link.send(round, &HeldWeights(encryption.hold(weights, blocks)?)).await?;
    }
    let layer = ProductLayer {
        encryption: encryption.for_hidden_rows(batch)?,
        input_gradient: false,
    };
    // 2.
    products.receive_first(layer, link, round).await?;
    // 3.
    products.receive_relinearisation(link, round).await?;
    // 4.
    products.send_held(1, link, round).await
}

/// The numbers are as many as the shape says.
fn array(shape: &[usize], numbers: Vec<f32>) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), numbers).expect("a decrypted layer has the layer's size")
}

/// What each role learns by predicting hidden rows.
pub fn leaks(client: &str, server: &str) -> Vec<Leak> {
    vec![
        Leak::new(server, "the number of rows; no sample, weight, output or prediction"),
        Leak::new(client, "the outputs of the whole network, which is its own"),
    ]
}
