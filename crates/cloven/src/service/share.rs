//! `cloven model share`: shares of a trained network for the servers of a job.

use std::path::{Path, PathBuf};

use cloven_nn::{ModelSpec, Network, OnnxModel};
use serde::Serialize;

use super::{
    ask::Questions,
    job::ServiceJob,
    owner::{check_room, convert, write_shares},
};
use crate::Error;

/// What was made of a network.
#[derive(Debug, Clone, Serialize)]
pub struct Shared {
    /// A file for each server; first, where it has layers in the clear, these layers of the gateway.
    pub shares: Vec<PathBuf>,
    /// Trainable numbers of the network.
    pub parameters: usize,
    /// What of the file was left out.
    pub notes: Vec<String>,
    /// Bits left before values as large as those of the calibration rows would wrap around, at the tightest place; null without such rows.
    pub room_bits: Option<f64>,
}

/// Reads a network, brings it into the job's fixed point and writes a share for each server into `folder`: from an ONNX file, or a safetensors file with PyTorch's names
/// for the layers of the job's trial. The job's data, where they are known by name and it has a trial, show whether values fit.
///
/// # Errors
/// [`Error`] for a file that cannot be read, an operator or layer that cannot be evaluated on shares (by name), or values that do not fit.
pub fn share_model(job: &ServiceJob, model: &Path, folder: &Path) -> Result<Shared, Error> {
    let (spec, network, notes) = match model.extension().is_some_and(|ending| ending == "onnx") {
        true => {
            let read = OnnxModel::read(model)?;
            let network = read.network()?;
            (read.model, network, read.notes)
        }
        false => {
            let spec = job.trial_job(job.trial()?)?.cut()?.model;
            let mut network = Network::new(&spec, 0..spec.layers.len(), 0)?;
            network.load_safetensors(model)?;
            (spec, network, Vec::new())
        }
    };
    let fixed = convert(job, &spec, &network)?;
    check_input(job, &spec)?;
    let room = match job.trial {
        Some(_) => check_room(&fixed, &Questions::of_trial(job, 0)?.x)?
            .iter()
            .map(|range| range.room)
            .reduce(f64::min),
        None => None,
    };
    Ok(Shared {
        shares: write_shares(fixed, job, folder)?,
        parameters: spec.parameter_count()?,
        notes,
        room_bits: room,
    })
}

fn check_input(job: &ServiceJob, spec: &ModelSpec) -> Result<(), Error> {
    match spec.input == job.data.shape {
        true => Ok(()),
        false => Err(Error::configuration(
            "data.shape",
            format!(
                "the network takes samples of shape {:?}, the job says {:?}",
                spec.input, job.data.shape
            ),
        )),
    }
}
