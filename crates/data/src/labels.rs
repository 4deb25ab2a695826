//! Labels as files hold them, and their numbering as classes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayD};

use crate::error::DataError;
use crate::samples::{Samples, Targets};

/// The most classes that labels may name; more distinct labels are taken for a mistake.
pub const MAX_CLASSES: usize = 4096;

/// What a reader makes of one file: rows in the file's order, labels not yet numbered.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) file: PathBuf,
    /// `[rows, sample shape...]`.
    pub(crate) x: ArrayD<f32>,
    pub(crate) labels: Labels,
    pub(crate) feature_names: Option<Vec<String>>,
    /// Rows left out for a missing value.
    pub(crate) dropped: usize,
}

/// Labels as they stand in a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Labels {
    Text(TextLabels),
    Integers(Vec<i64>),
    Values(Array2<f32>),
}

/// Text labels, each distinct text kept once.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct TextLabels {
    /// Per row, a position in `names`.
    index: Vec<u32>,
    /// The distinct labels in order of appearance, each with the place that first holds it.
    names: Vec<(String, String)>,
    by_name: BTreeMap<String, u32>,
}

impl Table {
    /// Puts features and labels together, which must have as many rows as each other.
    pub(crate) fn new(file: &Path, x: ArrayD<f32>, labels_file: &Path, labels: Labels) -> Result<Table, DataError> {
        let rows = x.shape().first().copied().unwrap_or(0);
        if labels.rows() != rows {
            let (file, labels_file) = (file.into(), labels_file.into());
            return Err(DataError::RowCount {
                file,
                labels_file,
                rows,
                labels: labels.rows(),
            });
        }
        Ok(Table {
            file: file.into(),
            x,
            labels,
            feature_names: None,
            dropped: 0,
        })
    }

    pub(crate) fn into_samples(self, targets: Targets) -> Samples {
        Samples {
            x: self.x,
            targets,
            feature_names: self.feature_names,
        }
    }
}

impl Labels {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Labels::Text(text) => text.index.len(),
            Labels::Integers(numbers) => numbers.len(),
            Labels::Values(values) => values.nrows(),
        }
    }
}

impl TextLabels {
    /// Adds the label of the next row.
    pub(crate) fn push(&mut self, file: &Path, place: impl FnOnce() -> String, label: &str) -> Result<(), DataError> {
        let position = match self.by_name.get(label) {
            Some(&position) => position,
            None if self.names.len() == MAX_CLASSES => {
                return Err(DataError::TooManyClasses {
                    file: file.into(),
                    limit: MAX_CLASSES,
                });
            }
            None => {
                let position = self.names.len() as u32;
                self.names.push((label.into(), place()));
                self.by_name.insert(label.into(), position);
                position
            }
        };
        self.index.push(position);
        Ok(())
    }

    /// The labels of the given rows.
    pub(crate) fn select(&self, file: &Path, rows: &[usize]) -> Result<TextLabels, DataError> {
        let mut selected = TextLabels::default();
        for &row in rows {
            let (label, place) = &self.names[self.index[row] as usize];
            selected.push(file, || place.clone(), label)?;
        }
        Ok(selected)
    }
}

/// Numbers the labels of all `tables` alike, so that a class has one number in train and test.
///
/// With `classes`, that list gives the order and other labels are an error.
pub(crate) fn number(tables: &[Table], classes: Option<&[String]>) -> Result<Vec<Targets>, DataError> {
    let names = class_names(tables, classes)?;
    tables.iter().map(|table| targets(table, &names)).collect()
}

/// Columns of 0 and 1 as labels, named or called by their numbers.
pub(crate) fn multi_hot(file: &Path, labels: Labels, names: Option<&[String]>) -> Result<Targets, DataError> {
    let Labels::Values(values) = labels else {
        return Err(DataError::Label {
            file: file.into(),
            place: "every row".into(),
            label: "of one class".into(),
            expected: "a 0 or 1 for each label".into(),
        });
    };
    if let Some(((row, column), value)) = values.indexed_iter().find(|(_, value)| **value != 0.0 && **value != 1.0) {
        return Err(DataError::Label {
            file: file.into(),
            place: format!("row {row}, position [{column}]"),
            label: value.to_string(),
            expected: "0 or 1, as the job has multi_label = true".into(),
        });
    }
    let count = values.ncols();
    let names = names.map_or_else(|| (0..count).map(|label| label.to_string()).collect(), <[String]>::to_vec);
    let distinct: BTreeSet<&String> = names.iter().collect();
    if (names.len(), distinct.len()) != (count, count) {
        return Err(DataError::Option {
            option: "label_names",
            expected: "one name of its own for each column of the labels",
            actual: format!(
                "{} names, {} of them different, for {count} columns",
                names.len(),
                distinct.len()
            ),
        });
    }
    Ok(Targets::Labels { values, names })
}

/// Every class that occurs, in the order of its number.
fn class_names(tables: &[Table], classes: Option<&[String]>) -> Result<Vec<String>, DataError> {
    if let Some(classes) = classes {
        return Ok(classes.to_vec());
    }
    let mut texts = BTreeSet::new();
    let mut highest = None;
    for table in tables {
        match &table.labels {
            Labels::Text(text) => texts.extend(text.names.iter().map(|(name, _)| name.as_str())),
            Labels::Integers(numbers) => highest = highest.max(Some(highest_class(&table.file, numbers)?)),
            Labels::Values(_) => {}
        }
    }
    if let Some(highest) = highest {
        return Ok((0..=highest).map(|class| class.to_string()).collect());
    }
    let numeric: Option<BTreeSet<i64>> = texts.iter().map(|text| integer(text)).collect();
    Ok(match numeric {
        Some(numbers) => numbers.iter().map(i64::to_string).collect(),
        None => texts.into_iter().map(String::from).collect(),
    })
}

fn highest_class(file: &Path, numbers: &[i64]) -> Result<i64, DataError> {
    match numbers
        .iter()
        .enumerate()
        .find(|&(_, number)| !(0..MAX_CLASSES as i64).contains(number))
    {
        None => Ok(numbers.iter().copied().max().unwrap_or(0)),
        Some((row, number)) => Err(DataError::Label {
            file: file.into(),
            place: format!("row {row}"),
            label: number.to_string(),
            expected: format!("a class number from 0 to {}", MAX_CLASSES - 1),
        }),
    }
}

fn targets(table: &Table, names: &[String]) -> Result<Targets, DataError> {
    let index = match &table.labels {
        Labels::Values(values) => return Ok(Targets::Values(values.clone())),
        Labels::Integers(numbers) => numbers.iter().map(|&number| number as u32).collect(),
        Labels::Text(text) => {
            let classes = text.names.iter().map(|(name, place)| class_of(table, name, place, names));
            let classes = classes.collect::<Result<Vec<u32>, _>>()?;
            text.index.iter().map(|&position| classes[position as usize]).collect()
        }
    };
    Ok(Targets::Classes {
        index,
        names: names.to_vec(),
    })
}

/// The number of the class a label names: the same text or, for integers, the same number ("1.0" is "1").
fn class_of(table: &Table, label: &str, place: &str, names: &[String]) -> Result<u32, DataError> {
    let same_text = names.iter().position(|name| name == label);
    let same_number = || integer(label).and_then(|number| names.iter().position(|name| integer(name) == Some(number)));
    match same_text.or_else(same_number) {
        Some(class) => Ok(class as u32),
        None => Err(DataError::Label {
            file: table.file.clone(),
            place: place.into(),
            label: format!("{label:?}"),
            expected: format!("one of {}", names.join(", ")),
        }),
    }
}

/// The integer that a label spells, also as "1.0".
fn integer(text: &str) -> Option<i64> {
    let value: f64 = text.parse().ok()?;
    (value.fract() == 0.0 && value.abs() < 2f64.powi(53)).then_some(value as i64)
}
