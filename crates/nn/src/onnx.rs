//! Trained models from other frameworks, in the ONNX format.

use std::path::Path;

use ndarray::ArrayD;

use crate::network::{file_error, read_bytes};
use crate::{MAX_PARAMETERS, ModelError, ModelSpec, Network};

mod branches;
mod constant;
mod graph;
mod layers;
mod message;
mod node;
#[cfg(test)]
mod tests;

/// Largest file: the most parameters, and room for the graph.
const MAX_FILE: u64 = MAX_PARAMETERS as u64 * 4 + (64 << 20);
/// Longest part of a name in an error.
const MAX_NAME: usize = 100;

/// A model read from an ONNX file: layers of this crate and their trained numbers, for training, serving or
/// [fixed point](crate::fixed_point::FixedModel::convert).
///
/// One input `[batch, sample...]` and one output; what lies between may be `Conv` (one group, square kernel), `Gemm`, `MatMul` with a constant
/// and `Add` of one (a bias), `BatchNormalization`, `Relu`, `LeakyRelu`, `Sigmoid`, `Tanh`, `MaxPool`, `AveragePool` (without padding),
/// `GlobalAveragePool`, `ReduceMean` over a plane, `Add` of two branches (a residual block), `Flatten`, `Reshape` to `[batch, -1]`, `Identity`,
/// `Dropout`, `Constant`, `Transpose` and `Reshape` of a constant, and at the end `Softmax`, `LogSoftmax` or `ArgMax`.
///
/// ```no_run
/// use cloven_nn::OnnxModel;
///
/// # fn main() -> Result<(), cloven_nn::ModelError> {
/// let onnx = OnnxModel::read("lenet.onnx".as_ref())?;
/// onnx.notes.iter().for_each(|note| eprintln!("{note}"));
/// let network = onnx.network()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OnnxModel {
    /// Shape of a sample, and the layers.
    pub model: ModelSpec,
    /// Trained numbers, named and laid out as [`Network::parameters`].
    pub parameters: Vec<(String, ArrayD<f32>)>,
    /// Running statistics, named and laid out as [`Network::buffers`].
    pub buffers: Vec<(String, ArrayD<f32>)>,
    /// What was left out, for a person to know.
    pub notes: Vec<String>,
    /// The file's model gives the position of the largest score; the layers give the scores.
    pub arg_max: bool,
}

impl OnnxModel {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ModelError::File`] for a file that is unreadable or too large; else as [`OnnxModel::parse`].
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let bytes = read_bytes(path, MAX_FILE)?;
        Self::parse(&bytes).map_err(|error| file_error(path, error.to_string()))
    }

    /// Reads the content of a file.
    ///
    /// # Errors
    /// [`ModelError::Onnx`] that names the node and its operator for a malformed model or one with something else than the above; another
    /// [`ModelError`] for layers that do not fit each other or are over a limit of this crate.
    pub fn parse(bytes: &[u8]) -> Result<Self, ModelError> {
        let message = message::Model::read(bytes)?;
        let onnx = graph::read(&message)?;
        // Shapes, parameters and all limits once more, by what will use them.
        onnx.network()?;
        Ok(onnx)
    }

    /// A network of the whole model with these numbers.
    ///
    /// # Errors
    /// None for a model that was read and not changed.
    pub fn network(&self) -> Result<Network, ModelError> {
        let mut network = Network::new(&self.model, 0..self.model.layers.len(), 0)?;
        network.set_parameters(&self.parameters)?;
        network.set_buffers(&self.buffers)?;
        Ok(network)
    }

    /// Parameters and running statistics in one list.
    pub fn arrays(&self) -> Vec<(String, ArrayD<f32>)> {
        [&self.parameters[..], &self.buffers].concat()
    }
}

fn onnx_error(place: impl Into<String>, expected: impl Into<String>, actual: impl ToString) -> ModelError {
    ModelError::Onnx {
        place: place.into(),
        expected: expected.into(),
        actual: actual.to_string(),
    }
}

/// A name of the file as it may stand in an error: not too long, and nothing that a terminal would obey.
fn shown(name: &str) -> String {
    format!("{:?}", name.chars().take(MAX_NAME).collect::<String>())
}
