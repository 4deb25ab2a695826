//! `encrypted-model`: which layers of the network are encrypted, and how.

use std::ops::Range;

use cloven_nn::{InputGradient, LayerSpec, Network};
use cloven_protocols::encrypted_model::{LayerEncryption, ProductEncryption, ProductKey, ProductLayer};

use super::{Cut, Job, Samples};
use crate::Error;

impl Job {
    /// How the server's first layer is encrypted, for samples in the clear.
    pub(crate) fn layer_encryption(&self) -> Result<LayerEncryption, Error> {
        const USUAL_BITS: u32 = 4;
        let cut = self.cut()?;
        let Some(LayerSpec::Dense { outputs, bias }) = first(&cut).and_then(|first| cut.model.layers.get(first)) else {
            let problem = "encrypted-model needs the model's first layers at the server, of which the first is dense (a flatten may stand before it); a \
                           convolution may be the first where samples are encrypted";
            return Err(Error::configuration("model.server_layers", problem));
        };
        let shape = [self.data.shape.iter().product(), *outputs];
        let encryption = self.encryption.unwrap_or_default();
        let bits = encryption.input_bits.unwrap_or(USUAL_BITS);
        let layer = match encryption.packing {
            None => LayerEncryption::new(shape, *bias, bits),
            Some(packing) => LayerEncryption::packed(shape, *bias, bits, packing),
        };
        layer.map_err(|e| Error::configuration("encryption", e))
    }

    /// The server's layers whose three products it computes: all where samples are encrypted, else those after the first.
    pub(crate) fn product_layers(&self) -> Result<Vec<ProductLayer>, Error> {
        let cut = self.cut()?;
        let (range, wish) = self.products_outside(&cut)?;
        let layers = cut.model.linear_layers(range, wish)?;
        let stored = self.samples() == Samples::Encrypted;
        ProductLayer::of(&layers, self.training.batch, stored).map_err(|e| Error::configuration("encryption", e))
    }

    /// The first of [`Job::product_layers`], where samples are encrypted.
    pub(crate) fn first_product(&self) -> Result<ProductEncryption, Error> {
        let none = || Error::configuration("model.server_layers", "the server has no encrypted layer");
        let first = self.product_layers()?.into_iter().next();
        first.map(|layer| layer.encryption).ok_or_else(none)
    }

    /// The layers of the first encrypted layer alone: a flatten, and the layer.
    pub(crate) fn first_encrypted(&self, cut: &Cut) -> Result<Range<usize>, Error> {
        let first = first(cut).ok_or_else(|| {
            let problem = "encrypted-model needs the model's first layers at the server: a dense layer or a convolution (conv2d) first, before which only \
                           a flatten may stand";
            Error::configuration("model.server_layers", problem)
        })?;
        Ok(0..first + 1)
    }

    /// The layers that the client computes with products from the server, and whether it needs the gradient at their input.
    fn products_outside(&self, cut: &Cut) -> Result<(Range<usize>, InputGradient), Error> {
        let first = self.first_encrypted(cut)?;
        Ok(match self.samples() {
            Samples::Clear => (first.end..cut.server.end, InputGradient::Wanted),
            Samples::Encrypted => (0..cut.server.end, InputGradient::NotWanted),
        })
    }

    /// The client's part of the network, which leaves products to the server: all of it where samples are encrypted, else what comes after the first layer.
    pub(crate) fn client_network(&self, cut: &Cut) -> Result<Network, Error> {
        let (range, wish) = self.products_outside(cut)?;
        let network = Network::new(&cut.model, range.start..cut.model.layers.len(), self.seed)?;
        Ok(network.with_products_outside(&cut.model, range, wish)?)
    }

    /// The key of each of [`Job::product_layers`].
    pub(crate) fn product_keys(&self, secret: &[u8; 32]) -> Result<Vec<ProductKey>, Error> {
        let layers = self.product_layers()?.into_iter().enumerate();
        Ok(layers
            .map(|(number, layer)| ProductKey::of_layer(layer.encryption, secret, number))
            .collect())
    }

    /// Bytes of each layer as the server keeps it.
    pub(crate) fn held_lens(&self) -> Result<Vec<usize>, Error> {
        let products = self.product_layers()?;
        let products = products.iter().map(|layer| layer.encryption.weights_len());
        let first = match self.samples() {
            Samples::Clear => Some(self.layer_encryption()?.held_len()),
            Samples::Encrypted => None,
        };
        Ok(first.into_iter().chain(products).collect())
    }
}

/// The number of the first encrypted layer.
fn first(cut: &Cut) -> Option<usize> {
    match (cut.server.start, &cut.model.layers[cut.server.clone()]) {
        (0, [LayerSpec::Conv2d { .. }, ..]) => Some(0),
        // Not one on tokens, which has more rows than samples.
        (0, [LayerSpec::Dense { .. }, ..]) if cut.model.input.len() == 1 => Some(0),
        (0, [LayerSpec::Flatten {}, LayerSpec::Dense { .. }, ..]) => Some(1),
        _ => None,
    }
}
