//! Columns of a vertical table as a network takes them: missing values filled, categories as ones and zeros, numbers standardised.
//!
//! Everything is learnt from the training rows alone and kept in one [`Preprocessor`], so that test rows and later predictions are
//! treated exactly as they were.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::input::MAX_BYTES;
use crate::standardise::Moments;
use crate::vertical::{VerticalColumn, VerticalTable};

mod fitted;
#[cfg(test)]
mod tests;

use fitted::Fitted;
pub use fitted::Preprocessor;

/// What is done to columns; the same at all holders of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What had to be filled in or was not known, for the columns that had any such value.
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
}

impl Preprocessor {
    /// Learns from the rows `train` of `table` (positions, as [`VerticalTable::split`] gives them).
    ///
    /// # Errors
    ///
    /// When there are no such rows; when a value is missing and may not be, or a column has no value to take mean or median of; when two
    /// columns have one name, or there would be more than 100,000 features.
    pub fn fit(options: &Preprocessing, table: &VerticalTable, train: &[usize]) -> Result<Preprocessor, DataError> {
        if train.is_empty() {
            let file = table.file.clone();
            return Err(DataError::Empty { file });
        }
        check_rows(table, train)?;
        if options.missing == MissingValues::Error {
            refuse_missing(table, train, |_| true)?;
        }
        let columns = table.columns.iter().enumerate().map(|(position, column)| {
            let values: Vec<f32> = train.iter().map(|&row| table.features[[row, position]]).collect();
            match &column.categories {
                Some(texts) => Ok(category(options, column, texts, &values)),
                None => number(options, table, column, values),
            }
        });
        Preprocessor::checked(columns.collect::<Result<_, _>>()?, options.unknown_category)
    }

    /// Brings the rows `rows` of `table` (positions) into form, in this order.
    ///
    /// # Errors
    ///
    /// When the table's columns are others than those of the fit, a row has a missing value or an unknown category that is refused, or the
    /// result would take more than [`MAX_BYTES`](crate::MAX_BYTES).
    pub fn apply(&self, table: &VerticalTable, rows: &[usize]) -> Result<Prepared, DataError> {
        check_rows(table, rows)?;
        self.check_columns(table)?;
        let width = self.width();
        let actual = rows.len() as u128 * width as u128 * size_of::<f32>() as u128;
        if actual > u128::from(MAX_BYTES) {
            return Err(DataError::TooLarge {
                file: table.file.clone(),
                what: format!("a table of {} rows and {width} features", rows.len()),
                actual,
                limit: MAX_BYTES,
            });
        }
        refuse_missing(table, rows, |column| !self.columns[column].takes_missing())?;
        let encoders: Vec<Encoder> = self.columns.iter().zip(&table.columns).map(Encoder::new).collect();
        let mut counts: Vec<ColumnCount> = self.columns.iter().map(|column| ColumnCount::none(column.name())).collect();
        let mut values = vec![0.0; rows.len() * width];
        // Rows of no features have no values to step over.
        for (mut out, &row) in values.chunks_exact_mut(width.max(1)).zip(rows) {
            for (position, (encoder, value)) in encoders.iter().zip(table.features.row(row)).enumerate() {
                let (own, rest) = out.split_at_mut(encoder.width);
                out = rest;
                counts[position].missing += usize::from(value.is_nan());
                if !encoder.encode(*value, own) {
                    self.take_unknown(table, row, position)?;
                    counts[position].unknown += 1;
                }
            }
        }
        let features = Array2::from_shape_vec((rows.len(), width), values);
        let features = features.map_err(|_| DataError::Empty {
            file: table.file.clone(),
        })?;
        self.refuse_infinite(table, rows, &features)?;
        counts.retain(|count| count.missing + count.unknown > 0);
        Ok(Prepared { features, counts })
    }

    /// Refuses values that standardisation brought beyond 32-bit floats.
    fn refuse_infinite(&self, table: &VerticalTable, rows: &[usize], features: &Array2<f32>) -> Result<(), DataError> {
        match features.indexed_iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(()),
            Some(((position, column), value)) => Err(DataError::NotFinite {
                file: table.file.clone(),
                place: format!(
                    "data row {} (counted from 0), feature {} after preprocessing",
                    table.numbers[rows[position]],
                    self.names()[column]
                ),
                value: value.to_string(),
            }),
        }
    }

    fn take_unknown(&self, table: &VerticalTable, row: usize, position: usize) -> Result<(), DataError> {
        if self.unknown_category == UnknownCategory::Zeros {
            return Ok(());
        }
        let column = &table.columns[position];
        let texts = column.categories.as_deref().unwrap_or_default();
        Err(DataError::UnknownCategory {
            file: table.file.clone(),
            row: table.numbers[row],
            column: column.name.clone(),
            value: texts
                .get(table.features[[row, position]] as usize)
                .cloned()
                .unwrap_or_default(),
        })
    }

    /// Refuses a table of other columns, or of columns in another order, than those of the fit.
    fn check_columns(&self, table: &VerticalTable) -> Result<(), DataError> {
        let (expected, actual) = (self.columns.len(), table.columns.len());
        let file = || table.file.clone();
        if expected != actual {
            return Err(DataError::FeatureCount {
                file: file(),
                expected,
                actual,
            });
        }
        let kind = |name: &str, categorical: bool| match categorical {
            true => format!("{name} (categories)"),
            false => name.to_owned(),
        };
        for (number, (fitted, column)) in self.columns.iter().zip(&table.columns).enumerate() {
            let (ours, theirs) = (fitted.is_categorical(), column.categories.is_some());
            if fitted.name() != column.name || ours != theirs {
                return Err(DataError::ColumnDiffers {
                    file: file(),
                    column: number,
                    expected: kind(fitted.name(), ours),
                    actual: kind(&column.name, theirs),
                });
            }
        }
        Ok(())
    }
}

impl ColumnCount {
    fn none(column: &str) -> Self {
        ColumnCount {
            column: column.into(),
            missing: 0,
            unknown: 0,
        }
    }
}

/// A fitted column for the values of one table.
struct Encoder<'a> {
    fitted: &'a Fitted,
    width: usize,
    /// For each category of the table, its position among the fitted ones.
    positions: Vec<Option<usize>>,
}

impl<'a> Encoder<'a> {
    fn new((fitted, column): (&'a Fitted, &VerticalColumn)) -> Self {
        let known = fitted.categories();
        let texts = column.categories.iter().flatten();
        Encoder {
            fitted,
            width: fitted.width(),
            positions: texts.map(|text| known.binary_search(text).ok()).collect(),
        }
    }

    /// Writes a value over zeros, in the column's places; whether it is known (as a missing one is).
    fn encode(&self, value: f32, out: &mut [f32]) -> bool {
        if value.is_nan()
            && self.fitted.has_indicator()
            && let Some(last) = out.last_mut()
        {
            *last = 1.0;
        }
        match self.fitted {
            Fitted::Number { fill, mean, std, .. } => {
                let value = if value.is_nan() { fill.unwrap_or_default() } else { value };
                if let Some(first) = out.first_mut() {
                    *first = ((f64::from(value) - f64::from(*mean)) / f64::from(*std)) as f32;
                }
                true
            }
            Fitted::Category { .. } if value.is_nan() => true,
            Fitted::Category { .. } => {
                let position = self.positions.get(value as usize).copied().flatten();
                let place = position.and_then(|position| out.get_mut(position));
                place.map(|place| *place = 1.0).is_some()
            }
        }
    }
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

/// The categories of the training rows, sorted by their texts.
fn category(options: &Preprocessing, column: &VerticalColumn, texts: &[String], values: &[f32]) -> Fitted {
    let mut occurs = vec![false; texts.len()];
    for value in values.iter().filter(|value| !value.is_nan()) {
        if let Some(occurs) = occurs.get_mut(*value as usize) {
            *occurs = true;
        }
    }
    let met = texts.iter().zip(occurs).filter(|(_, occurs)| *occurs);
    let mut categories: Vec<String> = met.map(|(text, _)| text.clone()).collect();
    categories.sort_unstable();
    Fitted::Category {
        name: column.name.clone(),
        categories,
        indicator: options.missing_indicator && values.iter().any(|value| value.is_nan()),
        takes_missing: options.missing != MissingValues::Error,
    }
}

fn number(
    options: &Preprocessing,
    table: &VerticalTable,
    column: &VerticalColumn,
    mut values: Vec<f32>,
) -> Result<Fitted, DataError> {
    let mut present: Vec<f32> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    let lacks = present.len() < values.len();
    let nothing = |statistic| DataError::NothingToFillFrom {
        file: table.file.clone(),
        column: column.name.clone(),
        rows: values.len(),
        statistic,
    };
    let fill = match options.missing {
        MissingValues::Error => None,
        MissingValues::Zero => Some(0.0),
        MissingValues::Mean if present.is_empty() => return Err(nothing("mean")),
        MissingValues::Mean => Some(Moments::of(&present).mean as f32),
        MissingValues::Median => Some(median(&mut present).ok_or_else(|| nothing("median"))?),
    };
    let missing = values.iter_mut().filter(|value| value.is_nan());
    missing.for_each(|value| *value = fill.unwrap_or_default());
    let (mean, std) = match options.standardise {
        true => scale(&values),
        false => (0.0, 1.0),
    };
    Ok(Fitted::Number {
        name: column.name.clone(),
        fill,
        indicator: options.missing_indicator && lacks,
        mean,
        std,
    })
}

/// Mean and deviation as they are kept: in 32 bits, which survive being written as text, and never 0.
fn scale(values: &[f32]) -> (f32, f32) {
    let moments = Moments::of(values);
    let std = moments.std() as f32;
    (moments.mean as f32, if std.is_normal() { std } else { 1.0 })
}

fn median(values: &mut [f32]) -> Option<f32> {
    if values.is_empty() {
        return None;
    }
    let even = values.len() % 2 == 0;
    let (below, &mut upper, _) = values.select_nth_unstable_by(values.len() / 2, f32::total_cmp);
    let lower = below.iter().copied().max_by(f32::total_cmp).filter(|_| even);
    Some(lower.map_or(upper, |lower| ((f64::from(lower) + f64::from(upper)) / 2.0) as f32))
}
