//! The evaluation against a slow one, conversion against the network's own forward pass.

use ndarray::ArrayD;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;
use crate::{LayerSpec, LinearShape, ModelSpec, Network};

mod conversion;
mod files;
mod oracle;
mod structures;
mod values;

fn dense(outputs: usize) -> LayerSpec {
    LayerSpec::Dense { outputs, bias: true }
}

fn conv(channels: usize, kernel: usize, stride: usize, padding: usize) -> LayerSpec {
    LayerSpec::Conv2d {
        channels,
        kernel,
        stride,
        padding,
        bias: true,
    }
}

fn max_pool(size: usize, stride: usize, padding: usize) -> LayerSpec {
    LayerSpec::MaxPool2d {
        size,
        stride: Some(stride),
        padding,
    }
}

fn avg_pool(size: usize) -> LayerSpec {
    LayerSpec::AvgPool2d { size, stride: None }
}

fn norm() -> LayerSpec {
    LayerSpec::BatchNorm {
        epsilon: 1e-5,
        momentum: 0.1,
    }
}

const RELU: LayerSpec = LayerSpec::Relu {};
const FLATTEN: LayerSpec = LayerSpec::Flatten {};

fn residual(body: Vec<LayerSpec>, shortcut: Vec<LayerSpec>) -> LayerSpec {
    LayerSpec::Residual { body, shortcut }
}

fn spec(input: &[usize], layers: Vec<LayerSpec>) -> ModelSpec {
    ModelSpec {
        input: input.to_vec(),
        layers,
    }
}

/// One of each thing that a conversion can meet.
fn models() -> Vec<(&'static str, ModelSpec)> {
    let minionn = vec![
        conv(4, 5, 1, 0),
        avg_pool(2),
        RELU,
        conv(4, 3, 1, 0),
        avg_pool(2),
        RELU,
        FLATTEN,
        dense(10),
        RELU,
        dense(5),
    ];
    let lenet = vec![
        conv(3, 3, 1, 1),
        RELU,
        max_pool(2, 2, 0),
        conv(5, 3, 1, 0),
        max_pool(3, 2, 1),
        RELU,
        FLATTEN,
        dense(4),
    ];
    let block = |stride| {
        let shortcut = if stride == 1 {
            vec![]
        } else {
            vec![conv(6, 1, stride, 0), norm()]
        };
        residual(vec![conv(6, 3, stride, 1), norm(), RELU, conv(6, 3, 1, 1), norm()], shortcut)
    };
    let resnet = vec![
        conv(6, 3, 1, 1),
        norm(),
        RELU,
        block(1),
        RELU,
        block(2),
        RELU,
        LayerSpec::GlobalAvgPool2d {},
        FLATTEN,
        LayerSpec::Dropout { rate: 0.5 },
        dense(4),
    ];
    let odd = vec![
        conv(3, 2, 1, 0),
        avg_pool(3),
        norm(),
        max_pool(2, 1, 0),
        avg_pool(3),
        FLATTEN,
        dense(3),
        LayerSpec::Sigmoid {},
    ];
    let bare = vec![
        RELU,
        avg_pool(2),
        residual(vec![RELU, conv(2, 3, 1, 1)], vec![]),
        conv(2, 1, 1, 0),
        residual(
            vec![RELU, conv(2, 3, 1, 1), residual(vec![conv(2, 1, 1, 0)], vec![avg_pool(1)])],
            vec![],
        ),
        LayerSpec::GlobalAvgPool2d {},
    ];
    vec![
        ("minionn", spec(&[1, 16, 16], minionn)),
        ("lenet", spec(&[2, 9, 11], lenet)),
        ("resnet", spec(&[3, 7, 6], resnet)),
        ("odd", spec(&[2, 13, 13], odd)),
        ("bare", spec(&[2, 6, 8], bare)),
        ("flat", spec(&[9], vec![dense(7), norm(), RELU, dense(6), dense(3)])),
    ]
}

type Arrays = Vec<(String, ArrayD<f32>)>;

fn uniform(rng: &mut ChaCha20Rng, from: f32, to: f32) -> f32 {
    from + (to - from) * (rng.next_u32() >> 8) as f32 / (1 << 24) as f32
}

/// A network whose normalisations do something, its arrays, and samples.
fn network(model: &ModelSpec, samples: usize) -> (Network, Arrays, ArrayD<f32>) {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let mut network = Network::new(model, 0..model.layers.len(), 3).unwrap();
    let mut buffers = network.buffers();
    for (name, values) in &mut buffers {
        let low = if name.ends_with("var") { 0.3 } else { -0.3 };
        values.mapv_inplace(|_| uniform(&mut rng, low, 0.9));
    }
    network.set_buffers(&buffers).unwrap();
    let mut parameters = network.parameters();
    for (_, values) in parameters.iter_mut().filter(|(_, values)| values.ndim() == 1) {
        values.mapv_inplace(|value| value + uniform(&mut rng, -0.2, 0.2));
    }
    network.set_parameters(&parameters).unwrap();
    let x = ArrayD::from_shape_simple_fn(network.batch_shape(samples), || uniform(&mut rng, -1.0, 1.0));
    (network, [parameters, buffers].concat(), x)
}

fn converted(model: &ModelSpec, ring_bits: u32, fraction_bits: u32) -> FixedModel {
    let (_, arrays, _) = network(model, 1);
    FixedModel::convert(model, &arrays, ring_bits, fraction_bits, Ending::Scores).unwrap()
}

fn steps(model: &ModelSpec) -> Vec<Step> {
    converted(model, 32, 10).structure().steps.clone()
}

fn refused<T>(result: Result<T, ModelError>) -> String {
    match result {
        Ok(_) => panic!("expected an error"),
        Err(error) => error.to_string(),
    }
}
