//! What a data file holds, without a job.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cifar10;
use crate::csv::{Header, Records};
use crate::error::DataError;
use crate::hdf5;
use crate::idx;
use crate::input;
use crate::npy;
use crate::numbers::{Elements, Numbers};
use crate::parquet::{self, Cell};
use crate::source::{CsvOptions, Format};
use crate::wfdb;

mod display;
mod summary;
#[cfg(test)]
mod tests;

use summary::Tally;

/// How to read files that do not say it themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct InspectOptions {
    /// The format; told from the file name when absent.
    pub format: Option<Format>,
    /// Whether the first line of a CSV file holds column names; guessed when absent.
    pub header: Option<bool>,
    /// The character between CSV fields.
    pub delimiter: char,
    /// What stands for a missing value in CSV files.
    pub missing: Vec<String>,
}

/// What was found in a file, or in each readable file of a folder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// One entry per file.
    pub files: Vec<FileSummary>,
    /// Files of the folder whose names stand for no known format.
    pub skipped: Vec<PathBuf>,
}

/// What one file holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileSummary {
    /// The file.
    pub file: PathBuf,
    /// Its format.
    pub format: Format,
    /// The columns of a CSV or Parquet file, the signals and beats of a WFDB record, the data sets of an HDF5 file, the arrays of an npz file, the one array of an IDX or npy file,
    /// images and labels of a CIFAR-10 file.
    pub arrays: Vec<ArraySummary>,
    /// Why nothing, or nothing more, could be read; only within a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What one column or array holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ArraySummary {
    /// Column name or number, data set path or array name; empty where a file is one array.
    pub name: String,
    /// Rows first.
    pub shape: Vec<u64>,
    /// Element type, such as "u8" or "f64"; for CSV "integer", "real", "text" or "empty".
    pub dtype: String,
    /// Smallest finite value.
    pub min: Option<f64>,
    /// Largest finite value.
    pub max: Option<f64>,
    /// Mean of the finite values.
    pub mean: Option<f64>,
    /// How many values are missing (CSV) or not finite (other formats).
    pub missing: u64,
    /// Where the first of them is: the 1-based line (CSV) or the 0-based row.
    pub first_missing: Option<u64>,
    /// Each value and how often it occurs, for at most 32 different integers or texts in an array of labels or a column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Vec<(String, u64)>>,
}

impl Default for InspectOptions {
    fn default() -> Self {
        let CsvOptions { delimiter, missing, .. } = CsvOptions::default();
        Self {
            format: None,
            header: None,
            delimiter,
            missing,
        }
    }
}

/// Describes a file, or every file of a folder whose name stands for a known format.
///
/// # Errors
///
/// When `path` cannot be read or is in no known format. A file that fails within a folder does not end the inspection: its
/// summary says why.
pub fn inspect(path: &Path, options: &InspectOptions) -> Result<Inspection, DataError> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => DataError::NotFound { file: path.into() },
        _ => DataError::Io {
            file: path.into(),
            source,
        },
    };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        let format = options.format.or_else(|| Format::of(path));
        let format = format.ok_or_else(|| DataError::UnknownFormat { file: path.into() })?;
        let arrays = arrays(path, format, options)?;
        let file = FileSummary {
            file: path.into(),
            format,
            arrays,
            problem: None,
        };
        return Ok(Inspection {
            files: vec![file],
            skipped: Vec::new(),
        });
    }
    let entries = fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>());
    let mut paths: Vec<PathBuf> = entries.map_err(failed)?.into_iter().filter(|path| path.is_file()).collect();
    paths.sort();
    let mut inspection = Inspection {
        files: Vec::new(),
        skipped: Vec::new(),
    };
    for file in paths {
        match Format::of(&file) {
            // They are described with their record.
            None if wfdb::belongs_to_record(&file) => {}
            None => inspection.skipped.push(file),
            Some(format) => {
                let (arrays, problem) = match arrays(&file, format, options) {
                    Ok(arrays) => (arrays, None),
                    // Anything may be called .bin.
                    Err(DataError::Malformed { .. }) if format == Format::Cifar10 => {
                        inspection.skipped.push(file);
                        continue;
                    }
                    Err(error) => (Vec::new(), Some(error.to_string())),
                };
                inspection.files.push(FileSummary {
                    file,
                    format,
                    arrays,
                    problem,
                });
            }
        }
    }
    Ok(inspection)
}

fn arrays(file: &Path, format: Format, options: &InspectOptions) -> Result<Vec<ArraySummary>, DataError> {
    match format {
        Format::Csv => csv_columns(file, options),
        Format::Idx => Ok(vec![summary::of_numbers(&idx::read(file)?)]),
        Format::Hdf5 => {
            let content = hdf5::open(file)?;
            let names = hdf5::data_sets(&content, file)?;
            names.iter().map(|name| data_set(&content, file, name)).collect()
        }
        Format::Npy => {
            let mut arrays = Vec::new();
            npy::for_each(file, |array| {
                arrays.push(match array {
                    Ok((numbers, dtype)) => ArraySummary {
                        dtype,
                        ..summary::of_numbers(&numbers)
                    },
                    Err(npy::Unreadable { name, what }) => ArraySummary {
                        name,
                        dtype: what,
                        ..ArraySummary::default()
                    },
                });
            })?;
            Ok(arrays)
        }
        Format::Cifar10 => images(file),
        Format::Parquet => parquet_columns(file),
        Format::Wfdb => record(file),
    }
}

/// Pixels and labels of a CIFAR-10 file.
fn images(file: &Path) -> Result<Vec<ArraySummary>, DataError> {
    let (images, labels) = cifar10::read_whole(file)?.into_numbers();
    let labels = Numbers {
        name: "labels".into(),
        shape: vec![labels.len()],
        elements: Elements::U8(labels),
    };
    Ok(vec![summary::of_numbers(&images), summary::of_numbers(&labels)])
}

fn parquet_columns(file: &Path) -> Result<Vec<ArraySummary>, DataError> {
    let table = parquet::open(file)?;
    let rows = table.rows as u64;
    let described = (0..table.columns.len()).map(|number| {
        let column = &table.columns[number];
        let mut tally = Tally::counting();
        if column.kind.is_readable() {
            table.each(number, |row, cell| {
                match cell.as_float() {
                    Cell::Missing | Cell::Integer(_) => tally.missing(row as u64),
                    Cell::Number(value) => tally.number(value, row as u64),
                    Cell::Text(text) => tally.text(text, row as u64),
                }
                Ok(())
            })?;
        }
        Ok(tally.summary(column.name.clone(), vec![rows], column.dtype.clone()))
    });
    described.collect()
}

/// The signals of a record in physical units, and its annotated beats by symbol.
fn record(file: &Path) -> Result<Vec<ArraySummary>, DataError> {
    let record = wfdb::read_whole(file)?;
    let described = record.header.signals.iter().zip(&record.signals).map(|(signal, values)| {
        let dtype = format!("format {}", signal.format);
        let mut tally = Tally::default();
        values
            .iter()
            .zip(0..)
            .for_each(|(&value, sample)| tally.number(value.into(), sample));
        tally.summary(signal.name.clone(), vec![values.len() as u64], dtype)
    });
    let mut arrays: Vec<ArraySummary> = described.collect();
    if let Some(annotations) = record.annotations {
        let mut tally = Tally::counting();
        let beats: Vec<_> = annotations.iter().filter(|annotation| annotation.is_beat()).collect();
        beats.iter().for_each(|beat| tally.text(beat.symbol(), 0));
        arrays.push(tally.summary("beats".into(), vec![beats.len() as u64], "symbol".into()));
    }
    Ok(arrays)
}

fn data_set(content: &hdf5::File, file: &Path, name: &str) -> Result<ArraySummary, DataError> {
    let (shape, dtype) = hdf5::shape_and_type(content, file, name)?;
    match hdf5::read(content, file, name) {
        Ok(numbers) => Ok(ArraySummary {
            dtype,
            ..summary::of_numbers(&numbers)
        }),
        // Texts and compounds have no numbers to describe, but a name and a shape.
        Err(DataError::ElementType { .. }) => Ok(ArraySummary {
            name: name.into(),
            shape,
            dtype,
            ..ArraySummary::default()
        }),
        Err(error) => Err(error),
    }
}

fn csv_columns(file: &Path, options: &InspectOptions) -> Result<Vec<ArraySummary>, DataError> {
    let header = match options.header {
        Some(true) => Header::Present,
        Some(false) => Header::Absent,
        None => Header::Guess,
    };
    let mut records = Records::new(input::open(file)?, file, header, options.delimiter)?;
    let mut tallies = vec![Tally::counting(); records.width];
    let mut rows = 0;
    while let Some(record) = records.next()? {
        rows += 1;
        for (column, tally) in tallies.iter_mut().enumerate() {
            let text = record.field(column);
            if options.missing.iter().any(|marker| marker == text) {
                tally.missing(record.line);
            } else {
                tally.text(text, record.line);
            }
        }
    }
    let name = |column: usize| match &records.names {
        Some(names) => names[column].clone(),
        None => column.to_string(),
    };
    Ok(tallies
        .into_iter()
        .enumerate()
        .map(|(column, tally)| tally.column(name(column), rows))
        .collect())
}
