//! Losses: the number to minimise and its gradient, both in closed form, worked out in f64.

#[cfg(test)]
mod tests;
mod weights;

use ndarray::{ArrayD, Axis};
use serde::{Deserialize, Serialize};

pub use self::weights::{ClassWeights, WeightedLoss};
use crate::ModelError;

/// How far outputs are from targets; the mean over the batch, as PyTorch reduces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Softmax and negative log likelihood of logits `[batch, classes]`; targets are classes. Mean over the batch.
    CrossEntropy,
    /// Sigmoid and binary cross-entropy of logits `[batch, k]`, each on its own: multi-label for k > 1. Targets are 0 or 1 (multi-hot),
    /// `[batch, k]`. Mean over all values.
    Bce,
    /// Squared difference of arrays of one shape. Mean over all values.
    Mse,
}

/// What the outputs of a batch should have been.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchTargets {
    /// The class of each sample, from 0.
    Classes(Vec<u32>),
    /// A value for each output, in the outputs' shape; for a binary cross-entropy 0 or 1, any number of ones in a row.
    Values(ArrayD<f32>),
}

impl BatchTargets {
    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Values(values) => values.shape().first().copied().unwrap_or(0),
        }
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The targets of the given samples, in the given order.
    ///
    /// # Panics
    /// If a number is not below [`BatchTargets::len`].
    pub fn select(&self, samples: &[usize]) -> Self {
        match self {
            Self::Classes(classes) => Self::Classes(samples.iter().map(|&sample| classes[sample]).collect()),
            Self::Values(values) => Self::Values(values.select(Axis(0), samples)),
        }
    }
}

impl Loss {
    /// The loss of a batch.
    ///
    /// # Errors
    /// [`ModelError::Shape`] or [`ModelError::Targets`] if outputs and targets do not belong to this loss and to each
    /// other, [`ModelError::Diverged`] if the loss is not finite.
    pub fn value(&self, outputs: &ArrayD<f32>, targets: &BatchTargets) -> Result<f64, ModelError> {
        Ok(self.value_and_gradient(outputs, targets)?.0)
    }

    /// The loss of a batch and its derivative by each output, in the shape of `outputs`.
    ///
    /// # Errors
    /// As [`Loss::value`].
    pub fn value_and_gradient(&self, outputs: &ArrayD<f32>, targets: &BatchTargets) -> Result<(f64, ArrayD<f32>), ModelError> {
        self.weighted(outputs, targets, None)
    }

    /// With the weight of each class (of a cross-entropy) or of the ones of each output, if not all are 1.
    fn weighted(
        &self,
        outputs: &ArrayD<f32>,
        targets: &BatchTargets,
        weights: Option<&[f64]>,
    ) -> Result<(f64, ArrayD<f32>), ModelError> {
        let weight = |class: usize| weights.map_or(1.0, |weights| weights[class]);
        let (loss, gradient) = match self {
            Self::CrossEntropy => cross_entropy(outputs, class_targets(outputs, targets)?, weight),
            Self::Bce => {
                let targets = binary_targets(outputs, targets)?;
                let width = outputs.shape()[1];
                mean_of(outputs, targets, |index, z, t| {
                    let counts = if t == 1.0 { weight(index % width) } else { 1.0 };
                    let (loss, slope) = bce(z, t);
                    (counts * loss, counts * slope)
                })
            }
            Self::Mse => mean_of(outputs, value_targets(outputs, targets)?, |_, z, t| {
                ((z - t) * (z - t), 2.0 * (z - t))
            }),
        };
        if loss.is_finite() {
            Ok((loss, gradient))
        } else {
            Err(ModelError::Diverged { what: "the loss" })
        }
    }
}

/// Targets of a cross-entropy, checked against outputs `[batch, classes]`.
pub(crate) fn class_targets<'t>(outputs: &ArrayD<f32>, targets: &'t BatchTargets) -> Result<&'t [u32], ModelError> {
    let &[batch, classes] = outputs.shape() else {
        return Err(shape_error("[batch, classes]", outputs));
    };
    if batch == 0 || classes == 0 {
        return Err(shape_error("[batch, classes]", outputs));
    }
    let BatchTargets::Classes(given) = targets else {
        return Err(target_error("classes", "values"));
    };
    if given.len() != batch {
        return Err(target_error(format!("{batch}, one for each sample"), given.len()));
    }
    match given.iter().find(|class| **class as usize >= classes) {
        Some(class) => Err(target_error(format!("classes in 0..{classes}"), class)),
        None => Ok(given),
    }
}

/// Targets of a binary cross-entropy, checked against outputs `[batch, k]`.
pub(crate) fn binary_targets<'t>(outputs: &ArrayD<f32>, targets: &'t BatchTargets) -> Result<&'t ArrayD<f32>, ModelError> {
    let values = value_targets(outputs, targets)?;
    if outputs.ndim() != 2 {
        return Err(shape_error("[batch, k]", outputs));
    }
    match values.iter().find(|value| **value != 0.0 && **value != 1.0) {
        Some(value) => Err(target_error("0 or 1", value)),
        None => Ok(values),
    }
}

fn value_targets<'t>(outputs: &ArrayD<f32>, targets: &'t BatchTargets) -> Result<&'t ArrayD<f32>, ModelError> {
    if outputs.is_empty() {
        return Err(shape_error("[batch, ...]", outputs));
    }
    match targets {
        BatchTargets::Values(values) if values.shape() == outputs.shape() => Ok(values),
        BatchTargets::Values(values) => Err(target_error(
            format!("shape {:?}", outputs.shape()),
            format!("{:?}", values.shape()),
        )),
        BatchTargets::Classes(_) => Err(target_error("values", "classes")),
    }
}

fn cross_entropy(outputs: &ArrayD<f32>, classes: &[u32], weight: impl Fn(usize) -> f64) -> (f64, ArrayD<f32>) {
    let scale = 1.0 / classes.iter().map(|class| weight(*class as usize)).sum::<f64>();
    let mut gradient = outputs.clone();
    let mut loss = 0.0;
    for (mut row, class) in gradient.outer_iter_mut().zip(classes) {
        let class = *class as usize;
        let largest = row.iter().map(|z| f64::from(*z)).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|z| (f64::from(*z) - largest).exp()).sum();
        let weight = weight(class);
        loss += weight * (sum.ln() - (f64::from(row[class]) - largest));
        for (index, z) in row.iter_mut().enumerate() {
            let probability = (f64::from(*z) - largest).exp() / sum;
            let target = if index == class { 1.0 } else { 0.0 };
            *z = ((probability - target) * (weight * scale)) as f32;
        }
    }
    (loss * scale, gradient)
}

/// Loss and derivative of one logit.
fn bce(z: f64, target: f64) -> (f64, f64) {
    // exp(-|z|) never overflows.
    let small = (-z.abs()).exp();
    let sigmoid = if z >= 0.0 {
        1.0 / (1.0 + small)
    } else {
        small / (1.0 + small)
    };
    (z.max(0.0) - z * target + small.ln_1p(), sigmoid - target)
}

/// The mean of `each`'s losses, and its derivatives to match. `each` is told the value's number in row-major order.
fn mean_of(outputs: &ArrayD<f32>, targets: &ArrayD<f32>, each: impl Fn(usize, f64, f64) -> (f64, f64)) -> (f64, ArrayD<f32>) {
    let scale = 1.0 / outputs.len() as f64;
    let mut gradient = outputs.clone();
    let mut loss = 0.0;
    for (index, (z, target)) in gradient.iter_mut().zip(targets).enumerate() {
        let (value, slope) = each(index, f64::from(*z), f64::from(*target));
        loss += value;
        *z = (slope * scale) as f32;
    }
    (loss * scale, gradient)
}

fn shape_error(expected: &str, outputs: &ArrayD<f32>) -> ModelError {
    ModelError::Shape {
        what: "outputs",
        expected: expected.to_owned(),
        actual: outputs.shape().to_vec(),
    }
}

fn target_error(expected: impl Into<String>, actual: impl ToString) -> ModelError {
    ModelError::Targets {
        expected: expected.into(),
        actual: actual.to_string(),
    }
}
