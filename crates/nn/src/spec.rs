//! What a model is: its layers as written in a job file.

mod linear;
mod shapes;
#[cfg(test)]
mod tests;

pub use self::linear::{LinearLayer, LinearShape};
pub(crate) use self::shapes::shapes_along;
use serde::{Deserialize, Serialize};

/// Most layers a model may have, those inside residual blocks included.
pub const MAX_LAYERS: usize = 1_000;
/// How many residual blocks may stand inside each other.
pub const MAX_NESTING: usize = 4;
/// Most values one sample may have at the input or after any layer.
pub const MAX_SAMPLE_VALUES: usize = 1 << 24;
/// Most trainable numbers a model may have (1 GiB as f32).
pub const MAX_PARAMETERS: usize = 1 << 28;

/// One layer. A sample is `[features]`, `[channels, length]` or `[tokens, width]`, or `[channels, height, width]`; the batch axis comes before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LayerSpec {
    /// `y = xW + b` on `[features]`, or on each token of `[tokens, width]`: on the last axis, as PyTorch's `Linear`.
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
    /// Cross-correlation along height and width of `[channels, height, width]`, with a square kernel.
    Conv2d {
        /// Number of output channels.
        channels: usize,
        /// Height and width of the kernel.
        kernel: usize,
        /// Step between outputs, both ways.
        #[serde(default = "one")]
        stride: usize,
        /// Zeros added at each of the four sides; less than the kernel's size.
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
    /// The largest of each square window of `[channels, height, width]`; of equals, the first in reading order receives the gradient.
    MaxPool2d {
        /// Height and width of a window.
        size: usize,
        /// Step between windows; the window's size if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<usize>,
        /// Places added at each of the four sides, which are never the largest; at most half the window's size.
        #[serde(default, skip_serializing_if = "is_zero")]
        padding: usize,
    },
    /// The mean of each square window of `[channels, height, width]`.
    AvgPool2d {
        /// Height and width of a window.
        size: usize,
        /// Step between windows; the window's size if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<usize>,
    },
    /// The mean of each channel of `[channels, length]`: `[channels, 1]`, as PyTorch's `AdaptiveAvgPool1d(1)`.
    GlobalAvgPool1d {},
    /// The mean of each channel of `[channels, height, width]`: `[channels, 1, 1]`, as PyTorch's `AdaptiveAvgPool2d(1)`.
    GlobalAvgPool2d {},
    /// Each channel (of `[features]`, each feature) brought to mean 0 and variance 1, then scaled and shifted by weight and bias.
    /// Training uses the batch's statistics and needs more than one value of a channel in a batch, so `[features]` need two rows;
    /// everything else uses the running ones.
    BatchNorm {
        /// Added to the variance, positive.
        #[serde(default = "normal_epsilon")]
        epsilon: f64,
        /// Share of each batch's statistics in the running ones, in 0..=1.
        #[serde(default = "tenth")]
        momentum: f64,
    },
    /// The last axes of each sample brought to mean 0 and variance 1, then scaled and shifted by weight and bias.
    LayerNorm {
        /// How many of the sample's last axes; all if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        axes: Option<usize>,
        /// Added to the variance, positive.
        #[serde(default = "normal_epsilon")]
        epsilon: f64,
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
    /// `x P(X <= x)` for a standard normal X: the exact form with the error function.
    Gelu {},
    /// Multi-head self-attention over `[tokens, width]`, without mask: `softmax(Q K^T / sqrt(width / heads)) V` of each head, between a
    /// projection to Q, K and V and one of the heads' outputs side by side. Parameters are those of PyTorch's `MultiheadAttention`:
    /// "3.in_proj_weight" `[3 width, width]` (rows of Q, then K, then V), "3.in_proj_bias", "3.out_proj.weight", "3.out_proj.bias".
    Attention {
        /// Number of heads; divides the width.
        heads: usize,
        /// Whether both projections have a bias.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// `[channels, height, width]` to `[tokens, width]`: each square patch, in reading order, through one linear map. The parameters are those of a
    /// `Conv2d` whose kernel and stride are the patch: "0.weight" `[width, channels, size, size]`, "0.bias".
    Patches {
        /// Height and width of a patch; divides those of the sample.
        size: usize,
        /// Numbers of each token.
        width: usize,
        /// Whether there is a bias.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// A learned embedding of each position, added to `[tokens, width]`: "1.weight" `[tokens, width]`.
    Positions {},
    /// The mean over the tokens: `[tokens, width]` to `[width]`.
    MeanTokens {},
    /// Any sample to `[features]`.
    Flatten {},
    /// In training, zeroes each value with probability `rate` and scales the others by `1 / (1 - rate)`.
    Dropout {
        /// Probability of a zero, in 0..1.
        rate: f64,
    },
    /// `body(x) + shortcut(x)`. Parameters are named as those of a PyTorch module that holds two `nn.Sequential` called `body` and
    /// `shortcut`: "3.body.0.weight". An activation after the sum is a layer of its own.
    Residual {
        /// The layers of the block.
        body: Vec<LayerSpec>,
        /// The layers beside them, which must end in the body's shape; none: the input itself.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shortcut: Vec<LayerSpec>,
    },
}

/// A whole model, whoever holds which part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Shape of one sample: `[features]`, `[channels, length]` or `[tokens, width]`, or `[channels, height, width]`.
    pub input: Vec<usize>,
    /// The layers, first to last.
    pub layers: Vec<LayerSpec>,
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}

fn normal_epsilon() -> f64 {
    1e-5
}

fn tenth() -> f64 {
    0.1
}

fn hundredth() -> f64 {
    0.01
}
