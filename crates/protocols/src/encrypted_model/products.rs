//! Layers of which the server computes all three products, with rows, weights and gradients encrypted: the messages about them.
//!
//! Layer by layer, for a batch:
//!
//! - forward:  client: Enc(x) → `encrypted rows`;  server: Enc(x W) → `encrypted output`
//! - backward: client: Enc(2^e dy), and where the layer's ciphertexts share masks Enc(x^T) → `encrypted delta`;  server: Enc(2^e dy W^T) → `encrypted input gradient`, where a layer before it learns,
//!   then Enc(2^e x^T dy) → `encrypted gradient`, while the client goes on backwards
//! - at the end: client: Enc(W) of each layer → `encrypted weights`
//!
//! An answer about ciphertexts that share masks is read with these: the client keeps what it sent. For a prediction it has no Enc(W), and gets it back first
//! ([`receive_held`]).
//!
//! The rows of a layer whose rows the server stores are not sent in training. The client computes biases, activations, normalisations and sums of
//! residual blocks itself, in the clear and exactly.

use cloven_lattice::{
    RelinearisationKey,
    linear::{EncryptedFactor, SharedDelta, SharedRows, SharedWeights},
};
use cloven_nn::{InputGradient as Wish, LinearLayer, Network};
use cloven_wire::{Channel, Link, Message};
use ndarray::{ArrayD, Axis, Slice, concatenate};

use super::{
    encrypted_samples::{EncryptedDelta, EncryptedGradient, EncryptedInputGradient, EncryptedRows, Relinearisation},
    msg::{EncryptedOutput, EncryptedWeights, HeldWeights},
    multiply::{HeldMatrix, nothing_held},
    product::{ProductEncryption, ProductKey, Purpose, Sent},
};
use crate::{
    Parts, ProtocolError,
    checkpoint::part,
    error::{blamed, malformed},
};

/// Where a batch comes from: it names its ciphertexts, and says which rows the server has.
#[derive(Clone, Copy)]
pub(super) enum Batch {
    /// Of training or evaluation.
    Training { round: u64 },
    /// Of a prediction; rows of the session before this batch.
    Prediction { session: [u8; 16], round: u64, rows: u64 },
}

impl Batch {
    fn round(self) -> u64 {
        match self {
            Self::Training { round } | Self::Prediction { round, .. } => round,
        }
    }

    /// Whether the server has the rows of a layer that it stores the rows of.
    fn is_stored(self) -> bool {
        matches!(self, Self::Training { .. })
    }

    /// Of row `index`, counted from the batch's first.
    fn purpose(self, index: usize) -> Purpose {
        match self {
            Self::Training { round } => Purpose::Activation { round },
            Self::Prediction { session, rows, .. } => Purpose::Query {
                session,
                row: rows + index as u64,
            },
        }
    }
}

/// The key holder's side: one key for each of a network's layers outside ([`Network::outside`]).
pub(super) struct Products {
    keys: Vec<ProductKey>,
    /// The last training batch at each layer.
    inputs: Vec<ArrayD<f32>>,
    /// Enc(W) of each layer, where that is kept and has been sent or computed again.
    weights: Vec<Option<SharedWeights>>,
}

impl Products {
    pub(super) fn new(keys: Vec<ProductKey>) -> Self {
        Self {
            inputs: keys.iter().map(|_| ArrayD::zeros(vec![0])).collect(),
            weights: keys.iter().map(|_| None).collect(),
            keys,
        }
    }

    pub(super) fn keys(&self) -> &[ProductKey] {
        &self.keys
    }

    /// The network is another one from now on.
    pub(super) fn forget_weights(&mut self) {
        self.weights.iter_mut().for_each(|weights| *weights = None);
    }

    /// Computes Enc(W) again where it is needed and not here: it is a function of key, layer, weight and number of updates.
    fn recall_weights(&mut self, network: &Network) -> Result<(), ProtocolError> {
        for (number, key) in self.keys.iter().enumerate() {
            if key.encryption().held_len().is_some() && self.weights[number].is_none() {
                self.weights[number] = encrypted_weights(key, network, number)?.1;
            }
        }
        Ok(())
    }

    /// The relinearisation key, which is the same for all layers.
    pub(super) async fn send_relinearisation<C: Channel>(&self, link: &mut Link<C>, round: u64) -> Result<(), ProtocolError> {
        send_relinearisation(&self.keys, link, round).await
    }

    /// Enc(W) of every layer.
    pub(super) async fn send_weights<C: Channel>(
        &mut self,
        network: &Network,
        link: &mut Link<C>,
        round: u64,
    ) -> Result<(), ProtocolError> {
        for (number, key) in self.keys.iter().enumerate() {
            let (weights, kept) = encrypted_weights(key, network, number)?;
            self.weights[number] = kept;
            link.send(round, &EncryptedWeights(weights)).await?;
        }
        Ok(())
    }

    /// The network's outputs in evaluation.
    pub(super) async fn forward<C: Channel>(
        &mut self,
        network: &Network,
        x: &ArrayD<f32>,
        link: &mut Link<C>,
        round: u64,
    ) -> Result<ArrayD<f32>, ProtocolError> {
        self.recall_weights(network)?;
        let (weights, batch) = (&self.weights, Batch::Training { round });
        let product = async |number: usize, x: ArrayD<f32>| {
            let weights = weights[number].as_ref().map(SharedWeights::forward);
            product(&self.keys[number], weights, &x, batch, link).await
        };
        network.forward_with(x, product).await
    }

    /// The network's outputs in a training step.
    pub(super) async fn forward_train<C: Channel>(
        &mut self,
        network: &mut Network,
        x: &ArrayD<f32>,
        link: &mut Link<C>,
        round: u64,
    ) -> Result<ArrayD<f32>, ProtocolError> {
        self.recall_weights(network)?;
        let Self { keys, inputs, weights } = self;
        let product = async |number: usize, x: ArrayD<f32>| {
            let weights = weights[number].as_ref().map(SharedWeights::forward);
            let y = product(&keys[number], weights, &x, Batch::Training { round }, link).await?;
            inputs[number] = x;
            Ok::<_, ProtocolError>(y)
        };
        network.forward_train_with(round, x, product).await
    }

    /// The way back: gives all weights outside their gradients.
    pub(super) async fn backward<C: Channel>(
        &mut self,
        network: &mut Network,
        dz: &ArrayD<f32>,
        wish: Wish,
        link: &mut Link<C>,
        round: u64,
    ) -> Result<Option<ArrayD<f32>>, ProtocolError> {
        let weights: Vec<_> = (0..self.keys.len()).map(|number| network.outside_weight(number)).collect();
        let wanted: Vec<bool> = network.outside().iter().map(|layer| layer.input_gradient).collect();
        let (mut gradients, mut pending) = (Vec::new(), None::<Pending>);
        let products = async |number: usize, dy: ArrayD<f32>| {
            let (key, rows) = (&self.keys[number], dy.len_of(Axis(0)));
            let ((bytes, delta), lift) = key.encrypt_delta([&self.inputs[number], &dy], Some(&weights[number]), round)?;
            if let Some(pending) = pending.take() {
                gradients.push(self.receive_gradient(pending, link, round).await?);
            }
            link.send(round, &EncryptedDelta(bytes)).await?;
            let sent = Pending { number, dy, delta, lift };
            let dx = match wanted[number] {
                true => Some(self.receive_input_gradient(&sent, rows, link, round).await?),
                false => None,
            };
            pending = Some(sent);
            Ok::<_, ProtocolError>(dx)
        };
        let dx = network.backward_with(dz, wish, products).await?;
        if let Some(pending) = pending {
            gradients.push(self.receive_gradient(pending, link, round).await?);
        }
        for (number, gradient) in gradients {
            network.set_outside_gradient(number, &gradient)?;
        }
        Ok(dx)
    }

    async fn receive_gradient<C: Channel>(
        &self,
        Pending { number, dy, delta, lift }: Pending,
        link: &mut Link<C>,
        round: u64,
    ) -> Result<(usize, ArrayD<f32>), ProtocolError> {
        let key = &self.keys[number];
        let len = key.encryption().gradient_len();
        let EncryptedGradient(answer) = link.receive(round, &len).await?;
        let dw = key.decrypt_gradient(&answer, delta.as_ref(), [&self.inputs[number], &dy], lift);
        Ok((
            number,
            dw.map_err(|cause| malformed(link.peer(), round, EncryptedGradient::NAME, cause))?,
        ))
    }

    async fn receive_input_gradient<C: Channel>(
        &self,
        Pending { number, delta, lift, .. }: &Pending,
        rows: usize,
        link: &mut Link<C>,
        round: u64,
    ) -> Result<ArrayD<f32>, ProtocolError> {
        let (key, weights) = (&self.keys[*number], self.weights[*number].as_ref());
        let len = key.encryption().input_gradient_len(rows);
        let EncryptedInputGradient(answer) = link.receive(round, &len).await?;
        let dx = key.decrypt_input_gradient(&answer, (delta.as_ref(), weights), *lift, self.inputs[*number].shape());
        dx.map_err(|cause| malformed(link.peer(), round, EncryptedInputGradient::NAME, cause))
    }
}

/// Enc(W) of a layer as the network stands.
fn encrypted_weights(key: &ProductKey, network: &Network, number: usize) -> Result<Sent<SharedWeights>, ProtocolError> {
    let purpose = Purpose::Weights(network.updates());
    Ok(key.encrypt_weights(&network.outside_weight(number), purpose)?)
}

/// What a gradient is of, that the server is still computing.
struct Pending {
    number: usize,
    dy: ArrayD<f32>,
    /// As it was sent.
    delta: Option<SharedDelta>,
    lift: i32,
}

/// The network's outputs in predictions; `held` is what [`receive_held`] gave.
pub(super) async fn forward<C: Channel>(
    (keys, held): (&[ProductKey], &[Option<EncryptedFactor>]),
    network: &Network,
    x: &ArrayD<f32>,
    batch: Batch,
    link: &mut Link<C>,
) -> Result<ArrayD<f32>, ProtocolError> {
    let product = async |number: usize, x: ArrayD<f32>| product(&keys[number], held[number].as_ref(), &x, batch, link).await;
    network.forward_with(x, product).await
}

/// What a prediction needs of Enc(W) to read outputs, of every layer.
pub(super) async fn receive_held<C: Channel>(
    keys: &[ProductKey],
    link: &mut Link<C>,
    round: u64,
) -> Result<Vec<Option<EncryptedFactor>>, ProtocolError> {
    let mut held = Vec::with_capacity(keys.len());
    for key in keys {
        let part = match key.encryption().held_len() {
            None => None,
            Some(len) => {
                let HeldWeights(bytes) = link.receive(round, &len).await?;
                let part = key.receive_held(&bytes);
                part.map_err(|cause| malformed(link.peer(), round, HeldWeights::NAME, cause))?
            }
        };
        held.push(part);
    }
    Ok(held)
}

/// Nothing where no layer's answers are relinearised.
pub(super) async fn send_relinearisation<'k, C: Channel>(
    keys: impl IntoIterator<Item = &'k ProductKey>,
    link: &mut Link<C>,
    round: u64,
) -> Result<(), ProtocolError> {
    let mut keys = keys.into_iter();
    let key = keys.find_map(|key| key.relinearisation_key().transpose());
    match key.transpose()? {
        Some(key) => Ok(link.send(round, &Relinearisation(key)).await?),
        None => Ok(()),
    }
}

/// x W of a layer, without the bias; `weights`, where masks are shared, is Enc(W).
pub(super) async fn product<C: Channel>(
    key: &ProductKey,
    weights: Option<&EncryptedFactor>,
    x: &ArrayD<f32>,
    batch: Batch,
    link: &mut Link<C>,
) -> Result<ArrayD<f32>, ProtocolError> {
    let (encryption, round) = (key.encryption(), batch.round());
    if encryption.is_stored() && batch.is_stored() {
        return receive_output(key, (None, weights), x.len_of(Axis(0)), link, round).await;
    }
    let (mut parts, mut done) = (Vec::new(), 0);
    for rows in encryption.row_parts(x.len_of(Axis(0))) {
        let part = x.slice_axis(Axis(0), Slice::from(done..done + rows)).to_owned();
        let (bytes, kept) = key.encrypt_rows(&part, |index| batch.purpose(done + index))?;
        link.send(round, &EncryptedRows(bytes)).await?;
        parts.push(receive_output(key, (kept.as_ref(), weights), rows, link, round).await?);
        done += rows;
    }
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    Ok(concatenate(Axis(0), &views).expect("every part has the layer's output shape"))
}

async fn receive_output<C: Channel>(
    key: &ProductKey,
    operands: (Option<&SharedRows>, Option<&EncryptedFactor>),
    rows: usize,
    link: &mut Link<C>,
    round: u64,
) -> Result<ArrayD<f32>, ProtocolError> {
    let len = key.encryption().outputs_len(rows);
    let EncryptedOutput(answer) = link.receive(round, &len).await?;
    let y = key.decrypt_outputs(&answer, rows, operands);
    y.map_err(|cause| malformed(link.peer(), round, EncryptedOutput::NAME, cause))
}

/// A layer that the server multiplies for the client.
#[derive(Debug, Clone)]
pub struct ProductLayer {
    /// How it is encrypted.
    pub encryption: ProductEncryption,
    /// Whether the client needs its input's gradient.
    pub input_gradient: bool,
}

impl ProductLayer {
    /// The layers that a model has outside, for batches of `batch` rows. `stored`: the server stores the rows of the first.
    ///
    /// # Errors
    /// As [`ProductEncryption::of`].
    pub fn of(layers: &[LinearLayer], batch: usize, stored: bool) -> Result<Vec<Self>, cloven_lattice::LatticeError> {
        let all = layers.iter().enumerate().map(|(number, layer)| {
            let from = match stored && number == 0 {
                true => super::RowSource::Stored,
                false => super::RowSource::Sent,
            };
            Ok(Self {
                encryption: ProductEncryption::of(layer.shape, batch, from)?,
                input_gradient: layer.input_gradient,
            })
        });
        all.collect()
    }
}

/// Enc(W) of a layer, as it came and ready to be multiplied.
type Held = (Vec<u8>, HeldMatrix);

/// The server's side.
pub(super) struct HeldProducts {
    layers: Vec<ProductLayer>,
    weights: Vec<Held>,
    relinearisation: Option<RelinearisationKey>,
    /// The last training batch at each layer, as it came.
    rows: Vec<Vec<u8>>,
}

impl HeldProducts {
    pub(super) fn new(layers: Vec<ProductLayer>) -> Self {
        Self {
            rows: vec![Vec::new(); layers.len()],
            layers,
            weights: Vec::new(),
            relinearisation: None,
        }
    }

    /// With weights that were kept.
    pub(super) fn holding(layers: Vec<ProductLayer>, weights: &[Vec<u8>]) -> Result<Self, ProtocolError> {
        let mut held = Self::new(layers);
        held.set_weights(weights.to_vec())?;
        Ok(held)
    }

    fn set_weights(&mut self, weights: Vec<Vec<u8>>) -> Result<(), ProtocolError> {
        let layers = self.layers.iter().zip(weights);
        let held = layers.map(|(layer, bytes)| {
            let matrix = layer.encryption.receive_weights(&bytes)?;
            Ok((bytes, matrix))
        });
        self.weights = held.collect::<Result<_, ProtocolError>>()?;
        Ok(())
    }

    /// Enc(W) of each layer.
    pub(super) fn into_weights(self) -> Vec<Vec<u8>> {
        self.weights.into_iter().map(|(bytes, _)| bytes).collect()
    }

    pub(super) fn snapshot(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        let numbered = self.weights.iter().enumerate();
        numbered.map(|(number, (bytes, _))| (format!("W{number}"), bytes.clone()))
    }

    pub(super) fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError> {
        let weights = (0..self.layers.len()).map(|number| Ok(part(parts, &format!("W{number}"))?.to_vec()));
        let weights = weights.collect::<Result<_, ProtocolError>>()?;
        self.set_weights(weights)
    }

    /// Nothing where no layer's answers are relinearised.
    pub(super) async fn receive_relinearisation<C: Channel>(
        &mut self,
        link: &mut Link<C>,
        round: u64,
    ) -> Result<(), ProtocolError> {
        let mut products = self.layers.iter().filter_map(|layer| layer.encryption.relinearised());
        let Some(product) = products.next() else { return Ok(()) };
        let Relinearisation(key) = link.receive(round, &product.relinearisation_key_len()).await?;
        let key = product.receive_relinearisation_key(&key);
        self.relinearisation = Some(key.map_err(|cause| malformed(link.peer(), round, Relinearisation::NAME, cause))?);
        Ok(())
    }

    /// Enc(W) of every layer.
    pub(super) async fn receive_weights<C: Channel>(&mut self, link: &mut Link<C>, round: u64) -> Result<(), ProtocolError> {
        let mut weights = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            weights.push(receive_layer(layer, link, round).await?);
        }
        self.weights = weights;
        Ok(())
    }

    /// Puts a layer before all others, whose Enc(W) is received.
    pub(super) async fn receive_first<C: Channel>(
        &mut self,
        layer: ProductLayer,
        link: &mut Link<C>,
        round: u64,
    ) -> Result<(), ProtocolError> {
        self.weights.insert(0, receive_layer(&layer, link, round).await?);
        self.layers.insert(0, layer);
        self.rows.insert(0, Vec::new());
        Ok(())
    }

    /// What a prediction needs of Enc(W) to read outputs, of every layer from `first` on.
    pub(super) async fn send_held<C: Channel>(&self, first: usize, link: &mut Link<C>, round: u64) -> Result<(), ProtocolError> {
        for (layer, (bytes, _)) in self.layers.iter().zip(&self.weights).skip(first) {
            if let Some(part) = layer.encryption.held(bytes)? {
                link.send(round, &HeldWeights(part.to_vec())).await?;
            }
        }
        Ok(())
    }

    /// x W for rows that are here.
    pub(super) fn outputs(&self, number: usize, rows: usize, bytes: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        let (_, matrix) = self.weights.get(number).ok_or_else(nothing_held)?;
        let encryption = &self.layers[number].encryption;
        encryption.multiply_rows(bytes, rows, matrix, self.relinearisation.as_ref())
    }

    /// The way forward through the layers from `first` on, whose rows are sent; they are kept for the way back if `kept`.
    pub(super) async fn forward<C: Channel>(
        &mut self,
        first: usize,
        rows: usize,
        kept: bool,
        link: &mut Link<C>,
        round: u64,
    ) -> Result<(), ProtocolError> {
        for number in first..self.layers.len() {
            let mut all = Vec::new();
            for rows in self.layers[number].encryption.row_parts(rows) {
                let len = self.layers[number].encryption.rows_len(rows);
                let EncryptedRows(mut bytes) = link.receive(round, &len).await?;
                let answer = self.outputs(number, rows, &bytes);
                let answer = answer.map_err(|cause| blamed(cause, link.peer(), round, EncryptedRows::NAME))?;
                link.send(round, &EncryptedOutput(answer)).await?;
                // Else they come again with delta.
                if kept && self.layers[number].encryption.relinearised().is_some() {
                    all.append(&mut bytes);
                }
            }
            self.rows[number] = all;
        }
        Ok(())
    }

    /// The way back through all layers; `stored` are the rows of the first, if they are stored.
    pub(super) async fn backward<C: Channel>(
        &mut self,
        stored: Option<&[u8]>,
        rows: usize,
        link: &mut Link<C>,
        round: u64,
    ) -> Result<(), ProtocolError> {
        for (number, layer) in self.layers.iter().enumerate().rev() {
            let (encryption, key) = (&layer.encryption, self.relinearisation.as_ref());
            let EncryptedDelta(delta) = link.receive(round, &encryption.delta_len(rows)).await?;
            let delta = encryption.receive_delta(&delta, rows);
            let delta = delta.map_err(|cause| malformed(link.peer(), round, EncryptedDelta::NAME, cause))?;
            if layer.input_gradient {
                let (_, matrix) = self.weights.get(number).ok_or_else(nothing_held)?;
                let answer = encryption.input_gradient(&delta, matrix, key)?;
                link.send(round, &EncryptedInputGradient(answer)).await?;
            }
            let batch = match stored {
                Some(stored) if number == 0 => stored,
                _ => &self.rows[number],
            };
            let answer = encryption.gradient(batch, &delta, key)?;
            link.send(round, &EncryptedGradient(answer)).await?;
        }
        Ok(())
    }
}

async fn receive_layer<C: Channel>(layer: &ProductLayer, link: &mut Link<C>, round: u64) -> Result<Held, ProtocolError> {
    let EncryptedWeights(bytes) = link.receive(round, &layer.encryption.weights_len()).await?;
    let matrix = layer.encryption.receive_weights(&bytes);
    let matrix = matrix.map_err(|cause| malformed(link.peer(), round, EncryptedWeights::NAME, cause))?;
    Ok((bytes, matrix))
}
