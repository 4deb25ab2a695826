//! Convolution, pooling on planes, GELU and residual blocks, against their definitions.

use ndarray::{Array4, ArrayD};
use proptest::prelude::*;

use super::{check_gradients, spread, whole};
use crate::{InputGradient, LayerSpec, ModelSpec, Network};

pub fn conv2d(channels: usize, kernel: usize, stride: usize, padding: usize) -> LayerSpec {
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

fn array(shape: &[usize], values: &[f32]) -> ArrayD<f32> {
    ArrayD::from_shape_vec(shape, values.to_vec()).unwrap()
}

#[test]
fn gradients_are_derivatives() {
    check_gradients(conv2d(2, 3, 1, 1), &[2, 4, 5]);
    check_gradients(conv2d(3, 3, 2, 1), &[1, 6, 5]);
    check_gradients(conv2d(2, 2, 3, 0), &[2, 6, 7]);
    let unbiased = LayerSpec::Conv2d {
        channels: 3,
        kernel: 1,
        stride: 2,
        padding: 0,
        bias: false,
    };
    check_gradients(unbiased, &[2, 4, 3]);
    check_gradients(max_pool(2, 2, 0), &[2, 4, 5]);
    check_gradients(max_pool(3, 2, 1), &[1, 5, 6]);
    for stride in [None, Some(1), Some(3)] {
        check_gradients(LayerSpec::AvgPool2d { size: 2, stride }, &[2, 5, 4]);
    }
    check_gradients(LayerSpec::GlobalAvgPool1d {}, &[2, 5]);
    check_gradients(LayerSpec::GlobalAvgPool2d {}, &[2, 3, 4]);
    check_gradients(residual(vec![], 2), &[2, 4, 4]);
    check_gradients(residual(vec![conv2d(3, 1, 1, 0)], 3), &[2, 4, 4]);
    let nested = LayerSpec::Residual {
        body: vec![residual(vec![], 2), LayerSpec::Gelu {}],
        shortcut: vec![],
    };
    check_gradients(nested, &[2, 3, 3]);
}

fn residual(shortcut: Vec<LayerSpec>, channels: usize) -> LayerSpec {
    LayerSpec::Residual {
        body: vec![conv2d(4, 3, 1, 1), LayerSpec::Tanh {}, conv2d(channels, 3, 1, 1)],
        shortcut,
    }
}

/// The definition of a convolution, in f64.
fn convolve(x: &ArrayD<f32>, weight: &ArrayD<f32>, bias: &ArrayD<f32>, stride: usize, padding: usize) -> Array4<f64> {
    let (height, width, kernel) = (x.shape()[2], x.shape()[3], weight.shape()[2]);
    let outputs = |length: usize| (length + 2 * padding - kernel) / stride + 1;
    let shape = (x.shape()[0], weight.shape()[0], outputs(height), outputs(width));
    Array4::from_shape_fn(shape, |(sample, channel, row, column)| {
        let mut sum = f64::from(bias[[channel]]);
        for input in 0..weight.shape()[1] {
            for (down, right) in (0..kernel).flat_map(|down| (0..kernel).map(move |right| (down, right))) {
                let (y, x_at) = (row * stride + down, column * stride + right);
                if (padding..padding + height).contains(&y) && (padding..padding + width).contains(&x_at) {
                    sum += f64::from(x[[sample, input, y - padding, x_at - padding]])
                        * f64::from(weight[[channel, input, down, right]]);
                }
            }
        }
        sum
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_convolution_is_its_definition(
        (inputs, channels, kernel, stride) in (1usize..4, 1usize..4, 1usize..5, 1usize..4),
        (padding, height, width, batch) in (0usize..6, 0usize..7, 0usize..7, 1usize..4),
    ) {
        let padding = padding % kernel;
        let shape = [inputs, kernel + height, kernel + width];
        let network = whole(&shape, vec![conv2d(channels, kernel, stride, padding)]);
        let x = spread(&[&[batch], &shape[..]].concat(), 2);
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
fn samples_laid_out_together_or_alone_are_the_same() {
    // 16 * 9 windows of 32 x 32: one sample at a time; of 8 x 8: many.
    for side in [8, 48] {
        let mut network = whole(&[16, side, side], vec![conv2d(4, 3, 1, 1)]);
        let x = spread(&[5, 16, side, side], 1);
        let together = network.forward_train(0, &x).unwrap();
        let dy = spread(together.shape(), 2);
        let dx = network.backward(&dy, InputGradient::Wanted).unwrap().unwrap();
        let gradients = network.gradients();
        let mut sum = ArrayD::zeros(gradients[0].1.raw_dim());
        for sample in 0..5 {
            let one = |a: &ArrayD<f32>| a.select(ndarray::Axis(0), &[sample]);
            let y = network.forward_train(0, &one(&x)).unwrap();
            let close = |a: &ArrayD<f32>, b: &ArrayD<f32>| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(close(&y, &one(&together)), "side {side}, sample {sample}");
            let at_input = network.backward(&one(&dy), InputGradient::Wanted).unwrap().unwrap();
            assert!(close(&at_input, &one(&dx)), "side {side}, sample {sample}");
            sum += &network.gradients()[0].1;
        }
        let largest = sum.iter().fold(0f32, |m, v| m.max(v.abs()));
        for (a, b) in sum.iter().zip(&gradients[0].1) {
            assert!((a - b).abs() < 1e-5 * largest, "{a} {b}");
        }
    }
}

#[test]
fn pooling_by_hand() {
    #[rustfmt::skip]
    let x = array(&[1, 1, 3, 4], &[
        1.0, 2.0, 3.0, 4.0,
        5.0, 6.0, 7.0, 8.0,
        -9.0, -10.0, -11.0, -12.0,
    ]);
    let pooled = |layer| whole(&[1, 3, 4], vec![layer]).forward(&x).unwrap();
    assert_eq!(pooled(max_pool(2, 2, 0)), array(&[1, 1, 1, 2], &[6.0, 8.0]));
    // Padding is never the largest, not even of negative values.
    assert_eq!(
        pooled(max_pool(2, 2, 1)),
        array(&[1, 1, 2, 3], &[1.0, 3.0, 4.0, 5.0, 7.0, 8.0])
    );
    let mean = LayerSpec::AvgPool2d {
        size: 2,
        stride: Some(1),
    };
    assert_eq!(pooled(mean), array(&[1, 1, 2, 3], &[3.5, 4.5, 5.5, -2.0, -2.0, -2.0]));
    assert_eq!(pooled(LayerSpec::GlobalAvgPool2d {}), array(&[1, 1, 1, 1], &[-0.5]));
    let nan = ArrayD::from_elem(vec![1, 1, 3, 4], f32::NAN);
    assert!(whole(&[1, 3, 4], vec![max_pool(3, 1, 1)]).forward(&nan).is_err());
}

#[test]
fn of_equal_maxima_the_first_receives_the_gradient() {
    let mut network = whole(&[1, 2, 2], vec![max_pool(2, 2, 0)]);
    network.forward_train(0, &ArrayD::zeros(vec![1, 1, 2, 2])).unwrap();
    let dx = network
        .backward(&ArrayD::ones(vec![1, 1, 1, 1]), InputGradient::Wanted)
        .unwrap();
    assert_eq!(dx.unwrap(), array(&[1, 1, 2, 2], &[1.0, 0.0, 0.0, 0.0]));
}

#[test]
fn gelu_has_known_values() {
    // x times the standard normal distribution function, from tables with 10 digits.
    let cumulative = [
        0.022_750_131_948,
        0.158_655_253_931,
        0.5,
        0.841_344_746_069,
        0.977_249_868_052f64,
    ];
    let x = array(&[1, 5], &[-2.0, -1.0, 0.0, 1.0, 2.0]);
    let y = whole(&[5], vec![LayerSpec::Gelu {}]).forward(&x).unwrap();
    for ((x, cumulative), y) in x.iter().zip(cumulative).zip(&y) {
        assert!((f64::from(*y) - f64::from(*x) * cumulative).abs() < 2e-7, "{x}: {y}");
    }
    let far = whole(&[2], vec![LayerSpec::Gelu {}]).forward(&array(&[1, 2], &[-100.0, 100.0]));
    assert_eq!(far.unwrap(), array(&[1, 2], &[0.0, 100.0]));
}

#[test]
fn a_block_is_the_sum_of_its_branches() {
    let layers = vec![LayerSpec::Relu {}, residual(vec![conv2d(3, 1, 1, 0)], 3)];
    let network = whole(&[2, 4, 4], layers.clone());
    let names: Vec<String> = network.parameters().into_iter().map(|(name, _)| name).collect();
    let expected = [
        "1.body.0.weight",
        "1.body.0.bias",
        "1.body.2.weight",
        "1.body.2.bias",
        "1.shortcut.0.weight",
        "1.shortcut.0.bias",
    ];
    assert_eq!(names, expected);
    let branch = |layers: &Vec<LayerSpec>, branch: &str| {
        let mut alone = whole(&[2, 4, 4], layers.clone());
        let own: Vec<_> = network
            .parameters()
            .into_iter()
            .filter_map(|(name, values)| Some((name.strip_prefix(&format!("1.{branch}."))?.to_owned(), values)))
            .collect();
        alone.set_parameters(&own).unwrap();
        alone
    };
    let LayerSpec::Residual { body, shortcut } = &layers[1] else {
        panic!()
    };
    let x = spread(&[3, 2, 4, 4], 1);
    let positive = x.mapv(|x| x.max(0.0));
    let sum = branch(body, "body").forward(&positive).unwrap() + branch(shortcut, "shortcut").forward(&positive).unwrap();
    assert_eq!(network.forward(&x).unwrap(), sum);
}

#[test]
fn every_layer_in_a_block_has_randomness_of_its_own() {
    let twin = || LayerSpec::Residual {
        body: vec![LayerSpec::Dense { outputs: 4, bias: false }; 2],
        shortcut: vec![LayerSpec::Dense { outputs: 4, bias: false }; 2],
    };
    let deep = LayerSpec::Residual {
        body: vec![twin(), twin()],
        shortcut: vec![twin()],
    };
    let dense = LayerSpec::Dense { outputs: 4, bias: false };
    let model = ModelSpec {
        input: vec![4],
        layers: vec![twin(), deep, dense],
    };
    let weights = Network::new(&model, 0..3, 1).unwrap().parameters();
    assert_eq!(weights.len(), 4 + 12 + 1);
    for (index, (name, values)) in weights.iter().enumerate() {
        for (other, others) in &weights[..index] {
            assert_ne!(values, others, "{name} and {other}");
        }
    }
}
