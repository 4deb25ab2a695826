//! How much of a step is products, and how much is left to whoever asks for them.
//!
//! A multiplication and addition of a product counts as one, and so does every addition, multiplication, comparison or move of a number here; an
//! exponential, logarithm or hyperbolic tangent counts as [`EXPONENTIAL`], an error function as [`ERROR_FUNCTION`]. For each value of a
//! sample, forward and backward:
//!
//! | layer | forward | backward |
//! |---|---|---|
//! | dense | 1 for the bias of each output | 1 for its gradient |
//! | conv1d, conv2d, patches | 1 for each value of the windows; bias 1 and order 1 for each output | order 1 and bias 1 for each output; 1 for each value of the windows where dX is needed |
//! | attention | biases of its projections; 6 moves of each of `[tokens, width]`; 5 and an exponential for each score | biases; 5 moves; 5 for each score |
//! | batch-norm | 8 (mean 1, variance 3, normalising 2, scale and shift 2); in use 2 | 8 (two sums 3, dX 5) |
//! | layer-norm | 8 | 11 (three sums 5, dX 6) |
//! | relu, leaky-relu | 1 | 1 |
//! | sigmoid, tanh | 2 and an exponential | 3 |
//! | gelu | 3 and an error function; in training 4 and an exponential more | 1 |
//! | max-pool | 1 for each value of each window | 1 for each output |
//! | avg-pool | 1 for each value of each window | as much |
//! | global-avg-pool, mean-tokens, positions | 1 | 1 |
//! | dropout | 5 in training, 0 in use | 1 |
//! | residual | 1 for each output | 1 for each input |
//!
//! To these come, once a batch: the order of a convolution's weights (1 forward, 1 for their gradients), and the optimiser: for each parameter 4 (SGD), 6 (SGD
//! with momentum), 14 (AdamW), 4 and an exponential (SGLD). What a blinding and the checking of results cost is no part of this.

use crate::spec::shapes_along;
use crate::{LayerSpec, ModelError, ModelSpec, OptimiserSpec};

/// What an exponential counts as.
pub const EXPONENTIAL: u64 = 10;
/// What an error function counts as.
pub const ERROR_FUNCTION: u64 = 20;

/// Operations of one layer on a batch; those of layers inside a residual block are listed for themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerCost {
    /// The layer's place: "3", "3.body.0".
    pub layer: String,
    /// Its type as in a job file.
    pub kind: &'static str,
    /// Multiplications and additions, as one, inside products.
    pub multiply_adds: u64,
    /// All other operations.
    pub elements: u64,
}

/// Operations of a step on a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepCost {
    /// By layer, in the order in which a forward pass comes to them; a residual block after the layers inside it.
    pub layers: Vec<LayerCost>,
    /// Of the optimiser; 0 in use.
    pub optimiser: u64,
}

impl StepCost {
    /// Multiplications and additions inside products.
    pub fn multiply_adds(&self) -> u64 {
        self.layers.iter().map(|layer| layer.multiply_adds).sum()
    }

    /// All other operations.
    pub fn elements(&self) -> u64 {
        self.layers.iter().map(|layer| layer.elements).sum::<u64>() + self.optimiser
    }

    /// Which share of all operations is not in products; 0 without operations.
    pub fn share_outside_products(&self) -> f64 {
        let (products, elements) = (self.multiply_adds() as f64, self.elements() as f64);
        elements / (products + elements).max(1.0)
    }
}

/// A training step on `batch` samples: forward, backward to the first layer that learns, update.
///
/// # Errors
/// Whatever is wrong with the model.
pub fn training_cost(model: &ModelSpec, batch: usize, optimiser: &OptimiserSpec) -> Result<StepCost, ModelError> {
    let each = match *optimiser {
        OptimiserSpec::Sgd { momentum: 0.0, .. } => 4,
        OptimiserSpec::Sgd { .. } => 6,
        OptimiserSpec::AdamW { .. } => 14,
        OptimiserSpec::Sgld { .. } => 4 + EXPONENTIAL,
    };
    let optimiser = each * model.parameter_count()? as u64;
    Ok(StepCost {
        layers: counted(model, batch, true)?,
        optimiser,
    })
}

/// A forward pass in use on `batch` samples.
///
/// # Errors
/// Whatever is wrong with the model.
pub fn inference_cost(model: &ModelSpec, batch: usize) -> Result<StepCost, ModelError> {
    model.parameter_count()?;
    Ok(StepCost {
        layers: counted(model, batch, false)?,
        optimiser: 0,
    })
}

fn counted(model: &ModelSpec, batch: usize, training: bool) -> Result<Vec<LayerCost>, ModelError> {
    let mut counting = Counting {
        batch: batch as u64,
        training,
        learning: false,
        layers: Vec::new(),
    };
    counting.along(&model.layers, "", &model.input)?;
    Ok(counting.layers)
}

struct Counting {
    batch: u64,
    training: bool,
    /// Whether something that learns has been passed on the way here.
    learning: bool,
    layers: Vec<LayerCost>,
}

/// Operations of a layer: for each sample, and once a batch.
#[derive(Default)]
struct Count {
    multiply_adds: u64,
    /// Of products inside the layer, whose dX is needed in any case.
    inner: u64,
    forward: u64,
    backward: u64,
    /// Of a product's backward pass, only where dX is needed.
    input_gradient: u64,
    once: u64,
}

impl Counting {
    fn along(&mut self, layers: &[LayerSpec], prefix: &str, input: &[usize]) -> Result<(), ModelError> {
        let shapes = shapes_along(layers, prefix, input)?;
        for (index, layer) in layers.iter().enumerate() {
            let place = format!("{prefix}{index}");
            let needed = self.learning;
            if let LayerSpec::Residual { body, shortcut } = layer {
                self.along(body, &format!("{place}.body."), &shapes[index])?;
                let after_body = std::mem::replace(&mut self.learning, needed);
                self.along(shortcut, &format!("{place}.shortcut."), &shapes[index])?;
                self.learning |= after_body;
            } else {
                self.learning |= layer.parameter_count(&shapes[index]).is_none_or(|count| count > 0);
            }
            let count = self.count(layer, &shapes[index], &shapes[index + 1]);
            // Nothing goes back past the first layer that learns.
            self.push(place, layer.kind(), count, needed, self.learning);
        }
        Ok(())
    }

    fn push(&mut self, layer: String, kind: &'static str, count: Count, needed: bool, backward: bool) {
        let on = |condition: bool| u64::from(self.training && condition);
        let (dx, back) = (on(needed), on(backward));
        let products = (1 + back + dx) * count.multiply_adds + (1 + 2 * back) * count.inner;
        let elements = count.forward + back * count.backward + dx * count.input_gradient;
        self.layers.push(LayerCost {
            layer,
            kind,
            multiply_adds: self.batch * products,
            elements: self.batch * elements + (1 + back) * count.once,
        });
    }

    fn count(&self, layer: &LayerSpec, input: &[usize], output: &[usize]) -> Count {
        let (before, after) = (volume(input), volume(output));
        let in_training = |count| if self.training { count } else { 0 };
        let each = |forward: u64, backward: u64| Count {
            forward: forward * before,
            backward: backward * before,
            ..Count::default()
        };
        let convolution = |window: u64, positions: u64, bias: bool| {
            let (windows, outputs) = (positions * window, after);
            Count {
                multiply_adds: window * outputs,
                forward: windows + outputs * (1 + u64::from(bias)),
                backward: outputs * (1 + u64::from(bias)),
                input_gradient: windows,
                once: window * (outputs / positions.max(1)),
                inner: 0,
            }
        };
        let pooled = |window: u64, backward: u64| Count {
            forward: window * after,
            backward: backward * after,
            ..Count::default()
        };
        let channels = input[0] as u64;
        match *layer {
            LayerSpec::Dense { bias, .. } => Count {
                multiply_adds: input[input.len() - 1] as u64 * after,
                forward: u64::from(bias) * after,
                backward: u64::from(bias) * after,
                ..Count::default()
            },
            LayerSpec::Conv1d { kernel, bias, .. } => convolution(channels * kernel as u64, volume(&output[1..]), bias),
            LayerSpec::Conv2d { kernel, bias, .. } => convolution(channels * square(kernel), volume(&output[1..]), bias),
            LayerSpec::Patches { size, bias, .. } => convolution(channels * square(size), output[0] as u64, bias),
            LayerSpec::Attention { heads, bias } => {
                let (tokens, width, bias) = (channels, input[1] as u64, u64::from(bias));
                let scores = heads as u64 * tokens * tokens;
                Count {
                    multiply_adds: 3 * width * before,
                    inner: (width + 2 * tokens) * before,
                    forward: (4 * bias + 6) * before + (5 + EXPONENTIAL) * scores,
                    backward: (4 * bias + 5) * before + 5 * scores,
                    ..Count::default()
                }
            }
            LayerSpec::MaxPool1d { size, .. } => pooled(size as u64, 1),
            LayerSpec::MaxPool2d { size, .. } => pooled(square(size), 1),
            LayerSpec::AvgPool1d { size, .. } => pooled(size as u64, size as u64),
            LayerSpec::AvgPool2d { size, .. } => pooled(square(size), square(size)),
            LayerSpec::GlobalAvgPool1d {}
            | LayerSpec::GlobalAvgPool2d {}
            | LayerSpec::MeanTokens {}
            | LayerSpec::Positions {}
            | LayerSpec::Relu {}
            | LayerSpec::LeakyRelu { .. } => each(1, 1),
            LayerSpec::BatchNorm { .. } => each(2 + in_training(6), 8),
            LayerSpec::LayerNorm { .. } => each(8, 11),
            LayerSpec::Sigmoid {} | LayerSpec::Tanh {} => each(2 + EXPONENTIAL, 3),
            LayerSpec::Gelu {} => each(3 + ERROR_FUNCTION + in_training(4 + EXPONENTIAL), 1),
            LayerSpec::Flatten {} => Count::default(),
            LayerSpec::Dropout { .. } => each(in_training(5), 1),
            LayerSpec::Residual { .. } => Count {
                forward: after,
                backward: before,
                ..Count::default()
            },
        }
    }
}

fn volume(shape: &[usize]) -> u64 {
    shape.iter().map(|axis| *axis as u64).product()
}

fn square(size: usize) -> u64 {
    (size * size) as u64
}
