//! The layers of a trained model as plain steps in real numbers, with batch normalisation folded into products.

use std::collections::BTreeMap;

use ndarray::ArrayD;

use super::Window;
use crate::spec::shapes_along;
use crate::{LayerSpec, LinearShape, ModelError, ModelSpec};

/// A step with the place of its layer.
pub(super) struct Plain {
    pub layer: String,
    pub kind: Kind,
}

impl Plain {
    /// The number of the model's layer, or of the block that it is in.
    pub fn number(&self) -> usize {
        let first = self.layer.split('.').next();
        first.and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

pub(super) enum Kind {
    Linear(Linear),
    AvgPool(Window),
    /// An average whose division, but for bits, a product before it has taken over.
    SumPool(Window),
    MaxPool(Window),
    MaxPoolRelu(Window),
    Relu,
    Fork,
    Turn,
    Join,
}

/// A product with its numbers.
pub(super) struct Linear {
    pub shape: LinearShape,
    /// Row-major as in [`LinearShape::weight`].
    pub weight: Vec<f64>,
    /// One for each output channel.
    pub bias: Vec<f64>,
}

impl Linear {
    /// Multiplies the outputs of each channel by a number.
    pub fn scale(&mut self, factor: impl Fn(usize) -> f64) {
        let row = self.weight.len() / self.bias.len();
        for (channel, (weights, bias)) in self.weight.chunks_exact_mut(row).zip(&mut self.bias).enumerate() {
            weights.iter_mut().for_each(|weight| *weight *= factor(channel));
            *bias *= factor(channel);
        }
    }
}

/// The steps of a model with these parameters and running statistics, named and laid out as those of a network.
pub(super) fn read(model: &ModelSpec, arrays: &[(String, ArrayD<f32>)]) -> Result<Vec<Plain>, ModelError> {
    let mut reading = Reading {
        arrays: BTreeMap::new(),
        steps: Vec::new(),
    };
    model.parameter_count()?;
    for (name, array) in arrays {
        if reading.arrays.insert(name, array).is_some() {
            return Err(parameter_error(name, "it once", "it twice"));
        }
    }
    let layers = match model.layers.split_last() {
        // The order of the scores is that of their sigmoids.
        Some((LayerSpec::Sigmoid {}, others)) => others,
        _ => &model.layers[..],
    };
    reading.along(layers, "", &model.input)?;
    match reading.arrays.keys().next() {
        Some(name) => Err(parameter_error(name, "only those of the model", "it")),
        None => Ok(fused(reading.steps)),
    }
}

struct Reading<'a> {
    /// Those not yet used.
    arrays: BTreeMap<&'a str, &'a ArrayD<f32>>,
    steps: Vec<Plain>,
}

impl Reading<'_> {
    fn along(&mut self, layers: &[LayerSpec], prefix: &str, input: &[usize]) -> Result<(), ModelError> {
        let shapes = shapes_along(layers, prefix, input)?;
        for ((index, layer), input) in layers.iter().enumerate().zip(&shapes) {
            self.layer(layer, format!("{prefix}{index}"), input)?;
        }
        Ok(())
    }

    fn layer(&mut self, layer: &LayerSpec, place: String, input: &[usize]) -> Result<(), ModelError> {
        let kind = match *layer {
            LayerSpec::Dense { bias, .. } | LayerSpec::Conv2d { bias, .. } => {
                let shape = LinearShape::of(layer, input).ok_or_else(|| unsupported(layer, &place))?;
                Kind::Linear(self.linear(&place, shape, bias)?)
            }
            LayerSpec::AvgPool2d { size, stride } => Kind::AvgPool(window(input, [size; 2], stride.unwrap_or(size), 0)),
            LayerSpec::GlobalAvgPool2d {} => Kind::AvgPool(window(input, [input[1], input[2]], 1, 0)),
            LayerSpec::MaxPool2d { size, stride, padding } => {
                Kind::MaxPool(window(input, [size; 2], stride.unwrap_or(size), padding))
            }
            LayerSpec::Relu {} => Kind::Relu,
            LayerSpec::Flatten {} | LayerSpec::Dropout { .. } => return Ok(()),
            LayerSpec::BatchNorm { epsilon, .. } => return self.batch_norm(layer, &place, input[0], epsilon),
            LayerSpec::Residual { ref body, ref shortcut } => {
                self.push(&place, Kind::Fork);
                self.along(body, &format!("{place}.body."), input)?;
                self.push(&place, Kind::Turn);
                self.along(shortcut, &format!("{place}.shortcut."), input)?;
                Kind::Join
            }
            _ => return Err(unsupported(layer, &place)),
        };
        self.push(&place, kind);
        Ok(())
    }

    fn push(&mut self, place: &str, kind: Kind) {
        self.steps.push(Plain {
            layer: place.to_owned(),
            kind,
        });
    }

    fn linear(&mut self, place: &str, shape: LinearShape, bias: bool) -> Result<Linear, ModelError> {
        let channels = shape.channels_out();
        Ok(Linear {
            weight: self.take(format!("{place}.weight"), &shape.weight())?,
            bias: match bias {
                true => self.take(format!("{place}.bias"), &[channels])?,
                false => vec![0.0; channels],
            },
            shape,
        })
    }

    /// y = w (x - mean) / sqrt(var + eps) + b of the outputs of a product, or of averages of them.
    fn batch_norm(&mut self, layer: &LayerSpec, place: &str, channels: usize, epsilon: f64) -> Result<(), ModelError> {
        let mut number = |name: &str| self.take(format!("{place}.{name}"), &[channels]);
        let (weight, bias) = (number("weight")?, number("bias")?);
        let (mean, variance) = (number("running_mean")?, number("running_var")?);
        let linear = linear_before(&mut self.steps).filter(|linear| linear.shape.channels_out() == channels);
        let Some(linear) = linear else {
            return Err(layer_error(
                layer,
                place,
                "it after dense, conv2d or avg-pool2d, into which it goes",
            ));
        };
        if variance.iter().any(|variance| *variance < 0.0) {
            return Err(parameter_error(
                &format!("{place}.running_var"),
                "variances",
                "a negative one",
            ));
        }
        for (value, mean) in linear.bias.iter_mut().zip(&mean) {
            *value -= mean;
        }
        linear.scale(|channel| weight[channel] / (variance[channel] + epsilon).sqrt());
        for (value, bias) in linear.bias.iter_mut().zip(&bias) {
            *value += bias;
        }
        Ok(())
    }

    fn take(&mut self, name: String, shape: &[usize]) -> Result<Vec<f64>, ModelError> {
        let Some(array) = self.arrays.remove(name.as_str()) else {
            return Err(parameter_error(&name, format!("{shape:?}"), "nothing"));
        };
        if array.shape() != shape {
            return Err(parameter_error(
                &name,
                format!("shape {shape:?}"),
                format!("{:?}", array.shape()),
            ));
        }
        match array.iter().all(|value| value.is_finite()) {
            true => Ok(array.iter().map(|value| f64::from(*value)).collect()),
            false => Err(parameter_error(&name, "finite numbers", "an infinity or NaN")),
        }
    }
}

/// The product whose outputs, or averages of them, are the current values, if nobody else uses them.
pub(super) fn linear_before(steps: &mut [Plain]) -> Option<&mut Linear> {
    let mut before = steps.iter_mut().rev().map(|step| &mut step.kind);
    match before.find(|kind| !matches!(kind, Kind::AvgPool(_) | Kind::SumPool(_)))? {
        Kind::Linear(linear) => Some(linear),
        _ => None,
    }
}

/// The same steps, where a maximum and a ReLU are one.
fn fused(steps: Vec<Plain>) -> Vec<Plain> {
    let mut fused: Vec<Plain> = Vec::new();
    for step in steps {
        let together = match (fused.last().map(|last| &last.kind), &step.kind) {
            (Some(Kind::Relu), Kind::MaxPool(window)) | (Some(Kind::MaxPool(window) | Kind::MaxPoolRelu(window)), Kind::Relu) => {
                Some(Kind::MaxPoolRelu(*window))
            }
            (Some(Kind::Relu), Kind::Relu) => Some(Kind::Relu),
            _ => None,
        };
        match (together, fused.last_mut()) {
            (Some(kind), Some(last)) => last.kind = kind,
            _ => fused.push(step),
        }
    }
    fused
}

fn window(input: &[usize], size: [usize; 2], stride: usize, padding: usize) -> Window {
    Window {
        image: [input[0], input[1], input[2]],
        size,
        stride,
        padding,
    }
}

fn unsupported(layer: &LayerSpec, place: &str) -> ModelError {
    let expected = "dense, conv2d, avg-pool2d, max-pool2d, global-avg-pool2d, relu, batch-norm, flatten, dropout or residual";
    layer_error(layer, place, expected)
}

fn layer_error(layer: &LayerSpec, place: &str, expected: &str) -> ModelError {
    ModelError::Layer {
        layer: place.to_owned(),
        kind: layer.kind(),
        expected: format!("{expected} (for fixed point)"),
        actual: "it".to_owned(),
    }
}

fn parameter_error(name: &str, expected: impl Into<String>, actual: impl Into<String>) -> ModelError {
    ModelError::Parameter {
        name: name.to_owned(),
        expected: expected.into(),
        actual: actual.into(),
    }
}
