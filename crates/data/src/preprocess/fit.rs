//! Learning from the training rows.

use super::fitted::{Fitted, Preprocessor};
use super::{MissingValues, Preprocessing, check_rows, refuse_missing};
use crate::error::DataError;
use crate::standardise::Moments;
use crate::vertical::{VerticalColumn, VerticalTable};

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
        Preprocessor::checked(columns.collect::<Result<_, _>>()?, options.unknown_category, options.clip)
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
        standardised: options.standardise,
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
    let even = values.len().is_multiple_of(2);
    let (below, &mut upper, _) = values.select_nth_unstable_by(values.len() / 2, f32::total_cmp);
    let lower = below.iter().copied().max_by(f32::total_cmp).filter(|_| even);
    Some(lower.map_or(upper, |lower| ((f64::from(lower) + f64::from(upper)) / 2.0) as f32))
}
