//! How good outputs are, beyond their loss.

#[cfg(test)]
mod tests;

use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

use crate::loss::{binary_targets, class_targets};
use crate::{BatchTargets, Loss, ModelError, WeightedLoss};

/// A model measured on a whole data set. What a loss does not define is `None` or empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The loss over all samples, with the weights of classes where training has any.
    pub loss: f64,
    /// Share of right decisions, in 0..=1; with several binary outputs (multi-label), over all of them, which is also the mean of
    /// the outputs' own accuracies.
    pub accuracy: Option<f64>,
    /// Share of each class that was recognised; `None` for a class that does not occur. One binary output has the
    /// classes 0 and 1; several have one entry each, for their ones.
    pub recall: Vec<Option<f64>>,
    /// Area under the ROC curve. With several classes or outputs it is the macro average: the mean of those entries of
    /// [`auc_by_class`](Evaluation::auc_by_class) that exist. `None` if none does.
    pub auc: Option<f64>,
    /// Area under the ROC curve of each class against the rest, or of each binary output. `None` where all samples are of one kind: such a
    /// column has no curve and is left out of [`auc`](Evaluation::auc).
    #[serde(default)]
    pub auc_by_class: Vec<Option<f64>>,
    /// [Average precision](average_precision): the area under the curve of precision against recall, where a rare class shows more than under
    /// the ROC curve. The macro average of [`average_precision_by_class`](Evaluation::average_precision_by_class), as for `auc`.
    #[serde(default)]
    pub average_precision: Option<f64>,
    /// Average precision of each class against the rest, or of each binary output; `None` where no sample is of the class. One binary output
    /// has one entry, for its ones.
    #[serde(default)]
    pub average_precision_by_class: Vec<Option<f64>>,
    /// Number of samples by true class (row) and decision (column); empty with several binary outputs.
    pub confusion: Vec<Vec<u64>>,
}

impl Evaluation {
    /// Measures the outputs of all samples. A class is decided by the largest logit (the first of equals), a binary
    /// output by a logit above 0.
    ///
    /// # Errors
    /// As [`WeightedLoss::value`].
    pub fn new(loss: impl Into<WeightedLoss>, outputs: &ArrayD<f32>, targets: &BatchTargets) -> Result<Self, ModelError> {
        let loss = loss.into();
        let value = loss.value(outputs, targets)?;
        if !outputs.iter().all(|output| output.is_finite()) {
            return Err(ModelError::Diverged { what: "an output" });
        }
        match loss.loss {
            Loss::CrossEntropy => Ok(classes(value, outputs, class_targets(outputs, targets)?)),
            Loss::Bce if outputs.shape()[1] == 1 => Ok(binary(value, outputs, binary_targets(outputs, targets)?)),
            Loss::Bce => Ok(labels(value, outputs, binary_targets(outputs, targets)?)),
            Loss::Mse => Ok(Self {
                loss: value,
                accuracy: None,
                recall: vec![],
                auc: None,
                auc_by_class: vec![],
                average_precision: None,
                average_precision_by_class: vec![],
                confusion: vec![],
            }),
        }
    }
}

/// Area under the ROC curve: the probability that a positive scores above a negative, equals counting half. `None`
/// unless both occur. Scores and labels are as many; scores are not NaN.
pub fn area_under_curve(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let mut order: Vec<(f64, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    order.sort_by(|left, right| left.0.total_cmp(&right.0));
    let positives = order.iter().filter(|(_, positive)| *positive).count() as f64;
    let negatives = order.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    // Mann-Whitney: the sum of the positives' ranks, equal scores sharing the mean of theirs.
    let mut below = 0.0;
    let mut rank_sum = 0.0;
    for ties in order.chunk_by(|left, right| left.0 == right.0) {
        let midrank = below + (ties.len() as f64 + 1.0) / 2.0;
        rank_sum += midrank * ties.iter().filter(|(_, positive)| *positive).count() as f64;
        below += ties.len() as f64;
    }
    Some((rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// Average precision: the sum over thresholds of `(R_n - R_(n-1)) P_n`, where recall `R_n` and precision `P_n` are those of the samples that
/// score at least the n-th largest distinct score, so that equal scores enter together. It is the area under the curve of precision
/// against recall as a step function, without interpolation (scikit-learn's `average_precision_score`); for scores without meaning, about the
/// share of positives. `None` without a positive. Scores and labels are as many; scores are not NaN.
pub fn average_precision(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let mut order: Vec<(f64, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    order.sort_by(|left, right| right.0.total_cmp(&left.0));
    let positives = order.iter().filter(|(_, positive)| *positive).count() as f64;
    if positives == 0.0 {
        return None;
    }
    let (mut taken, mut found, mut area) = (0.0, 0.0, 0.0);
    for ties in order.chunk_by(|left, right| left.0 == right.0) {
        let new = ties.iter().filter(|(_, positive)| *positive).count() as f64;
        taken += ties.len() as f64;
        found += new;
        area += new / positives * (found / taken);
    }
    Some(area)
}

fn classes(loss: f64, outputs: &ArrayD<f32>, targets: &[u32]) -> Evaluation {
    let count = outputs.shape()[1];
    let mut confusion = vec![vec![0; count]; count];
    // margins[k][i]: how far sample i's logits speak for class k, monotone in its softmax probability.
    let mut margins = vec![Vec::with_capacity(targets.len()); count];
    for (row, target) in outputs.outer_iter().zip(targets) {
        let logits: Vec<f64> = row.iter().map(|z| f64::from(*z)).collect();
        confusion[*target as usize][first_largest(&logits)] += 1;
        for (class, margins) in margins.iter_mut().enumerate() {
            margins.push(margin(&logits, class));
        }
    }
    let one_against_rest = margins.iter().enumerate().map(|(class, margins)| {
        let positive: Vec<bool> = targets.iter().map(|target| *target as usize == class).collect();
        (area_under_curve(margins, &positive), average_precision(margins, &positive))
    });
    let (auc_by_class, average_precision_by_class): (Vec<_>, Vec<_>) = one_against_rest.unzip();
    Evaluation {
        loss,
        accuracy: Some(accuracy(&confusion)),
        auc: macro_average(&auc_by_class),
        auc_by_class,
        average_precision: macro_average(&average_precision_by_class),
        average_precision_by_class,
        recall: recall(&confusion),
        confusion,
    }
}

fn binary(loss: f64, outputs: &ArrayD<f32>, targets: &ArrayD<f32>) -> Evaluation {
    let mut confusion = vec![vec![0; 2]; 2];
    for (z, target) in outputs.iter().zip(targets) {
        confusion[usize::from(*target == 1.0)][usize::from(*z > 0.0)] += 1;
    }
    let (auc, average_precision) = column_areas(outputs, targets, 0);
    Evaluation {
        loss,
        accuracy: Some(accuracy(&confusion)),
        auc,
        auc_by_class: vec![auc],
        average_precision,
        average_precision_by_class: vec![average_precision],
        recall: recall(&confusion),
        confusion,
    }
}

fn labels(loss: f64, outputs: &ArrayD<f32>, targets: &ArrayD<f32>) -> Evaluation {
    let count = outputs.shape()[1];
    let right = outputs
        .iter()
        .zip(targets)
        .filter(|(z, target)| (**z > 0.0) == (**target == 1.0))
        .count();
    let label_recall = |label| {
        let ones = column(outputs, label)
            .zip(column(targets, label))
            .filter(|(_, target)| *target == 1.0);
        let (mut all, mut found) = (0u64, 0u64);
        for (z, _) in ones {
            all += 1;
            found += u64::from(z > 0.0);
        }
        share(found, all)
    };
    let areas = (0..count).map(|label| column_areas(outputs, targets, label));
    let (auc_by_class, average_precision_by_class): (Vec<_>, Vec<_>) = areas.unzip();
    Evaluation {
        loss,
        accuracy: Some(right as f64 / outputs.len() as f64),
        recall: (0..count).map(label_recall).collect(),
        auc: macro_average(&auc_by_class),
        auc_by_class,
        average_precision: macro_average(&average_precision_by_class),
        average_precision_by_class,
        confusion: vec![],
    }
}

fn accuracy(confusion: &[Vec<u64>]) -> f64 {
    let right: u64 = confusion.iter().enumerate().map(|(class, row)| row[class]).sum();
    let all: u64 = confusion.iter().flatten().sum();
    right as f64 / all as f64
}

fn recall(confusion: &[Vec<u64>]) -> Vec<Option<f64>> {
    confusion
        .iter()
        .enumerate()
        .map(|(class, row)| share(row[class], row.iter().sum()))
        .collect()
}

fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

/// The mean of the values that exist.
fn macro_average(values: &[Option<f64>]) -> Option<f64> {
    let values: Vec<f64> = values.iter().copied().flatten().collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Areas under the ROC curve and under the curve of precision against recall.
fn column_areas(outputs: &ArrayD<f32>, targets: &ArrayD<f32>, label: usize) -> (Option<f64>, Option<f64>) {
    let scores: Vec<f64> = column(outputs, label).map(f64::from).collect();
    let positive: Vec<bool> = column(targets, label).map(|target| target == 1.0).collect();
    (area_under_curve(&scores, &positive), average_precision(&scores, &positive))
}

fn column(array: &ArrayD<f32>, index: usize) -> impl Iterator<Item = f32> {
    array.outer_iter().map(move |row| row[index])
}

fn first_largest(logits: &[f64]) -> usize {
    (1..logits.len()).fold(0, |best, index| if logits[index] > logits[best] { index } else { best })
}

/// The log odds of class `class`: unlike the probability, they do not saturate into ties.
fn margin(logits: &[f64], class: usize) -> f64 {
    let others = || {
        logits
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != class)
            .map(|(_, z)| *z)
    };
    let largest = others().fold(f64::NEG_INFINITY, f64::max);
    logits[class] - largest - others().map(|z| (z - largest).exp()).sum::<f64>().ln()
}
