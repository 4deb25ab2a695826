//! The layers of a model that are products with a weight: what another party can compute for the one that holds the rest.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::shapes::shapes_along;
use crate::{InputGradient, LayerSpec, ModelError, ModelSpec};

/// A linear layer: a product of its input and its weight, apart from the bias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearLayer {
    /// The name of the weight: "0.weight", "3.body.0.weight".
    pub weight: String,
    /// What the product is.
    pub shape: LinearShape,
    /// Whether its input's gradient is needed: a layer before it learns, or somebody before the range wants it.
    pub input_gradient: bool,
}

/// Which product of input and weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LinearShape {
    /// x W; the weight is `[outputs, inputs]` in PyTorch's layout.
    Dense {
        /// Numbers in a row of x.
        inputs: usize,
        /// Numbers in a row of x W.
        outputs: usize,
    },
    /// Cross-correlation of planes; the weight is `[channels out, channels in, kernel, kernel]`.
    Convolution {
        /// Channels in and out.
        channels: [usize; 2],
        /// Height and width of the input.
        image: [usize; 2],
        /// Height and width of the kernel.
        kernel: usize,
        /// Step between outputs, both ways.
        stride: usize,
        /// Zeros added at each side.
        padding: usize,
    },
}

impl LinearShape {
    /// Shape of a sample at the input.
    pub fn input(self) -> Vec<usize> {
        match self {
            Self::Dense { inputs, .. } => vec![inputs],
            Self::Convolution { channels, image, .. } => vec![channels[0], image[0], image[1]],
        }
    }

    /// Shape of a sample at the output.
    pub fn output(self) -> Vec<usize> {
        match self {
            Self::Dense { outputs, .. } => vec![outputs],
            Self::Convolution {
                channels,
                image,
                kernel,
                stride,
                padding,
            } => {
                let along = |length: usize| (length + 2 * padding - kernel) / stride + 1;
                vec![channels[1], along(image[0]), along(image[1])]
            }
        }
    }

    /// Input channels: the inputs of a dense layer.
    pub fn channels_in(self) -> usize {
        self.input()[0]
    }

    /// Output channels: the outputs of a dense layer.
    pub fn channels_out(self) -> usize {
        self.output()[0]
    }

    /// Shape of the weight in PyTorch's layout.
    pub fn weight(self) -> Vec<usize> {
        match self {
            Self::Dense { inputs, outputs } => vec![outputs, inputs],
            Self::Convolution { channels, kernel, .. } => vec![channels[1], channels[0], kernel, kernel],
        }
    }

    /// Of a layer that is a product, on samples of shape `input`, which fits. A dense layer on tokens is none: these have one row a sample.
    pub(crate) fn of(layer: &LayerSpec, input: &[usize]) -> Option<Self> {
        match *layer {
            LayerSpec::Dense { outputs, .. } if input.len() == 1 => Some(Self::Dense {
                inputs: input[0],
                outputs,
            }),
            LayerSpec::Conv2d {
                channels,
                kernel,
                stride,
                padding,
                ..
            } => Some(Self::Convolution {
                channels: [input[0], channels],
                image: [input[1], input[2]],
                kernel,
                stride,
                padding,
            }),
            _ => None,
        }
    }
}

impl ModelSpec {
    /// The linear layers among layers `range`, those inside residual blocks included, in the order in which a forward pass comes to them: a body
    /// before its shortcut. `wish`: whether the gradient at the input of the range is wanted.
    ///
    /// # Errors
    /// As [`ModelSpec::shapes`]; [`ModelError::Range`]; [`ModelError::Layer`] for a product that is not offered: a convolution along
    /// one axis, patches, attention, a dense layer on tokens.
    pub fn linear_layers(&self, range: Range<usize>, wish: InputGradient) -> Result<Vec<LinearLayer>, ModelError> {
        let shapes = self.shapes()?;
        let layers = self.layers.get(range.clone()).ok_or(ModelError::Range {
            range: range.clone(),
            layers: self.layers.len(),
        })?;
        let mut found = Found {
            layers: Vec::new(),
            learning: wish == InputGradient::Wanted,
        };
        found.along(layers, range.start, "", &shapes[range.start])?;
        Ok(found.layers)
    }
}

struct Found {
    layers: Vec<LinearLayer>,
    /// Whether something that learns has been passed on the way here.
    learning: bool,
}

impl Found {
    fn along(&mut self, layers: &[LayerSpec], first: usize, prefix: &str, input: &[usize]) -> Result<(), ModelError> {
        let shapes = shapes_along(layers, prefix, input)?;
        for ((index, layer), input) in layers.iter().enumerate().zip(&shapes) {
            let place = format!("{prefix}{}", first + index);
            if let LayerSpec::Residual { body, shortcut } = layer {
                let before = self.learning;
                self.along(body, 0, &format!("{place}.body."), input)?;
                let after_body = std::mem::replace(&mut self.learning, before);
                self.along(shortcut, 0, &format!("{place}.shortcut."), input)?;
                self.learning |= after_body;
                continue;
            }
            match layer {
                LayerSpec::Conv1d { .. } | LayerSpec::Attention { .. } | LayerSpec::Patches { .. } => {
                    return Err(layer.error(&place, "dense or conv2d", layer.kind()));
                }
                LayerSpec::Dense { .. } if input.len() > 1 => {
                    return Err(layer.error(&place, "[features] (this product is offered for one row a sample)", input));
                }
                _ => (),
            }
            if let Some(shape) = LinearShape::of(layer, input) {
                self.layers.push(LinearLayer {
                    weight: format!("{place}.weight"),
                    shape,
                    input_gradient: self.learning,
                });
            }
            self.learning |= layer.parameter_count(input).is_none_or(|count| count > 0);
        }
        Ok(())
    }
}
