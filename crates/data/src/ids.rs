//! Ids of rows: whom or what a row is about, so that parties with other columns of the same rows can find each other's.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::csv;
use crate::error::DataError;
use crate::features::FeatureOptions;
use crate::parquet;
use crate::source::{Column, Format};

/// Which columns of a CSV or Parquet table say whom or what a row is about, and how they are read.
///
/// An id is text, and two ids are the same if their texts are, part by part: `7` and `07` differ, and so do `7` and `7.0`. White space around
/// a part, as Unicode defines it, is no part of it: the rules are those by which parties find their common rows, so that rows found common are
/// cut alike by [`HashSplit`](crate::HashSplit). Whole numbers in Parquet files are written without a fraction, however large, and truth values
/// as `false` and `true`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdOptions {
    /// The columns, in an order that all parties agree on.
    pub columns: Vec<Column>,
    /// Whether letters are put in lower case, as Unicode defines it without a locale.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fold_case: bool,
}

/// The ids of all rows of a table, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    /// For each data row of the file, one text for each id column; nothing where one of them is missing. The row with the number `n` of
    /// [`Features::rows`](crate::Features::rows) has the id at position `n`.
    pub rows: Vec<Option<Vec<String>>>,
    /// How many rows have none.
    pub missing: usize,
}

/// Reads the ids of every row of a CSV or Parquet file. Of `options`, which are those of [`read_features`](crate::read_features), the
/// format and how CSV is read count; its markers of missing values are missing ids too.
///
/// # Errors
///
/// When the file is missing, damaged, too large or of another format, has no row, or lacks an id column; when no id column is named, or
/// one twice.
pub fn read_ids(file: &Path, ids: &IdOptions, options: &FeatureOptions) -> Result<Ids, DataError> {
    at_least_one(&ids.columns)?;
    let format = options.format.or_else(|| Format::of(file));
    let mut read = match format.ok_or_else(|| DataError::UnknownFormat { file: file.into() })? {
        Format::Csv => csv::read_ids(file, &options.csv.clone().unwrap_or_default(), &ids.columns)?,
        Format::Parquet => parquet::read_ids(file, &ids.columns)?,
        format => {
            return Err(DataError::FormatMismatch {
                file: file.into(),
                format,
                what: "ids stand in columns of CSV and Parquet files".into(),
            });
        }
    };
    if read.rows.is_empty() {
        return Err(DataError::Empty { file: file.into() });
    }
    if ids.fold_case {
        let parts = read.rows.iter_mut().flatten().flatten();
        parts.for_each(|part| *part = part.to_lowercase());
    }
    Ok(read)
}

impl Ids {
    /// Adds the id of the next row.
    pub(crate) fn push(&mut self, id: Option<Vec<String>>) {
        self.missing += usize::from(id.is_none());
        self.rows.push(id);
    }
}

/// A part of an id as it is compared.
pub(crate) fn normalised(text: &str) -> &str {
    text.trim()
}

/// Refuses an empty list.
pub(crate) fn at_least_one(columns: &[Column]) -> Result<(), DataError> {
    match columns.is_empty() {
        false => Ok(()),
        true => Err(DataError::Option {
            option: "id columns",
            expected: "at least one column",
            actual: "an empty list".into(),
        }),
    }
}

/// Refuses a column that is named twice.
pub(crate) fn all_different(columns: &[usize]) -> Result<(), DataError> {
    let twice = columns.iter().enumerate().find(|(n, column)| columns[..*n].contains(column));
    match twice {
        None => Ok(()),
        Some((_, column)) => Err(DataError::Option {
            option: "id columns",
            expected: "columns that differ",
            actual: format!("column {column} twice"),
        }),
    }
}
