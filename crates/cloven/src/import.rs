//! `cloven model import`: a trained model of another framework, as layers of a job and the weights to begin with.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use cloven_nn::{LayerSpec, OnnxModel, save_safetensors};
use serde::Serialize;

use crate::{Error, identity};

/// What was read.
#[derive(Debug, Clone, Serialize)]
pub struct Imported {
    /// The file of its weights: safetensors with PyTorch's names, for `initial_weights`.
    pub weights: PathBuf,
    /// Shape of one sample, for `shape` in the job's `[data]`.
    pub shape: Vec<usize>,
    /// For `layers` in the job's `[model]`.
    pub layers: Vec<LayerSpec>,
    /// Trainable numbers.
    pub parameters: usize,
    /// What of the file was left out.
    pub notes: Vec<String>,
}

/// Reads an ONNX file and writes its weights to `output`.
///
/// # Errors
/// [`Error::Model`] for a file that cannot be read, with the node and operator that no layer is for, or an output that cannot be written.
pub fn import_onnx(model: &Path, output: &Path) -> Result<Imported, Error> {
    let read = OnnxModel::read(model)?;
    let network = read.network()?;
    save_safetensors(output, std::slice::from_ref(&network), HashMap::new())?;
    Ok(Imported {
        weights: output.to_owned(),
        shape: read.model.input,
        layers: read.model.layers,
        parameters: network.parameters().iter().map(|(_, value)| value.len()).sum(),
        notes: read.notes,
    })
}

impl Imported {
    /// The layers as they stand in a job file.
    pub fn to_toml(&self) -> String {
        #[derive(Serialize)]
        struct Sections<'a> {
            data: Data<'a>,
            model: Model<'a>,
        }
        #[derive(Serialize)]
        struct Data<'a> {
            shape: &'a [usize],
        }
        #[derive(Serialize)]
        struct Model<'a> {
            layers: &'a [LayerSpec],
        }
        identity::to_toml(&Sections {
            data: Data { shape: &self.shape },
            model: Model { layers: &self.layers },
        })
    }
}
