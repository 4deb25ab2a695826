//! Results, as `audit.json` holds them.

use serde::{Deserialize, Serialize};

/// What one attack brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was tried.
    pub attack: String,
    /// The messages it looked at.
    pub messages: String,
    /// What it is after: `labels`, `activations`, `inputs` or `column NAME`.
    pub target: String,
    /// The rows it was scored on.
    pub rows: usize,
    /// What `value` is.
    pub measure: String,
    /// How much came back, in 0..=1 (a correlation: -1..=1).
    pub value: f64,
    /// What the same measure gives without any information.
    pub chance: f64,
    /// A value above this is more than chance.
    pub bound: f64,
    /// Whether `value` is above `bound`.
    pub succeeded: bool,
    /// One sentence.
    pub verdict: String,
}

impl Finding {
    pub(crate) fn new(
        attack: &str,
        messages: &str,
        target: &str,
        rows: usize,
        measure: &str,
        [value, chance, bound]: [f64; 3],
    ) -> Self {
        let succeeded = value > bound;
        let verdict = match succeeded {
            true => format!(
                "{} came back: {measure} {value:.3}, where chance gives {chance:.3}.",
                capital(target)
            ),
            false => format!(
                "This attack did not succeed: {measure} {value:.3}, where chance gives {chance:.3}. That does not show that none can."
            ),
        };
        Self {
            attack: attack.to_owned(),
            messages: messages.to_owned(),
            target: target.to_owned(),
            rows,
            measure: measure.to_owned(),
            value,
            chance,
            bound,
            succeeded,
            verdict,
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// One input, what the party received of it, and the decoder's reconstruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The sample's shape.
    pub shape: Vec<usize>,
    /// The input.
    pub input: Vec<f32>,
    /// What was received of it; the first values, if they are many.
    pub received: Vec<f32>,
    /// What the decoder made of it.
    pub reconstruction: Option<Vec<f32>>,
}

/// All attacks on one party's view.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Audit {
    /// Rows of the view that were looked at.
    pub rows: usize,
    /// What the examples' received values are.
    pub received: String,
    /// By attack.
    pub findings: Vec<Finding>,
    /// What was not tried, and why.
    pub not_tried: Vec<String>,
    /// Examples, from rows that the decoder was not trained on.
    pub examples: Vec<Example>,
}
