//! Parquet tables, through the column interface of the `parquet` crate (without Arrow).

use std::path::Path;

use ndarray::{Array2, ArrayD};

use crate::columns::{Columns, Heading, find_column};
use crate::error::DataError;
use crate::features::Features;
use crate::ids::{self, Ids};
use crate::input::MAX_BYTES;
use crate::labels::{Labels, Table, TextLabels};
use crate::source::{Column, OnMissing, ParquetOptions};

mod content;
#[cfg(test)]
mod tests;
mod vertical;

use content::Content;
pub(crate) use content::{Cell, open};
pub(crate) use vertical::read_vertical;

/// Reads features and targets.
pub(crate) fn read_table(file: &Path, options: &ParquetOptions) -> Result<Table, DataError> {
    let content = open(file)?;
    let names = content.names();
    let columns = Columns::choose(file, heading(&names), options.into())?;
    let mut rows = Rows::read(&content, &columns)?;
    let labels = match (columns.target, options.regression) {
        (Some(target), true) => {
            let values = rows.numbers(target)?;
            Target::Measured(values)
        }
        (Some(target), false) => Target::Texts(rows.texts(target)?),
        // `choose` always finds a target.
        (None, _) => Target::Measured(Vec::new()),
    };
    let kept = rows.kept(options.on_missing)?;
    let labels = match labels {
        Target::Texts(texts) => Labels::Text(texts.select(file, &kept)?),
        Target::Measured(values) => {
            let values = kept.iter().map(|&row| values[row]).collect();
            let values = Array2::from_shape_vec((kept.len(), 1), values);
            Labels::Values(values.map_err(|_| DataError::Empty { file: file.into() })?)
        }
    };
    Ok(Table {
        file: file.into(),
        x: rows.features(&kept)?,
        labels,
        feature_names: columns.feature_names(),
        dropped: content.rows - kept.len(),
    })
}

/// Reads `count` features without targets, by the names that they had in training, where these are known.
pub(crate) fn read_features(
    file: &Path,
    options: &ParquetOptions,
    expected: Option<&[String]>,
    count: usize,
) -> Result<Features, DataError> {
    let content = open(file)?;
    let names = content.names();
    let columns = Columns::choose_features(file, heading(&names), options.into(), expected, count)?;
    let rows = Rows::read(&content, &columns)?;
    let kept = rows.kept(options.on_missing)?;
    Ok(Features {
        x: rows.features(&kept)?,
        rows: kept,
        names: columns.feature_names(),
    })
}

/// The ids in the given columns, row by row.
pub(crate) fn read_ids(file: &Path, columns: &[Column]) -> Result<Ids, DataError> {
    let content = open(file)?;
    let names = content.names();
    let columns = columns.iter().map(|column| find_column(file, heading(&names), column));
    let columns = columns.collect::<Result<Vec<usize>, _>>()?;
    ids::all_different(&columns)?;
    ids_in(&content, &columns)
}

fn ids_in(content: &Content, columns: &[usize]) -> Result<Ids, DataError> {
    let mut rows: Vec<Option<Vec<String>>> = Vec::new();
    for (position, &column) in columns.iter().enumerate() {
        content.expect_readable(column)?;
        let boolean = content.columns[column].dtype == "bool";
        content.each(column, |row, cell| {
            if position == 0 {
                rows.push(Some(Vec::with_capacity(columns.len())));
            }
            let text = id_part(cell, boolean);
            if let Some(id) = rows.get_mut(row) {
                *id = id.take().zip(text).map(|(mut parts, text)| {
                    parts.push(text);
                    parts
                });
            }
            Ok(())
        })?;
    }
    let mut ids = Ids::default();
    rows.into_iter().for_each(|id| ids.push(id));
    Ok(ids)
}

fn id_part(cell: Cell, boolean: bool) -> Option<String> {
    match cell {
        Cell::Missing => None,
        Cell::Integer(value) => Some(value.to_string()),
        Cell::Number(value) if boolean => Some((value != 0.0).to_string()),
        Cell::Number(value) => (!value.is_nan()).then(|| value.to_string()),
        Cell::Text(text) => Some(ids::normalised(text)).filter(|text| !text.is_empty()).map(String::from),
    }
}

fn heading(names: &[String]) -> Heading<'_> {
    Heading {
        names: Some(names),
        width: names.len(),
    }
}

enum Target {
    Texts(TextLabels),
    Measured(Vec<f32>),
}

/// The features, column by column, and what is missing.
struct Rows<'a> {
    content: &'a Content,
    columns: Vec<Vec<f32>>,
    /// For each row, whether one of its values is missing.
    incomplete: Vec<bool>,
    /// Row and column of the first missing value.
    first: Option<(usize, usize)>,
    missing: u64,
}

impl<'a> Rows<'a> {
    fn read(content: &'a Content, columns: &Columns) -> Result<Self, DataError> {
        let actual = content.rows as u128 * columns.features.len() as u128 * size_of::<f32>() as u128;
        if actual > u128::from(MAX_BYTES) {
            return Err(DataError::TooLarge {
                file: content.file.clone(),
                what: format!("a table of {} rows and {} features", content.rows, columns.features.len()),
                actual,
                limit: MAX_BYTES,
            });
        }
        let mut rows = Rows {
            content,
            columns: Vec::with_capacity(columns.features.len()),
            incomplete: Vec::new(),
            first: None,
            missing: 0,
        };
        for &column in &columns.features {
            let values = rows.numbers(column)?;
            rows.columns.push(values);
        }
        Ok(rows)
    }

    /// A column of numbers; 0 where one is missing, which is noted.
    fn numbers(&mut self, column: usize) -> Result<Vec<f32>, DataError> {
        let name = &self.content.columns[column].name;
        self.content.expect_numbers(column)?;
        let (content, mut values) = (self.content, Vec::new());
        content.each(column, |row, cell| {
            let cell = cell.as_float();
            match cell {
                Cell::Number(value) if value.is_nan() => self.miss(row, column),
                Cell::Number(value) if !(value as f32).is_finite() => {
                    return Err(DataError::NotFinite {
                        file: content.file.clone(),
                        place: format!("row {row}, column {name}"),
                        value: format!("{value:e}"),
                    });
                }
                Cell::Number(_) => {}
                Cell::Missing | Cell::Text(_) | Cell::Integer(_) => self.miss(row, column),
            }
            values.push(match cell {
                Cell::Number(value) if !value.is_nan() => value as f32,
                _ => 0.0,
            });
            Ok(())
        })?;
        Ok(values)
    }

    /// A column of class names; empty where one is missing, which is noted.
    fn texts(&mut self, column: usize) -> Result<TextLabels, DataError> {
        self.content.expect_readable(column)?;
        let boolean = self.content.columns[column].dtype == "bool";
        let (content, mut labels) = (self.content, TextLabels::default());
        content.each(column, |row, cell| {
            let place = || format!("row {row}");
            match cell.as_float() {
                Cell::Number(value) if boolean => {
                    let name = if value == 0.0 { "false" } else { "true" };
                    labels.push(&content.file, place, name)
                }
                Cell::Number(value) if !value.is_nan() => labels.push(&content.file, place, &value.to_string()),
                Cell::Text(text) if !text.is_empty() => labels.push(&content.file, place, text),
                _ => {
                    self.miss(row, column);
                    labels.push(&content.file, place, "")
                }
            }
        })?;
        Ok(labels)
    }

    fn miss(&mut self, row: usize, column: usize) {
        if self.incomplete.is_empty() {
            self.incomplete = vec![false; self.content.rows];
        }
        self.incomplete[row] = true;
        self.missing += 1;
        if self.first.is_none_or(|(first, _)| row < first) {
            self.first = Some((row, column));
        }
    }

    /// The rows without a missing value, or an error where none may be missing.
    fn kept(&self, on_missing: OnMissing) -> Result<Vec<usize>, DataError> {
        let file = || self.content.file.clone();
        if let (OnMissing::Error, Some((row, column))) = (on_missing, self.first) {
            return Err(DataError::Missing {
                file: file(),
                place: format!("row {row}"),
                column: self.content.columns[column].name.clone(),
                value: "null or NaN".into(),
                total: self.missing,
            });
        }
        let complete = |row: &usize| !self.incomplete.get(*row).copied().unwrap_or(false);
        let kept: Vec<usize> = (0..self.content.rows).filter(complete).collect();
        match kept.is_empty() {
            false => Ok(kept),
            true => Err(DataError::Empty { file: file() }),
        }
    }

    /// The kept rows, of shape `[rows, features]`.
    fn features(&self, kept: &[usize]) -> Result<ArrayD<f32>, DataError> {
        let values = kept
            .iter()
            .flat_map(|&row| self.columns.iter().map(move |column| column[row]));
        let shape = vec![kept.len(), self.columns.len()];
        // Every column was read to as many rows as the file announces.
        ArrayD::from_shape_vec(shape, values.collect()).map_err(|_| DataError::Empty {
            file: self.content.file.clone(),
        })
    }
}
