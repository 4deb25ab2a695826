//! What shapes the layers of a model give, how many parameters they have, and whether their settings are possible.

use super::{LayerSpec, MAX_LAYERS, MAX_NESTING, MAX_PARAMETERS, MAX_SAMPLE_VALUES, ModelSpec};
use crate::ModelError;

impl ModelSpec {
    /// The shape of a sample before the first layer (index 0) and after each layer.
    ///
    /// # Errors
    /// [`ModelError::Layer`] or [`ModelError::Model`] at the first thing that does not fit or is over a size limit.
    pub fn shapes(&self) -> Result<Vec<Vec<usize>>, ModelError> {
        if self.layers.len() > MAX_LAYERS {
            return Err(model_error(format!("at most {MAX_LAYERS} layers"), self.layers.len()));
        }
        let nesting = self.layers.iter().map(LayerSpec::nesting).max().unwrap_or(0);
        if nesting > MAX_NESTING {
            let expected = format!("at most {MAX_NESTING} residual blocks inside each other");
            return Err(model_error(expected, nesting));
        }
        let layers = self.layers.iter().map(LayerSpec::count).sum::<usize>();
        if layers > MAX_LAYERS {
            return Err(model_error(format!("at most {MAX_LAYERS} layers"), layers));
        }
        if !matches!(self.input.len(), 1..=3) {
            return Err(model_error(
                "an input of [features], [channels, length], [tokens, width] or [channels, height, width]",
                format!("{:?}", self.input),
            ));
        }
        if !within(&self.input) {
            return Err(model_error(
                format!("an input of 1 to {MAX_SAMPLE_VALUES} values"),
                format!("{:?}", self.input),
            ));
        }
        shapes_along(&self.layers, "", &self.input)
    }

    /// The number of trainable numbers in the whole model.
    ///
    /// # Errors
    /// As [`ModelSpec::shapes`], and [`ModelError::Model`] above [`MAX_PARAMETERS`].
    pub fn parameter_count(&self) -> Result<usize, ModelError> {
        self.shapes()?;
        parameters_along(&self.layers, &self.input)
            .filter(|count| *count <= MAX_PARAMETERS)
            .ok_or_else(|| model_error(format!("at most {MAX_PARAMETERS} parameters"), "more"))
    }

    /// The fewest rows that a training batch may have: 2 if a batch normalisation sees each feature once a row, else 1.
    ///
    /// # Errors
    /// As [`ModelSpec::shapes`].
    pub fn least_rows(&self) -> Result<usize, ModelError> {
        self.shapes()?;
        Ok(1 + usize::from(need_rows(&self.layers, &self.input)))
    }
}

/// Whether a layer cannot learn from a batch of one row.
fn need_rows(layers: &[LayerSpec], input: &[usize]) -> bool {
    let shapes = shapes_along(layers, "", input).unwrap_or_default();
    layers.iter().zip(&shapes).any(|(layer, input)| match layer {
        LayerSpec::BatchNorm { .. } => input[1..].iter().product::<usize>() == 1,
        LayerSpec::Residual { body, shortcut } => need_rows(body, input) || need_rows(shortcut, input),
        _ => false,
    })
}

/// Shapes before and after each of these layers; `prefix` comes before their numbers in errors.
pub(crate) fn shapes_along(layers: &[LayerSpec], prefix: &str, input: &[usize]) -> Result<Vec<Vec<usize>>, ModelError> {
    let mut shapes = vec![input.to_vec()];
    for (index, layer) in layers.iter().enumerate() {
        let place = format!("{prefix}{index}");
        let output = layer.output(&place, &shapes[index])?;
        if !within(&output) {
            return Err(layer.error(&place, format!("at most {MAX_SAMPLE_VALUES} output values"), output));
        }
        shapes.push(output);
    }
    Ok(shapes)
}

/// `None` when the sum overflows.
fn parameters_along(layers: &[LayerSpec], input: &[usize]) -> Option<usize> {
    let shapes = shapes_along(layers, "", input).ok()?;
    let counts = layers.iter().zip(&shapes).map(|(layer, input)| layer.parameter_count(input));
    counts.into_iter().try_fold(0usize, |sum, count| sum.checked_add(count?))
}

impl LayerSpec {
    /// The layer's type as written in a job file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dense { .. } => "dense",
            Self::Conv1d { .. } => "conv1d",
            Self::Conv2d { .. } => "conv2d",
            Self::MaxPool1d { .. } => "max-pool1d",
            Self::AvgPool1d { .. } => "avg-pool1d",
            Self::MaxPool2d { .. } => "max-pool2d",
            Self::AvgPool2d { .. } => "avg-pool2d",
            Self::GlobalAvgPool1d {} => "global-avg-pool1d",
            Self::GlobalAvgPool2d {} => "global-avg-pool2d",
            Self::BatchNorm { .. } => "batch-norm",
            Self::LayerNorm { .. } => "layer-norm",
            Self::Relu {} => "relu",
            Self::LeakyRelu { .. } => "leaky-relu",
            Self::Sigmoid {} => "sigmoid",
            Self::Tanh {} => "tanh",
            Self::Gelu {} => "gelu",
            Self::Attention { .. } => "attention",
            Self::Patches { .. } => "patches",
            Self::Positions {} => "positions",
            Self::MeanTokens {} => "mean-tokens",
            Self::Flatten {} => "flatten",
            Self::Dropout { .. } => "dropout",
            Self::Residual { .. } => "residual",
        }
    }

    /// Residual blocks inside each other from this layer on.
    fn nesting(&self) -> usize {
        match self {
            Self::Residual { body, shortcut } => 1 + body.iter().chain(shortcut).map(Self::nesting).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// This layer and those inside it.
    fn count(&self) -> usize {
        match self {
            Self::Residual { body, shortcut } => 1 + body.iter().chain(shortcut).map(Self::count).sum::<usize>(),
            _ => 1,
        }
    }

    /// Shape after this layer for a sample of shape `input`.
    fn output(&self, place: &str, input: &[usize]) -> Result<Vec<usize>, ModelError> {
        match *self {
            Self::Dense { outputs, .. } => match input {
                [_] => Ok(vec![outputs]),
                [tokens, _] => Ok(vec![*tokens, outputs]),
                _ => Err(self.error(place, "[features] or [tokens, width] (put a flatten layer before it)", input)),
            },
            Self::Conv1d {
                channels,
                kernel,
                stride,
                padding,
                ..
            } => self.convolution(place, input, channels, [kernel, stride, padding], LENGTH),
            Self::Conv2d {
                channels,
                kernel,
                stride,
                padding,
                ..
            } => self.convolution(place, input, channels, [kernel, stride, padding], PLANE),
            Self::MaxPool1d { size, stride } | Self::AvgPool1d { size, stride } => {
                self.windows(place, input, [size, stride.unwrap_or(size), 0], LENGTH)
            }
            Self::AvgPool2d { size, stride } => self.windows(place, input, [size, stride.unwrap_or(size), 0], PLANE),
            Self::MaxPool2d { size, padding, .. } if padding > size / 2 => {
                Err(self.error(place, format!("a padding of at most half the window's size {size}"), padding))
            }
            Self::MaxPool2d { size, stride, padding } => {
                self.windows(place, input, [size, stride.unwrap_or(size), padding], PLANE)
            }
            Self::GlobalAvgPool1d {} => Ok(vec![self.channels_of(place, input, LENGTH)?, 1]),
            Self::GlobalAvgPool2d {} => Ok(vec![self.channels_of(place, input, PLANE)?, 1, 1]),
            Self::BatchNorm { momentum, .. } if !(0.0..=1.0).contains(&momentum) => {
                Err(self.error(place, "a momentum in 0..=1", momentum))
            }
            // In f32, in which it is used.
            Self::BatchNorm { epsilon, .. } | Self::LayerNorm { epsilon, .. }
                if !(epsilon as f32 > 0.0 && (epsilon as f32).is_finite()) =>
            {
                Err(self.error(place, "a positive epsilon", epsilon))
            }
            Self::LayerNorm { axes: Some(axes), .. } if axes == 0 || axes > input.len() => {
                Err(self.error(place, format!("1 to {} axes", input.len()), axes))
            }
            Self::LeakyRelu { slope } if !(0.0..=1.0).contains(&slope) => Err(self.error(place, "a slope in 0..=1", slope)),
            Self::Dropout { rate } if !(0.0..1.0).contains(&rate) => Err(self.error(place, "a rate in 0..1", rate)),
            Self::Attention { heads, .. } => self.attention(place, input, heads),
            Self::Patches { size, width, .. } => self.patches(place, input, size, width),
            Self::Positions {} => self.tokens(place, input).map(|_| input.to_vec()),
            Self::MeanTokens {} => self.tokens(place, input).map(|[_, width]| vec![width]),
            Self::Flatten {} => Ok(vec![input.iter().product()]),
            Self::Residual { ref body, ref shortcut } => self.block(place, input, body, shortcut),
            Self::BatchNorm { .. }
            | Self::LayerNorm { .. }
            | Self::Relu {}
            | Self::LeakyRelu { .. }
            | Self::Sigmoid {}
            | Self::Tanh {}
            | Self::Gelu {}
            | Self::Dropout { .. } => Ok(input.to_vec()),
        }
    }

    fn block(&self, place: &str, input: &[usize], body: &[Self], shortcut: &[Self]) -> Result<Vec<usize>, ModelError> {
        if body.is_empty() {
            return Err(self.error(place, "a body of at least one layer", 0));
        }
        let last = |branch, layers| {
            Ok(shapes_along(layers, &format!("{place}.{branch}."), input)?
                .pop()
                .unwrap_or_default())
        };
        let (body, shortcut): (Vec<usize>, Vec<usize>) = (last("body", body)?, last("shortcut", shortcut)?);
        match body == shortcut {
            true => Ok(body),
            false => Err(self.error(place, format!("a shortcut that ends in the body's shape {body:?}"), shortcut)),
        }
    }

    /// The axes of a sample of tokens.
    fn tokens(&self, place: &str, input: &[usize]) -> Result<[usize; 2], ModelError> {
        <[usize; 2]>::try_from(input).map_err(|_| self.error(place, "[tokens, width]", input))
    }

    fn attention(&self, place: &str, input: &[usize], heads: usize) -> Result<Vec<usize>, ModelError> {
        let [tokens, width] = self.tokens(place, input)?;
        if heads == 0 || width % heads != 0 {
            return Err(self.error(place, format!("heads that divide the width {width}"), heads));
        }
        // Both are worked out whole for every sample.
        match within(&[heads, tokens, tokens]) && within(&[3, tokens, width]) {
            true => Ok(input.to_vec()),
            false => Err(self.error(
                place,
                format!("at most {MAX_SAMPLE_VALUES} scores, queries, keys and values"),
                "more",
            )),
        }
    }

    fn patches(&self, place: &str, input: &[usize], size: usize, width: usize) -> Result<Vec<usize>, ModelError> {
        self.channels_of(place, input, PLANE)?;
        let plane = [input[1], input[2]];
        if size == 0 || plane.iter().any(|length| length % size != 0) {
            return Err(self.error(
                place,
                format!("a size that divides the sample's height and width {plane:?}"),
                size,
            ));
        }
        Ok(vec![plane.iter().map(|length| length / size).product(), width])
    }

    /// Shape after a convolution of kernel, stride and padding along the axes after the channels.
    fn convolution(
        &self,
        place: &str,
        input: &[usize],
        channels: usize,
        window: [usize; 3],
        axes: &str,
    ) -> Result<Vec<usize>, ModelError> {
        let [kernel, _, padding] = window;
        if padding >= kernel {
            let expected = format!("a padding below the kernel length {kernel}");
            return Err(self.error(place, expected, padding));
        }
        let mut output = self.windows(place, input, window, axes)?;
        // The windows are laid out side by side before the product with the kernel.
        let mut positions = output.iter().skip(1);
        let values = positions.try_fold(output[0], |values, axis| values.checked_mul(kernel)?.checked_mul(*axis));
        match values {
            Some(values) if values <= MAX_PARAMETERS => {
                output[0] = channels;
                Ok(output)
            }
            _ => Err(self.error(place, format!("at most {MAX_PARAMETERS} values in all windows"), "more")),
        }
    }

    /// The number of channels of a sample with these axes.
    fn channels_of(&self, place: &str, input: &[usize], axes: &str) -> Result<usize, ModelError> {
        match input.len() == axes.split(',').count() {
            true => Ok(input[0]),
            false => Err(self.error(place, axes, input)),
        }
    }

    /// Channels and number of windows (of size, stride and padding) along each other axis.
    fn windows(
        &self,
        place: &str,
        input: &[usize],
        [size, stride, padding]: [usize; 3],
        axes: &str,
    ) -> Result<Vec<usize>, ModelError> {
        let channels = self.channels_of(place, input, axes)?;
        if size == 0 || stride == 0 {
            return Err(self.error(place, "a window length and stride of at least 1", [size, stride]));
        }
        let mut output = vec![channels];
        for length in &input[1..] {
            // Before multiplying or adding: a padded length near usize::MAX must not wrap.
            let padded = padding
                .checked_mul(2)
                .and_then(|both| length.checked_add(both))
                .filter(|l| *l >= size);
            match padded {
                Some(padded) => output.push((padded - size) / stride + 1),
                None => return Err(self.error(place, format!("a window of at most {length} plus padding"), size)),
            }
        }
        Ok(output)
    }

    /// `None` when the product overflows.
    pub(crate) fn parameter_count(&self, input: &[usize]) -> Option<usize> {
        match *self {
            Self::Dense { outputs, bias } => input.last()?.checked_add(usize::from(bias))?.checked_mul(outputs),
            Self::Conv1d {
                channels, kernel, bias, ..
            } => input[0]
                .checked_mul(kernel)?
                .checked_add(usize::from(bias))?
                .checked_mul(channels),
            Self::Conv2d {
                channels, kernel, bias, ..
            } => input[0]
                .checked_mul(kernel.checked_mul(kernel)?)?
                .checked_add(usize::from(bias))?
                .checked_mul(channels),
            Self::Attention { bias, .. } => {
                let width = *input.last()?;
                width.checked_add(usize::from(bias))?.checked_mul(width)?.checked_mul(4)
            }
            Self::Patches { size, width, bias } => input[0]
                .checked_mul(size.checked_mul(size)?)?
                .checked_add(usize::from(bias))?
                .checked_mul(width),
            Self::Positions {} => Some(input.iter().product()),
            Self::BatchNorm { .. } => input[0].checked_mul(2),
            Self::LayerNorm { axes, .. } => {
                let normalised = &input[input.len() - axes.unwrap_or(input.len())..];
                normalised.iter().product::<usize>().checked_mul(2)
            }
            Self::Residual { ref body, ref shortcut } => {
                parameters_along(body, input)?.checked_add(parameters_along(shortcut, input)?)
            }
            _ => Some(0),
        }
    }

    pub(super) fn error(&self, place: &str, expected: impl Into<String>, actual: impl std::fmt::Debug) -> ModelError {
        ModelError::Layer {
            layer: place.to_owned(),
            kind: self.kind(),
            expected: expected.into(),
            actual: format!("{actual:?}"),
        }
    }
}

const LENGTH: &str = "[channels, length]";
const PLANE: &str = "[channels, height, width]";

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
