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
    &["m1"]
}

/// The preset of that name.
///
/// `m1` is the heartbeat classifier of "A More Secure Split" (arXiv 2309.08697): 128 samples of one ECG lead in, five
/// classes out, the last linear layer at the server. Its outputs are logits: the published code puts a softmax in front
/// of a cross-entropy that contains one already, which this preset does not copy.
///
/// # Errors
/// [`ModelError::UnknownPreset`] for any other name.
pub fn preset(name: &str) -> Result<Preset, ModelError> {
    match name {
        "m1" => Ok(m1()),
        _ => Err(ModelError::UnknownPreset { name: name.to_owned() }),
    }
}

fn m1() -> Preset {
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
        conv(16, 7),
        leaky.clone(),
        halve.clone(),
        conv(8, 5),
        leaky,
        halve,
        LayerSpec::Flatten {},
        LayerSpec::Dense { outputs: 5, bias: true },
    ];
    Preset {
        model: ModelSpec {
            input: vec![1, 128],
            layers,
        },
        server: 7..8,
    }
}
