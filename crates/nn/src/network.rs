//! The layers one party holds, and training them step by step.

mod activation;
mod attention;
mod batch;
mod batch_norm;
mod buffer;
mod conv1d;
mod conv2d;
mod dense;
mod dropout;
mod files;
mod flatten;
mod gelu;
mod layer;
mod layer_norm;
mod normalise;
pub mod offload;
mod outside;
mod parameter;
mod pool;
mod pool2d;
mod program;
#[cfg(test)]
mod tests;
mod tokens;

use std::{collections::BTreeMap, ops::Range};

use ndarray::ArrayD;

use self::batch::{Batch, array_from_batch, batch_from_array};
use self::buffer::Buffer;
pub use self::files::{Weights, save_safetensors};
pub(crate) use self::files::{file_error, read_bytes, write_bytes};
pub use self::layer::InputGradient;
use self::layer::Place;
use self::outside::Outside;
use self::parameter::{Parameter, parameter_error};
use self::program::{Program, Step};
use crate::streams::NoiseKey;
use crate::{ModelError, ModelSpec, OptimiserSpec};

/// A contiguous range of a model's layers. A training step is [`forward_train`](Network::forward_train),
/// [`backward`](Network::backward), [`update`](Network::update). All results are a function of the arguments only, bit
/// for bit: one thread computes them in a fixed order.
///
/// The empty range is a network too: it hands everything through.
pub struct Network {
    range: Range<usize>,
    layers: Program,
    outside: Outside,
    /// Shape of a sample before the first layer held and after the last.
    input: Vec<usize>,
    output: Vec<usize>,
    optimiser: Option<OptimiserSpec>,
    /// What an optimiser's noise is drawn from.
    noise: NoiseKey,
    /// Updates made so far.
    updates: u64,
    stage: Stage,
}

/// Where in a training step the network is.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Idle,
    /// The layers keep what their derivatives need for this many samples.
    Forwarded {
        batch: usize,
    },
    /// The parameters have gradients.
    Differentiated,
}

impl Network {
    /// The layers `range` of `model` with their initial weights: uniform in +-1/sqrt(fan-in) as in PyTorch (attention too starts as there,
    /// positions normal with deviation 0.02), a function of `seed` and each layer's number in the model, so that they do not depend on
    /// where the model is cut.
    ///
    /// # Errors
    /// Whatever is wrong with the model, or [`ModelError::Range`].
    pub fn new(model: &ModelSpec, range: Range<usize>, seed: u64) -> Result<Self, ModelError> {
        let shapes = model.shapes()?;
        model.parameter_count()?;
        if range.start > range.end || range.end > model.layers.len() {
            return Err(ModelError::Range {
                range,
                layers: model.layers.len(),
            });
        }
        let mut steps: Vec<Step> = Vec::new();
        for index in range.clone() {
            layer::build(&model.layers[index], Place::top(index), &shapes[index], seed, &mut steps);
        }
        Ok(Self {
            input: shapes[range.start].clone(),
            output: shapes[range.end].clone(),
            range,
            layers: Program::new(steps),
            outside: Outside::default(),
            optimiser: None,
            noise: NoiseKey::public(seed),
            updates: 0,
            stage: Stage::Idle,
        })
    }

    /// The same network, to be updated by this optimiser from its initial state.
    ///
    /// # Errors
    /// [`ModelError::Optimiser`] for a setting out of range.
    pub fn with_optimiser(mut self, optimiser: OptimiserSpec) -> Result<Self, ModelError> {
        optimiser.validate()?;
        for parameter in self.parameters_mut() {
            parameter.set_moments(&[]);
        }
        self.optimiser = Some(optimiser);
        self.updates = 0;
        Ok(self)
    }

    /// The same network, whose optimiser's noise is drawn from `key` instead of the model's public seed. The key is secret where the noise
    /// shall hide anything, and one key is for one training run: it is no part of a checkpoint, so that who goes on from one gives it again.
    pub fn with_noise_key(mut self, key: [u8; 32]) -> Self {
        self.noise = NoiseKey::secret(key);
        self
    }

    /// Which layers of the model these are.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Shape of one sample at the input.
    pub fn input_shape(&self) -> &[usize] {
        &self.input
    }

    /// Shape of a batch of `rows` samples at the input.
    pub fn batch_shape(&self, rows: usize) -> Vec<usize> {
        [&[rows], self.input_shape()].concat()
    }

    /// Shape of one sample at the output.
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }

    /// Number of updates made so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The outputs `[batch, sample...]` in use (no dropout, nothing kept) for `x` of shape `[batch, sample...]`.
    /// Memory grows with the batch: some hundreds of samples at a time are fastest.
    ///
    /// # Errors
    /// [`ModelError::Shape`] if `x` has another shape or no samples, [`ModelError::Diverged`] if an output is not finite.
    pub fn forward(&self, x: &ArrayD<f32>) -> Result<ArrayD<f32>, ModelError> {
        let x = batch_from_array("input", x, &self.input)?;
        let y = self.layers.forward(x);
        array_from_batch("an output", y, &self.output)
    }

    /// The outputs in training step `step` (which keys the dropout masks); keeps what [`Network::backward`] needs and
    /// forgets what an unfinished step kept. Batch normalisation moves its running statistics here, as PyTorch does.
    ///
    /// # Errors
    /// [`ModelError::Shape`] if `x` is not `[batch, sample...]` or has no samples, [`ModelError::Layer`] for one row where a batch
    /// normalisation needs [two](ModelSpec::least_rows).
    pub fn forward_train(&mut self, step: u64, x: &ArrayD<f32>) -> Result<ArrayD<f32>, ModelError> {
        let x = self.training_input(x)?;
        self.stage = Stage::Forwarded { batch: x.dims()[0] };
        let y = self.layers.forward_train(step, x);
        array_from_batch("an output", y, &self.output)
    }

    /// Gradients of all parameters, kept for [`Network::update`], from dLoss/dOutput of the last
    /// [`Network::forward_train`]; and dLoss/dInput `[batch, sample...]` if wanted.
    ///
    /// # Errors
    /// [`ModelError::Order`] without a `forward_train` before, [`ModelError::Shape`] if the gradient has not the shape
    /// of its output.
    pub fn backward(
        &mut self,
        output_gradient: &ArrayD<f32>,
        input_gradient: InputGradient,
    ) -> Result<Option<ArrayD<f32>>, ModelError> {
        let gradient = self.output_gradient(output_gradient)?;
        self.stage = Stage::Differentiated;
        let at_input = self.layers.backward(gradient, input_gradient);
        at_input
            .map(|gradient| array_from_batch("a gradient", gradient, &self.input))
            .transpose()
    }

    /// One optimiser step with the gradients of the last [`Network::backward`] or [`Network::set_gradients`], which it uses up.
    ///
    /// # Errors
    /// [`ModelError::Order`] without a `backward` or an optimiser before.
    pub fn update(&mut self) -> Result<(), ModelError> {
        if self.stage != Stage::Differentiated {
            return Err(ModelError::Order {
                call: "update",
                missing: "backward",
            });
        }
        let Some(optimiser) = self.optimiser.clone() else {
            return Err(ModelError::Order {
                call: "update",
                missing: "with_optimiser",
            });
        };
        self.updates += 1;
        let update = self.updates;
        for parameter in self.layers.parameters_mut() {
            parameter.step(&optimiser, update, &self.noise);
        }
        self.stage = Stage::Idle;
        Ok(())
    }

    /// All trainable parameters with the names and layouts they have in an `nn.Sequential` of the whole model in PyTorch:
    /// "{layer}.weight" and "{layer}.bias"; a dense weight is `[out, in]`, a convolution's `[out, in, kernel]` or
    /// `[out, in, kernel, kernel]`; attention has "{layer}.in_proj_weight", "{layer}.in_proj_bias", "{layer}.out_proj.weight" and
    /// "{layer}.out_proj.bias" of `nn.MultiheadAttention`. Inside a residual block, layer 3 of the model: "3.body.{layer}.weight", "3.shortcut.{layer}.weight".
    /// Running statistics are not among them: see [`Network::buffers`].
    pub fn parameters(&self) -> Vec<(String, ArrayD<f32>)> {
        self.parameter_refs()
            .map(|parameter| (parameter.name().to_owned(), parameter.array()))
            .collect()
    }

    /// The gradients of the last [`Network::backward`], named and laid out as [`Network::parameters`]; empty if there
    /// are none.
    pub fn gradients(&self) -> Vec<(String, ArrayD<f32>)> {
        self.parameter_refs()
            .filter_map(|p| Some((p.name().to_owned(), p.gradient_array()?)))
            .collect()
    }

    /// Replaces all parameters by values named and laid out as [`Network::parameters`], in any order. An unfinished
    /// training step is forgotten; the optimiser keeps what it remembers.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] for a missing, unknown, repeated, misshapen or non-finite one; then nothing changes.
    pub fn set_parameters(&mut self, parameters: &[(String, ArrayD<f32>)]) -> Result<(), ModelError> {
        let given = self.checked(parameters)?;
        for parameter in self.parameters_mut() {
            parameter.set(given[parameter.name()]);
            parameter.clear_gradient();
        }
        self.stage = Stage::Idle;
        Ok(())
    }

    /// Gives all parameters gradients that were computed elsewhere, named and laid out as [`Network::parameters`], in any
    /// order, for the next [`Network::update`]. They replace those of a `backward`; what a `forward_train` kept is no longer used.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] for a missing, unknown, repeated, misshapen or non-finite one; then nothing changes.
    pub fn set_gradients(&mut self, gradients: &[(String, ArrayD<f32>)]) -> Result<(), ModelError> {
        let given = self.checked(gradients)?;
        for parameter in self.parameters_mut() {
            parameter.set_gradient_array(given[parameter.name()]);
        }
        self.stage = Stage::Differentiated;
        Ok(())
    }

    /// What training keeps without a gradient, named as in PyTorch: "{layer}.running_mean" and "{layer}.running_var" of batch
    /// normalisations, `[channels]`. An optimiser never changes them; model files hold them beside the parameters.
    pub fn buffers(&self) -> Vec<(String, ArrayD<f32>)> {
        let buffers = self.layers.buffers();
        buffers.map(|buffer| (buffer.name().to_owned(), buffer.array())).collect()
    }

    /// Replaces all buffers by values named and laid out as [`Network::buffers`], in any order.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] for a missing, unknown, repeated, misshapen, non-finite or (variance) negative one; then nothing
    /// changes.
    pub fn set_buffers(&mut self, buffers: &[(String, ArrayD<f32>)]) -> Result<(), ModelError> {
        let given = self.checked_buffers(buffers)?;
        for buffer in self.layers.buffers_mut() {
            buffer.set(given[buffer.name()]);
        }
        Ok(())
    }

    /// The input of a training step.
    fn training_input(&self, x: &ArrayD<f32>) -> Result<Batch, ModelError> {
        let x = batch_from_array("input", x, &self.input)?;
        if let (1, Some(layer)) = (x.dims()[0], self.layers.needs_rows()) {
            return Err(ModelError::Layer {
                layer: layer.to_owned(),
                kind: "batch-norm",
                expected: "at least 2 rows in a training batch (choose a batch size that leaves no single row over)".to_owned(),
                actual: "1".to_owned(),
            });
        }
        Ok(x)
    }

    /// The gradient at the output of the last forward pass in training.
    fn output_gradient(&self, gradient: &ArrayD<f32>) -> Result<Batch, ModelError> {
        let Stage::Forwarded { batch } = self.stage else {
            return Err(ModelError::Order {
                call: "backward",
                missing: "forward_train",
            });
        };
        let array = gradient;
        let gradient = batch_from_array("output gradient", array, &self.output)?;
        if gradient.dims()[0] != batch {
            let expected = format!("{batch} samples, as in forward_train");
            return Err(ModelError::Shape {
                what: "output gradient",
                expected,
                actual: array.shape().to_vec(),
            });
        }
        Ok(gradient)
    }

    /// One array for each parameter, by name, in its shape and finite.
    fn checked<'a>(&self, arrays: &'a Arrays) -> Result<ByName<'a>, ModelError> {
        let expected: Vec<_> = self.parameter_refs().map(|p| (p.name(), p.shape())).collect();
        let given = by_name(arrays, &expected, &self.range)?;
        self.parameter_refs().try_for_each(|p| p.check(given[p.name()]))?;
        Ok(given)
    }

    /// As [`Network::checked`], for each buffer.
    fn checked_buffers<'a>(&self, arrays: &'a Arrays) -> Result<ByName<'a>, ModelError> {
        let buffers: Vec<&Buffer> = self.layers.buffers().collect();
        let shapes: Vec<[usize; 1]> = buffers.iter().map(|b| b.shape()).collect();
        let expected: Vec<_> = buffers.iter().zip(&shapes).map(|(b, shape)| (b.name(), &shape[..])).collect();
        let given = by_name(arrays, &expected, &self.range)?;
        buffers.iter().try_for_each(|b| b.check(given[b.name()]))?;
        Ok(given)
    }

    fn parameter_refs(&self) -> impl Iterator<Item = &Parameter> {
        self.layers.parameters()
    }

    fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        self.layers.parameters_mut()
    }
}

type Arrays = [(String, ArrayD<f32>)];
type ByName<'a> = BTreeMap<&'a str, &'a ArrayD<f32>>;

/// The arrays by name: exactly those expected (name and shape), each once. Their shapes are not looked at.
fn by_name<'a>(arrays: &'a Arrays, expected: &[(&str, &[usize])], range: &Range<usize>) -> Result<ByName<'a>, ModelError> {
    let mut given = BTreeMap::new();
    for (name, values) in arrays {
        if given.insert(name.as_str(), values).is_some() {
            return Err(parameter_error(name, "it once", "it twice"));
        }
    }
    if let Some((name, shape)) = expected.iter().find(|(name, _)| !given.contains_key(name)) {
        return Err(parameter_error(name, format!("{shape:?}"), "nothing"));
    }
    let unknown = |name: &&&str| expected.iter().all(|(known, _)| known != *name);
    match given.keys().find(unknown) {
        Some(name) => Err(parameter_error(name, format!("only those of layers {range:?}"), "it")),
        None => Ok(given),
    }
}
