//! Attention, patches, positions and the mean over tokens, against their definitions.

use ndarray::ArrayD;

use super::layers::conv2d;
use super::{check_gradients, spread, whole};
use crate::fixed_point::{Ending, FixedModel};
use crate::{InputGradient, LayerSpec, ModelSpec, Network};

fn attention(heads: usize) -> LayerSpec {
    LayerSpec::Attention { heads, bias: true }
}

fn patches(size: usize, width: usize) -> LayerSpec {
    LayerSpec::Patches { size, width, bias: true }
}

#[test]
fn gradients_are_derivatives() {
    check_gradients(LayerSpec::Dense { outputs: 3, bias: true }, &[4, 5]);
    check_gradients(attention(1), &[3, 4]);
    check_gradients(attention(2), &[4, 6]);
    check_gradients(LayerSpec::Attention { heads: 3, bias: false }, &[2, 3]);
    check_gradients(patches(2, 3), &[2, 4, 6]);
    check_gradients(LayerSpec::Positions {}, &[3, 4]);
    check_gradients(LayerSpec::MeanTokens {}, &[3, 4]);
    let block = LayerSpec::Residual {
        body: vec![attention(2), LayerSpec::Gelu {}],
        shortcut: vec![],
    };
    check_gradients(block, &[3, 4]);
}

/// Parameters that are far from their start, biases too.
fn disturbed(mut network: Network) -> Network {
    let shapes = network.parameters();
    let values = shapes.iter().enumerate().map(|(salt, (name, array))| {
        let values = spread(array.shape(), salt).mapv(|value| 0.7 * value);
        (name.clone(), values)
    });
    let values: Vec<_> = values.collect();
    network.set_parameters(&values).unwrap();
    network
}

/// Rows times the transpose of a weight, plus bias, in f64.
fn linear(x: &[Vec<f64>], weight: &ArrayD<f32>, bias: &ArrayD<f32>) -> Vec<Vec<f64>> {
    let value = |row: &[f64], out: usize| {
        let sum: f64 = row.iter().enumerate().map(|(k, x)| x * f64::from(weight[[out, k]])).sum();
        sum + f64::from(bias[[out]])
    };
    x.iter()
        .map(|row| (0..weight.shape()[0]).map(|out| value(row, out)).collect())
        .collect()
}

#[test]
fn attention_is_its_definition() {
    let (tokens, width, heads) = (5, 6, 3);
    let network = disturbed(whole(&[tokens, width], vec![attention(heads)]));
    let parameters = network.parameters();
    let names: Vec<(&str, &[usize])> = parameters
        .iter()
        .map(|(name, array)| (name.as_str(), array.shape()))
        .collect();
    let expected: [(&str, &[usize]); 4] = [
        ("0.in_proj_weight", &[18, 6]),
        ("0.in_proj_bias", &[18]),
        ("0.out_proj.weight", &[6, 6]),
        ("0.out_proj.bias", &[6]),
    ];
    assert_eq!(names, expected);
    let x = spread(&[2, tokens, width], 3).mapv(|value| 2.0 * value);
    let y = network.forward(&x).unwrap();
    for sample in 0..2 {
        let rows: Vec<Vec<f64>> = (0..tokens)
            .map(|token| (0..width).map(|k| f64::from(x[[sample, token, k]])).collect())
            .collect();
        let projected = linear(&rows, &parameters[0].1, &parameters[1].1);
        let mut joined = vec![vec![0.0; width]; tokens];
        for (head, token) in (0..heads).flat_map(|head| (0..tokens).map(move |token| (head, token))) {
            let part = |token: usize, part: usize| &projected[token][part * width + 2 * head..][..2];
            let powers: Vec<f64> = (0..tokens)
                .map(|other| {
                    let (q, k) = (part(token, 0), part(other, 1));
                    ((q[0] * k[0] + q[1] * k[1]) / 2f64.sqrt()).exp()
                })
                .collect();
            let sum: f64 = powers.iter().sum();
            for k in 0..2 {
                let terms = (0..tokens).map(|other| powers[other] / sum * part(other, 2)[k]);
                joined[token][2 * head + k] = terms.sum();
            }
        }
        let expected = linear(&joined, &parameters[2].1, &parameters[3].1);
        for (token, k) in (0..tokens).flat_map(|token| (0..width).map(move |k| (token, k))) {
            let (actual, expected) = (f64::from(y[[sample, token, k]]), expected[token][k]);
            assert!((actual - expected).abs() < 1e-5, "{actual} {expected}");
        }
    }
}

#[test]
fn patches_are_a_convolution_with_its_channels_last() {
    let network = whole(&[2, 4, 6], vec![patches(2, 3)]);
    let convolution = whole(&[2, 4, 6], vec![conv2d(3, 2, 2, 0)]);
    assert_eq!(network.parameters(), convolution.parameters());
    let x = spread(&[2, 2, 4, 6], 1);
    let (y, expected) = (network.forward(&x).unwrap(), convolution.forward(&x).unwrap());
    assert_eq!((y.shape(), expected.shape()), (&[2, 6, 3][..], &[2, 3, 2, 3][..]));
    for ((sample, token, channel), value) in y.into_dimensionality::<ndarray::Ix3>().unwrap().indexed_iter() {
        assert_eq!(*value, expected[[sample, channel, token / 3, token % 3]]);
    }
}

#[test]
fn dense_layers_apply_to_each_token() {
    let dense = || vec![LayerSpec::Dense { outputs: 2, bias: true }];
    let (of_tokens, of_rows) = (whole(&[3, 4], dense()), whole(&[4], dense()));
    assert_eq!(of_tokens.parameters(), of_rows.parameters());
    let x = spread(&[2, 3, 4], 1);
    let y = of_tokens.forward(&x).unwrap();
    assert_eq!(y.shape(), [2, 3, 2]);
    let rows = x.into_shape_with_order(vec![6, 4]).unwrap();
    assert_eq!(y.into_shape_with_order(vec![6, 2]).unwrap(), of_rows.forward(&rows).unwrap());
}

#[test]
fn positions_and_the_mean_over_tokens_by_hand() {
    let mut network = whole(&[2, 3], vec![LayerSpec::Positions {}, LayerSpec::MeanTokens {}]);
    let start = network.parameters();
    assert_eq!((start[0].0.as_str(), start[0].1.shape()), ("0.weight", &[2, 3][..]));
    assert!(start[0].1.iter().all(|value| *value != 0.0 && value.abs() < 0.1));
    let array = |shape: &[usize], values: &[f32]| ArrayD::from_shape_vec(shape, values.to_vec()).unwrap();
    let weight = array(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    network.set_parameters(&[("0.weight".into(), weight)]).unwrap();
    let x = array(&[1, 2, 3], &[10.0, 20.0, 30.0, 30.0, 20.0, 10.0]);
    let y = network.forward_train(0, &x).unwrap();
    assert_eq!(y, array(&[1, 3], &[22.5, 23.5, 24.5]));
    let dx = network
        .backward(&array(&[1, 3], &[2.0, 4.0, 6.0]), InputGradient::Wanted)
        .unwrap();
    assert_eq!(dx, Some(array(&[1, 2, 3], &[1.0, 2.0, 3.0, 1.0, 2.0, 3.0])));
}

#[test]
fn fixed_point_refuses_tokens_by_name() {
    let dense = LayerSpec::Dense { outputs: 2, bias: true };
    for (input, layer) in [
        (vec![4, 6], attention(2)),
        (vec![1, 4, 4], patches(2, 3)),
        (vec![4, 6], LayerSpec::Positions {}),
        (vec![4, 6], LayerSpec::MeanTokens {}),
        (vec![4, 6], dense),
    ] {
        let kind = layer.kind();
        let model = ModelSpec {
            input,
            layers: vec![layer],
        };
        let network = Network::new(&model, 0..1, 1).unwrap();
        let converted = FixedModel::convert(&model, &network.parameters(), 40, 12, Ending::Scores);
        let error = converted.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(
            error.starts_with(&format!("layer 0 ({kind}): expected dense, conv2d")),
            "{error}"
        );
    }
}
