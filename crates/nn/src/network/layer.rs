//! What every layer can do, and making layers from their description.

use super::activation::{Activation, Function};
use super::attention::Attention;
use super::batch::Batch;
use super::batch_norm::BatchNorm;
use super::buffer::Buffer;
use super::conv1d::{Conv1d, Window};
use super::conv2d::{Conv2d, Window2d};
use super::dense::Dense;
use super::dropout::Dropout;
use super::flatten::Flatten;
use super::gelu::Gelu;
use super::layer_norm::LayerNorm;
use super::offload::{AttentionForm, Form};
use super::parameter::{Layout, Parameter};
use super::pool::{AvgPool1d, MaxPool1d, Pool};
use super::pool2d::{AvgPool2d, GlobalAvgPool, MaxPool2d, Pool2d};
use super::program::Step;
use super::tokens::{MeanTokens, Positions, TokensFirst};
use crate::LayerSpec;
use crate::spec::shapes_along;
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

    /// The layer's products, if it has any, for passes in which they are all computed elsewhere.
    fn form(&self) -> Option<Form> {
        None
    }

    /// As in the names of its products that have no parameter.
    fn place(&self) -> &str {
        ""
    }

    /// The layer as a product that another party may compute, if it is one; its first parameter is then the weight.
    fn linear(&self) -> Option<&dyn Linear> {
        None
    }

    /// As [`Layer::linear`], to change it.
    fn linear_mut(&mut self) -> Option<&mut dyn Linear> {
        None
    }

    /// Weight, then bias, as far as there are any.
    fn parameters(&self) -> Vec<&Parameter> {
        Vec::new()
    }

    /// As [`Layer::parameters`], to change them.
    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        Vec::new()
    }

    /// What the layer keeps for good without a gradient: running statistics.
    fn buffers(&self) -> Vec<&Buffer> {
        Vec::new()
    }

    /// As [`Layer::buffers`], to change them.
    fn buffers_mut(&mut self) -> Vec<&mut Buffer> {
        Vec::new()
    }

    /// The place of the layer (this one or one inside it), if any, that cannot learn from a batch of one row.
    fn needs_rows(&self) -> Option<&str> {
        None
    }
}

/// What remains of a linear layer whose product with its weight is computed elsewhere.
pub trait Linear {
    /// The output, from the product.
    fn add_bias(&self, product: Batch) -> Batch;
    /// The bias's gradient, if there is a bias, from dLoss/dOutput.
    fn set_bias_gradient(&mut self, dy: &Batch);
}

/// Where a layer stands in the model.
#[derive(Clone)]
pub struct Place {
    /// As in the names of its parameters: "3", or "3.body.0" inside a residual block.
    layer: String,
    /// A number that no other layer of the model has; it keys the layer's randomness.
    number: u64,
    /// Residual blocks around it.
    nesting: u32,
}

/// A branch of a residual block.
#[derive(Clone, Copy)]
pub enum Branch {
    Body,
    Shortcut,
}

impl Place {
    /// Layer `index` of the model itself.
    pub fn top(index: usize) -> Self {
        Self {
            layer: index.to_string(),
            number: index as u64,
            nesting: 0,
        }
    }

    /// Layer `index` of a branch of the residual block at this place.
    pub fn inner(&self, branch: Branch, index: usize) -> Self {
        let (name, bit) = match branch {
            Branch::Body => ("body", 0),
            Branch::Shortcut => ("shortcut", 1),
        };
        // MAX_LAYERS takes 10 bits, an inner place 11 more (never 0), MAX_NESTING of them 44: they do not run into each other.
        let digit = (index as u64 + 1) << 1 | bit;
        Self {
            layer: format!("{}.{name}.{index}", self.layer),
            number: self.number | digit << (10 + 11 * self.nesting),
            nesting: self.nesting + 1,
        }
    }

    /// As in the names of its parameters.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// The name of a parameter of the layer.
    pub fn name(&self, parameter: &str) -> String {
        format!("{}.{parameter}", self.layer)
    }

    /// A number that no other layer of the model has.
    pub fn number(&self) -> u64 {
        self.number
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

/// Standard deviation of position embeddings at the start, as usual in transformers.
const POSITION_DEVIATION: f64 = 0.02;

/// Appends the steps of the layer at `place` of a model, for samples of shape `input`; the shape is known to fit.
pub fn build(spec: &LayerSpec, place: Place, input: &[usize], seed: u64, steps: &mut Vec<Step>) {
    let layer: Box<dyn Layer> = match *spec {
        LayerSpec::Dense { outputs, bias } => {
            let inputs = input[input.len() - 1];
            let shape = vec![outputs, inputs];
            let (weight, bias) = parameters(&place, seed, inputs, bias, (shape, Layout::Transposed), Layout::Row);
            Box::new(Dense::new(weight, bias, input[..input.len() - 1].iter().product()))
        }
        LayerSpec::Conv1d {
            channels,
            kernel,
            stride,
            padding,
            bias,
        } => {
            let shape = vec![channels, input[0], kernel];
            let (weight, bias) = parameters(&place, seed, input[0] * kernel, bias, (shape, Layout::Rows), Layout::Rows);
            Box::new(Conv1d::new(weight, bias, Window { kernel, stride, padding }, input[1]))
        }
        LayerSpec::Conv2d {
            channels,
            kernel,
            stride,
            padding,
            bias,
        } => {
            let window = window2d(input, kernel, stride, padding);
            Box::new(conv2d(&place, seed, channels, window, bias))
        }
        LayerSpec::MaxPool1d { size, stride } => Box::new(MaxPool1d::new(pool(size, stride))),
        LayerSpec::AvgPool1d { size, stride } => Box::new(AvgPool1d::new(pool(size, stride))),
        LayerSpec::MaxPool2d { size, stride, padding } => Box::new(MaxPool2d::new(pool2d(input, size, stride, padding))),
        LayerSpec::AvgPool2d { size, stride } => Box::new(AvgPool2d::new(pool2d(input, size, stride, 0))),
        LayerSpec::GlobalAvgPool1d {} | LayerSpec::GlobalAvgPool2d {} => Box::new(GlobalAvgPool::default()),
        LayerSpec::BatchNorm { epsilon, momentum } => {
            let positions = input[1..].iter().product();
            Box::new(BatchNorm::new(place, input[0], positions, epsilon, momentum))
        }
        LayerSpec::LayerNorm { axes, epsilon } => {
            let axes = &input[input.len() - axes.unwrap_or(input.len())..];
            Box::new(LayerNorm::new(&place, axes, epsilon))
        }
        LayerSpec::Relu {} => Box::new(Activation::new(Function::Relu)),
        LayerSpec::LeakyRelu { slope } => Box::new(Activation::new(Function::LeakyRelu { slope: slope as f32 })),
        LayerSpec::Sigmoid {} => Box::new(Activation::new(Function::Sigmoid)),
        LayerSpec::Tanh {} => Box::new(Activation::new(Function::Tanh)),
        LayerSpec::Gelu {} => Box::new(Gelu::default()),
        LayerSpec::Attention { heads, bias } => {
            let [to_heads, from_heads] = projections(&place, seed, [input[0], input[1]], bias);
            let form = AttentionForm {
                heads,
                tokens: input[0],
                size: input[1] / heads,
            };
            steps.push(Step::Layer(Box::new(to_heads)));
            steps.push(Step::Layer(Box::new(Attention::new(place, form))));
            Box::new(from_heads)
        }
        LayerSpec::Patches { size, width, bias } => {
            let window = window2d(input, size, size, 0);
            steps.push(Step::Layer(Box::new(conv2d(&place, seed, width, window, bias))));
            Box::new(TokensFirst)
        }
        LayerSpec::Positions {} => {
            let stream = &mut Stream::weights(seed, place.number());
            Box::new(Positions::new(Parameter::normal(
                place.name("weight"),
                input.to_vec(),
                POSITION_DEVIATION,
                stream,
            )))
        }
        LayerSpec::MeanTokens {} => Box::new(MeanTokens::default()),
        LayerSpec::Flatten {} => Box::new(Flatten::default()),
        LayerSpec::Dropout { rate } => Box::new(Dropout::new(place.number(), rate, seed)),
        LayerSpec::Residual { ref body, ref shortcut } => {
            let branch = |layers, branch, before, steps: &mut Vec<Step>| {
                steps.push(before);
                build_branch(layers, input, seed, |index| place.inner(branch, index), steps);
            };
            branch(body, Branch::Body, Step::Fork, steps);
            branch(shortcut, Branch::Shortcut, Step::Turn, steps);
            return steps.push(Step::Join);
        }
    };
    steps.push(Step::Layer(layer));
}

/// Appends the layers of a branch, each at the place that `place` gives it.
fn build_branch(layers: &[LayerSpec], input: &[usize], seed: u64, place: impl Fn(usize) -> Place, steps: &mut Vec<Step>) {
    let shapes = shapes_along(layers, "", input).expect("the caller checked the whole model");
    for (index, spec) in layers.iter().enumerate() {
        build(spec, place(index), &shapes[index], seed, steps);
    }
}

fn conv2d(place: &Place, seed: u64, channels: usize, window: Window2d, bias: bool) -> Conv2d {
    let kernel = window.kernel;
    let shape = vec![channels, window.channels, kernel, kernel];
    let fan_in = window.channels * kernel * kernel;
    let (weight, bias) = parameters(place, seed, fan_in, bias, (shape, Layout::Rows), Layout::Rows);
    Conv2d::new(weight, bias, window)
}

/// The projections of attention before and after its heads, with names and start as in PyTorch's `MultiheadAttention`: the first by Glorot's bound,
/// biases 0.
fn projections(place: &Place, seed: u64, [tokens, width]: [usize; 2], bias: bool) -> [Dense; 2] {
    let stream = &mut Stream::weights(seed, place.number());
    let layout = Layout::Transposed;
    let zeros = |name, count| bias.then(|| Parameter::constant(place.name(name), vec![count], 0.0));
    let bound = (6.0 / (4 * width) as f32).sqrt();
    let first = Parameter::uniform(place.name("in_proj_weight"), vec![3 * width, width], layout, bound, stream);
    let last = Parameter::new(place.name("out_proj.weight"), vec![width, width], layout, width, stream);
    [
        Dense::new(first, zeros("in_proj_bias", 3 * width), tokens),
        Dense::new(last, zeros("out_proj.bias", width), tokens),
    ]
}

fn window2d(input: &[usize], kernel: usize, stride: usize, padding: usize) -> Window2d {
    Window2d {
        channels: input[0],
        height: input[1],
        width: input[2],
        kernel,
        stride,
        padding,
    }
}

fn pool(size: usize, stride: Option<usize>) -> Pool {
    Pool {
        size,
        stride: stride.unwrap_or(size),
    }
}

fn pool2d(input: &[usize], size: usize, stride: Option<usize>, padding: usize) -> Pool2d {
    Pool2d {
        height: input[1],
        width: input[2],
        size,
        stride: stride.unwrap_or(size),
        padding,
    }
}

/// Weight and bias (one number per row of the weight) of one layer, drawn in this order from the layer's stream.
fn parameters(
    place: &Place,
    seed: u64,
    fan_in: usize,
    bias: bool,
    (shape, layout): (Vec<usize>, Layout),
    bias_layout: Layout,
) -> (Parameter, Option<Parameter>) {
    let stream = &mut Stream::weights(seed, place.number());
    let rows = shape[0];
    let weight = Parameter::new(place.name("weight"), shape, layout, fan_in, stream);
    let bias = bias.then(|| Parameter::new(place.name("bias"), vec![rows], bias_layout, fan_in, stream));
    (weight, bias)
}
