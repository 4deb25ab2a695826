//! Passes in which somebody else computes the products of linear layers, against passes that compute them here.

use std::task::{Context, Poll, Waker};

use super::*;
use crate::{LinearLayer, LinearShape, OptimiserSpec};

/// Nothing here ever waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn layers() -> Vec<LayerSpec> {
    let conv = |channels, kernel, stride, padding, bias| LayerSpec::Conv2d {
        channels,
        kernel,
        stride,
        padding,
        bias,
    };
    let norm = || LayerSpec::BatchNorm {
        epsilon: 1e-5,
        momentum: 0.1,
    };
    vec![
        conv(3, 3, 1, 1, true),
        norm(),
        LayerSpec::Relu {},
        LayerSpec::Residual {
            body: vec![conv(4, 3, 2, 1, false), norm(), LayerSpec::Gelu {}, conv(4, 3, 1, 1, true)],
            shortcut: vec![conv(4, 1, 2, 0, false), norm()],
        },
        LayerSpec::Residual {
            body: vec![LayerSpec::Tanh {}],
            shortcut: vec![],
        },
        LayerSpec::Flatten {},
        LayerSpec::Dense { outputs: 6, bias: true },
        LayerSpec::Relu {},
        LayerSpec::Dense { outputs: 2, bias: false },
    ]
}

fn model() -> ModelSpec {
    ModelSpec {
        input: vec![2, 6, 5],
        layers: layers(),
    }
}

fn network(model: &ModelSpec) -> Network {
    let sgd = OptimiserSpec::Sgd {
        learning_rate: 0.1,
        momentum: 0.9,
        weight_decay: 0.0,
        schedule: Default::default(),
    };
    Network::new(model, 0..model.layers.len(), 3)
        .unwrap()
        .with_optimiser(sgd)
        .unwrap()
}

/// A layer alone, without bias, with this weight: its three products are those of a network of one layer.
fn alone(layer: &LinearLayer, weight: ArrayD<f32>) -> Network {
    let spec = match layer.shape {
        LinearShape::Dense { outputs, .. } => LayerSpec::Dense { outputs, bias: false },
        LinearShape::Convolution {
            channels,
            kernel,
            stride,
            padding,
            ..
        } => LayerSpec::Conv2d {
            channels: channels[1],
            kernel,
            stride,
            padding,
            bias: false,
        },
    };
    let mut network = whole(&layer.shape.input(), vec![spec]);
    network.set_parameters(&[("0.weight".into(), weight)]).unwrap();
    network
}

#[test]
fn the_linear_layers_of_a_model() {
    let found = model().linear_layers(0..7, InputGradient::NotWanted).unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|layer| (layer.weight.as_str(), layer.input_gradient))
        .collect();
    let expected = [
        ("0.weight", false),
        ("3.body.0.weight", true),
        ("3.body.3.weight", true),
        ("3.shortcut.0.weight", true),
        ("6.weight", true),
    ];
    assert_eq!(names, expected);
    let network = network(&model());
    for layer in &found {
        let held = network.parameters();
        let (_, weight) = held.iter().find(|(name, _)| *name == layer.weight).unwrap();
        assert_eq!(weight.shape(), layer.shape.weight());
    }
    let of_tail = model().linear_layers(6..9, InputGradient::Wanted).unwrap();
    assert!(of_tail.iter().all(|layer| layer.input_gradient));
    // A block at the very beginning: neither branch has anybody before it.
    let block = ModelSpec {
        input: vec![4],
        layers: vec![LayerSpec::Residual {
            body: vec![LayerSpec::Dense { outputs: 4, bias: true }],
            shortcut: vec![LayerSpec::Dense { outputs: 4, bias: true }],
        }],
    };
    let of_block = block.linear_layers(0..1, InputGradient::NotWanted).unwrap();
    assert!(of_block.iter().all(|layer| !layer.input_gradient));
    let line = ModelSpec {
        input: vec![1, 8],
        layers: vec![conv(2, 3, 1, 0)],
    };
    assert!(line.linear_layers(0..1, InputGradient::NotWanted).is_err());
    assert!(model().linear_layers(3..12, InputGradient::NotWanted).is_err());
}

#[test]
fn products_from_outside_train_as_those_from_here() {
    let model = model();
    for (end, wish) in [
        (9, InputGradient::NotWanted),
        (5, InputGradient::Wanted),
        (0, InputGradient::Wanted),
    ] {
        let (mut here, there) = (network(&model), network(&model));
        let mut there = there.with_products_outside(&model, 0..end, wish).unwrap();
        let layers = there.outside().to_vec();
        for step in 0..3 {
            let x = spread(&[4, 2, 6, 5], step);
            let expected = here.forward_train(step as u64, &x).unwrap();
            let weights: Vec<_> = (0..layers.len()).map(|number| there.outside_weight(number)).collect();
            let mut inputs = vec![None; layers.len()];
            let product = async |number: usize, x: ArrayD<f32>| {
                let y = alone(&layers[number], weights[number].clone()).forward(&x);
                inputs[number] = Some(x);
                y
            };
            let y = now(there.forward_train_with(step as u64, &x, product)).unwrap();
            assert!(close(&y, &expected));
            let dy = spread(&[4, 2], 7 + step);
            let expected = here.backward(&dy, wish).unwrap();
            let mut gradients = Vec::new();
            let products = async |number: usize, dy: ArrayD<f32>| {
                let mut layer = alone(&layers[number], weights[number].clone());
                layer.forward_train(0, inputs[number].as_ref().unwrap())?;
                let dx = layer.backward(&dy, InputGradient::Wanted)?;
                gradients.push((number, layer.gradients()[0].1.clone()));
                Ok::<_, ModelError>(dx.filter(|_| layers[number].input_gradient))
            };
            let dx = now(there.backward_with(&dy, wish, products)).unwrap();
            assert_eq!(dx.is_some(), expected.is_some());
            assert!(dx.zip(expected).is_none_or(|(dx, expected)| close(&dx, &expected)));
            assert_eq!(gradients.len(), layers.len());
            for (number, gradient) in gradients {
                there.set_outside_gradient(number, &gradient).unwrap();
            }
            here.update().unwrap();
            there.update().unwrap();
            for ((name, ours), (_, theirs)) in here.parameters().iter().zip(there.parameters()) {
                assert!(close(ours, &theirs), "{name}");
            }
            let use_product =
                async |number: usize, x: ArrayD<f32>| alone(&layers[number], there.outside_weight(number)).forward(&x);
            assert!(close(
                &now(there.forward_with(&x, use_product)).unwrap(),
                &here.forward(&x).unwrap()
            ));
        }
    }
}

#[test]
fn a_product_of_another_shape_is_an_error() {
    let model = model();
    let network = network(&model)
        .with_products_outside(&model, 0..9, InputGradient::NotWanted)
        .unwrap();
    let wrong = async |_: usize, _: ArrayD<f32>| Ok::<_, ModelError>(spread(&[4, 3, 6, 4], 0));
    assert!(now(network.forward_with(&spread(&[4, 2, 6, 5], 0), wrong)).is_err());
    let model_of_two = Network::new(&model, 2..9, 0).unwrap();
    assert!(
        model_of_two
            .with_products_outside(&model, 1..9, InputGradient::Wanted)
            .is_err()
    );
}

fn close(a: &ArrayD<f32>, b: &ArrayD<f32>) -> bool {
    a.shape() == b.shape() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + b.abs()))
}
