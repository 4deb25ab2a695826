//! Trained networks keep their accuracy in fixed point modulo 2^32, on handwritten digits.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{io::Read, path::Path};

use cloven_nn::fixed_point::{ConversionReport, Ending, FixedModel};
use cloven_nn::{BatchTargets, InputGradient, LayerSpec, LearningRateSchedule, Loss, ModelSpec, Network, OptimiserSpec};
use flate2::read::GzDecoder;
use ndarray::{ArrayD, Axis, Slice};

const BATCH: usize = 64;
/// Of MNIST's 60,000 and 10,000: enough to see a difference in accuracy, in a few seconds.
const TRAIN: usize = 6_000;
const TEST: usize = 1_000;
/// Samples on which the ranges are measured.
const CALIBRATION: usize = 200;

struct Data {
    x: ArrayD<f32>,
    labels: Vec<u32>,
}

impl Data {
    fn rows(&self, rows: std::ops::Range<usize>) -> Self {
        Self {
            x: self.x.slice_axis(Axis(0), Slice::from(rows.clone())).to_owned(),
            labels: self.labels[rows].to_vec(),
        }
    }
}

fn dense(outputs: usize) -> LayerSpec {
    LayerSpec::Dense { outputs, bias: true }
}

fn conv(channels: usize, kernel: usize, padding: usize) -> LayerSpec {
    LayerSpec::Conv2d {
        channels,
        kernel,
        stride: 1,
        padding,
        bias: true,
    }
}

fn norm() -> LayerSpec {
    LayerSpec::BatchNorm {
        epsilon: 1e-5,
        momentum: 0.1,
    }
}

const RELU: LayerSpec = LayerSpec::Relu {};
const FLATTEN: LayerSpec = LayerSpec::Flatten {};

/// Trains, converts with as many fraction bits as leave two bits of room on training samples, and compares on the test samples.
fn converted(model: &ModelSpec, train: &Data, test: &Data, epochs: usize) -> (FixedModel, ConversionReport) {
    let optimiser = OptimiserSpec::AdamW {
        learning_rate: 2e-3,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
        schedule: LearningRateSchedule::default(),
    };
    let mut network = Network::new(model, 0..model.layers.len(), 1)
        .unwrap()
        .with_optimiser(optimiser)
        .unwrap();
    let rows = train.labels.len();
    for epoch in 0..epochs {
        // Another order in each epoch: 7 divides no number of rows here.
        let order: Vec<usize> = (0..rows).map(|row| (row * 7 + epoch) % rows).collect();
        for rows in order.chunks(BATCH) {
            let outputs = network.forward_train(0, &train.x.select(Axis(0), rows)).unwrap();
            let labels = rows.iter().map(|row| train.labels[*row]).collect();
            let (_, gradient) = Loss::CrossEntropy
                .value_and_gradient(&outputs, &BatchTargets::Classes(labels))
                .unwrap();
            network.backward(&gradient, InputGradient::NotWanted).unwrap();
            network.update().unwrap();
        }
    }
    let arrays = [network.parameters(), network.buffers()].concat();
    let calibration = train.rows(0..CALIBRATION).x;
    let (fixed, _) = FixedModel::convert_calibrated(model, &arrays, 32, Ending::Scores, &calibration, 2.0).unwrap();
    let scores: Vec<ArrayD<f32>> = (test.x.axis_chunks_iter(Axis(0), 250))
        .map(|x| network.forward(&x.to_owned()).unwrap())
        .collect();
    let views: Vec<_> = scores.iter().map(|scores| scores.view()).collect();
    let scores = ndarray::concatenate(Axis(0), &views).unwrap();
    let report = fixed.compare(&test.x, &scores, &test.labels).unwrap();
    println!(
        "{} samples, f = {}: float {:.4}, fixed {:.4}, agreement {:.4}, scores differ by {:.4} at most, least room {:.1} bits at {}",
        report.samples,
        fixed.structure().fraction_bits,
        report.float_accuracy,
        report.fixed_accuracy,
        report.agreement,
        report.largest_difference,
        report.worst_range().unwrap().room,
        report.worst_range().unwrap().what,
    );
    (fixed, report)
}

/// Within a quarter of a point; test samples beyond the calibration still have room.
fn assert_as_good(report: &ConversionReport, least: f64) {
    assert!(report.float_accuracy > least, "{report:?}");
    assert!((report.float_accuracy - report.fixed_accuracy).abs() <= 0.0025, "{report:?}");
    assert!(report.agreement >= 0.995, "{report:?}");
    assert!(report.worst_range().unwrap().room >= 1.0, "{report:?}");
}

/// The set of the repository: 1,797 digits of 8 x 8.
fn digits() -> Data {
    let file = include_bytes!("../../../data/digits.csv.gz");
    let mut text = String::new();
    GzDecoder::new(&file[..]).read_to_string(&mut text).unwrap();
    let rows: Vec<Vec<f32>> = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(|value| value.parse().unwrap()).collect())
        .collect();
    let pixels = rows.iter().flat_map(|row| row[..64].to_vec()).collect();
    Data {
        x: ArrayD::from_shape_vec(vec![rows.len(), 1, 8, 8], pixels).unwrap(),
        labels: rows.iter().map(|row| row[64] as u32).collect(),
    }
}

#[test]
fn a_residual_network_on_small_digits() {
    let data = digits();
    let (train, test) = (data.rows(0..1300), data.rows(1300..1797));
    let body = vec![conv(8, 3, 1), norm(), RELU, conv(8, 3, 1), norm()];
    let block = LayerSpec::Residual { body, shortcut: vec![] };
    let pool = LayerSpec::MaxPool2d {
        size: 2,
        stride: None,
        padding: 0,
    };
    let layers = vec![conv(8, 3, 1), norm(), RELU, block, RELU, pool, FLATTEN, dense(10)];
    let model = ModelSpec {
        input: vec![1, 8, 8],
        layers,
    };
    let (fixed, report) = converted(&model, &train, &test, 6);
    assert_as_good(&report, 0.9);
    // The position of the largest score says the same as the scores.
    let samples = fixed.quantise(&test.x).unwrap();
    let scores = fixed.evaluate_many(&samples).unwrap();
    let classes = fixed.with_ending(Ending::ArgMax).unwrap().evaluate_many(&samples).unwrap();
    let right = classes
        .iter()
        .zip(&test.labels)
        .filter(|(class, label)| class[0] == i64::from(**label))
        .count();
    assert_eq!(right as f64 / test.labels.len() as f64, report.fixed_accuracy);
    assert_eq!(scores[0].len(), 10);
}

/// The content of a file in MNIST's format: axes, and one byte a value.
fn idx(path: &Path) -> (Vec<usize>, Vec<u8>) {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let axes = usize::from(bytes[3]);
    let (header, values) = bytes[4..].split_at(4 * axes);
    let axis = |bytes: &[u8; 4]| u32::from_be_bytes(*bytes) as usize;
    (header.as_chunks().0.iter().map(axis).collect(), values.to_vec())
}

fn mnist(folder: &Path, name: &str) -> Data {
    let (shape, pixels) = idx(&folder.join(format!("{name}-images-idx3-ubyte.gz")));
    let (_, labels) = idx(&folder.join(format!("{name}-labels-idx1-ubyte.gz")));
    let x = pixels.iter().map(|pixel| f32::from(*pixel) / 255.0).collect();
    Data {
        x: ArrayD::from_shape_vec(vec![shape[0], 1, shape[1], shape[2]], x).unwrap(),
        labels: labels.into_iter().map(u32::from).collect(),
    }
}

#[test]
fn minionn_on_mnist() {
    let Ok(data) = std::env::var("CLOVEN_DATA") else {
        eprintln!("CLOVEN_DATA is not set: real-data check not run");
        return;
    };
    let folder = Path::new(&data).join("mnist");
    let (train, test) = (mnist(&folder, "train").rows(0..TRAIN), mnist(&folder, "t10k").rows(0..TEST));
    let pool = || LayerSpec::AvgPool2d { size: 2, stride: None };
    let layers = vec![
        conv(16, 5, 0),
        pool(),
        RELU,
        conv(16, 5, 0),
        pool(),
        RELU,
        FLATTEN,
        dense(100),
        RELU,
        dense(10),
    ];
    let model = ModelSpec {
        input: vec![1, 28, 28],
        layers,
    };
    let (_, report) = converted(&model, &train, &test, 1);
    assert_as_good(&report, 0.8);
}
