//! What one holder of a vertical job reads: some columns of rows that other holders know by other columns.

use std::path::{Path, PathBuf};

use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};

use crate::csv;
use crate::error::DataError;
use crate::features::FeatureOptions;
use crate::hash_split::HashSplit;
use crate::ids::IdOptions;
use crate::parquet;
use crate::samples::Targets;
use crate::source::{Column, CsvOptions, Format, ParquetOptions};

mod chosen;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use chosen::Chosen;
pub(crate) use rows::{MissingLabels, Rows};

/// How a holder reads its CSV or Parquet file.
///
/// ```toml
/// ids = { columns = ["patient"] }
/// categorical = ["ward"]
/// [csv]
/// include = ["age", "ward"]           # without it, every column that has no other use is a feature; [] are none, labels alone
/// ```
///
/// Columns of ids, of `split_by` and the target are features only if `include` names them (the target never). A row without an id is left
/// out; so are rows with a missing feature or label, where the table's `on_missing` is `drop-row`. Otherwise a missing feature stays as such
/// until a [`Preprocessor`](crate::Preprocessor) sees it in a row that is used, and a missing label is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerticalOptions {
    /// The columns that say whom or what a row is about.
    pub ids: IdOptions,
    /// The columns by whose hash rows are cut into train and test part, so that rows with the same texts there stay together; the id's
    /// when empty. All holders need them, and read them as they read ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub split_by: Vec<Column>,
    /// The feature columns that hold categories, as text or numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categorical: Vec<Column>,
    /// The file's format; told from its name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// How to read CSV. A `target` makes this the label holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csv: Option<CsvOptions>,
    /// How to read Parquet; the options of CSV and Parquet files serve for each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parquet: Option<ParquetOptions>,
}

/// Columns of some rows, as one holder has them.
#[derive(Debug, Clone, PartialEq)]
pub struct VerticalTable {
    /// Where they come from, for errors.
    pub file: PathBuf,
    /// The id of each row, one text for each id column. Ids may repeat: finding the common rows counts that.
    pub ids: Vec<Vec<String>>,
    /// What each row is cut into train and test part by, where that is not the id.
    pub groups: Option<Vec<Vec<String>>>,
    /// The number of each row among the data rows of the file, counted from 0.
    pub numbers: Vec<usize>,
    /// The features, of shape `[rows, columns]`: numbers as in the file; of a column of categories, the position of each in
    /// [`VerticalColumn::categories`]; NaN where the value is missing. No other value is infinite or NaN.
    pub features: Array2<f32>,
    /// What each column of `features` is.
    pub columns: Vec<VerticalColumn>,
    /// The labels, at the label holder.
    pub targets: Option<Targets>,
    /// Rows of the file left out for want of an id, or of what they are split by.
    pub missing_ids: usize,
    /// Rows of the file left out for a missing value.
    pub dropped: usize,
}

/// A feature column before preprocessing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerticalColumn {
    /// Its name or, in a file without a header, its number.
    pub name: String,
    /// The categories that occur in the file, perhaps only in rows left out, in order of appearance; nothing for a column of numbers.
    pub categories: Option<Vec<String>>,
}

/// Reads a holder's rows: ids, features and, if a target is named, labels, in one pass over a CSV or Parquet file.
///
/// # Errors
///
/// When the file is missing, damaged, too large or of another format; has no row with an id, lacks a column, holds text or an infinite number
/// where a number should be, or a label that is missing or none of the given classes; when a column has more than
/// [`MAX_CLASSES`](crate::MAX_CLASSES) categories; when the options name no id, or columns that exclude each other.
pub fn read_vertical(file: &Path, options: &VerticalOptions) -> Result<VerticalTable, DataError> {
    let format = options.format.or_else(|| Format::of(file));
    let table = FeatureOptions {
        csv: options.csv.clone(),
        parquet: options.parquet.clone(),
        ..FeatureOptions::default()
    };
    match format.ok_or_else(|| DataError::UnknownFormat { file: file.into() })? {
        Format::Csv => csv::read_vertical(file, &table.csv(), options),
        Format::Parquet => parquet::read_vertical(file, &table.parquet(), options),
        format => Err(DataError::FormatMismatch {
            file: file.into(),
            format,
            what: "ids stand in columns of CSV and Parquet files".into(),
        }),
    }
}

impl VerticalOptions {
    /// How to read a file to predict from: ids and the feature columns with these names, which are those of
    /// [`Preprocessor::inputs`](crate::Preprocessor::inputs), wherever they stand. The file need not have a target, and may have other columns.
    pub fn for_prediction(&self, names: &[&str]) -> VerticalOptions {
        let headless = self.csv.as_ref().is_some_and(|csv| !csv.header);
        let column = |name: &&str| match name.parse() {
            Ok(number) if headless => Column::Number(number),
            _ => Column::Name((*name).into()),
        };
        let include: Vec<Column> = names.iter().map(column).collect();
        VerticalOptions {
            split_by: Vec::new(),
            csv: self.csv.clone().map(|csv| CsvOptions {
                target: None,
                drop: Vec::new(),
                include: Some(include.clone()),
                ..csv
            }),
            parquet: match (&self.parquet, &self.csv) {
                (None, Some(_)) => None,
                (parquet, _) => Some(ParquetOptions {
                    target: None,
                    drop: Vec::new(),
                    include: Some(include),
                    ..parquet.clone().unwrap_or_default()
                }),
            },
            ..self.clone()
        }
    }
}

impl VerticalTable {
    /// A table of arrays that are already in memory: `features` of shape `[rows, columns]`, all numbers, NaN where one is missing.
    ///
    /// # Errors
    ///
    /// When the numbers of ids, rows, names and targets do not belong together, or a feature is infinite.
    pub fn new(
        file: &Path,
        ids: Vec<Vec<String>>,
        features: Array2<f32>,
        names: &[String],
        targets: Option<Targets>,
    ) -> Result<VerticalTable, DataError> {
        let rows = ids.len();
        let check = |what, expected, actual| match expected == actual {
            true => Ok(()),
            false => Err(DataError::TableShape {
                ids: rows,
                what,
                expected,
                actual,
            }),
        };
        check("rows of features", rows, features.nrows())?;
        check("columns of features", names.len(), features.ncols())?;
        check("targets", rows, targets.as_ref().map_or(rows, Targets::rows))?;
        if let Some(((row, column), value)) = features.indexed_iter().find(|(_, value)| value.is_infinite()) {
            return Err(DataError::NotFinite {
                file: file.into(),
                place: format!("row {row}, column {}", names[column]),
                value: value.to_string(),
            });
        }
        let column = |name: &String| VerticalColumn {
            name: name.clone(),
            categories: None,
        };
        Ok(VerticalTable {
            file: file.into(),
            ids,
            groups: None,
            numbers: (0..rows).collect(),
            features,
            columns: names.iter().map(column).collect(),
            targets,
            missing_ids: 0,
            dropped: 0,
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The given rows, in the given order: those that all holders have, in the order that they agreed on.
    ///
    /// # Errors
    ///
    /// When a number is not below [`len`](Self::len).
    pub fn select(&self, rows: &[usize]) -> Result<VerticalTable, DataError> {
        if let Some(&actual) = rows.iter().find(|row| **row >= self.len()) {
            let rows = self.len();
            return Err(DataError::NoSuchRow { rows, actual });
        }
        let of = |texts: &Vec<Vec<String>>| rows.iter().map(|&row| texts[row].clone()).collect();
        Ok(VerticalTable {
            file: self.file.clone(),
            ids: of(&self.ids),
            groups: self.groups.as_ref().map(of),
            numbers: rows.iter().map(|&row| self.numbers[row]).collect(),
            features: self.features.select(Axis(0), rows),
            columns: self.columns.clone(),
            targets: self.targets.as_ref().map(|targets| targets.select(rows)),
            missing_ids: self.missing_ids,
            dropped: self.dropped,
        })
    }

    /// Positions of the train and of the test rows, in rising order: the same at every holder whose rows have the same ids (or groups, where
    /// the options name columns to split by) in the same order.
    ///
    /// # Errors
    ///
    /// When the fraction is out of range, or a part would be empty.
    pub fn split(&self, split: &HashSplit) -> Result<(Vec<usize>, Vec<usize>), DataError> {
        let (train, test) = split.rows(self.groups.as_ref().unwrap_or(&self.ids))?;
        let empty = match (train.len(), test.len()) {
            (0, _) => "the train part",
            (_, 0) => "the test part",
            _ => return Ok((train, test)),
        };
        Err(DataError::EmptySplit {
            file: self.file.clone(),
            rows: self.len(),
            test_fraction: split.test,
            empty,
        })
    }
}
