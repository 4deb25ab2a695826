//! Inversion: a small network trained to give the input back.

use cloven_nn::{
    BatchTargets, InputGradient, LayerSpec, LearningRateSchedule, Loss, ModelError, ModelSpec, Network, OptimiserSpec,
};
use ndarray::{Array1, Array2, Axis, s};

use crate::algebra::correlation;

/// Rows of a training batch.
const BATCH: usize = 32;
/// Multiplications that the training may take, roughly; bounds the epochs where a row is wide.
const WORK: usize = 12_000_000_000;
/// Weights start from here; the attack is repeatable.
const SEED: u64 = 1;

/// What a decoder made of rows it was not trained on.
pub struct Decoded {
    /// Mean over rows of the correlation of a reconstruction with its input, the mean of the training rows taken from both.
    pub correlation: f64,
    /// Mean squared error over that of always answering with the mean of the training rows.
    pub error_ratio: f64,
    /// The reconstructions of the other rows.
    pub reconstructions: Array2<f32>,
}

/// Trains on the first `half` rows and decodes the others. With `mismatch`, training pairs are torn apart: what is then left is chance.
///
/// # Errors
/// Whatever the network refuses.
pub fn decode(received: &Array2<f32>, inputs: &Array2<f32>, half: usize, mismatch: bool) -> Result<Decoded, ModelError> {
    let (x, y) = (received.slice(s![..half, ..]), inputs.slice(s![..half, ..]));
    let (x_mean, x_scale) = column_statistics(&x.to_owned());
    let (y_mean, y_scale) = column_statistics(&y.to_owned());
    let y_scale = y_scale.mean().unwrap_or(1.0).max(f32::MIN_POSITIVE);
    let standard = ((received - &x_mean) / &x_scale).into_dyn();
    let target = ((inputs - &y_mean) / y_scale).into_dyn();

    let hidden = 128;
    let layers = vec![dense(hidden), LayerSpec::Relu {}, dense(inputs.ncols())];
    let model = ModelSpec {
        input: vec![received.ncols()],
        layers,
    };
    let optimiser = OptimiserSpec::AdamW {
        learning_rate: 2e-3,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 1e-2,
        schedule: LearningRateSchedule::default(),
    };
    let mut network = Network::new(&model, 0..3, SEED)?.with_optimiser(optimiser)?;
    let weights = hidden * (received.ncols() + inputs.ncols());
    let epochs = (WORK / (3 * weights * half.max(1))).clamp(4, 60);
    let mut step = 0;
    for _ in 0..epochs {
        for first in (0..half).step_by(BATCH) {
            step += 1;
            let rows: Vec<usize> = (first..half.min(first + BATCH)).collect();
            let paired = rows.iter().map(|row| if mismatch { (row + half / 2) % half } else { *row });
            let z = network.forward_train(step, &standard.select(Axis(0), &rows))?;
            let targets = BatchTargets::Values(target.select(Axis(0), &paired.collect::<Vec<_>>()));
            let (_, gradient) = Loss::Mse.value_and_gradient(&z, &targets)?;
            network.backward(&gradient, InputGradient::NotWanted)?;
            network.update()?;
        }
    }
    let rest: Vec<usize> = (half..received.nrows()).collect();
    let z = network.forward(&standard.select(Axis(0), &rest))?;
    let guess = Array2::from_shape_fn((rest.len(), inputs.ncols()), |(row, column)| z[[row, column]]);
    let truth = Array2::from_shape_fn(guess.dim(), |(row, column)| target[[half + row, column]]);
    let rows = guess.rows().into_iter().zip(truth.rows());
    let correlations = rows.map(|(g, t)| correlation(g.mapv(f64::from).view(), t.mapv(f64::from).view()));
    let squares = |m: &Array2<f32>| m.iter().map(|v| f64::from(v * v)).sum::<f64>();
    Ok(Decoded {
        correlation: correlations.sum::<f64>() / rest.len().max(1) as f64,
        error_ratio: squares(&(&guess - &truth)) / squares(&truth).max(f64::MIN_POSITIVE),
        reconstructions: guess * y_scale + &y_mean,
    })
}

fn dense(outputs: usize) -> LayerSpec {
    LayerSpec::Dense { outputs, bias: true }
}

/// Mean and deviation of each column; a constant one has deviation 1.
fn column_statistics(rows: &Array2<f32>) -> (Array1<f32>, Array1<f32>) {
    let mean = rows.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(rows.ncols()));
    let deviation = rows.std_axis(Axis(0), 0.0).mapv(|d| if d > 1e-6 { d } else { 1.0 });
    (mean, deviation)
}
