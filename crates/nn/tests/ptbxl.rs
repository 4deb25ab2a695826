//! The preset `ptbxl` learns something on real recordings: the first 500 of PTB-XL, folds 1-8 against 9-10, unsplit.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{io::Read, path::Path};

use cloven_nn::{BatchTargets, Evaluation, InputGradient, LearningRateSchedule, Loss, Network, OptimiserSpec, preset};
use ndarray::{ArrayD, Axis};

const BATCH: usize = 16;
/// Learning rate and epochs are the best of twelve pairs in a training on folds 1-6, measured on 7-8: so few recordings are soon
/// learned by heart.
const RATE: f64 = 1e-3;
const EPOCHS: usize = 8;

#[test]
fn ptbxl_learns_on_real_recordings() {
    let Ok(data) = std::env::var("CLOVEN_DATA") else {
        eprintln!("CLOVEN_DATA is not set: real-data check not run");
        return;
    };
    let folder = Path::new(&data).join("ptbxl500");
    // Microvolt to millivolt.
    let x = idx(&folder.join("x_100hz_i16.idx.gz"), |microvolt| f32::from(microvolt) / 1000.0);
    let y = idx(&folder.join("y_superclass5.idx.gz"), f32::from);
    let folds = folds(&folder.join("meta.csv"));
    let (test, train): (Vec<usize>, Vec<usize>) = (0..folds.len()).partition(|row| folds[*row] >= 9);
    let targets = |rows: &[usize]| BatchTargets::Values(y.select(Axis(0), rows));

    let mut network = network(EPOCHS * train.len().div_ceil(BATCH));
    let evaluate = |network: &Network| {
        let outputs = network.forward(&x.select(Axis(0), &test)).unwrap();
        Evaluation::new(Loss::Bce, &outputs, &targets(&test)).unwrap()
    };
    let before = evaluate(&network);
    for epoch in 0..EPOCHS {
        // Another order in each epoch: 7 and the number of training rows have no common divisor.
        let order: Vec<usize> = (0..train.len()).map(|row| train[(row * 7 + epoch) % train.len()]).collect();
        for rows in order.chunks(BATCH) {
            let outputs = network.forward_train(0, &x.select(Axis(0), rows)).unwrap();
            let (_, gradient) = Loss::Bce.value_and_gradient(&outputs, &targets(rows)).unwrap();
            network.backward(&gradient, InputGradient::NotWanted).unwrap();
            network.update().unwrap();
        }
    }
    let after = evaluate(&network);
    println!(
        "{} training, {} test rows, {EPOCHS} epochs: {after:?}",
        train.len(),
        test.len()
    );
    assert!(after.loss < before.loss, "{} and {}", before.loss, after.loss);
    assert!(after.auc.unwrap() > 0.65, "macro-averaged area {:?}", after.auc);
}

fn network(updates: usize) -> Network {
    let adamw = OptimiserSpec::AdamW {
        learning_rate: RATE,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
        schedule: LearningRateSchedule::Cosine {
            updates: updates as u64,
            warm_up: 20,
            last: 0.0,
        },
    };
    let model = preset("ptbxl").unwrap().model;
    let network = Network::new(&model, 0..model.layers.len(), 1).unwrap();
    network.with_optimiser(adamw).unwrap()
}

/// An IDX file of 8-bit or 16-bit numbers.
fn idx(path: &Path, convert: impl Fn(i16) -> f32) -> ArrayD<f32> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let (kind, axes) = (bytes[2], usize::from(bytes[3]));
    let (header, values) = bytes.split_at(4 + 4 * axes);
    let shape: Vec<usize> = header[4..]
        .chunks(4)
        .map(|b| u32::from_be_bytes(b.try_into().unwrap()) as usize)
        .collect();
    let values = match kind {
        0x08 => values.iter().map(|byte| convert(i16::from(*byte))).collect(),
        0x0b => values
            .chunks(2)
            .map(|b| convert(i16::from_be_bytes(b.try_into().unwrap())))
            .collect(),
        other => panic!("IDX type {other:#x}"),
    };
    ArrayD::from_shape_vec(shape, values).unwrap()
}

/// The fold of each recording: the last column.
fn folds(path: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines()
        .skip(1)
        .map(|line| line.rsplit(',').next().unwrap().parse().unwrap())
        .collect()
}
