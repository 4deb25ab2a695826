//! Training cut is training whole, bit for bit.

use ndarray::ArrayD;

use super::{conv, layers::conv2d, spread};
use crate::{BatchTargets, InputGradient, LayerSpec, LearningRateSchedule, Loss, ModelSpec, Network, OptimiserSpec, preset};

const STEPS: u64 = 20;

fn optimisers() -> [OptimiserSpec; 3] {
    [
        OptimiserSpec::AdamW {
            learning_rate: 1e-2,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
            schedule: LearningRateSchedule::default(),
        },
        OptimiserSpec::Sgd {
            learning_rate: 0.1,
            momentum: 0.9,
            weight_decay: 0.001,
            schedule: LearningRateSchedule::default(),
        },
        OptimiserSpec::Sgld {
            learning_rate: 0.1,
            temperature: 0.01,
            weight_decay: 0.001,
            schedule: LearningRateSchedule::Power {
                offset: 1.0,
                gamma: 0.55,
                warm_up: 2,
            },
        },
    ]
}

/// m1 with its cut, with dropout on both sides of the cut if asked for.
fn model(dropout: bool) -> (ModelSpec, usize) {
    let mut model = preset("m1").unwrap().model;
    if dropout {
        model.layers.insert(7, LayerSpec::Dropout { rate: 0.3 });
        model.layers.insert(6, LayerSpec::Dropout { rate: 0.2 });
        return (model, 8);
    }
    (model, 7)
}

type Bits = Vec<(String, Vec<u32>)>;

/// The bits of all weights and running statistics after training the parts of the model between these cuts, and those of the last outputs.
fn train(model: &ModelSpec, cuts: &[usize], optimiser: &OptimiserSpec, batch: usize) -> (Bits, Vec<u32>) {
    let held = |pair: &[usize]| {
        Network::new(model, pair[0]..pair[1], 42)
            .unwrap()
            .with_optimiser(optimiser.clone())
            .unwrap()
    };
    let mut parts: Vec<Network> = cuts.windows(2).map(held).collect();
    let mut last = ArrayD::zeros(vec![0]);
    for step in 0..STEPS {
        let x = spread(&[&[batch], &model.input[..]].concat(), step as usize);
        let targets = BatchTargets::Classes((0..batch as u32).map(|sample| (sample + step as u32) % 5).collect());
        last = parts.iter_mut().fold(x, |x, part| part.forward_train(step, &x).unwrap());
        let (_, mut gradient) = Loss::CrossEntropy.value_and_gradient(&last, &targets).unwrap();
        for (index, part) in parts.iter_mut().enumerate().rev() {
            let wanted = if index == 0 {
                InputGradient::NotWanted
            } else {
                InputGradient::Wanted
            };
            if let Some(at_input) = part.backward(&gradient, wanted).unwrap() {
                gradient = at_input;
            }
        }
        parts.iter_mut().for_each(|part| part.update().unwrap());
    }
    let bits = |values: &ArrayD<f32>| values.iter().map(|value| value.to_bits()).collect();
    let mut weights: Bits = parts
        .iter()
        .flat_map(|part| [part.parameters(), part.buffers()].concat())
        .map(|(name, values)| (name, bits(&values)))
        .collect();
    weights.sort();
    (weights, bits(&last))
}

#[test]
fn m1_cut_at_its_server_layer_is_m1_whole() {
    for dropout in [false, true] {
        let (model, server) = model(dropout);
        let end = model.layers.len();
        for optimiser in optimisers() {
            let whole = train(&model, &[0, end], &optimiser, 4);
            let start = train(
                &model,
                &[0, end],
                &OptimiserSpec::Sgd {
                    learning_rate: 1e-30,
                    momentum: 0.0,
                    weight_decay: 0.0,
                    schedule: LearningRateSchedule::default(),
                },
                4,
            );
            assert_ne!(whole, start, "nothing was learned");
            // Front, server, empty tail.
            let cut = train(&model, &[0, server, end, end], &optimiser, 4);
            assert!(whole == cut, "{optimiser:?}, dropout {dropout}");
        }
    }
}

#[test]
fn any_cut_of_any_kind_of_layer_is_the_whole() {
    let layers = vec![
        conv(6, 5, 2, 2),
        LayerSpec::Tanh {},
        LayerSpec::AvgPool1d {
            size: 3,
            stride: Some(2),
        },
        conv(4, 3, 1, 0),
        LayerSpec::Relu {},
        LayerSpec::MaxPool1d {
            size: 3,
            stride: Some(1),
        },
        LayerSpec::Flatten {},
        LayerSpec::Dense {
            outputs: 33,
            bias: false,
        },
        LayerSpec::Sigmoid {},
        LayerSpec::Dense { outputs: 5, bias: true },
    ];
    let model = ModelSpec {
        input: vec![2, 61],
        layers,
    };
    for batch in [1, 7] {
        let whole = train(&model, &[0, 10], &optimisers()[0], batch);
        for cut in 0..=10 {
            assert!(
                train(&model, &[0, cut, 10], &optimisers()[0], batch) == whole,
                "cut at {cut}, batch {batch}"
            );
        }
        let every: Vec<usize> = (0..=10).collect();
        assert!(train(&model, &every, &optimisers()[0], batch) == whole);
    }
}

#[test]
fn any_cut_of_a_residual_network_is_the_whole() {
    let norm = || LayerSpec::BatchNorm {
        epsilon: 1e-5,
        momentum: 0.1,
    };
    let plain = |channels, stride| LayerSpec::Conv2d {
        channels,
        kernel: 3,
        stride,
        padding: 1,
        bias: false,
    };
    let narrow = LayerSpec::Conv2d {
        channels: 6,
        kernel: 1,
        stride: 2,
        padding: 0,
        bias: false,
    };
    let layers = vec![
        conv2d(4, 3, 1, 1),
        norm(),
        LayerSpec::Relu {},
        LayerSpec::Residual {
            body: vec![
                plain(6, 2),
                norm(),
                LayerSpec::Dropout { rate: 0.2 },
                LayerSpec::Gelu {},
                plain(6, 1),
                norm(),
            ],
            shortcut: vec![narrow, norm()],
        },
        LayerSpec::MaxPool2d {
            size: 3,
            stride: Some(1),
            padding: 1,
        },
        LayerSpec::AvgPool2d {
            size: 2,
            stride: Some(1),
        },
        LayerSpec::LayerNorm {
            axes: None,
            epsilon: 1e-5,
        },
        LayerSpec::GlobalAvgPool2d {},
        LayerSpec::Flatten {},
        LayerSpec::Dense { outputs: 5, bias: true },
    ];
    let model = ModelSpec {
        input: vec![3, 9, 7],
        layers,
    };
    let whole = train(&model, &[0, 10], &optimisers()[0], 4);
    for cut in 0..=10 {
        assert!(train(&model, &[0, cut, 10], &optimisers()[0], 4) == whole, "cut at {cut}");
    }
    let every: Vec<usize> = (0..=10).collect();
    assert!(train(&model, &every, &optimisers()[0], 4) == whole);
    assert!(train(&model, &[0, 10], &optimisers()[0], 4) == whole, "the same job twice");
}

#[test]
fn other_threads_change_nothing() {
    let (model, server) = model(true);
    let [adamw, ..] = &optimisers();
    let alone = train(&model, &[0, server, 9, 10], adamw, 4);
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| train(&model, &[0, server, 9, 10], adamw, 4)))
            .collect();
        for other in others {
            assert!(other.join().unwrap() == alone);
        }
    });
}

/// Pins the weights of m1 to the seed: a change here changes every run that a seed stands for.
#[test]
fn the_first_weights_of_seed_42() {
    let network = Network::new(&preset("m1").unwrap().model, 0..8, 42).unwrap();
    let first: Vec<f32> = network
        .parameters()
        .iter()
        .map(|(_, values)| *values.iter().next().unwrap())
        .collect();
    assert_eq!(
        first,
        [-0.26310956, 0.15191467, 0.022133188, 0.06625827, -0.060045213, 0.054214798f32]
    );
}
