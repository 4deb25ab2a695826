//! What every layer can do, and making layers from their description.

use super::activation::{Activation, Function};
use super::batch::Batch;
use super::conv1d::{Conv1d, Window};
use super::dense::Dense;
use super::dropout::Dropout;
use super::flatten::Flatten;
use super::parameter::{Layout, Parameter};
use super::pool::{AvgPool1d, MaxPool1d, Pool};
use crate::LayerSpec;
use crate::streams::Stream;

/// A layer with its parameters. Between `forward_train` and `backward` it keeps what its derivative needs.
pub trait Layer: Send + Sync {
    /// The output in use, when nothing is learned.
    fn forward(&self, x: Batch) -> Batch;

    /// The output in training step `step`; replaces whatever an earlier call kept.
    fn forward_train(&mut self, step: u64, x: Batch) -> Batch;

    /// Sets the gradients of the parameters for dLoss/dOutput, and gives dLoss/dInput if wanted.
    /// The network calls it once after each `forward_train`.
    fn backward(&mut self, gradient: Batch, wanted: InputGradient) -> Option<Batch>;

    /// Weight, then bias, as far as there are any.
    fn parameters(&self) -> Vec<&Parameter> {
        Vec::new()
    }

    /// As [`Layer::parameters`], to change them.
    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        Vec::new()
    }
}

/// Whether a backward pass shall work out dLoss/dInput. The party with the first layer has no use for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputGradient {
    /// Work it out.
    Wanted,
    /// Save the time.
    NotWanted,
}

/// Layer number `index` of a model, for samples of shape `input`; the shape is known to fit.
pub fn build(spec: &LayerSpec, index: usize, input: &[usize], seed: u64) -> Box<dyn Layer> {
    match *spec {
        LayerSpec::Dense { outputs, bias } => {
            let shape = vec![outputs, input[0]];
            let (weight, bias) = parameters(index, seed, input[0], bias, (shape, Layout::Transposed), Layout::Row);
            Box::new(Dense::new(weight, bias))
        }
        LayerSpec::Conv1d {
            channels,
            kernel,
            stride,
            padding,
            bias,
        } => {
            let shape = vec![channels, input[0], kernel];
            let (weight, bias) = parameters(index, seed, input[0] * kernel, bias, (shape, Layout::Rows), Layout::Rows);
            Box::new(Conv1d::new(weight, bias, Window { kernel, stride, padding }))
        }
        LayerSpec::MaxPool1d { size, stride } => Box::new(MaxPool1d::new(Pool {
            size,
            stride: stride.unwrap_or(size),
        })),
        LayerSpec::AvgPool1d { size, stride } => Box::new(AvgPool1d::new(Pool {
            size,
            stride: stride.unwrap_or(size),
        })),
        LayerSpec::Relu {} => Box::new(Activation::new(Function::Relu)),
        LayerSpec::LeakyRelu { slope } => Box::new(Activation::new(Function::LeakyRelu { slope: slope as f32 })),
        LayerSpec::Sigmoid {} => Box::new(Activation::new(Function::Sigmoid)),
        LayerSpec::Tanh {} => Box::new(Activation::new(Function::Tanh)),
        LayerSpec::Flatten {} => Box::new(Flatten::default()),
        LayerSpec::Dropout { rate } => Box::new(Dropout::new(index, rate, seed)),
    }
}

/// Weight and bias (one number per row of the weight) of one layer, drawn in this order from the layer's stream.
fn parameters(
    index: usize,
    seed: u64,
    fan_in: usize,
    bias: bool,
    (shape, layout): (Vec<usize>, Layout),
    bias_layout: Layout,
) -> (Parameter, Option<Parameter>) {
    let stream = &mut Stream::weights(seed, index);
    let rows = shape[0];
    let weight = Parameter::new(format!("{index}.weight"), shape, layout, fan_in, stream);
    let bias = bias.then(|| Parameter::new(format!("{index}.bias"), vec![rows], bias_layout, fan_in, stream));
    (weight, bias)
}
