//! The server's first layer on samples in the clear: Enc(W) here, or at the server's helpers.

use std::ops::Range;

use cloven_lattice::linear::{EncodedRows, EncryptedWeights};

use super::{divided::DividedWeights, layer::LayerEncryption, server::nothing_held};
use crate::{ProtocolError, helpers::Helpers};

/// Where Enc(W) is.
pub(super) enum FirstLayer<'h> {
    Here(LayerEncryption, EncryptedWeights),
    Divided(DividedWeights<'h>),
}

/// A batch of rows, ready for the layer.
pub(super) enum LayerRows {
    Encoded(EncodedRows),
    Integers(Vec<i16>),
}

impl<'h> FirstLayer<'h> {
    /// Of which no block has come yet; `merge_keys` are valid.
    pub(super) fn new(
        encryption: &LayerEncryption,
        merge_keys: &[u8],
        helpers: Option<&'h dyn Helpers>,
    ) -> Result<Self, ProtocolError> {
        match helpers {
            Some(helpers) => Ok(Self::Divided(DividedWeights::new(encryption, merge_keys, helpers)?)),
            None => {
                let mut weights = EncryptedWeights::empty();
                encryption.give_merge_keys(&mut weights, merge_keys)?;
                Ok(Self::Here(encryption.clone(), weights))
            }
        }
    }

    /// Takes the next blocks of inputs, freshly encrypted. Every residue is checked.
    pub(super) fn receive(&mut self, blocks: Range<usize>, fresh: &[u8]) -> Result<(), ProtocolError> {
        match self {
            Self::Here(encryption, weights) => Ok(encryption.receive(weights, fresh)?),
            Self::Divided(weights) => Ok(weights.receive(blocks, fresh)?),
        }
    }

    /// Prepares samples, in integers.
    pub(super) fn rows<'a>(
        &self,
        encryption: &LayerEncryption,
        samples: impl Iterator<Item = &'a [i16]>,
    ) -> Result<LayerRows, ProtocolError> {
        let rows = encryption.widened(samples);
        match self {
            Self::Here(..) => Ok(LayerRows::Encoded(encryption.encode(&rows)?)),
            Self::Divided(_) => Ok(LayerRows::Integers(rows)),
        }
    }

    /// Enc(x W).
    pub(super) async fn forward(&mut self, x: &LayerRows) -> Result<Vec<u8>, ProtocolError> {
        match (self, x) {
            (Self::Here(encryption, weights), LayerRows::Encoded(x)) => Ok(encryption.forward(weights, x)?),
            (Self::Divided(weights), LayerRows::Integers(x)) => weights.forward(x).await,
            _ => Err(nothing_held()),
        }
    }

    /// W <- W + x^T delta; nothing changes if `delta` is no ciphertext.
    pub(super) async fn update(&mut self, x: &LayerRows, delta: &[u8]) -> Result<(), ProtocolError> {
        match (self, x) {
            (Self::Here(encryption, weights), LayerRows::Encoded(x)) => Ok(encryption.update(weights, x, delta)?),
            (Self::Divided(weights), LayerRows::Integers(x)) => weights.update(x, delta).await,
            _ => Err(nothing_held()),
        }
    }

    /// These blocks of inputs of Enc(W) as they stand.
    pub(super) async fn hold(&mut self, blocks: Range<usize>) -> Result<Vec<u8>, ProtocolError> {
        match self {
            Self::Here(encryption, weights) => Ok(encryption.hold(weights, blocks)?),
            Self::Divided(weights) => weights.hold(blocks).await,
        }
    }

    /// Enc(W) as it stands.
    pub(super) async fn hold_all(&mut self) -> Result<Vec<u8>, ProtocolError> {
        match self {
            Self::Here(encryption, weights) => Ok(encryption.hold_all(weights)?),
            Self::Divided(weights) => weights.hold_all().await,
        }
    }

    /// With what [`FirstLayer::hold_all`] gave.
    pub(super) fn restore(&mut self, held: &[u8]) -> Result<(), ProtocolError> {
        match self {
            Self::Here(encryption, weights) => Ok(encryption.restore(weights, held)?),
            Self::Divided(weights) => Ok(weights.restore(held)?),
        }
    }
}
