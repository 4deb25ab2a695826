//! Models known by name.

use std::ops::Range;

use crate::{LayerSpec, ModelError, ModelSpec};

/// A model and who holds what of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// The whole model.
    pub model: ModelSpec,
    /// The layers the server holds; the client holds those before and after.
    pub server: Range<usize>,
}

/// The names [`preset`] knows.
pub fn preset_names() -> &'static [&'static str] {
    &["m1", "m1-big", "ptbxl", "resnet18-cifar", "vit-cifar"]
}

/// The preset of that name.
///
/// `m1` is the heartbeat classifier of "A More Secure Split" (arXiv 2309.08697): 128 samples of one ECG lead in, five
/// classes out, the last linear layer at the server. Its outputs are logits: the published code puts a softmax in front
/// of a cross-entropy that contains one already, which this preset does not copy.
///
/// `m1-big` is its variant with 512 activations at the cut instead of 256: the second convolution has 16 channels, 16 x 32 = 512, and
/// the server's layer is 512 -> 5.
///
/// `ptbxl` takes ten seconds of twelve leads at 100 Hz, `[12, 1000]` (in millivolt, to have about the size of 1), through layers as those
/// of `m1` to 8 x 250 = 2,000 activations and the server's layer 2000 -> 5: the five diagnostic superclasses of PTB-XL (NORM, MI, STTC,
/// CD, HYP). A recording may have several or none, so the loss is `bce` on multi-hot targets `[rows, 5]`.
///
/// `resnet18-cifar` takes images `[3, 32, 32]` to ten classes (11,173,962 parameters): a 3 x 3 convolution to 64 channels, four stages of two blocks
/// of 64, 128, 256 and 512 channels (each but the first halves height and width), the mean of each channel, and a dense layer.
///
/// `vit-cifar` takes the same images (2,693,194 parameters): 64 patches of 4 x 4 as tokens of width 192 with learned positions, six blocks of attention with 3 heads
/// and of two dense layers, 4 x 192 wide in between (layer normalisation before each, GELU, the exact form), a last layer normalisation, the mean over the
/// tokens, and a dense layer.
///
/// The server's layer of both is the last, as in the others; a protocol that cuts nothing ignores it.
///
/// # Errors
/// [`ModelError::UnknownPreset`] for any other name.
pub fn preset(name: &str) -> Result<Preset, ModelError> {
    match name {
        "m1" => Ok(two_convolutions([1, 128], [16, 8])),
        "m1-big" => Ok(two_convolutions([1, 128], [16, 16])),
        "ptbxl" => Ok(two_convolutions([12, 1000], [16, 8])),
        "resnet18-cifar" => Ok(residual_network([3, 32, 32], [64, 128, 256, 512])),
        "vit-cifar" => Ok(VisionTransformer::CIFAR.preset()),
        _ => Err(ModelError::UnknownPreset { name: name.to_owned() }),
    }
}

/// Two convolutions with these numbers of channels, each followed by a halving of the length, at the client; a linear layer to five
/// outputs at the server.
fn two_convolutions(input: [usize; 2], channels: [usize; 2]) -> Preset {
    let conv = |channels, kernel| LayerSpec::Conv1d {
        channels,
        kernel,
        stride: 1,
        padding: kernel / 2,
        bias: true,
    };
    let leaky = LayerSpec::LeakyRelu { slope: 0.01 };
    let halve = LayerSpec::MaxPool1d { size: 2, stride: None };
    let layers = vec![
        conv(channels[0], 7),
        leaky.clone(),
        halve.clone(),
        conv(channels[1], 5),
        leaky,
        halve,
        LayerSpec::Flatten {},
        LayerSpec::Dense { outputs: 5, bias: true },
    ];
    Preset {
        model: ModelSpec {
            input: input.to_vec(),
            layers,
        },
        server: 7..8,
    }
}

/// A 3 x 3 convolution, then stages of two residual blocks with these numbers of channels.
pub(crate) fn residual_network(input: [usize; 3], channels: [usize; 4]) -> Preset {
    let conv = |channels, kernel, stride| LayerSpec::Conv2d {
        channels,
        kernel,
        stride,
        padding: kernel / 2,
        bias: false,
    };
    let norm = || LayerSpec::BatchNorm {
        epsilon: 1e-5,
        momentum: 0.1,
    };
    let relu = || LayerSpec::Relu {};
    let mut layers = vec![conv(channels[0], 3, 1), norm(), relu()];
    for (stage, channels) in channels.into_iter().enumerate() {
        for block in 0..2 {
            let halves = stage > 0 && block == 0;
            let stride = 1 + usize::from(halves);
            let shortcut = if halves {
                vec![conv(channels, 1, 2), norm()]
            } else {
                Vec::new()
            };
            let body = vec![conv(channels, 3, stride), norm(), relu(), conv(channels, 3, 1), norm()];
            layers.extend([LayerSpec::Residual { body, shortcut }, relu()]);
        }
    }
    layers.extend([LayerSpec::GlobalAvgPool2d {}, LayerSpec::Flatten {}]);
    classifier(input, layers)
}

/// Sizes of a vision transformer (arXiv 2010.11929) with layer normalisation first and the mean over the tokens at the end.
pub(crate) struct VisionTransformer {
    pub input: [usize; 3],
    pub patch: usize,
    pub width: usize,
    pub heads: usize,
    pub blocks: usize,
}

impl VisionTransformer {
    const CIFAR: Self = Self {
        input: [3, 32, 32],
        patch: 4,
        width: 192,
        heads: 3,
        blocks: 6,
    };

    pub fn preset(self) -> Preset {
        let norm = || LayerSpec::LayerNorm {
            axes: Some(1),
            epsilon: 1e-5,
        };
        let dense = |outputs| LayerSpec::Dense { outputs, bias: true };
        let residual = |body| LayerSpec::Residual {
            body,
            shortcut: Vec::new(),
        };
        let (heads, bias) = (self.heads, true);
        let patches = LayerSpec::Patches {
            size: self.patch,
            width: self.width,
            bias,
        };
        let mut layers = vec![patches, LayerSpec::Positions {}];
        for _ in 0..self.blocks {
            let inner = vec![norm(), dense(4 * self.width), LayerSpec::Gelu {}, dense(self.width)];
            layers.extend([residual(vec![norm(), LayerSpec::Attention { heads, bias }]), residual(inner)]);
        }
        layers.extend([norm(), LayerSpec::MeanTokens {}]);
        classifier(self.input, layers)
    }
}

/// These layers and a dense one to ten classes, which is the server's.
fn classifier(input: [usize; 3], mut layers: Vec<LayerSpec>) -> Preset {
    let last = layers.len();
    layers.push(LayerSpec::Dense { outputs: 10, bias: true });
    Preset {
        model: ModelSpec {
            input: input.to_vec(),
            layers,
        },
        server: last..last + 1,
    }
}
