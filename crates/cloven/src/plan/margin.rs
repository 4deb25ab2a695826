//! How far an encryption's results are from what it can hold, and how exact they are.

use cloven_nn::Network;
use cloven_protocols::encrypted_activation::Direction;
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

use super::rehearsal::made_up_rows;
use crate::{
    Error, Job,
    job::{Protocol, Samples},
};

/// The room of an encryption, with the network's initial weights on made-up rows; both shrink as weights grow.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// The largest number that the key holder accepts; beyond it the run stops.
    pub bound: f64,
    /// The largest number that occurs.
    pub largest: f64,
    /// Binary logarithm of bound over largest.
    pub margin_bits: f64,
    /// Standard deviation of the error of a result; of `encrypted-model` a bound on it that holds just before the weights are encrypted anew.
    pub error: f64,
    /// Binary logarithm of the error.
    pub error_bits: f64,
}

impl Noise {
    fn new(bound: f64, output: &ArrayD<f32>, error: f64) -> Self {
        let largest = output.iter().fold(0.0, |most: f64, v| most.max(f64::from(v.abs())));
        Self {
            bound,
            largest,
            margin_bits: (bound / largest.max(f64::MIN_POSITIVE)).log2(),
            error,
            error_bits: error.log2(),
        }
    }
}

/// Of the job's encryption, where its protocol has one.
pub(super) fn noise(job: &Job) -> Result<Option<Noise>, Error> {
    match job.protocol {
        Protocol::Plain | Protocol::Vertical | Protocol::Enclave => Ok(None),
        Protocol::EncryptedActivation => encrypted_activation(job).map(Some),
        Protocol::EncryptedModel => encrypted_model(job).map(Some),
    }
}

/// At the first layer's outputs. The weights are encrypted anew before noise passes the job's precision, or after the last batch.
fn encrypted_model(job: &Job) -> Result<Noise, Error> {
    if job.samples() == Samples::Encrypted {
        return encrypted_samples(job);
    }
    let (cut, encryption) = (job.cut()?, job.layer_encryption()?);
    let [rows, _] = made_up_rows(job, [64, 0]);
    let output = Network::new(&cut.model, job.first_encrypted(&cut)?, job.seed)?.forward(&rows.x)?;
    // Samples of mean square 1.
    let square = encryption.inputs() as f64;
    let samples = job.training.epochs as usize * job.data.train_rows.unwrap_or(job.training.batch);
    let error = encryption
        .error_bound(square.sqrt(), square * samples as f64)
        .min(job.precision());
    let bound = encryption.output_bound();
    Ok(Noise::new(bound, &output, error))
}

/// At the first layer's outputs, without the bias; the weights are encrypted anew in every batch.
fn encrypted_samples(job: &Job) -> Result<Noise, Error> {
    let (cut, encryption) = (job.cut()?, job.first_product()?);
    let [rows, _] = made_up_rows(job, [64, 0]);
    let layer = Network::new(&cut.model, job.first_encrypted(&cut)?, job.seed)?;
    let output = layer.forward(&rows.x)?;
    let squares = layer.parameters().into_iter().filter(|(name, _)| name.ends_with("weight"));
    let squares: f64 = squares.flat_map(|(_, weight)| weight).map(|w| f64::from(w).powi(2)).sum();
    // Samples of mean square 1.
    let error = encryption.output_deviation((encryption.inputs() as f64).sqrt(), squares.sqrt());
    let bound = encryption.output_bound();
    Ok(Noise::new(bound, &output, error))
}

/// At the layer's outputs.
fn encrypted_activation(job: &Job) -> Result<Noise, Error> {
    let (cut, sealing) = (job.cut()?, job.sealing()?);
    let [rows, _] = made_up_rows(job, [64, 0]);
    let activation = Network::new(&cut.model, 0..cut.server.start, job.seed)?.forward(&rows.x)?;
    let layer = Network::new(&cut.model, cut.server.clone(), job.seed)?;
    let output = layer.forward(&activation)?;
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let row = activation
        .outer_iter()
        .map(|row| norm(&mut row.iter().copied()))
        .fold(0.0, f64::max);
    // PyTorch's [outputs, inputs]: a column of the matrix is a row here.
    let parameters = layer.parameters();
    let column = parameters.first().map_or(0.0, |(_, weight)| {
        weight
            .outer_iter()
            .map(|row| norm(&mut row.iter().copied()))
            .fold(0.0, f64::max)
    });
    let error = sealing.error_deviation(Direction::Forward, row, column);
    let bound = sealing.output_bound(Direction::Forward);
    Ok(Noise::new(bound, &output, error))
}
