//! Labels from gradients, scored.

use cloven_nn::area_under_curve;
use ndarray::{Array2, s};

use crate::{
    Finding,
    algebra::{agreement, least},
    attacks::deviation,
    grouping::{agreement_after_naming, by_direction, by_first_direction, most_frequent, norms},
};

/// The true labels of the rows whose gradients are attacked, and what is known of how they came about.
pub struct Labels<'a> {
    /// A label each row.
    pub values: &'a [u32],
    /// How many there are, at least 2.
    pub classes: usize,
    /// Whether cross-entropy is taken directly of the outputs that the gradients are of.
    pub logits: bool,
}

/// Every attack on labels from a line of gradient each row; `message` says what they were received as.
pub fn label_findings(gradient: &Array2<f32>, message: &str, truth: &Labels<'_>) -> Vec<Finding> {
    let n = gradient.nrows().min(truth.values.len());
    let (gradient, labels) = (gradient.slice(s![..n, ..]).to_owned(), &truth.values[..n]);
    if n == 0 {
        return Vec::new();
    }
    let scores = Scores::new(message, labels, truth.classes);
    let mut findings = Vec::new();
    if truth.logits && gradient.ncols() >= truth.classes {
        let entries = gradient.slice(s![.., ..truth.classes]).mapv(f64::from);
        let attack = "the place of the least entry of each row's gradient";
        findings.push(scores.found(attack, n, agreement(&least(&entries), labels)));
    }
    findings.push(grouped_by_direction(&gradient, "their gradients", &scores));
    if truth.classes == 2 {
        let attack = "the sign of each row's gradient along the direction that all gradients have most in common";
        findings.push(scores.grouped(attack, &by_first_direction(&gradient)));
        findings.extend(by_length(&gradient, message, labels));
    }
    findings
}

/// Rows grouped by the direction of what was received of them.
pub(crate) fn grouped_by_direction(rows: &Array2<f32>, of: &str, scores: &Scores<'_>) -> Finding {
    let groups = by_direction(rows, scores.classes);
    scores.grouped(&format!("grouping rows by the direction of {of}"), &groups)
}

/// What attacks on these labels are scored by: the share found, beside that of the commonest label, which needs no information.
pub(crate) struct Scores<'a> {
    message: &'a str,
    labels: &'a [u32],
    classes: usize,
    chance: f64,
}

impl<'a> Scores<'a> {
    pub(crate) fn new(message: &'a str, labels: &'a [u32], classes: usize) -> Self {
        let commonest = most_frequent(labels.iter().copied()).unwrap_or(0);
        let right = labels.iter().filter(|label| **label == commonest).count();
        Self {
            message,
            labels,
            classes,
            chance: right as f64 / labels.len().max(1) as f64,
        }
    }

    fn found(&self, attack: &str, scored: usize, right: f64) -> Finding {
        let spread = (self.chance * (1.0 - self.chance)).sqrt();
        let numbers = [right, self.chance, self.chance + deviation(spread, scored)];
        Finding::new(attack, self.message, "labels", scored, "share of labels found", numbers)
    }

    fn grouped(&self, attack: &str, groups: &[u32]) -> Finding {
        let right = agreement_after_naming(groups, self.labels, self.classes);
        let attack = format!("{attack}; groups are named with the labels of one half of the rows");
        self.found(&attack, self.labels.len() - self.labels.len() / 2, right)
    }
}

fn by_length(gradient: &Array2<f32>, message: &str, labels: &[u32]) -> Option<Finding> {
    let positive: Vec<bool> = labels.iter().map(|label| *label == 1).collect();
    let area = area_under_curve(&norms(gradient), &positive)?;
    Some(Finding::new(
        "the length of each row's gradient",
        message,
        "labels",
        labels.len(),
        "area under the ROC curve, or one minus it",
        [area.max(1.0 - area), 0.5, 0.5 + deviation(0.6, labels.len())],
    ))
}
