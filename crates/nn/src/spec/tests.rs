use proptest::prelude::*;

use super::*;
use crate::{Preset, preset, preset_names};

fn model(text: &str) -> ModelSpec {
    toml::from_str(text).unwrap()
}

fn sentence(input: &[usize], layers: Vec<LayerSpec>) -> String {
    ModelSpec {
        input: input.to_vec(),
        layers,
    }
    .parameter_count()
    .unwrap_err()
    .to_string()
}

#[test]
fn a_model_is_read_from_a_job_file_with_defaults() {
    let text = r#"
        input = [1, 128]
        layers = [
            { type = "conv1d", channels = 16, kernel = 7, padding = 3 },
            { type = "leaky-relu" },
            { type = "max-pool1d", size = 2 },
            { type = "avg-pool1d", size = 4, stride = 2 },
            { type = "flatten" },
            { type = "dropout", rate = 0.5 },
            { type = "dense", outputs = 5 },
            { type = "relu" }, { type = "sigmoid" }, { type = "tanh" },
        ]"#;
    let expected = vec![
        LayerSpec::Conv1d {
            channels: 16,
            kernel: 7,
            stride: 1,
            padding: 3,
            bias: true,
        },
        LayerSpec::LeakyRelu { slope: 0.01 },
        LayerSpec::MaxPool1d { size: 2, stride: None },
        LayerSpec::AvgPool1d {
            size: 4,
            stride: Some(2),
        },
        LayerSpec::Flatten {},
        LayerSpec::Dropout { rate: 0.5 },
        LayerSpec::Dense { outputs: 5, bias: true },
        LayerSpec::Relu {},
        LayerSpec::Sigmoid {},
        LayerSpec::Tanh {},
    ];
    let read = model(text);
    assert_eq!(read.layers, expected);
    assert_eq!(model(&toml::to_string(&read).unwrap()), read);
    let shapes = read.shapes().unwrap();
    assert_eq!(
        shapes[1..6],
        [vec![16, 128], vec![16, 128], vec![16, 64], vec![16, 31], vec![496]]
    );
}

#[test]
fn the_other_presets_differ_in_their_sizes() {
    let counts = |first: usize, second: usize, inputs: usize, cut: usize| {
        (inputs * 7 * first + first) + (first * 5 * second + second) + (cut * 5 + 5)
    };
    for (name, input, cut, parameters) in [
        ("m1-big", vec![1, 128], 512, counts(16, 16, 1, 512)),
        ("ptbxl", vec![12, 1000], 2000, counts(16, 8, 12, 2000)),
    ] {
        let Preset { model, server } = preset(name).unwrap();
        let shapes = model.shapes().unwrap();
        assert_eq!((&shapes[0], &shapes[server.start]), (&input, &vec![cut]), "{name}");
        assert_eq!(shapes[server.end], [5]);
        assert_eq!(model.layers[server], [LayerSpec::Dense { outputs: 5, bias: true }]);
        assert_eq!(model.parameter_count().unwrap(), parameters, "{name}");
    }
}

#[test]
fn a_residual_network_is_read_from_a_job_file_with_defaults() {
    let text = r#"
        input = [3, 32, 32]
        layers = [
            { type = "conv2d", channels = 16, kernel = 3, padding = 1, bias = false },
            { type = "batch-norm" },
            { type = "gelu" },
            { type = "max-pool2d", size = 3, stride = 2, padding = 1 },
            { type = "residual", body = [
                { type = "conv2d", channels = 32, kernel = 3, stride = 2, padding = 1 },
                { type = "layer-norm", axes = 1 },
            ], shortcut = [{ type = "conv2d", channels = 32, kernel = 1, stride = 2 }] },
            { type = "residual", body = [{ type = "relu" }] },
            { type = "avg-pool2d", size = 2 },
            { type = "global-avg-pool2d" },
            { type = "flatten" },
            { type = "dense", outputs = 10 },
        ]"#;
    let conv = |channels, kernel, stride, padding, bias| LayerSpec::Conv2d {
        channels,
        kernel,
        stride,
        padding,
        bias,
    };
    let expected = vec![
        conv(16, 3, 1, 1, false),
        LayerSpec::BatchNorm {
            epsilon: 1e-5,
            momentum: 0.1,
        },
        LayerSpec::Gelu {},
        LayerSpec::MaxPool2d {
            size: 3,
            stride: Some(2),
            padding: 1,
        },
        LayerSpec::Residual {
            body: vec![
                conv(32, 3, 2, 1, true),
                LayerSpec::LayerNorm {
                    axes: Some(1),
                    epsilon: 1e-5,
                },
            ],
            shortcut: vec![conv(32, 1, 2, 0, true)],
        },
        LayerSpec::Residual {
            body: vec![LayerSpec::Relu {}],
            shortcut: vec![],
        },
        LayerSpec::AvgPool2d { size: 2, stride: None },
        LayerSpec::GlobalAvgPool2d {},
        LayerSpec::Flatten {},
        LayerSpec::Dense { outputs: 10, bias: true },
    ];
    let read = model(text);
    assert_eq!(read.layers, expected);
    assert_eq!(model(&toml::to_string(&read).unwrap()), read);
    let json = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<ModelSpec>(&json).unwrap(), read);
    let shapes = read.shapes().unwrap();
    let expected: [&[usize]; 8] = [
        &[16, 32, 32],
        &[16, 16, 16],
        &[32, 8, 8],
        &[32, 8, 8],
        &[32, 4, 4],
        &[32, 1, 1],
        &[32],
        &[10],
    ];
    assert_eq!(shapes[3..], expected);
    let convolutions = 3 * 9 * 16 + (16 * 9 * 32 + 32) + (16 * 32 + 32);
    assert_eq!(read.parameter_count().unwrap(), convolutions + 2 * 16 + 2 * 8 + 330);
}

#[test]
fn impossible_settings_of_planes_and_blocks_are_one_sentence() {
    let (relu, pool) = (LayerSpec::Relu {}, |size, padding| LayerSpec::MaxPool2d {
        size,
        stride: None,
        padding,
    });
    let residual = |body, shortcut| LayerSpec::Residual { body, shortcut };
    let conv = |kernel, padding| LayerSpec::Conv2d {
        channels: 2,
        kernel,
        stride: 1,
        padding,
        bias: true,
    };
    let nested = (0..=MAX_NESTING).fold(relu.clone(), |inner, _| residual(vec![inner], vec![]));
    for (input, layer, expected) in [
        (
            vec![2, 4],
            conv(3, 1),
            "layer 0 (conv2d): expected [channels, height, width], got [2, 4]",
        ),
        (
            vec![2, 4, 2],
            conv(3, 0),
            "layer 0 (conv2d): expected a window of at most 2 plus padding, got 3",
        ),
        (
            vec![2, 4, 4],
            conv(3, 3),
            "layer 0 (conv2d): expected a padding below the kernel length 3, got 3",
        ),
        (
            vec![2, 4, 4],
            pool(3, 2),
            "layer 0 (max-pool2d): expected a padding of at most half the window's size 3, got 2",
        ),
        (
            vec![4],
            LayerSpec::GlobalAvgPool1d {},
            "layer 0 (global-avg-pool1d): expected [channels, length], got [4]",
        ),
        (
            vec![4],
            LayerSpec::BatchNorm {
                epsilon: 1e-5,
                momentum: 1.5,
            },
            "layer 0 (batch-norm): expected a momentum in 0..=1, got 1.5",
        ),
        (
            vec![4],
            LayerSpec::BatchNorm {
                epsilon: 1e-60,
                momentum: 0.1,
            },
            "layer 0 (batch-norm): expected a positive epsilon, got 1e-60",
        ),
        (
            vec![4],
            LayerSpec::LayerNorm {
                axes: Some(2),
                epsilon: 1e-5,
            },
            "layer 0 (layer-norm): expected 1 to 1 axes, got 2",
        ),
        (
            vec![2, 4, 4],
            residual(vec![relu.clone(), conv(3, 0)], vec![]),
            "layer 0 (residual): expected a shortcut that ends in the body's shape [2, 2, 2], got [2, 4, 4]",
        ),
        (
            vec![2, 4, 4],
            residual(vec![relu.clone()], vec![relu.clone(), conv(5, 0)]),
            "layer 0.shortcut.1 (conv2d): expected a window of at most 4 plus padding, got 5",
        ),
        (
            vec![4],
            residual(vec![], vec![]),
            "layer 0 (residual): expected a body of at least one layer, got 0",
        ),
        (
            vec![4],
            nested,
            "model: expected at most 4 residual blocks inside each other, got 5",
        ),
        (
            vec![4],
            residual(vec![relu; MAX_LAYERS], vec![]),
            "model: expected at most 1000 layers, got 1001",
        ),
    ] {
        assert_eq!(sentence(&input, vec![layer]), expected);
    }
}

#[test]
fn unknown_fields_and_types_are_refused() {
    for layer in [
        r#"type = "relu", slope = 0.1"#,
        r#"type = "flatten", axis = 1"#,
        r#"type = "dense", outputs = 3, units = 3"#,
        r#"type = "conv1d", channels = 1, kernel = 3, dilation = 2"#,
        r#"type = "gelu", approximate = "tanh""#,
        r#"type = "batch-norm", affine = false"#,
        r#"type = "residual""#,
        r#"type = "attention", heads = 1, dropout = 0.1"#,
        r#"type = "positions", kind = "sine""#,
        r#"type = "residual", body = [{ type = "relu", slope = 1 }]"#,
        r#"type = "softmax""#,
        r#"type = "dense""#,
    ] {
        let text = format!("input = [4]\nlayers = [{{ {layer} }}]");
        assert!(toml::from_str::<ModelSpec>(&text).is_err(), "{layer}");
    }
    assert!(toml::from_str::<ModelSpec>("input = [4]\nlayers = []\nname = 'x'").is_err());
}

#[test]
fn m1_is_the_published_model() {
    let Preset { model, server } = preset("m1").unwrap();
    let shapes = model.shapes().unwrap();
    let expected: [&[usize]; 9] = [
        &[1, 128],
        &[16, 128],
        &[16, 128],
        &[16, 64],
        &[8, 64],
        &[8, 64],
        &[8, 32],
        &[256],
        &[5],
    ];
    assert_eq!(shapes, expected);
    assert_eq!(
        model.parameter_count().unwrap(),
        (7 * 16 + 16) + (16 * 5 * 8 + 8) + (256 * 5 + 5)
    );
    assert_eq!(model.layers[server], [LayerSpec::Dense { outputs: 5, bias: true }]);
    for name in preset_names() {
        preset(name).unwrap().model.parameter_count().unwrap();
    }
    assert_eq!(
        preset("m2").unwrap_err().to_string(),
        r#"model preset: expected one of m1, m1-big, ptbxl, resnet18-cifar, vit-cifar, got "m2""#
    );
}

#[test]
fn a_mistake_is_one_sentence() {
    let dense = LayerSpec::Dense { outputs: 5, bias: true };
    let conv = |kernel, padding| LayerSpec::Conv1d {
        channels: 2,
        kernel,
        stride: 1,
        padding,
        bias: true,
    };
    for (input, layer, expected) in [
        (
            vec![8, 8, 8],
            dense.clone(),
            "layer 0 (dense): expected [features] or [tokens, width] (put a flatten layer before it), got [8, 8, 8]",
        ),
        (vec![8], conv(3, 0), "layer 0 (conv1d): expected [channels, length], got [8]"),
        (
            vec![1, 4],
            conv(5, 0),
            "layer 0 (conv1d): expected a window of at most 4 plus padding, got 5",
        ),
        (
            vec![1, 4],
            conv(5, 5),
            "layer 0 (conv1d): expected a padding below the kernel length 5, got 5",
        ),
        (
            vec![1, 4],
            conv(0, 0),
            "layer 0 (conv1d): expected a padding below the kernel length 0, got 0",
        ),
        (
            vec![1, 4],
            LayerSpec::MaxPool1d {
                size: 2,
                stride: Some(0),
            },
            "layer 0 (max-pool1d): expected a window length and stride of at least 1, got [2, 0]",
        ),
        (
            vec![4],
            LayerSpec::Dropout { rate: 1.0 },
            "layer 0 (dropout): expected a rate in 0..1, got 1.0",
        ),
        (
            vec![4],
            LayerSpec::LeakyRelu { slope: f64::NAN },
            "layer 0 (leaky-relu): expected a slope in 0..=1, got NaN",
        ),
        (
            vec![1, 2, 3, 4],
            dense.clone(),
            "model: expected an input of [features], [channels, length], [tokens, width] or [channels, height, width], got [1, 2, 3, 4]",
        ),
        (vec![0], dense, "model: expected an input of 1 to 16777216 values, got [0]"),
    ] {
        assert_eq!(sentence(&input, vec![layer]), expected);
    }
}

#[test]
fn sizes_of_a_strangers_model_are_limited() {
    let dense = |outputs| LayerSpec::Dense { outputs, bias: true };
    assert!(sentence(&[4], vec![dense(usize::MAX)]).contains("at most 16777216 output values"));
    assert!(sentence(&[1 << 24], vec![dense(1 << 24)]).contains("at most 268435456 parameters"));
    assert!(sentence(&[4], vec![LayerSpec::Tanh {}; MAX_LAYERS + 1]).contains("at most 1000 layers"));
    let huge = LayerSpec::Conv1d {
        channels: 1,
        kernel: 1 << 23,
        stride: 1,
        padding: 1 << 22,
        bias: false,
    };
    assert!(sentence(&[1, 1 << 23], vec![huge]).contains("values in all windows"));
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![0usize..40, Just(usize::MAX), Just(usize::MAX / 2), any::<usize>()]
}

fn simple_layer() -> impl Strategy<Value = LayerSpec> {
    prop_oneof![
        size().prop_map(|outputs| LayerSpec::Dense { outputs, bias: true }),
        (size(), size(), size(), size()).prop_map(|(channels, kernel, stride, padding)| LayerSpec::Conv1d {
            channels,
            kernel,
            stride,
            padding,
            bias: true
        }),
        (size(), size()).prop_map(|(size, stride)| LayerSpec::MaxPool1d {
            size,
            stride: Some(stride)
        }),
        (size(), size(), size(), size()).prop_map(|(channels, kernel, stride, padding)| LayerSpec::Conv2d {
            channels,
            kernel,
            stride,
            padding,
            bias: true
        }),
        (size(), size(), size()).prop_map(|(size, stride, padding)| LayerSpec::MaxPool2d {
            size,
            stride: Some(stride),
            padding
        }),
        size().prop_map(|heads| LayerSpec::Attention { heads, bias: true }),
        (size(), size()).prop_map(|(size, width)| LayerSpec::Patches { size, width, bias: true }),
        Just(LayerSpec::Positions {}),
        Just(LayerSpec::MeanTokens {}),
        size().prop_map(|axes| LayerSpec::LayerNorm {
            axes: Some(axes),
            epsilon: 1e-5
        }),
        Just(LayerSpec::GlobalAvgPool2d {}),
        Just(LayerSpec::Flatten {}),
    ]
}

fn layer() -> impl Strategy<Value = LayerSpec> {
    simple_layer().prop_recursive(3, 8, 2, |inner| {
        (prop::collection::vec(inner.clone(), 0..3), prop::collection::vec(inner, 0..2))
            .prop_map(|(body, shortcut)| LayerSpec::Residual { body, shortcut })
    })
}

proptest! {
    #[test]
    fn no_model_makes_the_arithmetic_panic(
        input in prop::collection::vec(size(), 0..5),
        layers in prop::collection::vec(layer(), 0..5),
    ) {
        let _ = ModelSpec { input, layers }.parameter_count();
    }
}

#[test]
fn a_transformer_is_read_from_a_job_file_with_defaults() {
    let text = r#"
        input = [3, 8, 12]
        layers = [
            { type = "patches", size = 4, width = 10 },
            { type = "positions" },
            { type = "residual", body = [{ type = "layer-norm", axes = 1 }, { type = "attention", heads = 2 }] },
            { type = "dense", outputs = 7, bias = false },
            { type = "mean-tokens" },
            { type = "dense", outputs = 4 },
        ]"#;
    let read = model(text);
    let patches = LayerSpec::Patches {
        size: 4,
        width: 10,
        bias: true,
    };
    assert_eq!(read.layers[0], patches);
    let LayerSpec::Residual { body, .. } = &read.layers[2] else {
        panic!("a block")
    };
    assert_eq!(body[1], LayerSpec::Attention { heads: 2, bias: true });
    assert_eq!(model(&toml::to_string(&read).unwrap()), read);
    let expected: [&[usize]; 7] = [&[3, 8, 12], &[6, 10], &[6, 10], &[6, 10], &[6, 7], &[7], &[4]];
    assert_eq!(read.shapes().unwrap(), expected);
    let attention = 30 * 10 + 30 + 10 * 10 + 10;
    assert_eq!(
        read.parameter_count().unwrap(),
        (48 * 10 + 10) + 60 + (20 + attention) + 70 + 32
    );
}

#[test]
fn impossible_settings_of_tokens_are_one_sentence() {
    let (attention, patches) = (
        |heads| LayerSpec::Attention { heads, bias: true },
        |size| LayerSpec::Patches {
            size,
            width: 4,
            bias: true,
        },
    );
    for (input, layer, expected) in [
        (
            vec![6, 10],
            attention(3),
            "layer 0 (attention): expected heads that divide the width 10, got 3",
        ),
        (
            vec![6, 10],
            attention(0),
            "layer 0 (attention): expected heads that divide the width 10, got 0",
        ),
        (
            vec![10],
            attention(2),
            "layer 0 (attention): expected [tokens, width], got [10]",
        ),
        (
            vec![1 << 13, 2],
            attention(1),
            "layer 0 (attention): expected at most 16777216 scores, queries, keys and values, got \"more\"",
        ),
        (
            vec![3, 8, 10],
            patches(4),
            "layer 0 (patches): expected a size that divides the sample's height and width [8, 10], got 4",
        ),
        (
            vec![8, 10],
            patches(2),
            "layer 0 (patches): expected [channels, height, width], got [8, 10]",
        ),
        (
            vec![3, 8, 8],
            LayerSpec::Positions {},
            "layer 0 (positions): expected [tokens, width], got [3, 8, 8]",
        ),
        (
            vec![3],
            LayerSpec::MeanTokens {},
            "layer 0 (mean-tokens): expected [tokens, width], got [3]",
        ),
    ] {
        assert_eq!(sentence(&input, vec![layer]), expected);
    }
}

#[test]
fn the_published_image_classifiers_have_their_numbers_of_parameters() {
    let count = |name| preset(name).unwrap().model.parameter_count().unwrap();
    // As ResNet-18 with the stem for CIFAR is known to have.
    assert_eq!(count("resnet18-cifar"), 11_173_962);
    let block = 2 * 2 * 192 + 4 * 192 * 193 + (192 * 768 + 768) + (768 * 192 + 192);
    assert_eq!(count("vit-cifar"), 49 * 192 + 64 * 192 + 6 * block + 2 * 192 + 193 * 10);
    for name in ["resnet18-cifar", "vit-cifar"] {
        let Preset { model, server } = preset(name).unwrap();
        let shapes = model.shapes().unwrap();
        assert_eq!(
            (&shapes[0][..], &shapes[server.end][..]),
            (&[3, 32, 32][..], &[10][..]),
            "{name}"
        );
    }
}

#[test]
fn products_of_tokens_are_refused_by_name() {
    let wish = crate::InputGradient::NotWanted;
    for (input, layer, expected) in [
        (
            vec![6, 10],
            LayerSpec::Attention { heads: 2, bias: true },
            "layer 0 (attention): expected dense or conv2d, got \"attention\"",
        ),
        (
            vec![1, 4, 4],
            LayerSpec::Patches {
                size: 2,
                width: 3,
                bias: true,
            },
            "layer 0 (patches): expected dense or conv2d, got \"patches\"",
        ),
        (
            vec![6, 10],
            LayerSpec::Dense { outputs: 2, bias: true },
            "layer 0 (dense): expected [features] (this product is offered for one row a sample), got [6, 10]",
        ),
    ] {
        let layers = vec![layer];
        let error = ModelSpec { input, layers }.linear_layers(0..1, wish).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}
