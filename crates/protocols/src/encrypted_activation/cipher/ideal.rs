//! The ideal cipher: exact and without any protection. It exists so that a test can compare `sealed` with `plain` bit for bit.

use cloven_lattice::LatticeError;
use cloven_nn::{InputGradient, ModelSpec, Network};
use ndarray::{ArrayD, IxDyn};

use super::{ClientCipher, Direction, SealedLen, ServerCipher};
use crate::ProtocolError;

/// Both sides of the ideal cipher. Sealed batches are the numbers themselves; the layer's arithmetic is `cloven_nn`'s own.
pub struct IdealCipher {
    layer: Network,
}

impl IdealCipher {
    /// For the layer at `index` of `model`.
    pub fn new(model: &ModelSpec, index: usize) -> Result<Self, cloven_nn::ModelError> {
        Ok(Self {
            layer: Network::new(model, index..index + 1, 0)?,
        })
    }

    /// Numbers per row at the sending and at the answering side.
    fn widths(&self, direction: Direction) -> [usize; 2] {
        let [inputs, outputs] = [self.layer.input_shape(), self.layer.output_shape()].map(|shape| shape.iter().product());
        match direction {
            Direction::Forward => [inputs, outputs],
            Direction::Backward => [outputs, inputs],
        }
    }

    fn batch(&self, bytes: &[u8], width: usize) -> Result<ArrayD<f32>, LatticeError> {
        let numbers: Vec<f32> = bytes
            .chunks_exact(4)
            .map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]]))
            .collect();
        let wrong = |_| LatticeError::Size {
            what: "sealed batch",
            expected: width,
            actual: bytes.len() / 4,
        };
        ArrayD::from_shape_vec(IxDyn(&[numbers.len() / width, width]), numbers).map_err(wrong)
    }
}

fn bytes(batch: &ArrayD<f32>) -> Vec<u8> {
    batch.iter().flat_map(|v| v.to_le_bytes()).collect()
}

impl SealedLen for IdealCipher {
    fn sealed_len(&self, direction: Direction, rows: usize) -> usize {
        4 * rows * self.widths(direction)[0]
    }

    fn answer_len(&self, direction: Direction, rows: usize) -> usize {
        4 * rows * self.widths(direction)[1]
    }
}

impl ClientCipher for IdealCipher {
    fn seal(&mut self, _: Direction, _: u64, batch: &ArrayD<f32>) -> Result<Vec<u8>, LatticeError> {
        Ok(bytes(batch))
    }

    fn open(&mut self, direction: Direction, answer: &[u8], _: usize) -> Result<ArrayD<f32>, LatticeError> {
        self.batch(answer, self.widths(direction)[1])
    }
}

impl ServerCipher for IdealCipher {
    fn set_layer(&mut self, weight: &ArrayD<f32>, bias: Option<&ArrayD<f32>>) -> Result<(), LatticeError> {
        let names: Vec<String> = self.layer.parameters().into_iter().map(|(name, _)| name).collect();
        let values = [Some(weight), bias].into_iter().flatten().cloned();
        let wrong = |_| LatticeError::Size {
            what: "layer",
            expected: names.len(),
            actual: 1 + usize::from(bias.is_some()),
        };
        self.layer
            .set_parameters(&names.iter().cloned().zip(values).collect::<Vec<_>>())
            .map_err(wrong)
    }

    async fn answer(&mut self, direction: Direction, sealed: &[u8], rows: usize) -> Result<Vec<u8>, ProtocolError> {
        let batch = self.batch(sealed, self.widths(direction)[0])?;
        let inputs = self.widths(Direction::Forward)[0];
        let wrong = |_| LatticeError::Size {
            what: "sealed batch",
            expected: rows,
            actual: batch.shape()[0],
        };
        match direction {
            Direction::Forward => Ok(bytes(&self.layer.forward(&batch).map_err(wrong)?)),
            Direction::Backward => {
                // The product with the transpose is what the layer's own backward pass gives, whatever its input was.
                let layer = &mut self.layer;
                let input = ArrayD::zeros(IxDyn(&[batch.shape()[0], inputs]));
                layer.forward_train(0, &input).map_err(wrong)?;
                let gradient = layer.backward(&batch, InputGradient::Wanted).map_err(wrong)?;
                Ok(bytes(&gradient.unwrap_or(batch)))
            }
        }
    }
}
