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
    &["m1", "m1-big", "ptbxl"]
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
/// # Errors
/// [`ModelError::UnknownPreset`] for any other name.
pub fn preset(name: &str) -> Result<Preset, ModelError> {
    match name {
        "m1" => Ok(two_convolutions([1, 128], [16, 8])),
        "m1-big" => Ok(two_convolutions([1, 128], [16, 16])),
        "ptbxl" => Ok(two_convolutions([12, 1000], [16, 8])),
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
