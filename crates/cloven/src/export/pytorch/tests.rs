use std::path::Path;

use super::*;

#[test]
fn layers_of_tokens_have_lines_and_the_classes_that_pytorch_lacks() {
    let model: ModelSpec = toml::from_str(
        r#"
        input = [3, 8, 8]
        layers = [
            { type = "patches", size = 4, width = 6, bias = false },
            { type = "positions" },
            { type = "residual", body = [{ type = "layer-norm", axes = 1 }, { type = "attention", heads = 2 }] },
            { type = "dense", outputs = 5 },
            { type = "mean-tokens" },
            { type = "dense", outputs = 2 },
        ]"#,
    )
    .unwrap();
    let snippet = snippet(&model, &[0, 1, 2, 3, 4, 5], Path::new("m.safetensors")).unwrap();
    for line in [
        "import torch\n",
        "class Residual(nn.Module):",
        "class SelfAttention(nn.MultiheadAttention):",
        "class Patches(nn.Conv2d):",
        "class Positions(nn.Module):",
        "class MeanTokens(nn.Module):",
        "(\"0\", Patches(3, 6, 4, stride=4, padding=0, bias=False)),",
        "(\"1\", Positions(4, 6)),",
        "(\"2\", Residual(nn.Sequential(nn.LayerNorm([6], eps=1e-5), SelfAttention(6, 2, batch_first=True)), nn.Sequential())),",
        "(\"3\", nn.Linear(6, 5)),",
        "(\"4\", MeanTokens()),",
        "(\"5\", nn.Linear(5, 2)),",
    ] {
        assert!(snippet.contains(line), "{line}: {snippet}");
    }
}

#[test]
fn other_layers_need_no_class() {
    let model: ModelSpec = toml::from_str("input = [4]\nlayers = [{ type = \"dense\", outputs = 2 }]").unwrap();
    let snippet = snippet(&model, &[0], Path::new("m.safetensors")).unwrap();
    assert!(!snippet.contains("class") && !snippet.contains("import torch\n"), "{snippet}");
}
