//! The server's side of a linear layer of which rows, weights and steps are all encrypted.

use cloven_lattice::{
    LatticeError, RelinearisationKey,
    linear::{EncryptedDelta, EncryptedMatrix, SharedDelta, SharedWeights},
};

use super::product::{Form, ProductEncryption};
use crate::{CheckpointError, ProtocolError};

/// Enc(W), ready to be multiplied.
pub(super) enum HeldMatrix {
    Relinearised(EncryptedMatrix),
    Shared(SharedWeights),
}

/// Enc(delta), ready to be multiplied.
pub(super) enum HeldDelta {
    Relinearised(EncryptedDelta),
    /// With the rows that it is multiplied by.
    Shared(SharedDelta),
}

/// The relinearisation key, once it has come.
pub(super) type Key<'a> = Option<&'a RelinearisationKey>;

impl ProductEncryption {
    /// Checks rows that are to be stored.
    pub(super) fn check_rows(&self, bytes: &[u8], rows: usize) -> Result<(), LatticeError> {
        match self.relinearised() {
            Some(product) => product.receive_rows(bytes, rows).map(drop),
            // Not stored: they are read when they are multiplied.
            None => Ok(()),
        }
    }

    /// Reads Enc(W). Every residue is checked.
    pub(super) fn receive_weights(&self, bytes: &[u8]) -> Result<HeldMatrix, LatticeError> {
        match self.form() {
            Form::Relinearised(product) => product.receive_weights(bytes).map(HeldMatrix::Relinearised),
            Form::Shared(products) => products.receive_weights(bytes).map(HeldMatrix::Shared),
        }
    }

    /// Of Enc(W) as it came, what the client needs for predictions, if anything.
    pub(super) fn held<'a>(&self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, LatticeError> {
        match self.form() {
            Form::Relinearised(_) => Ok(None),
            Form::Shared(products) => products.forward_part(bytes).map(Some),
        }
    }

    /// Reads Enc(delta) of `rows` rows. Every residue is checked.
    pub(super) fn receive_delta(&self, bytes: &[u8], rows: usize) -> Result<HeldDelta, LatticeError> {
        match self.form() {
            Form::Relinearised(product) => product.receive_delta(bytes, rows).map(HeldDelta::Relinearised),
            Form::Shared(products) => products.receive_delta(bytes, rows).map(HeldDelta::Shared),
        }
    }

    /// x W of `rows` rows that came as these bytes.
    pub(super) fn multiply_rows(
        &self,
        bytes: &[u8],
        rows: usize,
        weights: &HeldMatrix,
        key: Key<'_>,
    ) -> Result<Vec<u8>, ProtocolError> {
        match (self.form(), weights) {
            (Form::Relinearised(product), HeldMatrix::Relinearised(weights)) => {
                let groups: Vec<&[u8]> = bytes.chunks(self.row_len()).collect();
                Ok(product.outputs(&groups, rows, weights, key.ok_or_else(nothing_held)?)?)
            }
            (Form::Shared(products), HeldMatrix::Shared(weights)) => Ok(products.outputs(bytes, rows, weights)?),
            _ => Err(nothing_held()),
        }
    }

    /// x^T delta; `bytes` are the rows as they came, where delta does not bring them along.
    pub(super) fn gradient(&self, bytes: &[u8], delta: &HeldDelta, key: Key<'_>) -> Result<Vec<u8>, ProtocolError> {
        match (self.form(), delta) {
            (Form::Relinearised(product), HeldDelta::Relinearised(delta)) => {
                let groups: Vec<&[u8]> = bytes.chunks(self.row_len()).collect();
                Ok(product.gradient(&groups, delta, key.ok_or_else(nothing_held)?)?)
            }
            (Form::Shared(products), HeldDelta::Shared(delta)) => Ok(products.gradient(delta)?),
            _ => Err(nothing_held()),
        }
    }

    /// delta W^T.
    pub(super) fn input_gradient(&self, delta: &HeldDelta, weights: &HeldMatrix, key: Key<'_>) -> Result<Vec<u8>, ProtocolError> {
        match (self.form(), delta, weights) {
            (Form::Relinearised(product), HeldDelta::Relinearised(delta), HeldMatrix::Relinearised(weights)) => {
                Ok(product.input_gradient(delta, weights, key.ok_or_else(nothing_held)?)?)
            }
            (Form::Shared(products), HeldDelta::Shared(delta), HeldMatrix::Shared(weights)) => {
                Ok(products.input_gradient(delta, weights)?)
            }
            _ => Err(nothing_held()),
        }
    }
}

/// The training loop asks for nothing before it has been received or restored.
pub(super) fn nothing_held() -> ProtocolError {
    let why = "no encrypted weights, or no key to them, are held".into();
    CheckpointError { why }.into()
}
