//! The attacks on a training on real credit data, 23 -> 8 -> 8 -> 1 by SGD, with the first layer and its gradient in the fixed point of protocol
//! `vertical`: what the server sees of it gives the column SEX, what a holder sees of an open gradient the labels.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{fs::File, path::Path};

use cloven_audit::{
    Finding,
    vertical::{VerticalTruth, VerticalView, audit_vertical},
};
use cloven_nn::{BatchTargets, InputGradient, LayerSpec, LearningRateSchedule, Loss, ModelSpec, Network, OptimiserSpec};
use ndarray::{Array2, Axis, concatenate, s};

const COLUMNS: usize = 23;
const WIDTH: usize = 8;
const BATCH: usize = 256;
const RATE: f64 = 0.5;
const TRAIN: usize = 6000;
const TEST: usize = 2000;
/// The order of rows in each epoch: they are stepped through by these, which have no common divisor with their number.
const STEPS: [usize; 5] = [1009, 2003, 3001, 4001, 5003];

#[test]
fn sex_comes_back_from_h1_and_defaults_from_an_open_gradient() {
    let Ok(data) = std::env::var("CLOVEN_DATA") else {
        eprintln!("CLOVEN_DATA is not set: real-data check not run");
        return;
    };
    let (truth, x) = credit(&Path::new(&data).join("tabular/UCI_Credit_Card.csv.gz"));
    let view = trained(&x, truth.labels.as_ref().unwrap());
    let attacked = |what: &str, view: VerticalView| -> Vec<Finding> {
        let findings = audit_vertical(&view, &truth).unwrap().findings;
        findings
            .iter()
            .for_each(|f| eprintln!("{what}: {} {:.4} ({:.4}), {}", f.target, f.value, f.chance, f.attack));
        findings
    };
    let columns = |train: usize, test: usize| {
        let view = VerticalView {
            train: view.train[..train].to_vec(),
            test: view.test[..test].to_vec(),
            ..VerticalView::default()
        };
        let mut findings = attacked(&format!("{train} epochs, {test} evaluations"), view);
        assert_eq!((findings.len(), findings[0].target.as_str()), (1, "column SEX"));
        findings.remove(0)
    };

    // All test rows are seen with the same weights: exact from three passes on.
    let exact = columns(0, 3);
    assert!(exact.value == 1.0 && exact.succeeded, "{exact:?}");
    assert!(!columns(0, 1).succeeded);
    columns(0, 2);
    // Within an epoch the weights drift.
    columns(3, 0);
    let drifting = columns(5, 0);
    assert!(
        drifting.value > 0.9 && drifting.attack.contains("approximate"),
        "{drifting:?}"
    );

    let open = VerticalView {
        gradient: view.gradient.clone(),
        ..VerticalView::default()
    };
    let open = attacked("open gradient", open);
    assert!(
        open.iter().any(|f| f.value > 0.97 && f.measure.contains("labels")),
        "{open:?}"
    );
    let shares = VerticalView {
        masked_gradient: view.gradient.iter().map(share).collect(),
        ..VerticalView::default()
    };
    let shares = attacked("masked gradient", shares);
    assert!(!shares.is_empty() && shares.iter().all(|f| !f.succeeded), "{shares:?}");
}

/// A gradient at 2^30 less random words, as numbers in -1/2..1/2.
fn share(gradient: &Array2<f64>) -> Array2<f64> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    gradient.mapv(|value| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = ((value * 2f64.powi(30)) as i64 as u64).wrapping_sub(state);
        word as i64 as f64 * 2f64.powi(-64)
    })
}

/// The file's first rows: training, then test rows; standardised, in 12 bits after the point, with a column of ones.
fn credit(path: &Path) -> (VerticalTruth, Array2<f64>) {
    let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut reader = csv::Reader::from_reader(flate2::read::GzDecoder::new(file));
    let names = reader
        .headers()
        .unwrap()
        .iter()
        .skip(1)
        .take(COLUMNS)
        .map(String::from)
        .collect();
    let (mut numbers, mut labels) = (Vec::new(), Vec::new());
    for record in reader.records().take(TRAIN + TEST) {
        let fields: Vec<f64> = record.unwrap().iter().map(|field| field.parse().unwrap()).collect();
        numbers.extend_from_slice(&fields[1..=COLUMNS]);
        labels.push(fields[COLUMNS + 1] as u32);
    }
    labels.truncate(TRAIN);
    let x = Array2::from_shape_vec((TRAIN + TEST, COLUMNS), numbers).unwrap();
    let (mean, deviation) = (x.mean_axis(Axis(0)).unwrap(), x.std_axis(Axis(0), 0.0));
    let x = ((x - mean) / deviation).mapv(|v| (v * 4096.0).round() / 4096.0);
    let part = |rows: std::ops::Range<usize>| x.slice(s![rows, ..]).mapv(|v| v as f32);
    let truth = VerticalTruth {
        train: part(0..TRAIN),
        test: part(TRAIN..TRAIN + TEST),
        names,
        labels: Some(labels),
        classes: 2,
    };
    let ones = Array2::ones((TRAIN + TEST, 1));
    (truth, concatenate![Axis(1), x, ones])
}

/// The first layer's weights and bias, `[columns + 1, width]`, and the layers after it.
fn network() -> (Array2<f64>, Network) {
    let dense = |outputs| LayerSpec::Dense { outputs, bias: true };
    let model = ModelSpec {
        input: vec![COLUMNS],
        layers: vec![dense(WIDTH), LayerSpec::Relu {}, dense(WIDTH), LayerSpec::Relu {}, dense(1)],
    };
    let optimiser = OptimiserSpec::Sgd {
        learning_rate: RATE,
        momentum: 0.0,
        weight_decay: 0.0,
        schedule: LearningRateSchedule::default(),
    };
    let mut theta = Array2::zeros((COLUMNS + 1, WIDTH));
    for (_, values) in Network::new(&model, 0..1, 1).unwrap().parameters() {
        // A weight is [outputs, inputs].
        theta
            .indexed_iter_mut()
            .for_each(|((input, output), to)| match values.ndim() {
                2 if input < COLUMNS => *to = f64::from(values[[output, input]]),
                1 if input == COLUMNS => *to = f64::from(values[[output]]),
                _ => (),
            });
    }
    (
        theta,
        Network::new(&model, 1..5, 1).unwrap().with_optimiser(optimiser).unwrap(),
    )
}

/// What is seen of a training: h1 of each epoch, h1 of the test rows after it, the gradient at h1 times the rate.
fn trained(x: &Array2<f64>, labels: &[u32]) -> VerticalView {
    let (mut theta, mut rest) = network();
    let mut view = VerticalView::default();
    for (epoch, step) in STEPS.into_iter().enumerate() {
        let order: Vec<usize> = (0..TRAIN).map(|row| (row * step + epoch) % TRAIN).collect();
        let (mut h1, mut gradient) = (Array2::zeros((TRAIN, WIDTH)), Array2::zeros((TRAIN, WIDTH)));
        for rows in order.chunks(BATCH) {
            let x = x.select(Axis(0), rows);
            let h = x.dot(&theta);
            let z = rest.forward_train(0, &h.mapv(|v| v as f32).into_dyn()).unwrap();
            let y = Array2::from_shape_fn((rows.len(), 1), |(row, _)| labels[rows[row]] as f32);
            let (_, dz) = Loss::Bce.value_and_gradient(&z, &BatchTargets::Values(y.into_dyn())).unwrap();
            let delta = rest.backward(&dz, InputGradient::Wanted).unwrap().unwrap();
            rest.update().unwrap();
            let fixed = |v: f32| (f64::from(v) * RATE * 2f64.powi(30)).round() * 2f64.powi(-30);
            let delta = Array2::from_shape_fn(h.dim(), |(row, column)| fixed(delta[[row, column]]));
            theta -= &x.t().dot(&delta);
            for (at, row) in rows.iter().enumerate() {
                h1.row_mut(*row).assign(&h.row(at));
                gradient.row_mut(*row).assign(&delta.row(at));
            }
        }
        view.train.push(h1);
        view.gradient.push(gradient);
        view.test.push(x.slice(s![TRAIN.., ..]).dot(&theta));
    }
    view
}
