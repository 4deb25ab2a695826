//! What a model is: its layers as written in a job file, their shapes and sizes.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// Most layers a model may have.
pub const MAX_LAYERS: usize = 1_000;
/// Most values one sample may have at the input or after any layer.
pub const MAX_SAMPLE_VALUES: usize = 1 << 24;
/// Most trainable numbers a model may have (1 GiB as f32).
pub const MAX_PARAMETERS: usize = 1 << 28;

/// One layer. A sample is `[features]` or `[channels, length]`; the batch axis comes before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LayerSpec {
    /// `y = xW + b` on `[features]`.
    Dense {
        /// Number of output features.
        outputs: usize,
        /// Whether `b` exists.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// Cross-correlation along `length` of `[channels, length]`.
    Conv1d {
        /// Number of output channels.
        channels: usize,
        /// Kernel length.
        kernel: usize,
        /// Step between outputs.
        #[serde(default = "one")]
        stride: usize,
        /// Zeros added at either end; less than the kernel length.
        #[serde(default)]
        padding: usize,
        /// Whether each output channel has a bias.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// The largest of each window of `[channels, length]`; of equals, the first receives the gradient.
    MaxPool1d {
        /// Window length.
        size: usize,
        /// Step between windows; the window length if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<usize>,
    },
    /// The mean of each window of `[channels, length]`.
    AvgPool1d {
        /// Window length.
        size: usize,
        /// Step between windows; the window length if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<usize>,
    },
    // Empty braces, because serde does not refuse unknown fields beside a unit variant.
    /// `max(x, 0)`.
    Relu {},
    /// `x`, or `slope * x` where `x` is negative.
    LeakyRelu {
        /// Slope of the negative side, in 0..=1.
        #[serde(default = "hundredth")]
        slope: f64,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid {},
    /// Hyperbolic tangent.
    Tanh {},
    /// Any sample to `[features]`.
    Flatten {},
    /// In training, zeroes each value with probability `rate` and scales the others by `1 / (1 - rate)`.
    Dropout {
        /// Probability of a zero, in 0..1.
        rate: f64,
    },
}

/// A whole model, whoever holds which part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Shape of one sample: `[features]` or `[channels, length]`.
    pub input: Vec<usize>,
    /// The layers, first to last.
    pub layers: Vec<LayerSpec>,
}

impl ModelSpec {
    /// The shape of a sample before the first layer (index 0) and after each layer.
    ///
    /// # Errors
    /// [`ModelError::Layer`] or [`ModelError::Model`] at the first thing that does not fit or is over a size limit.
    pub fn shapes(&self) -> Result<Vec<Vec<usize>>, ModelError> {
        if self.layers.len() > MAX_LAYERS {
            return Err(model_error(format!("at most {MAX_LAYERS} layers"), self.layers.len()));
        }
        if !matches!(self.input.len(), 1 | 2) {
            return Err(model_error(
                "an input of [features] or [channels, length]",
                format!("{:?}", self.input),
            ));
        }
        if !within(&self.input) {
            return Err(model_error(
                format!("an input of 1 to {MAX_SAMPLE_VALUES} values"),
                format!("{:?}", self.input),
            ));
        }
        let mut shapes = vec![self.input.clone()];
        for (index, layer) in self.layers.iter().enumerate() {
            let output = layer.output(index, &shapes[index])?;
            if !within(&output) {
                return Err(layer.error(index, format!("at most {MAX_SAMPLE_VALUES} output values"), output));
            }
            shapes.push(output);
        }
        Ok(shapes)
    }

    /// The number of trainable numbers in the whole model.
    ///
    /// # Errors
    /// As [`ModelSpec::shapes`], and [`ModelError::Model`] above [`MAX_PARAMETERS`].
    pub fn parameter_count(&self) -> Result<usize, ModelError> {
        let shapes = self.shapes()?;
        let counts = self
            .layers
            .iter()
            .zip(&shapes)
            .map(|(layer, input)| layer.parameter_count(input));
        counts
            .into_iter()
            .try_fold(0usize, |sum, count| sum.checked_add(count?))
            .filter(|count| *count <= MAX_PARAMETERS)
            .ok_or_else(|| model_error(format!("at most {MAX_PARAMETERS} parameters"), "more"))
    }
}

impl LayerSpec {
    /// The layer's type as written in a job file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dense { .. } => "dense",
            Self::Conv1d { .. } => "conv1d",
            Self::MaxPool1d { .. } => "max-pool1d",
            Self::AvgPool1d { .. } => "avg-pool1d",
            Self::Relu {} => "relu",
            Self::LeakyRelu { .. } => "leaky-relu",
            Self::Sigmoid {} => "sigmoid",
            Self::Tanh {} => "tanh",
            Self::Flatten {} => "flatten",
            Self::Dropout { .. } => "dropout",
        }
    }

    /// Shape after this layer for a sample of shape `input`.
    fn output(&self, index: usize, input: &[usize]) -> Result<Vec<usize>, ModelError> {
        match *self {
            Self::Dense { outputs, .. } => match input {
                [_] => Ok(vec![outputs]),
                _ => Err(self.error(index, "[features] (put a flatten layer before it)", input)),
            },
            Self::Conv1d {
                channels,
                kernel,
                stride,
                padding,
                ..
            } => {
                if padding >= kernel {
                    return Err(self.error(index, format!("a padding below the kernel length {kernel}"), padding));
                }
                let [inputs, length] = self.windows(index, input, kernel, stride, padding)?;
                // The windows are laid out side by side before the product with the kernel.
                match inputs.checked_mul(kernel).and_then(|window| window.checked_mul(length)) {
                    Some(values) if values <= MAX_PARAMETERS => Ok(vec![channels, length]),
                    _ => Err(self.error(index, format!("at most {MAX_PARAMETERS} values in all windows"), "more")),
                }
            }
            Self::MaxPool1d { size, stride } | Self::AvgPool1d { size, stride } => {
                Ok(self.windows(index, input, size, stride.unwrap_or(size), 0)?.to_vec())
            }
            Self::LeakyRelu { slope } if !(0.0..=1.0).contains(&slope) => Err(self.error(index, "a slope in 0..=1", slope)),
            Self::Dropout { rate } if !(0.0..1.0).contains(&rate) => Err(self.error(index, "a rate in 0..1", rate)),
            Self::Flatten {} => Ok(vec![input.iter().product()]),
            Self::Relu {} | Self::LeakyRelu { .. } | Self::Sigmoid {} | Self::Tanh {} | Self::Dropout { .. } => {
                Ok(input.to_vec())
            }
        }
    }

    /// `[channels, number of windows]` of a layer that slides along the length.
    fn windows(
        &self,
        index: usize,
        input: &[usize],
        size: usize,
        stride: usize,
        padding: usize,
    ) -> Result<[usize; 2], ModelError> {
        let &[channels, length] = input else {
            return Err(self.error(index, "[channels, length]", input));
        };
        if size == 0 || stride == 0 {
            return Err(self.error(index, "a window length and stride of at least 1", [size, stride]));
        }
        // Before multiplying or adding: a padded length near usize::MAX must not wrap.
        let padded = padding
            .checked_mul(2)
            .and_then(|both| length.checked_add(both))
            .filter(|l| *l >= size);
        match padded {
            Some(padded) => Ok([channels, (padded - size) / stride + 1]),
            None => Err(self.error(index, format!("a window of at most {length} plus padding"), size)),
        }
    }

    /// `None` when the product overflows.
    fn parameter_count(&self, input: &[usize]) -> Option<usize> {
        match *self {
            Self::Dense { outputs, bias } => input[0].checked_add(usize::from(bias))?.checked_mul(outputs),
            Self::Conv1d {
                channels, kernel, bias, ..
            } => input[0]
                .checked_mul(kernel)?
                .checked_add(usize::from(bias))?
                .checked_mul(channels),
            _ => Some(0),
        }
    }

    fn error(&self, layer: usize, expected: impl Into<String>, actual: impl std::fmt::Debug) -> ModelError {
        ModelError::Layer {
            layer,
            kind: self.kind(),
            expected: expected.into(),
            actual: format!("{actual:?}"),
        }
    }
}

/// Whether a sample of this shape has at least one value and at most [`MAX_SAMPLE_VALUES`].
fn within(shape: &[usize]) -> bool {
    let values = shape.iter().try_fold(1usize, |product, axis| product.checked_mul(*axis));
    values.is_some_and(|values| (1..=MAX_SAMPLE_VALUES).contains(&values))
}

fn model_error(expected: impl Into<String>, actual: impl ToString) -> ModelError {
    ModelError::Model {
        expected: expected.into(),
        actual: actual.to_string(),
    }
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

fn hundredth() -> f64 {
    0.01
}
