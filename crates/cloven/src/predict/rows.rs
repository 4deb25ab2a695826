//! The rows to predict, brought into the form of the training rows.

use std::path::Path;

use cloven_data::{read_features, read_labels};
use cloven_nn::BatchTargets;
use cloven_wire::Party;
use ndarray::ArrayD;

use super::Preprocessing;
use crate::{Error, Job, RunFolder, party::targets};

/// What the client brings to a prediction.
#[derive(Clone)]
pub(super) struct Rows {
    /// `[rows, sample shape...]`, standardised as in training.
    pub(super) x: ArrayD<f32>,
    /// The number of each row in the file, counted from 0.
    pub(super) numbers: Vec<usize>,
    /// Which rows carry a label, by position in `x`, and their labels.
    pub(super) labels: Option<(Vec<usize>, BatchTargets)>,
    /// The names of the classes, in the order of the network's outputs.
    pub(super) classes: Option<Vec<String>>,
}

impl Rows {
    /// Reads `input` the way the training files of `party` were read.
    pub(super) fn read(job: &Job, party: &Party, run_folder: &Path, input: &Path) -> Result<Self, Error> {
        let preprocessing = Preprocessing::read(&RunFolder::preprocessing(run_folder, party), job)?;
        let (options, expected) = (&preprocessing.features, job.expectation());
        let features = read_features(input, options, &expected)?;
        let classes = preprocessing.class_names(job);
        // The labels of a regression stand in one column: with more outputs there is nothing to compare with.
        let one_column = classes.is_some() || job.cut()?.model.shapes()?.last().is_some_and(|shape| *shape == [1]);
        // Nor do several labels per row stand in one.
        let labels = match one_column && !job.data.multi_label {
            true => read_labels(input, options, &expected, &features, classes.as_deref())?,
            false => None,
        };
        let convert = |given| targets(given, job.training.loss, job.data.classes.unwrap_or(0));
        let mut x = features.x;
        if let Some(standardiser) = &preprocessing.standardiser {
            standardiser.apply(&mut x)?;
        }
        Ok(Self {
            x,
            numbers: features.rows,
            labels: labels.map(|labels| (labels.positions, convert(labels.targets))),
            classes,
        })
    }
}
