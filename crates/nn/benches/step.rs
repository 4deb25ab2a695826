//! One training step on small batches, where the engine's overhead would show.
#![allow(missing_docs)]

use cloven_nn::{BatchTargets, InputGradient, LayerSpec, LearningRateSchedule, Loss, ModelSpec, Network, OptimiserSpec, preset};
use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::ArrayD;

criterion_group!(benches, steps);
criterion_main!(benches);

fn steps(criterion: &mut Criterion) {
    let m1 = preset("m1").expect("a known preset");
    train(criterion, "m1, batch 4", &m1.model, 4, 5);
    infer(criterion, "m1, inference, batch 256", &m1.model, 256);
    let cifar = small_residual_network();
    train(criterion, "residual network on 3 x 32 x 32, batch 32", &cifar, 32, 10);
    infer(
        criterion,
        "residual network on 3 x 32 x 32, inference, batch 256",
        &cifar,
        256,
    );
    let dense = |outputs| LayerSpec::Dense { outputs, bias: true };
    let layers = vec![dense(128), LayerSpec::Relu {}, dense(32), LayerSpec::Relu {}, dense(10)];
    train(
        criterion,
        "784-128-32-10, batch 60",
        &ModelSpec {
            input: vec![784],
            layers,
        },
        60,
        10,
    );
}

/// The first half of a ResNet for CIFAR-10: 16 and 32 channels, one block each.
fn small_residual_network() -> ModelSpec {
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
    let block = |channels, stride, shortcut| LayerSpec::Residual {
        body: vec![
            conv(channels, 3, stride),
            norm(),
            LayerSpec::Relu {},
            conv(channels, 3, 1),
            norm(),
        ],
        shortcut,
    };
    let layers = vec![
        conv(16, 3, 1),
        norm(),
        LayerSpec::Relu {},
        block(16, 1, vec![]),
        LayerSpec::Relu {},
        block(32, 2, vec![conv(32, 1, 2), norm()]),
        LayerSpec::Relu {},
        LayerSpec::GlobalAvgPool2d {},
        LayerSpec::Flatten {},
        LayerSpec::Dense { outputs: 10, bias: true },
    ];
    ModelSpec {
        input: vec![3, 32, 32],
        layers,
    }
}

fn train(criterion: &mut Criterion, name: &str, model: &ModelSpec, batch: usize, classes: u32) {
    let adam = OptimiserSpec::AdamW {
        learning_rate: 1e-3,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
        schedule: LearningRateSchedule::default(),
    };
    let network = Network::new(model, 0..model.layers.len(), 1).and_then(|network| network.with_optimiser(adam));
    let mut network = network.expect("a valid model");
    let x = samples(model, batch);
    let targets = BatchTargets::Classes((0..batch as u32).map(|sample| sample % classes).collect());
    let mut step = 0;
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            let outputs = network.forward_train(step, &x).expect("the right shape");
            let (_, delta) = Loss::CrossEntropy.value_and_gradient(&outputs, &targets).expect("finite");
            network.backward(&delta, InputGradient::NotWanted).expect("in order");
            network.update().expect("in order");
            step += 1;
        });
    });
}

fn infer(criterion: &mut Criterion, name: &str, model: &ModelSpec, batch: usize) {
    let network = Network::new(model, 0..model.layers.len(), 1).expect("a valid model");
    let x = samples(model, batch);
    criterion.bench_function(name, |bencher| bencher.iter(|| network.forward(&x).expect("the right shape")));
}

fn samples(model: &ModelSpec, batch: usize) -> ArrayD<f32> {
    let shape: Vec<usize> = std::iter::once(batch).chain(model.input.iter().copied()).collect();
    let mut number = 0u32;
    ArrayD::from_shape_simple_fn(shape, || {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (number >> 8) as f32 / (1 << 24) as f32
    })
}
