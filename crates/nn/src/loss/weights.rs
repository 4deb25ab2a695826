//! Classes that count more than others, and the loss that counts them so.

use ndarray::{ArrayD, Axis};
use serde::{Deserialize, Serialize};

use super::{BatchTargets, Loss};
use crate::ModelError;

/// How much classes count in a loss, for data in which some are rare. As in a job file: one number, or a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number, the weight of ones, or a list of numbers")]
pub enum ClassWeights {
    /// For a binary cross-entropy: what a target of 1 counts, in every output, where a 0 counts 1.
    Positive(f64),
    /// For a cross-entropy, what each class counts; for a binary cross-entropy, what a target of 1 counts in each output.
    Each(Vec<f64>),
}

/// A loss in which each class has its weight; without weights, the loss itself, bit for bit.
///
/// Formulas are PyTorch's. With weights `w` a cross-entropy is the weighted mean over a batch, `sum_i w[c_i] l_i / sum_i w[c_i]`, where `c_i` is
/// the class and `l_i` the loss of sample i: a batch of one class has the loss that it has without weights, and the scale of all weights
/// plays no part. A binary cross-entropy is the mean over all `n` values, `sum_i v_i l_i / n`, where `v_i` is the weight if the target is
/// 1 and 1 if it is 0: it is *not* divided by the sum of the weights, so that a weight of 3 does what three copies of each positive
/// would do to the gradient, up to the number of values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightedLoss {
    /// The loss of a value or sample.
    pub loss: Loss,
    /// Every class counts 1 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
}

impl From<Loss> for WeightedLoss {
    fn from(loss: Loss) -> Self {
        Self {
            loss,
            class_weights: None,
        }
    }
}

impl ClassWeights {
    /// The weights with which all classes of `targets` count alike: `n / (k n_c)` for a class with `n_c` of the `n` samples of `k` classes (as
    /// scikit-learn's `balanced`), and for a binary cross-entropy in each output the zeros over the ones. A class that does not occur counts 1.
    /// `outputs` are the classes of a cross-entropy or the outputs of a binary one; `None` for other losses or targets.
    pub fn balanced(loss: Loss, targets: &BatchTargets, outputs: usize) -> Option<Self> {
        let weights = match (loss, targets) {
            (Loss::CrossEntropy, BatchTargets::Classes(classes)) => {
                let mut counts = vec![0_usize; outputs];
                for class in classes {
                    *counts.get_mut(*class as usize)? += 1;
                }
                let all = classes.len() as f64;
                counts.iter().map(|count| all / (outputs * count) as f64).collect()
            }
            (Loss::Bce, BatchTargets::Values(values)) if values.ndim() == 2 && values.shape()[1] == outputs => {
                let ones = values
                    .axis_iter(Axis(1))
                    .map(|column| column.iter().filter(|value| **value == 1.0).count());
                ones.map(|ones| (values.shape()[0] - ones) as f64 / ones as f64)
                    .collect::<Vec<_>>()
            }
            _ => return None,
        };
        // Where one of two numbers is 0, there is nothing to balance.
        let usable = |weight: f64| if weight.is_finite() && weight > 0.0 { weight } else { 1.0 };
        Some(Self::Each(weights.into_iter().map(usable).collect()))
    }
}

impl WeightedLoss {
    /// Checks the weights for a model of so many `outputs` (classes of a cross-entropy).
    ///
    /// # Errors
    /// [`ModelError::ClassWeights`] if they do not belong to the loss, are as many as they should not be, or are not positive and finite.
    pub fn validate(&self, outputs: usize) -> Result<(), ModelError> {
        self.weights(outputs).map(|_| ())
    }

    /// The loss of a batch.
    ///
    /// # Errors
    /// As [`Loss::value`] and [`WeightedLoss::validate`].
    pub fn value(&self, outputs: &ArrayD<f32>, targets: &BatchTargets) -> Result<f64, ModelError> {
        Ok(self.value_and_gradient(outputs, targets)?.0)
    }

    /// The loss of a batch and its derivative by each output, in the shape of `outputs`.
    ///
    /// # Errors
    /// As [`WeightedLoss::value`].
    pub fn value_and_gradient(&self, outputs: &ArrayD<f32>, targets: &BatchTargets) -> Result<(f64, ArrayD<f32>), ModelError> {
        // Outputs without this dimension are refused with the targets.
        let weights = self.weights(outputs.shape().get(1).copied().unwrap_or(0))?;
        self.loss.weighted(outputs, targets, weights.as_deref())
    }

    /// One weight for each output; nothing where all are 1.
    fn weights(&self, outputs: usize) -> Result<Option<Vec<f64>>, ModelError> {
        let Some(weights) = &self.class_weights else {
            return Ok(None);
        };
        let refused = |expected: String, actual: String| Err(ModelError::ClassWeights { expected, actual });
        let weights = match (self.loss, weights) {
            (Loss::Mse, _) => return refused("none with the loss mse".into(), "some".into()),
            (Loss::CrossEntropy, ClassWeights::Positive(weight)) => {
                return refused(
                    format!("a list of {outputs}, one for each class"),
                    format!("the number {weight}"),
                );
            }
            (Loss::Bce, ClassWeights::Positive(weight)) => vec![*weight; outputs],
            (_, ClassWeights::Each(weights)) if weights.len() != outputs => {
                return refused(format!("{outputs}, one for each output"), weights.len().to_string());
            }
            (_, ClassWeights::Each(weights)) => weights.clone(),
        };
        match weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0)) {
            Some(weight) => refused("positive numbers".into(), weight.to_string()),
            None => Ok(Some(weights)),
        }
    }
}
