//! Every attack on a view, scored.

use ndarray::{Array2, Axis, concatenate, s};

use crate::{
    Audit, AuditError, Batch, Example, Finding, Seen, View,
    algebra::{activations, fit},
    decoder::{Decoded, decode},
    dependence::{distance_correlation, rotated, time_warping},
    labels::{Labels, Scores, grouped_by_direction, label_findings},
};

/// Fewer rows say too little.
pub(crate) const FEWEST_ROWS: usize = 40;
/// Rows for the attacks whose work grows with the square of the rows.
const MOST_PAIRS: usize = 500;
/// dy below this condition number is solved for activations; the error is about 2^-24 times the condition number.
const WELL_CONDITIONED: f64 = 65_536.0;
/// Examples shown, and most values of one.
const EXAMPLES: usize = 4;
const MOST_VALUES: usize = 1024;

/// What was true, in the order in which the rows were trained on.
pub struct Truth {
    /// One line a row.
    pub inputs: Array2<f32>,
    /// A sample's shape.
    pub shape: Vec<usize>,
    /// The classes, where there are classes.
    pub labels: Option<Vec<u32>>,
    /// The number of classes.
    pub classes: usize,
    /// Shape of what the client sends of a row, such as `[channels, length]`; what a flattened activation was before.
    pub map: Vec<usize>,
    /// Whether cross-entropy is taken directly of the server's outputs.
    pub logits: bool,
    /// The client's activations by batch, where they are known.
    pub activations: Vec<Array2<f64>>,
}

/// Runs every attack that the view allows.
///
/// # Errors
/// [`AuditError::Model`] when the decoder cannot be trained.
pub fn audit(view: &View, truth: &Truth) -> Result<Audit, AuditError> {
    let sealed = joined(view, |batch| batch.activation.as_ref());
    let rows = sealed.as_ref().map_or(0, |m| m.values.nrows()).min(truth.inputs.nrows());
    let mut audit = Audit {
        rows,
        ..Audit::default()
    };
    if rows < FEWEST_ROWS {
        let least = format!("nothing: {rows} rows are recorded, at least {FEWEST_ROWS} are needed to tell anything from chance");
        audit.not_tried.push(least);
        return Ok(audit);
    }
    if let Some(gradient) = joined(view, |batch| batch.gradient.as_ref()) {
        match truth.labels.as_ref().filter(|_| truth.classes >= 2) {
            Some(values) => {
                let (classes, logits) = (truth.classes, truth.logits);
                let labels = Labels { values, classes, logits };
                audit
                    .findings
                    .extend(label_findings(&gradient.values, &view.gradient_in, &labels));
            }
            None => audit.not_tried.push("labels: the job has no classes".to_owned()),
        }
    }
    match sealed {
        Some(received) if received.clear && view.uploaded => {
            as_they_are(&received.values, &view.activation_in, truth, &mut audit);
        }
        Some(received) => {
            let what = if received.clear {
                "numbers in the clear"
            } else {
                "ciphertext bytes"
            };
            inputs(&received, &view.activation_in, what, truth, &mut audit)?;
        }
        None => (),
    }
    if view.uploaded {
        let why = "weights from their ciphertexts: the view holds nothing to hold them against, and no attack short of breaking the encryption is known";
        audit.not_tried.push(why.to_owned());
    }
    if let Some(recovered) = solve(view, truth, &mut audit) {
        let what = "activations recovered from the gradients";
        inputs(&recovered, "gradients, by pseudo-inverse", what, truth, &mut audit)?;
    }
    Ok(audit)
}

/// What an attack on inputs goes by.
struct Material {
    /// Numbers of the rows.
    rows: Vec<usize>,
    /// Whether a row's batch is one of those that a decoder is trained on: every other one, as the client's layers change over time.
    train: Vec<bool>,
    values: Array2<f32>,
    clear: bool,
}

/// The rows of all batches, as far as every batch has the width of the first.
fn joined(view: &View, of: impl Fn(&Batch) -> Option<&Seen>) -> Option<Material> {
    let first = of(view.batches.first()?)?;
    let (width, clear) = (first.values().ncols(), matches!(first, Seen::Numbers(_)));
    let alike = view
        .batches
        .iter()
        .map_while(|batch| of(batch).map(Seen::values))
        .take_while(|m| m.ncols() == width);
    let parts: Vec<_> = alike.cloned().enumerate().collect();
    let train = parts.iter().flat_map(|(at, part)| vec![at % 2 == 0; part.nrows()]).collect();
    let values = stacked(&parts.into_iter().map(|(_, part)| part).collect::<Vec<_>>())?;
    Some(Material {
        rows: (0..values.nrows()).collect(),
        train,
        values,
        clear,
    })
}

fn stacked<T: Clone>(parts: &[Array2<T>]) -> Option<Array2<T>> {
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    concatenate(Axis(0), &views).ok()
}

/// Activations exactly, from a batch's gradient and the gradient of the weight; batches whose gradients are not well conditioned are left out.
fn solve(view: &View, truth: &Truth, audit: &mut Audit) -> Option<Material> {
    if !view.batches.iter().any(|batch| batch.weight_gradient.is_some()) {
        if !view.uploaded {
            let why = "activations by pseudo-inverse: the party is not sent the gradient of its weight batch by batch";
            audit.not_tried.push(why.to_owned());
        }
        return None;
    }
    let (mut rows, mut train, mut found, mut known) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut first = 0;
    for (at, batch) in view.batches.iter().enumerate() {
        let (Some(Seen::Numbers(dy)), Some(dw)) = (&batch.gradient, &batch.weight_gradient) else {
            break;
        };
        let numbers = first..first + dy.nrows();
        first = numbers.end;
        let Some((a, condition)) = activations(&dy.mapv(f64::from), dw) else {
            continue;
        };
        if condition < WELL_CONDITIONED && numbers.end <= truth.inputs.nrows() {
            rows.extend(numbers);
            train.extend(vec![at % 2 == 0; a.nrows()]);
            known.extend(truth.activations.get(at).filter(|t| t.dim() == a.dim()).cloned());
            found.push(a);
        }
    }
    let n = rows.len();
    let found_all = stacked(&found).filter(|_| n >= FEWEST_ROWS);
    let Some(found_all) = found_all else {
        audit.not_tried.push(format!(
            "activations by pseudo-inverse: only {n} rows are in batches whose gradients are well conditioned (fewer rows than outputs)"
        ));
        return None;
    };
    match stacked(&known).filter(|known| known.dim() == found_all.dim()) {
        Some(known) => audit.findings.push(Finding::new(
            "pseudo-inverse of the gradient times the weight's gradient",
            "gradients",
            "activations",
            n,
            "mean correlation with the true activation",
            [fit(&found_all, &known)[0], 0.0, deviation(0.5, n)],
        )),
        None => audit.not_tried.push(
            "comparison of the activations by pseudo-inverse with the true ones: the client's view is not recorded as far"
                .to_owned(),
        ),
    }
    Some(Material {
        rows,
        train,
        values: found_all.mapv(|v| v as f32),
        clear: true,
    })
}

/// Inputs that were sent in the clear: how they agree with the true ones, and what they say about labels by themselves.
fn as_they_are(received: &Array2<f32>, message: &str, truth: &Truth, audit: &mut Audit) {
    let n = received.nrows().min(truth.inputs.nrows());
    let (received, inputs) = (
        received.slice(s![..n, ..]).to_owned(),
        truth.inputs.slice(s![..n, ..]).to_owned(),
    );
    if received.dim() != inputs.dim() {
        return audit
            .not_tried
            .push("comparison of the samples with the inputs: they have other sizes".to_owned());
    }
    let [ours, torn] =
        [received.clone(), rotated(&received, n / 2)].map(|rows| fit(&rows.mapv(f64::from), &inputs.mapv(f64::from))[0]);
    audit.findings.push(Finding::new(
        "none needed: the samples are sent in the clear",
        message,
        "inputs",
        n,
        "mean correlation of what was received with its input",
        [ours, torn, torn.max(0.0) + deviation(0.5, n)],
    ));
    if let Some(labels) = truth.labels.as_ref().filter(|_| truth.classes >= 2) {
        let n = n.min(labels.len());
        let centred = &received - &received.mean_axis(Axis(0)).unwrap_or_default();
        let centred = centred.slice(s![..n, ..]).to_owned();
        let scores = Scores::new(message, &labels[..n], truth.classes);
        audit
            .findings
            .push(grouped_by_direction(&centred, "the samples themselves", &scores));
    }
    let shown = (0..EXAMPLES.min(n)).map(|k| k * n / EXAMPLES).map(|row| Example {
        shape: truth.shape.clone(),
        input: inputs.row(row).to_vec(),
        received: received.row(row).iter().copied().take(MOST_VALUES).collect(),
        reconstruction: None,
    });
    audit.received = "the samples, in the clear".to_owned();
    audit.examples = shown.collect();
}

fn inputs(material: &Material, message: &str, what: &str, truth: &Truth, audit: &mut Audit) -> Result<(), AuditError> {
    let known = material
        .rows
        .iter()
        .zip(&material.train)
        .enumerate()
        .filter(|(_, (row, _))| **row < truth.inputs.nrows());
    // Rows to train on first.
    let (train, test): (Vec<_>, Vec<_>) = known
        .map(|(at, (row, train))| ((at, *row), *train))
        .partition(|(_, train)| *train);
    let half = train.len();
    let (at, rows): (Vec<usize>, Vec<usize>) = train.into_iter().chain(test).map(|(place, _)| place).unzip();
    let n = rows.len();
    let (received, inputs) = (material.values.select(Axis(0), &at), truth.inputs.select(Axis(0), &rows));
    if half == 0 || half == n {
        return Ok(());
    }
    let pairs = n.min(MOST_PAIRS);
    let (few, few_inputs) = (
        received.slice(s![..pairs, ..]).to_owned(),
        inputs.slice(s![..pairs, ..]).to_owned(),
    );
    dependence(&few, &few_inputs, message, audit);
    warping(&few, &few_inputs, material.clear, truth, message, audit);
    let decoded = decoding(&received, &inputs, half, message, audit)?;
    let scored = n - half;
    let examples = (0..EXAMPLES.min(scored))
        .map(|k| k * scored / EXAMPLES.max(1))
        .map(|row| Example {
            shape: truth.shape.clone(),
            input: inputs.row(half + row).to_vec(),
            received: received.row(half + row).iter().copied().take(MOST_VALUES).collect(),
            reconstruction: Some(decoded.reconstructions.row(row).to_vec()),
        });
    audit.received = what.to_owned();
    audit.examples = examples.collect();
    Ok(())
}

/// How much the inputs have to do with what was received.
fn dependence(received: &Array2<f32>, inputs: &Array2<f32>, message: &str, audit: &mut Audit) {
    let pairs = received.nrows();
    let value = distance_correlation(inputs, received);
    let torn: Vec<f64> = (1..=10)
        .map(|k| distance_correlation(inputs, &rotated(received, k * pairs / 11)))
        .collect();
    let chance = torn.iter().sum::<f64>() / torn.len() as f64;
    let most = torn.iter().copied().fold(chance, f64::max);
    audit.findings.push(Finding::new(
        "distance correlation of inputs with what was received",
        message,
        "inputs",
        pairs,
        "distance correlation",
        [value, chance, chance + 3.0 * (most - chance).max(0.01)],
    ));
}

/// What a network gives back of the rows after the first `half`, on which it is trained.
fn decoding(
    received: &Array2<f32>,
    inputs: &Array2<f32>,
    half: usize,
    message: &str,
    audit: &mut Audit,
) -> Result<Decoded, AuditError> {
    let [decoded, torn] = [decode(received, inputs, half, false)?, decode(received, inputs, half, true)?];
    let scored = received.nrows() - half;
    audit.findings.push(Finding::new(
        "a network trained to give inputs back, on one half of the rows",
        message,
        "inputs",
        scored,
        "mean correlation of a reconstruction with its input",
        [
            decoded.correlation,
            torn.correlation,
            torn.correlation.max(0.0) + deviation(0.5, scored),
        ],
    ));
    let explained = |ratio: f64| 1.0 - ratio;
    audit.findings.push(Finding::new(
        "a network trained to give inputs back, on one half of the rows",
        message,
        "inputs",
        scored,
        "share of the variance explained (of the mean predictor: 0)",
        [
            explained(decoded.error_ratio),
            explained(torn.error_ratio),
            explained(torn.error_ratio).max(0.0) + 0.05,
        ],
    ));
    Ok(decoded)
}

/// Whether a received channel looks more like its own input than like another row's.
fn warping(received: &Array2<f32>, inputs: &Array2<f32>, clear: bool, truth: &Truth, message: &str, audit: &mut Audit) {
    let (&[leads, length], &[channels, points]) = (&truth.shape[..], &truth.map[..]) else {
        return audit
            .not_tried
            .push("dynamic time warping: inputs or activations are no signals".to_owned());
    };
    if clear && channels * points != received.ncols() || leads * length != inputs.ncols() || points < 4 {
        return audit
            .not_tried
            .push("dynamic time warping: inputs or activations are no signals".to_owned());
    }
    // Of ciphertexts, as many numbers as an activation would have.
    let width = (channels * points).min(received.ncols()) / points;
    let distance = |row: usize, of: usize| {
        let input = inputs.row(of);
        let series = (0..width).map(|c| received.slice(s![row, c * points..(c + 1) * points]));
        series
            .flat_map(|map| [map.to_owned(), -&map])
            .map(|map| time_warping(input.slice(s![..length]), map.view(), points.div_ceil(10)))
            .fold(f64::INFINITY, f64::min)
    };
    let n = received.nrows();
    let nearer = (0..n)
        .filter(|row| distance(*row, *row) < distance(*row, (*row + n / 2) % n))
        .count();
    audit.findings.push(Finding::new(
        "dynamic time warping of each received channel with the input",
        message,
        "inputs",
        n,
        "share of rows nearer to their own input than to another row's",
        [nearer as f64 / n as f64, 0.5, 0.5 + deviation(0.5, n)],
    ));
}

/// Four standard deviations of a mean over `n` rows.
pub(crate) fn deviation(of_one: f64, n: usize) -> f64 {
    4.0 * of_one / (n.max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests;
