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
    let commonest = most_frequent(labels.iter().copied()).unwrap_or(0);
    let chance = labels.iter().filter(|label| **label == commonest).count() as f64 / n as f64;
    let spread = (chance * (1.0 - chance)).sqrt();
    let found = |attack: &str, scored: usize, right: f64| {
        let numbers = [right, chance, chance + deviation(spread, scored)];
        Finding::new(attack, message, "labels", scored, "share of labels found", numbers)
    };
    let grouped = |attack: &str, groups: &[u32]| {
        let right = agreement_after_naming(groups, labels, truth.classes);
        let attack = format!("{attack}; groups are named with the labels of one half of the rows");
        found(&attack, n - n / 2, right)
    };
    let mut findings = Vec::new();
    if truth.logits && gradient.ncols() >= truth.classes {
        let scores = gradient.slice(s![.., ..truth.classes]).mapv(f64::from);
        let attack = "the place of the least entry of each row's gradient";
        findings.push(found(attack, n, agreement(&least(&scores), labels)));
    }
    let groups = by_direction(&gradient, truth.classes);
    findings.push(grouped("grouping rows by the direction of their gradients", &groups));
    if truth.classes == 2 {
        let attack = "the sign of each row's gradient along the direction that all gradients have most in common";
        findings.push(grouped(attack, &by_first_direction(&gradient)));
        findings.extend(by_length(&gradient, message, labels));
    }
    findings
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
