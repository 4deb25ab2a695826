//! A client's rows.

use cloven_data::{Samples, Targets};
use cloven_nn::{BatchTargets, ClassWeights, Loss};
use cloven_protocols::{Examples, Subset};
use ndarray::ArrayD;

use crate::{Error, Job, LocalData, Part, predict::Preprocessing};

/// A client's rows, in the form that the loss takes.
pub(crate) struct ClientData {
    pub(crate) train: Examples,
    pub(crate) test: Examples,
    pub(super) subsets: Vec<Subset>,
    /// How much classes count in the loss.
    pub(super) class_weights: Option<ClassWeights>,
    /// What a later prediction needs to know of them.
    pub(super) preprocessing: Option<Preprocessing>,
}

impl ClientData {
    pub(crate) fn new(source: &LocalData, part: Option<Part>, job: &Job) -> Result<Self, Error> {
        let data = source.load(job, part)?;
        let preprocessing = Preprocessing::new(job, source, &data);
        let (loss, classes) = (job.training.loss, job.data.classes.unwrap_or(0));
        let convert = |samples: Samples| Examples {
            targets: targets(samples.targets, loss, classes),
            x: samples.x,
        };
        let subsets = data
            .test_subsets
            .into_iter()
            .map(|(name, rows)| Subset { name, rows })
            .collect();
        let train = convert(data.train);
        Ok(Self {
            class_weights: job.class_weights(&train.targets)?,
            train,
            test: convert(data.test),
            subsets,
            preprocessing: Some(preprocessing),
        })
    }

    /// Rows that no prediction will follow.
    pub(super) fn without_preprocessing(train: Examples, test: Examples) -> Self {
        Self {
            train,
            test,
            subsets: Vec::new(),
            class_weights: None,
            preprocessing: None,
        }
    }
}

/// Targets in the form that the loss takes.
pub(crate) fn targets(targets: Targets, loss: Loss, classes: usize) -> BatchTargets {
    match (targets, loss) {
        (Targets::Values(values) | Targets::Labels { values, .. }, _) => BatchTargets::Values(values.into_dyn()),
        (Targets::Classes { index, .. }, Loss::CrossEntropy) => BatchTargets::Classes(index),
        (Targets::Classes { index, .. }, _) => {
            // Two classes are one output, the second class being the positive one; more are one output each.
            let value = |row: usize, k: usize| match classes {
                2 => index[row] as f32,
                _ => f32::from(index[row] as usize == k),
            };
            let outputs = if classes == 2 { 1 } else { classes };
            BatchTargets::Values(ArrayD::from_shape_fn(vec![index.len(), outputs], |at| value(at[0], at[1])))
        }
    }
}
