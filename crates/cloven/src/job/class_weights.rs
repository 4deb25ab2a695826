//! Classes that count more than others in training.

use cloven_nn::{BatchTargets, Loss, WeightedLoss};
use serde::{Deserialize, Serialize};

use super::Job;
use crate::Error;

/// How much classes count in the loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"balanced\", a number (what a target of 1 counts, for bce), or a list of numbers"
)]
pub enum ClassWeights {
    /// Found from labels.
    Rule(Rule),
    /// The same at everybody who has labels.
    Given(cloven_nn::ClassWeights),
}

/// How weights are found from the labels of the training rows, by whoever has them; nobody else is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// All classes count alike ([`cloven_nn::ClassWeights::balanced`]).
    Balanced,
}

impl Job {
    /// The weights for these training rows.
    pub(crate) fn class_weights(&self, train: &BatchTargets) -> Result<Option<cloven_nn::ClassWeights>, Error> {
        Ok(match &self.training.class_weights {
            None => None,
            Some(ClassWeights::Given(weights)) => Some(weights.clone()),
            Some(ClassWeights::Rule(Rule::Balanced)) => {
                cloven_nn::ClassWeights::balanced(self.training.loss, train, self.outputs()?)
            }
        })
    }

    /// Whether the weights belong to the loss and the outputs.
    pub(super) fn check_class_weights(&self) -> Result<(), String> {
        match &self.training.class_weights {
            None => Ok(()),
            Some(ClassWeights::Rule(Rule::Balanced)) => match self.training.loss {
                Loss::Mse => Err("the loss mse has no classes".into()),
                Loss::CrossEntropy | Loss::Bce => Ok(()),
            },
            Some(ClassWeights::Given(weights)) => {
                let weighted = WeightedLoss {
                    loss: self.training.loss,
                    class_weights: Some(weights.clone()),
                };
                let outputs = self.outputs().map_err(|error| error.to_string())?;
                weighted.validate(outputs).map_err(|error| error.to_string())
            }
        }
    }

    fn outputs(&self) -> Result<usize, Error> {
        let shapes = self.cut()?.model.shapes()?;
        Ok(shapes.last().map_or(0, |shape| shape.iter().product()))
    }
}
