//! From the network's outputs to classes and probabilities, and to files.

use std::{collections::BTreeMap, path::Path};

use cloven_nn::Loss;
use ndarray::{Array2, ArrayD, ArrayView1, Axis};
use serde::{Deserialize, Serialize};

use crate::{Error, files};

/// What the network says about each row.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// The number of each row in the input file, counted from 0; rows that were dropped for a missing value leave a gap.
    rows: Vec<usize>,
    /// `[rows, columns]`: probabilities of classes, or values.
    values: Array2<f32>,
    /// What the columns are.
    columns: Columns,
}

#[derive(Debug, Clone, PartialEq)]
enum Columns {
    /// The probability of each class; the class of each row is in `decided`.
    Classes { names: Vec<String>, decided: Vec<usize> },
    /// The probability of each label; a row has those of more than a half.
    Labels { names: Vec<String> },
    /// Real values.
    Values,
}

/// The prediction for one row, as JSON gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The row's number in the input file, counted from 0.
    pub row: usize,
    /// The predicted class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The labels that apply, where a row may have several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// The probability of each class or label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<BTreeMap<String, f32>>,
    /// The values of a regression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<f32>>,
}

/// How predictions are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PredictionFormat {
    /// A header; row number, class (or labels, joined by `+`), one column per probability (or value).
    Csv,
    /// One array `[rows, columns]` of probabilities (or values), without row numbers.
    Npy,
    /// One JSON object a line.
    JsonLines,
}

impl PredictionFormat {
    /// The format that a file name stands for.
    pub fn of(path: &Path) -> Result<Self, Error> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("npy") => Ok(Self::Npy),
            Some("jsonl" | "ndjson" | "json") => Ok(Self::JsonLines),
            _ => Err(Error::configuration(
                "--output",
                format!("expected a name that ends in .csv, .npy or .jsonl, got {}", path.display()),
            )),
        }
    }
}

impl PredictionFormat {
    /// How the name of such a file ends.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Npy => "npy",
            Self::JsonLines => "jsonl",
        }
    }
}

impl Predictions {
    /// From the outputs `[rows, ...]` of a network trained with `loss`: softmax of each row for cross-entropy, the sigmoid of each output for
    /// bce (of one output it is the probability of the second class), the outputs themselves for mse. `classes` names the classes, where there
    /// are any. The class of a row is the one with the largest output, the first of equals; of one output the second class where it is above 0:
    /// what evaluation decides by.
    pub(super) fn new(rows: Vec<usize>, outputs: &ArrayD<f32>, loss: Loss, classes: Option<Vec<String>>) -> Self {
        let width: usize = outputs.shape().iter().skip(1).product();
        let outputs = outputs
            .to_shape((rows.len(), width))
            .expect("one output row for each row")
            .into_owned();
        let Some(names) = classes.filter(|_| loss != Loss::Mse) else {
            return Self {
                rows,
                values: outputs,
                columns: Columns::Values,
            };
        };
        let single = width == 1;
        let decided = outputs.outer_iter().map(|row| match single {
            true => usize::from(row[0] > 0.0),
            false => first_largest(row),
        });
        let decided = decided.collect();
        let mut values = Array2::zeros((rows.len(), names.len()));
        for (mut into, row) in values.outer_iter_mut().zip(outputs.outer_iter()) {
            let probabilities = match loss {
                Loss::CrossEntropy => softmax(row),
                _ if single => vec![sigmoid(-row[0]), sigmoid(row[0])],
                _ => row.iter().map(|z| sigmoid(*z)).collect(),
            };
            into.iter_mut().zip(probabilities).for_each(|(into, p)| *into = p);
        }
        let columns = Columns::Classes { names, decided };
        Self { rows, values, columns }
    }

    /// From the outputs `[rows, labels]` of a network for several labels per row, the sigmoid of each output. A label applies where that is
    /// above a half.
    pub(super) fn labels(rows: Vec<usize>, outputs: &ArrayD<f32>, names: Vec<String>) -> Self {
        let mut labels = Self::new(rows, outputs, Loss::Mse, None);
        labels.values.mapv_inplace(sigmoid);
        labels.columns = Columns::Labels { names };
        labels
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Classes or labels in the order of their numbers; nothing for regression.
    pub fn names(&self) -> Option<&[String]> {
        match &self.columns {
            Columns::Classes { names, .. } | Columns::Labels { names } => Some(names),
            Columns::Values => None,
        }
    }

    /// How many rows each class or label was predicted for; nothing for regression.
    pub fn class_counts(&self) -> Option<BTreeMap<String, u64>> {
        let names = self.names()?;
        let mut counts: BTreeMap<String, u64> = names.iter().map(|name| (name.clone(), 0)).collect();
        for row in 0..self.rows() {
            for name in self.decided(row) {
                *counts.entry(name.to_owned()).or_default() += 1;
            }
        }
        Some(counts)
    }

    /// The class or the labels of the row at this position; none for regression.
    fn decided(&self, at: usize) -> Vec<&str> {
        match &self.columns {
            Columns::Classes { names, decided } => vec![&names[decided[at]]],
            Columns::Labels { names } => {
                let row = self.values.index_axis(Axis(0), at);
                let applies = names.iter().zip(row).filter(|(_, p)| **p > 0.5);
                applies.map(|(name, _)| name.as_str()).collect()
            }
            Columns::Values => Vec::new(),
        }
    }

    /// The prediction for each row.
    pub fn iter(&self) -> impl Iterator<Item = Prediction> + '_ {
        self.rows.iter().enumerate().map(|(at, row)| {
            let values = self.values.index_axis(Axis(0), at);
            let probabilities = |names: &[String]| names.iter().cloned().zip(values.iter().copied()).collect();
            let decided = || self.decided(at).into_iter().map(str::to_owned);
            let nothing = Prediction {
                row: *row,
                class: None,
                labels: None,
                probabilities: None,
                values: None,
            };
            match &self.columns {
                Columns::Classes { names, .. } => Prediction {
                    class: decided().next(),
                    probabilities: Some(probabilities(names)),
                    ..nothing
                },
                Columns::Labels { names } => Prediction {
                    labels: Some(decided().collect()),
                    probabilities: Some(probabilities(names)),
                    ..nothing
                },
                Columns::Values => Prediction {
                    values: Some(values.to_vec()),
                    ..nothing
                },
            }
        })
    }

    /// Writes the file whole or not at all, readable by its owner only.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        files::write(path, &self.to_bytes(PredictionFormat::of(path)?), true)
    }

    /// What a file of this format holds.
    pub fn to_bytes(&self, format: PredictionFormat) -> Vec<u8> {
        match format {
            PredictionFormat::Csv => self.to_csv().into_bytes(),
            PredictionFormat::Npy => cloven_data::npy_bytes(&self.values),
            PredictionFormat::JsonLines => {
                let line = |p| serde_json::to_string(&p).expect("predictions have only string keys") + "\n";
                self.iter().map(line).collect::<String>().into_bytes()
            }
        }
    }

    fn to_csv(&self) -> String {
        let mut header = vec!["row".to_owned()];
        match &self.columns {
            Columns::Classes { names, .. } | Columns::Labels { names } => {
                let several = matches!(self.columns, Columns::Labels { .. });
                header.push(if several { "labels" } else { "class" }.into());
                header.extend(names.iter().map(|name| quoted(&format!("probability_{name}"))));
            }
            Columns::Values => match self.values.ncols() {
                1 => header.push("value".into()),
                width => header.extend((0..width).map(|column| format!("value_{column}"))),
            },
        }
        let mut text = header.join(",") + "\n";
        for (at, row) in self.rows.iter().enumerate() {
            text += &row.to_string();
            if self.columns != Columns::Values {
                text += ",";
                text += &quoted(&self.decided(at).join("+"));
            }
            for value in self.values.index_axis(Axis(0), at) {
                text += &format!(",{value}");
            }
            text += "\n";
        }
        text
    }
}

/// A CSV field, in quotes where it needs them.
pub(crate) fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

fn first_largest(row: ArrayView1<'_, f32>) -> usize {
    (1..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best })
}

fn softmax(row: ArrayView1<'_, f32>) -> Vec<f32> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let each: Vec<f64> = row.iter().map(|z| (f64::from(*z) - f64::from(largest)).exp()).collect();
    let sum: f64 = each.iter().sum();
    each.iter().map(|value| (value / sum) as f32).collect()
}

fn sigmoid(z: f32) -> f32 {
    // exp(-|z|) never overflows.
    let small = (-f64::from(z).abs()).exp();
    let p = if z >= 0.0 {
        1.0 / (1.0 + small)
    } else {
        small / (1.0 + small)
    };
    p as f32
}

#[cfg(test)]
mod tests;
