//! What the layers compute, against differences and slow definitions, and the rules of a training step.

use ndarray::{Array3, ArrayD};
use proptest::prelude::*;

use super::*;
use crate::{LayerSpec, LearningRateSchedule, preset};

mod files;
mod layers;
mod normalisation;
mod offload;
mod outside;
mod split;
mod tokens;

/// Numbers in -1..1 with no two nearer than 1/`count` and none near 0, so that small steps cross no kink.
fn spread(shape: &[usize], salt: usize) -> ArrayD<f32> {
    let count: usize = shape.iter().product();
    let mut number = salt;
    ArrayD::from_shape_simple_fn(shape, || {
        // 7919 is a prime larger than any count here: a permutation of the residues.
        number = (number + 7919) % count;
        (2.0 * number as f32 + 1.0) / count as f32 - 1.0
    })
}

fn whole(input: &[usize], layers: Vec<LayerSpec>) -> Network {
    let count = layers.len();
    Network::new(
        &ModelSpec {
            input: input.to_vec(),
            layers,
        },
        0..count,
        11,
    )
    .unwrap()
}

fn conv(channels: usize, kernel: usize, stride: usize, padding: usize) -> LayerSpec {
    LayerSpec::Conv1d {
        channels,
        kernel,
        stride,
        padding,
        bias: true,
    }
}

/// Compares all gradients of sum(output * direction) at training step 3 with central differences.
fn check_gradients(layer: LayerSpec, input: &[usize]) {
    let kind = format!("{layer:?}");
    let mut network = whole(input, vec![layer]);
    let x = spread(&[&[3], input].concat(), 1);
    let direction = spread(network.forward_train(3, &x).unwrap().shape(), 5);
    let at_input = network.backward(&direction, InputGradient::Wanted).unwrap().unwrap();
    let gradients = network.gradients();

    let step = 1.0 / 256.0;
    let slope = |value: &mut dyn FnMut(f32) -> ArrayD<f32>| {
        let mut sum = |by| (value(by) * &direction).iter().map(|v| f64::from(*v)).sum::<f64>();
        ((sum(step) - sum(-step)) / (2.0 * f64::from(step))) as f32
    };
    for index in 0..x.len() {
        let expected = slope(&mut |by| {
            let mut x = x.clone();
            x.as_slice_mut().unwrap()[index] += by;
            network.forward_train(3, &x).unwrap()
        });
        let actual = at_input.iter().nth(index).unwrap();
        assert!(
            (actual - expected).abs() < 2e-3,
            "{kind} input {index}: {actual} and {expected}"
        );
    }
    let start = network.parameters();
    for (number, (name, gradient)) in gradients.iter().enumerate() {
        for (index, actual) in gradient.iter().enumerate() {
            let expected = slope(&mut |by| {
                let mut parameters = start.clone();
                *parameters[number].1.iter_mut().nth(index).unwrap() += by;
                network.set_parameters(&parameters).unwrap();
                network.forward_train(3, &x).unwrap()
            });
            assert!(
                (actual - expected).abs() < 2e-3,
                "{kind} {name} {index}: {actual} and {expected}"
            );
        }
    }
}

#[test]
fn gradients_are_derivatives() {
    check_gradients(LayerSpec::Dense { outputs: 3, bias: true }, &[5]);
    check_gradients(LayerSpec::Dense { outputs: 3, bias: false }, &[5]);
    check_gradients(conv(2, 3, 1, 1), &[2, 7]);
    check_gradients(conv(3, 4, 3, 2), &[2, 9]);
    check_gradients(
        LayerSpec::Conv1d {
            channels: 2,
            kernel: 2,
            stride: 1,
            padding: 0,
            bias: false,
        },
        &[1, 5],
    );
    for stride in [None, Some(1), Some(3)] {
        check_gradients(LayerSpec::MaxPool1d { size: 2, stride }, &[2, 8]);
        check_gradients(LayerSpec::AvgPool1d { size: 2, stride }, &[2, 8]);
    }
    check_gradients(LayerSpec::Relu {}, &[6]);
    check_gradients(LayerSpec::LeakyRelu { slope: 0.1 }, &[2, 6]);
    check_gradients(LayerSpec::Sigmoid {}, &[6]);
    check_gradients(LayerSpec::Tanh {}, &[2, 6]);
    check_gradients(LayerSpec::Flatten {}, &[2, 6]);
    check_gradients(LayerSpec::Dropout { rate: 0.4 }, &[2, 6]);
    check_gradients(LayerSpec::Gelu {}, &[2, 6]);
}

/// The definition of a convolution, in f64.
fn convolve(x: &ArrayD<f32>, weight: &ArrayD<f32>, bias: &ArrayD<f32>, stride: usize, padding: usize) -> Array3<f64> {
    let (length, kernel) = (x.shape()[2], weight.shape()[2]);
    let outputs = (length + 2 * padding - kernel) / stride + 1;
    Array3::from_shape_fn((x.shape()[0], weight.shape()[0], outputs), |(sample, channel, at)| {
        let mut sum = f64::from(bias[[channel]]);
        for (input, tap) in (0..weight.shape()[1]).flat_map(|input| (0..kernel).map(move |tap| (input, tap))) {
            let position = at * stride + tap;
            if (padding..padding + length).contains(&position) {
                sum += f64::from(x[[sample, input, position - padding]]) * f64::from(weight[[channel, input, tap]]);
            }
        }
        sum
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_convolution_is_its_definition(
        (inputs, channels, kernel, stride) in (1usize..4, 1usize..4, 1usize..6, 1usize..4),
        (padding, extra, batch) in (0usize..6, 0usize..9, 1usize..4),
    ) {
        let padding = padding % kernel;
        let length = kernel + extra;
        let network = whole(&[inputs, length], vec![conv(channels, kernel, stride, padding)]);
        let x = spread(&[batch, inputs, length], 2);
        let parameters = network.parameters();
        let expected = convolve(&x, &parameters[0].1, &parameters[1].1, stride, padding);
        let actual = network.forward(&x).unwrap();
        prop_assert_eq!(actual.shape(), expected.shape());
        for (actual, expected) in actual.iter().zip(&expected) {
            prop_assert!((f64::from(*actual) - expected).abs() < 1e-5);
        }
    }
}

#[test]
fn a_dense_layer_by_hand() {
    let mut network = whole(&[2], vec![LayerSpec::Dense { outputs: 3, bias: true }]);
    let array = |shape: &[usize], values: Vec<f32>| ArrayD::from_shape_vec(shape, values).unwrap();
    let weight = array(&[3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let bias = array(&[3], vec![0.5, 0.0, -0.5]);
    network
        .set_parameters(&[("0.bias".into(), bias), ("0.weight".into(), weight)])
        .unwrap();
    let y = network.forward_train(0, &array(&[1, 2], vec![10.0, 1.0])).unwrap();
    assert_eq!(y, array(&[1, 3], vec![12.5, 34.0, 55.5]));
    let dx = network
        .backward(&array(&[1, 3], vec![1.0, 0.0, -1.0]), InputGradient::Wanted)
        .unwrap();
    assert_eq!(dx, Some(array(&[1, 2], vec![-4.0, -4.0])));
    let gradients = network.gradients();
    assert_eq!(
        gradients[0],
        ("0.weight".into(), array(&[3, 2], vec![10.0, 1.0, 0.0, 0.0, -10.0, -1.0]))
    );
    assert_eq!(gradients[1], ("0.bias".into(), array(&[3], vec![1.0, 0.0, -1.0])));
}

#[test]
fn of_equal_maxima_the_first_receives_the_gradient() {
    let mut network = whole(&[1, 4], vec![LayerSpec::MaxPool1d { size: 2, stride: None }]);
    network.forward_train(0, &ArrayD::zeros(vec![1, 1, 4])).unwrap();
    let dx = network
        .backward(&ArrayD::ones(vec![1, 1, 2]), InputGradient::Wanted)
        .unwrap()
        .unwrap();
    assert_eq!(dx.into_raw_vec_and_offset().0, [1.0, 0.0, 1.0, 0.0]);
}

#[test]
fn dropout_is_a_function_of_seed_layer_and_step() {
    let layers = vec![LayerSpec::Dropout { rate: 0.25 }, LayerSpec::Dropout { rate: 0.25 }];
    let model = ModelSpec {
        input: vec![1000],
        layers,
    };
    let x = ArrayD::ones(vec![4, 1000]);
    let masked = |range, seed, step| Network::new(&model, range, seed).unwrap().forward_train(step, &x).unwrap();
    let mask = masked(0..1, 1, 0);
    assert_eq!(mask, masked(0..1, 1, 0));
    for other in [masked(0..1, 2, 0), masked(0..1, 1, 1), masked(1..2, 1, 0)] {
        assert_ne!(mask, other);
    }
    let kept = mask.iter().filter(|value| **value != 0.0).count();
    assert!((2900..3100).contains(&kept), "{kept} of 4000 kept at rate 0.25");
    assert!(mask.iter().all(|value| *value == 0.0 || *value == 4.0 / 3.0));
    assert_eq!(Network::new(&model, 0..2, 1).unwrap().forward(&x).unwrap(), x);
}

#[test]
fn initial_weights_do_not_depend_on_the_cut() {
    let model = preset("m1").unwrap().model;
    let all = Network::new(&model, 0..8, 5).unwrap().parameters();
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["0.weight", "0.bias", "3.weight", "3.bias", "7.weight", "7.bias"]);
    let shapes: Vec<&[usize]> = all.iter().map(|(_, values)| values.shape()).collect();
    let expected: [&[usize]; 6] = [&[16, 1, 7], &[16], &[8, 16, 5], &[8], &[5, 256], &[5]];
    assert_eq!(shapes, expected);
    for cut in 0..=8 {
        let front = Network::new(&model, 0..cut, 5).unwrap().parameters();
        let back = Network::new(&model, cut..8, 5).unwrap().parameters();
        assert_eq!([front, back].concat(), all);
    }
    for ((_, values), fan_in) in all.iter().zip([7.0, 7.0, 80.0, 80.0, 256.0, 256.0f32]) {
        let bound = 1.0 / fan_in.sqrt();
        assert!(values.iter().all(|value| value.abs() <= bound));
        assert!(values.iter().any(|value| value.abs() > bound / 2.0));
    }
    assert_ne!(Network::new(&model, 0..8, 6).unwrap().parameters(), all);
}

#[test]
fn a_network_without_layers_hands_everything_through() {
    let mut tail = Network::new(&preset("m1").unwrap().model, 8..8, 0).unwrap();
    let optimiser = OptimiserSpec::Sgd {
        learning_rate: 0.1,
        momentum: 0.0,
        weight_decay: 0.0,
        schedule: LearningRateSchedule::default(),
    };
    tail = tail.with_optimiser(optimiser).unwrap();
    let x = spread(&[4, 5], 0);
    assert_eq!(tail.forward(&x).unwrap(), x);
    for wanted in [InputGradient::Wanted, InputGradient::NotWanted] {
        assert_eq!(tail.forward_train(0, &x).unwrap(), x);
        let at_input = tail.backward(&x, wanted).unwrap();
        assert_eq!(at_input, (wanted == InputGradient::Wanted).then(|| x.clone()));
        tail.update().unwrap();
    }
    assert!(tail.parameters().is_empty());
}

#[test]
fn an_array_in_another_memory_order_is_the_same_array() {
    let network = whole(&[6], vec![LayerSpec::Dense { outputs: 2, bias: true }]);
    let x = spread(&[4, 6], 3);
    let turned = x.t().as_standard_layout().into_owned().reversed_axes();
    assert!(!turned.is_standard_layout());
    assert_eq!(network.forward(&x).unwrap(), network.forward(&turned).unwrap());
}

#[test]
fn calls_out_of_order_and_wrong_shapes_are_errors() {
    let mut network = whole(&[4], vec![LayerSpec::Dense { outputs: 2, bias: true }]);
    let (x, y) = (spread(&[3, 4], 0), spread(&[3, 2], 0));
    let order = |result: Result<Option<ArrayD<f32>>, ModelError>| result.unwrap_err().to_string();
    assert_eq!(
        order(network.backward(&y, InputGradient::Wanted)),
        "backward was called without forward_train before it"
    );
    assert_eq!(
        order(network.update().map(|()| None)),
        "update was called without backward before it"
    );
    network.forward_train(0, &x).unwrap();
    let wrong = order(network.backward(&spread(&[2, 2], 0), InputGradient::Wanted));
    assert_eq!(
        wrong,
        "output gradient: expected shape 3 samples, as in forward_train, got [2, 2]"
    );
    network.backward(&y, InputGradient::NotWanted).unwrap();
    assert_eq!(
        order(network.update().map(|()| None)),
        "update was called without with_optimiser before it"
    );
    assert!(network.backward(&y, InputGradient::Wanted).is_err());

    let wrong = network.forward(&spread(&[3, 5], 0)).unwrap_err().to_string();
    assert_eq!(wrong, "input: expected shape [batch, 4], got [3, 5]");
    assert!(network.forward_train(0, &spread(&[4], 0)).is_err());
    assert!(network.forward(&ArrayD::zeros(vec![0, 4])).is_err());

    let model = preset("m1").unwrap().model;
    let beyond = Network::new(&model, 7..9, 0).err().unwrap().to_string();
    assert_eq!(beyond, "layers held: expected a range within 0..8, got 7..9");
    assert!(Network::new(&model, std::ops::Range { start: 3, end: 2 }, 0).is_err());
}

type Named = Vec<(String, ArrayD<f32>)>;

#[test]
fn wrong_parameters_change_nothing() {
    let mut network = whole(&[4], vec![LayerSpec::Dense { outputs: 2, bias: true }]);
    let good = network.parameters();
    let with = |change: &dyn Fn(&mut Named)| {
        let mut parameters = good.iter().map(|(name, values)| (name.clone(), values + 1.0)).collect();
        change(&mut parameters);
        parameters
    };
    for (bad, expected) in [
        (with(&|p| drop(p.pop())), r#"parameter "0.bias": expected [2], got nothing"#),
        (
            with(&|p| p.push(p[0].clone())),
            r#"parameter "0.weight": expected it once, got it twice"#,
        ),
        (
            with(&|p| p.push(("1.bias".into(), spread(&[2], 0)))),
            r#"parameter "1.bias": expected only those of layers 0..1, got it"#,
        ),
        (
            with(&|p| p[1].1 = spread(&[3], 0)),
            r#"parameter "0.bias": expected shape [2], got [3]"#,
        ),
        (
            with(&|p| p[1].1[[0]] = f32::NAN),
            r#"parameter "0.bias": expected finite numbers, got an infinity or NaN"#,
        ),
    ] {
        assert_eq!(network.set_parameters(&bad).unwrap_err().to_string(), expected);
        assert_eq!(network.parameters(), good);
        assert_eq!(network.set_gradients(&bad).unwrap_err().to_string(), expected);
        assert!(network.gradients().is_empty());
    }
}

#[test]
fn given_gradients_update_as_those_of_backward() {
    let model = preset("m1").unwrap().model;
    let adam = OptimiserSpec::AdamW {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.1,
        schedule: LearningRateSchedule::default(),
    };
    let [mut one, mut other] = [0, 1].map(|_| Network::new(&model, 0..8, 4).unwrap().with_optimiser(adam.clone()).unwrap());
    for step in 0..3 {
        one.forward_train(step, &spread(&[3, 1, 128], step as usize)).unwrap();
        one.backward(&spread(&[3, 5], 1), InputGradient::NotWanted).unwrap();
        let gradients: Named = one.gradients().into_iter().rev().collect();
        other.set_gradients(&gradients).unwrap();
        assert_eq!(one.gradients(), other.gradients());
        one.update().unwrap();
        other.update().unwrap();
        assert_eq!(one.parameters(), other.parameters());
    }
    assert!(other.update().is_err(), "an update uses the gradients up");
}
