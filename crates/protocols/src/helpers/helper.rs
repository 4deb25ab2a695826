//! A helper's side.

use std::collections::BTreeMap;

use cloven_wire::DecodeError;
use ndarray::{ArrayView, IxDyn};

use super::Request;
use crate::{
    ProtocolError,
    encrypted_activation::{Sealing, ServerLattice},
    encrypted_model::{LayerPart, ProductEncryption, ProductKey, RowSource},
};

/// What the last byte of an answer says: the bytes before it are the result, or why there is none; or the helper has not been told what it must know first.
pub(super) const DONE: u8 = 0;
pub(super) const REFUSED: u8 = 1;
pub(super) const UNKNOWN: u8 = 2;

/// What one helper holds for its party. Holds keys: neither `Debug` nor `Clone`.
#[derive(Default)]
pub struct Helper {
    parts: BTreeMap<usize, LayerPart>,
    layers: BTreeMap<usize, ServerLattice>,
    keys: BTreeMap<usize, ProductKey>,
}

impl Helper {
    /// One that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Does what a party asks for. A request that cannot be is answered, too: the party says so to its operator.
    pub fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let (mut answer, how) = match self.answered(request) {
            Ok(Some(answer)) => (answer, DONE),
            Ok(None) => (Vec::new(), UNKNOWN),
            Err(cause) => (cause.to_string().into_bytes(), REFUSED),
        };
        answer.push(how);
        answer
    }

    fn answered(&mut self, request: &[u8]) -> Result<Option<Vec<u8>>, ProtocolError> {
        let unreadable = |cause: DecodeError| ProtocolError::Structure(format!("a request that cannot be read: {cause}"));
        Request::decode(request, |of, request| self.answer_for(of, request)).map_err(unreadable)?
    }

    fn answer_for(&mut self, of: usize, request: Request<'_>) -> Result<Option<Vec<u8>>, ProtocolError> {
        match request {
            Request::Layer { form, blocks } => {
                self.parts.insert(of, LayerPart::new(form, blocks)?);
                Ok(Some(Vec::new()))
            }
            Request::Dense {
                rows,
                shape: [inputs, outputs],
                weight,
                bias,
            } => {
                let mut layer = ServerLattice::new(Sealing::new(rows, inputs, outputs)?);
                let shaped = ArrayView::from_shape(IxDyn(&[outputs, inputs]), weight);
                let weight = shaped.map_err(|cause| ProtocolError::Structure(cause.to_string()))?;
                let bias = bias.map(|bias| ArrayView::from(bias).into_dyn().to_owned());
                layer.set(&weight.to_owned(), bias.as_ref())?;
                self.layers.insert(of, layer);
                Ok(Some(Vec::new()))
            }
            Request::Key { shape, batch, secret } => {
                let encryption = ProductEncryption::of(shape, batch, RowSource::Stored)?;
                self.keys.insert(of, ProductKey::new(encryption, secret));
                Ok(Some(Vec::new()))
            }
            Request::Sealed { direction, rows, batch } => {
                let layer = self.layers.get(&of);
                Ok(layer.map(|layer| layer.multiply(direction, batch, rows)).transpose()?)
            }
            Request::Encrypt { first, x } => {
                let key = self.keys.get(&of);
                Ok(key.map(|key| key.encrypt_samples(x, first)).transpose()?)
            }
            of_part => {
                let part = self.parts.get_mut(&of);
                part.map(|part| part.answer(of_part)).transpose()
            }
        }
    }
}
