//! Layers as Python that builds them with PyTorch.

#[cfg(test)]
mod tests;

use std::path::Path;

use cloven_nn::{LayerSpec, ModelError, ModelSpec};

/// Layers that PyTorch has no module for, each with its name; the names of their parameters are those of the file.
const CLASSES: [(&str, &str); 5] = [
    ("Residual", RESIDUAL),
    ("SelfAttention", ATTENTION),
    ("Patches", PATCHES),
    ("Positions", POSITIONS),
    ("MeanTokens", MEAN_TOKENS),
];

const ATTENTION: &str = "\
class SelfAttention(nn.MultiheadAttention):
    def forward(self, x):
        return super().forward(x, x, x, need_weights=False)[0]

";

const PATCHES: &str = "\
class Patches(nn.Conv2d):
    def forward(self, x):
        return super().forward(x).flatten(2).transpose(1, 2)

";

const POSITIONS: &str = "\
class Positions(nn.Module):
    def __init__(self, tokens, width):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(tokens, width))

    def forward(self, x):
        return x + self.weight

";

const MEAN_TOKENS: &str = "\
class MeanTokens(nn.Module):
    def forward(self, x):
        return x.mean(1)

";

const RESIDUAL: &str = "\
class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)

";

/// Python that builds the `layers` of a model under their numbers and loads `file`.
pub(super) fn snippet(model: &ModelSpec, layers: &[usize], file: &Path) -> Result<String, ModelError> {
    let shapes = model.shapes()?;
    let mut modules = String::new();
    for &index in layers {
        let module = module(&model.layers[index], &shapes[index])?;
        modules += &format!("    (\"{index}\", {module}),\n");
    }
    let used = CLASSES.iter().filter(|(name, _)| modules.contains(&format!("{name}(")));
    let classes: String = used.map(|(_, class)| *class).collect();
    let torch = if classes.contains("torch.") { "import torch\n" } else { "" };
    Ok(format!(
        "from collections import OrderedDict\n{torch}import torch.nn as nn\nfrom safetensors.torch import load_file\n\n\
         {classes}model = nn.Sequential(OrderedDict([\n{modules}]))\n\
         model.load_state_dict(load_file({}))\nmodel.eval()",
        text(&file.display().to_string())
    ))
}

/// A layer, given the shape of a sample before it.
fn module(layer: &LayerSpec, input: &[usize]) -> Result<String, ModelError> {
    let (before, last) = (input[0], input[input.len() - 1]);
    let pool = |name: &str, size: usize, stride: Option<usize>| format!("nn.{name}({size}, stride={}", stride.unwrap_or(size));
    Ok(match *layer {
        LayerSpec::Dense { outputs, bias } => format!("nn.Linear({last}, {outputs}{})", without(bias)),
        LayerSpec::Conv1d {
            channels,
            kernel,
            stride,
            padding,
            bias,
        } => convolution("nn.Conv1d", [before, channels, kernel, stride, padding], bias),
        LayerSpec::Conv2d {
            channels,
            kernel,
            stride,
            padding,
            bias,
        } => convolution("nn.Conv2d", [before, channels, kernel, stride, padding], bias),
        LayerSpec::MaxPool1d { size, stride } => pool("MaxPool1d", size, stride) + ")",
        LayerSpec::AvgPool1d { size, stride } => pool("AvgPool1d", size, stride) + ")",
        LayerSpec::MaxPool2d { size, stride, padding } => pool("MaxPool2d", size, stride) + &format!(", padding={padding})"),
        LayerSpec::AvgPool2d { size, stride } => pool("AvgPool2d", size, stride) + ")",
        LayerSpec::GlobalAvgPool1d {} => "nn.AdaptiveAvgPool1d(1)".to_owned(),
        LayerSpec::GlobalAvgPool2d {} => "nn.AdaptiveAvgPool2d(1)".to_owned(),
        LayerSpec::BatchNorm { epsilon, momentum } => {
            let name = if input.len() < 3 { "BatchNorm1d" } else { "BatchNorm2d" };
            format!("nn.{name}({before}, eps={epsilon:?}, momentum={momentum:?})")
        }
        LayerSpec::LayerNorm { axes, epsilon } => {
            let axes = &input[input.len() - axes.unwrap_or(input.len())..];
            format!("nn.LayerNorm({axes:?}, eps={epsilon:?})")
        }
        LayerSpec::Relu {} => "nn.ReLU()".to_owned(),
        LayerSpec::LeakyRelu { slope } => format!("nn.LeakyReLU({slope:?})"),
        LayerSpec::Sigmoid {} => "nn.Sigmoid()".to_owned(),
        LayerSpec::Tanh {} => "nn.Tanh()".to_owned(),
        LayerSpec::Gelu {} => "nn.GELU()".to_owned(),
        LayerSpec::Attention { heads, bias } => format!("SelfAttention({last}, {heads}{}, batch_first=True)", without(bias)),
        LayerSpec::Patches { size, width, bias } => convolution("Patches", [before, width, size, size, 0], bias),
        LayerSpec::Positions {} => format!("Positions({before}, {last})"),
        LayerSpec::MeanTokens {} => "MeanTokens()".to_owned(),
        LayerSpec::Flatten {} => "nn.Flatten()".to_owned(),
        LayerSpec::Dropout { rate } => format!("nn.Dropout({rate:?})"),
        LayerSpec::Residual { ref body, ref shortcut } => {
            format!("Residual({}, {})", sequence(body, input)?, sequence(shortcut, input)?)
        }
    })
}

fn convolution(name: &str, [before, channels, kernel, stride, padding]: [usize; 5], bias: bool) -> String {
    format!(
        "{name}({before}, {channels}, {kernel}, stride={stride}, padding={padding}{})",
        without(bias)
    )
}

fn without(bias: bool) -> &'static str {
    if bias { "" } else { ", bias=False" }
}

/// The layers of a branch; none give their input back.
fn sequence(layers: &[LayerSpec], input: &[usize]) -> Result<String, ModelError> {
    let branch = ModelSpec {
        input: input.to_vec(),
        layers: layers.to_vec(),
    };
    let shapes = match layers {
        [] => Vec::new(),
        _ => branch.shapes()?,
    };
    let modules: Result<Vec<String>, ModelError> = layers
        .iter()
        .zip(&shapes)
        .map(|(layer, shape)| module(layer, shape))
        .collect();
    Ok(format!("nn.Sequential({})", modules?.join(", ")))
}

/// A Python string of this text.
fn text(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}
