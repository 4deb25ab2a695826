//! Columns of a vertical table as a network takes them: missing values filled, categories as ones and zeros, numbers standardised.
//!
//! Everything is learnt from the training rows alone and kept in one [`Preprocessor`], so that test rows and later predictions are
//! treated exactly as they were.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::vertical::VerticalTable;

mod apply;
mod clip;
mod fit;
mod fitted;
#[cfg(test)]
mod tests;

pub use clip::Clip;
pub use fitted::Preprocessor;

/// What is done to columns; the same at all holders of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preprocessing {
    /// What takes the place of a missing number. A missing category, unless it is an error, is none of the categories: zeros only.
    pub missing: MissingValues,
    /// Whether each column that lacks a value in some training row gets a further one: 1 where the value is missing, else 0.
    pub missing_indicator: bool,
    /// What a category becomes that no training row has.
    pub unknown_category: UnknownCategory,
    /// Whether numbers are brought to mean 0 and standard deviation 1 over the training rows, missing values filled before. Columns of
    /// ones and zeros that come from categories and indicators stay as they are.
    pub standardise: bool,
    /// How far a standardised number may lie from the mean; what lies farther is moved there. Numbers that are not standardised stay as they are.
    pub clip: Clip,
}

/// What takes the place of a missing number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingValues {
    /// Nothing may be missing in the rows in use.
    #[default]
    Error,
    /// The mean of the column's values in the training rows.
    Mean,
    /// Their median; of an even number of values, the mean of the two in the middle.
    Median,
    /// The number 0 (of the file's unit, before standardisation).
    Zero,
}

/// What a category becomes that no training row has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownCategory {
    /// Zeros in all columns of the categories; it is counted.
    #[default]
    Zeros,
    /// Its row is refused.
    Error,
}

/// Rows as a network takes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// The features, of shape `[rows, Preprocessor::width]`; every value is finite.
    pub features: Array2<f32>,
    /// What had to be filled in, was not known or lay too far out, for the columns that had any such value.
    pub counts: Vec<ColumnCount>,
}

/// How many values of a column needed help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnCount {
    /// The column's name in the file.
    pub column: String,
    /// Values that were missing.
    pub missing: usize,
    /// Categories that no training row has.
    pub unknown: usize,
    /// Numbers farther from the mean than [`Preprocessing::clip`] lets them be.
    pub clipped: usize,
}

fn check_rows(table: &VerticalTable, rows: &[usize]) -> Result<(), DataError> {
    match rows.iter().find(|row| **row >= table.len()) {
        None => Ok(()),
        Some(&actual) => Err(DataError::NoSuchRow {
            rows: table.len(),
            actual,
        }),
    }
}

/// Refuses rows with a missing value in a column that may not have one.
fn refuse_missing(table: &VerticalTable, rows: &[usize], refused: impl Fn(usize) -> bool) -> Result<(), DataError> {
    let refused: Vec<bool> = (0..table.columns.len()).map(refused).collect();
    let (mut first, mut total) = (None, 0);
    for &row in rows {
        for (column, (value, refused)) in table.features.row(row).iter().zip(&refused).enumerate() {
            if *refused && value.is_nan() {
                first.get_or_insert((row, column));
                total += 1;
            }
        }
    }
    match first {
        None => Ok(()),
        Some((row, column)) => Err(DataError::MissingFeature {
            file: table.file.clone(),
            row: table.numbers[row],
            column: table.columns[column].name.clone(),
            total,
        }),
    }
}
