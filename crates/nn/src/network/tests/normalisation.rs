//! Batch and layer normalisation, against their definitions in f64.

use std::collections::HashMap;

use ndarray::{ArrayD, Axis};

use super::{check_gradients, spread, whole};
use crate::{InputGradient, LayerSpec, LearningRateSchedule, ModelSpec, Network, OptimiserSpec};

const BATCH_NORM: LayerSpec = LayerSpec::BatchNorm {
    epsilon: 1e-5,
    momentum: 0.1,
};

fn layer_norm(axes: Option<usize>) -> LayerSpec {
    LayerSpec::LayerNorm { axes, epsilon: 1e-5 }
}

fn array(shape: &[usize], values: &[f32]) -> ArrayD<f32> {
    ArrayD::from_shape_vec(shape, values.to_vec()).unwrap()
}

/// The network with weights and biases that are not 1 and 0.
fn varied(input: &[usize], layers: Vec<LayerSpec>) -> Network {
    let mut network = whole(input, layers);
    let parameters = network.parameters().into_iter().enumerate();
    let vary = |(salt, (name, values)): (usize, (String, ArrayD<f32>))| {
        let moved = spread(values.shape(), salt) + &values;
        (name, moved)
    };
    network.set_parameters(&parameters.map(vary).collect::<Vec<_>>()).unwrap();
    network
}

#[test]
fn gradients_are_derivatives() {
    for input in [&[4][..], &[2, 5], &[2, 3, 3]] {
        check_gradients(BATCH_NORM, input);
        check_gradients(layer_norm(None), input);
    }
    check_gradients(layer_norm(Some(1)), &[2, 5]);
    check_gradients(layer_norm(Some(2)), &[2, 3, 3]);
}

/// (x - mean) / sqrt(var + 1e-5) of each group of values, in f64.
fn normalised(groups: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let one = |group: &Vec<f32>| {
        let mean = group.iter().map(|x| f64::from(*x)).sum::<f64>() / group.len() as f64;
        let variance = group.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / group.len() as f64;
        let normal = |x: &f32| (f64::from(*x) - mean) / (variance + 1e-5).sqrt();
        group.iter().map(normal).collect()
    };
    groups.iter().map(one).collect()
}

#[test]
fn training_normalises_each_channel_of_the_batch() {
    for input in [&[3][..], &[3, 21], &[3, 4, 5]] {
        let mut network = varied(input, vec![BATCH_NORM]);
        let x = spread(&[&[5], input].concat(), 2) * 3.0 + 7.0;
        let y = network.forward_train(0, &x).unwrap();
        let parameters = network.parameters();
        let channel = |a: &ArrayD<f32>, c| a.index_axis(Axis(1), c).iter().copied().collect::<Vec<f32>>();
        let groups: Vec<Vec<f32>> = (0..3).map(|c| channel(&x, c)).collect();
        for (c, expected) in normalised(&groups).iter().enumerate() {
            let (w, b) = (f64::from(parameters[0].1[[c]]), f64::from(parameters[1].1[[c]]));
            for (expected, actual) in expected.iter().zip(channel(&y, c)) {
                let expected = w * expected + b;
                assert!((expected - f64::from(actual)).abs() < 1e-5, "{input:?}: {expected} {actual}");
            }
        }
    }
}

#[test]
fn layers_normalise_each_sample() {
    for (axes, size) in [(None, 12), (Some(2), 12), (Some(1), 4)] {
        let mut network = varied(&[3, 4], vec![layer_norm(axes)]);
        let x = spread(&[5, 3, 4], 2) * 3.0 + 7.0;
        let values: Vec<f32> = x.iter().copied().collect();
        let groups: Vec<Vec<f32>> = values.chunks(size).map(<[f32]>::to_vec).collect();
        let parameters = network.parameters();
        assert_eq!(parameters[0].1.shape(), if size == 12 { &[3, 4][..] } else { &[4] });
        let expected = normalised(&groups).into_iter().flat_map(|group| {
            let affine = group.into_iter().zip(parameters[0].1.iter().zip(&parameters[1].1));
            affine
                .map(|(x, (w, b))| x * f64::from(*w) + f64::from(*b))
                .collect::<Vec<_>>()
        });
        let y = network.forward(&x).unwrap();
        for (expected, actual) in expected.zip(&y) {
            assert!((expected - f64::from(*actual)).abs() < 1e-5, "{expected} {actual}");
        }
        assert_eq!(network.forward_train(0, &x).unwrap(), y);
    }
}

#[test]
fn running_statistics_by_hand() {
    let mut network = whole(&[2], vec![BATCH_NORM]);
    assert_eq!(
        network.buffers(),
        [
            ("0.running_mean".to_owned(), array(&[2], &[0.0, 0.0])),
            ("0.running_var".to_owned(), array(&[2], &[1.0, 1.0]))
        ]
    );
    // Means 2 and 10; variances with the divisor n - 1 are 1 and 100.
    let x = array(&[3, 2], &[1.0, 0.0, 2.0, 10.0, 3.0, 20.0]);
    network.forward_train(0, &x).unwrap();
    assert_eq!(network.buffers()[0].1, array(&[2], &[0.2, 1.0]));
    assert_eq!(network.buffers()[1].1, array(&[2], &[1.0, 10.9]));
    network.forward_train(1, &x).unwrap();
    assert_eq!(network.buffers()[0].1, array(&[2], &[0.38, 1.9]));
    // Evaluation uses them, on one row too, and changes nothing.
    let before = network.buffers();
    let y = network.forward(&array(&[1, 2], &[1.0, 1.9])).unwrap();
    assert!(
        (y[[0, 0]] - (1.0 - 0.38) / 1.00001f32.sqrt()).abs() < 1e-6 && y[[0, 1]].abs() < 1e-6,
        "{y}"
    );
    assert_eq!(network.buffers(), before);
}

#[test]
fn optimisers_leave_running_statistics_alone() {
    let optimiser = OptimiserSpec::Sgd {
        learning_rate: 0.5,
        momentum: 0.9,
        weight_decay: 0.5,
        schedule: LearningRateSchedule::default(),
    };
    let mut network = whole(&[2], vec![BATCH_NORM]).with_optimiser(optimiser).unwrap();
    let x = spread(&[4, 2], 1);
    network.forward_train(0, &x).unwrap();
    let buffers = network.buffers();
    let parameters = network.parameters();
    network.backward(&spread(&[4, 2], 3), InputGradient::NotWanted).unwrap();
    let gradients: Vec<String> = network.gradients().into_iter().map(|(name, _)| name).collect();
    assert_eq!(gradients, ["0.weight", "0.bias"]);
    network.update().unwrap();
    assert_eq!(network.buffers(), buffers);
    assert_ne!(network.parameters(), parameters);
}

fn least_rows(input: &[usize], layer: LayerSpec) -> usize {
    let (input, layers) = (input.to_vec(), vec![layer]);
    ModelSpec { input, layers }.least_rows().unwrap()
}

#[test]
fn one_row_cannot_be_normalised() {
    let mut network = whole(&[2], vec![LayerSpec::Relu {}, BATCH_NORM]);
    assert_eq!(least_rows(&[2], BATCH_NORM), 2);
    let error = network.forward_train(0, &spread(&[1, 2], 0)).unwrap_err().to_string();
    assert_eq!(
        error,
        "layer 1 (batch-norm): expected at least 2 rows in a training batch (choose a batch size that leaves no single row over), got 1"
    );
    network.forward(&spread(&[1, 2], 0)).unwrap();
    let inner = LayerSpec::Residual {
        body: vec![BATCH_NORM],
        shortcut: vec![],
    };
    assert_eq!(least_rows(&[2], inner.clone()), 2);
    let error = whole(&[2], vec![inner]).forward_train(0, &spread(&[1, 2], 0)).unwrap_err();
    assert!(error.to_string().starts_with("layer 0.body.0 (batch-norm)"), "{error}");
    // Several places of a row are enough.
    let mut network = whole(&[2, 3], vec![BATCH_NORM]);
    assert_eq!(least_rows(&[2, 3], BATCH_NORM), 1);
    network.forward_train(0, &spread(&[1, 2, 3], 0)).unwrap();
}

fn trained() -> Network {
    let adamw = OptimiserSpec::AdamW {
        learning_rate: 0.1,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.1,
        schedule: LearningRateSchedule::default(),
    };
    let block = LayerSpec::Residual {
        body: vec![BATCH_NORM],
        shortcut: vec![],
    };
    whole(&[4], vec![LayerSpec::Dense { outputs: 4, bias: true }, block])
        .with_optimiser(adamw)
        .unwrap()
}

fn train(network: &mut Network, steps: std::ops::Range<u64>) {
    for step in steps {
        let y = network.forward_train(step, &spread(&[3, 4], step as usize)).unwrap();
        network.backward(&y, InputGradient::NotWanted).unwrap();
        network.update().unwrap();
    }
}

#[test]
fn files_and_checkpoints_hold_running_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut network = trained();
    train(&mut network, 0..3);
    let (parameters, buffers) = (network.parameters(), network.buffers());
    assert_eq!(buffers[1].0, "1.body.0.running_var");
    network.save_safetensors(&path, &HashMap::new()).unwrap();
    let mut other = trained();
    assert_ne!(other.buffers(), buffers);
    other.load_safetensors(&path).unwrap();
    assert_eq!((other.parameters(), other.buffers()), (parameters, buffers));

    network.save_checkpoint(&path, &HashMap::new()).unwrap();
    let mut resumed = trained();
    resumed.load_checkpoint(&path).unwrap();
    for network in [&mut network, &mut resumed] {
        train(network, 3..6);
    }
    assert_eq!(network.parameters(), resumed.parameters());
    assert_eq!(network.buffers(), resumed.buffers());
}

#[test]
fn wrong_buffers_change_nothing() {
    let mut network = trained();
    train(&mut network, 0..1);
    let good = network.buffers();
    let with = |name: &str, values: &[f32]| vec![(name.to_owned(), array(&[values.len()], values)), good[1].clone()];
    let mean = "1.body.0.running_mean";
    for (bad, expected) in [
        (
            good[1..].to_vec(),
            r#"parameter "1.body.0.running_mean": expected [4], got nothing"#,
        ),
        (
            with(mean, &[0.0; 3]),
            r#"parameter "1.body.0.running_mean": expected shape [4], got [3]"#,
        ),
        (
            with(mean, &[f32::NAN; 4]),
            r#"parameter "1.body.0.running_mean": expected finite numbers, got an infinity or NaN"#,
        ),
        (
            vec![
                good[0].clone(),
                ("1.body.0.running_var".to_owned(), array(&[4], &[1.0, 1.0, -1.0, 1.0])),
            ],
            r#"parameter "1.body.0.running_var": expected numbers of at least 0, got -1"#,
        ),
    ] {
        assert_eq!(network.set_buffers(&bad).unwrap_err().to_string(), expected);
        assert_eq!(network.buffers(), good);
    }
}
