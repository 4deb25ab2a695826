//! What a conversion cost in accuracy.

use ndarray::{ArrayD, Axis};
use rayon::prelude::*;
use serde::Serialize;

use super::{Ending, FixedModel, StepRange, Structure, evaluate};
use crate::ModelError;

/// A network and its fixed-point model on the same labelled samples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConversionReport {
    /// Number of samples.
    pub samples: usize,
    /// Share of samples that the network gets right.
    pub float_accuracy: f64,
    /// Share of samples that the fixed-point model gets right.
    pub fixed_accuracy: f64,
    /// Share of samples on which both say the same, right or wrong.
    pub agreement: f64,
    /// The largest difference between a score of one and the other.
    pub largest_difference: f64,
    /// Ranges on these samples, of each non-linear step and of the scores.
    pub ranges: Vec<StepRange>,
}

impl ConversionReport {
    /// The step with the least room.
    pub fn worst_range(&self) -> Option<&StepRange> {
        self.ranges.iter().min_by(|left, right| left.room.total_cmp(&right.room))
    }
}

impl FixedModel {
    /// Compares the classes (positions of the largest score; of one score, whether it is positive) for samples `[batch, sample...]` with those of
    /// the network's scores `[batch, classes]` and with the labels.
    ///
    /// # Errors
    /// As [`FixedModel::quantise`]; [`ModelError::Shape`] or [`ModelError::Targets`] for scores or labels of another number.
    pub fn compare(&self, x: &ArrayD<f32>, float_scores: &ArrayD<f32>, labels: &[u32]) -> Result<ConversionReport, ModelError> {
        let (samples, outputs) = (self.quantise(x)?, self.structure.outputs()?);
        if float_scores.len() != samples.len() * outputs || float_scores.shape().first() != Some(&samples.len()) {
            return Err(ModelError::Shape {
                what: "scores",
                expected: format!("[{}, {outputs}]", samples.len()),
                actual: float_scores.shape().to_vec(),
            });
        }
        if labels.len() != samples.len() || samples.is_empty() {
            return Err(ModelError::Targets {
                expected: format!("a label for each of {} samples, at least one", samples.len()),
                actual: labels.len().to_string(),
            });
        }
        let ranges = self.ranges(&samples)?;
        let fixed_scores = self.all_scores(&samples)?;
        let (mut float_right, mut fixed_right, mut same, mut largest_difference) = (0, 0, 0, 0.0f64);
        for ((fixed, float), label) in fixed_scores.iter().zip(float_scores.axis_iter(Axis(0))).zip(labels) {
            let float: Vec<f32> = float.iter().copied().collect();
            let (of_fixed, of_float) = (class(fixed), class(&float));
            float_right += usize::from(of_float == *label as usize);
            fixed_right += usize::from(of_fixed == *label as usize);
            same += usize::from(of_fixed == of_float);
            let difference = float.iter().zip(fixed).map(|(a, b)| f64::from((a - b).abs()));
            largest_difference = difference.fold(largest_difference, f64::max);
        }
        let share = |count: usize| count as f64 / samples.len() as f64;
        Ok(ConversionReport {
            samples: samples.len(),
            float_accuracy: share(float_right),
            fixed_accuracy: share(fixed_right),
            agreement: share(same),
            largest_difference,
            ranges,
        })
    }

    /// The scores of each sample, whatever the ending.
    fn all_scores(&self, samples: &[Vec<i64>]) -> Result<Vec<Vec<f32>>, ModelError> {
        let ring = self.structure.ring()?;
        let structure = Structure {
            ending: Ending::Scores,
            ..self.structure.clone()
        };
        let scores = |sample: &Vec<i64>| {
            let words = sample.iter().map(|value| ring.word(*value)).collect();
            let output = evaluate::run(&structure, &self.weights, ring, words, |_, _| ());
            let signed: Vec<i64> = output.into_iter().map(|word| ring.signed(word)).collect();
            self.scores(&signed)
        };
        samples.par_iter().map(scores).collect()
    }
}

fn class(scores: &[f32]) -> usize {
    if let [score] = scores {
        return usize::from(*score > 0.0);
    }
    let better = |best: usize, at: usize| if scores[at] > scores[best] { at } else { best };
    (0..scores.len()).fold(0, better)
}
