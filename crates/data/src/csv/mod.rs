//! CSV tables: numbers in feature columns, a class or a number in the target column.

use std::io::Read;
use std::path::Path;

use ndarray::{Array2, ArrayD};

use crate::error::DataError;
use crate::input;
use crate::labels::{Labels, Table, TextLabels};
use crate::source::{CsvOptions, OnMissing};

mod columns;
mod records;
#[cfg(test)]
mod tests;

use columns::Columns;
pub(crate) use records::{Header, Record, Records};

/// Reads features and targets.
pub(crate) fn read_table(file: &Path, options: &CsvOptions) -> Result<Table, DataError> {
    parse(input::open(file)?, file, options)
}

/// Reads a table from decompressed text; `file` names it in errors.
pub(crate) fn parse(text: impl Read, file: &Path, options: &CsvOptions) -> Result<Table, DataError> {
    let header = if options.header { Header::Present } else { Header::Absent };
    let mut records = Records::new(text, file, header, options.delimiter)?;
    let columns = Columns::choose(file, &records, options)?;
    let mut rows = Rows::new(file, options.regression);
    let mut missing = Missing::default();
    while let Some(record) = records.next()? {
        match columns.first_missing(record, &options.missing) {
            (0, _) => rows.push(record, &columns)?,
            (count, first) => missing.add(record, first, count),
        }
    }
    if options.on_missing == OnMissing::Error {
        missing.refuse(file, &columns)?;
    }
    rows.finish(&columns, missing.rows)
}

/// The rows read so far.
struct Rows<'a> {
    file: &'a Path,
    values: Vec<f32>,
    labels: TextLabels,
    /// Targets for regression.
    measured: Option<Vec<f32>>,
    count: usize,
}

impl<'a> Rows<'a> {
    fn new(file: &'a Path, regression: bool) -> Self {
        Rows {
            file,
            values: Vec::new(),
            labels: TextLabels::default(),
            measured: regression.then(Vec::new),
            count: 0,
        }
    }

    fn push(&mut self, record: &Record, columns: &Columns) -> Result<(), DataError> {
        for &column in &columns.features {
            self.values.push(self.number(record, column, columns)?);
        }
        let target = match &self.measured {
            Some(_) => Some(self.number(record, columns.target, columns)?),
            None => None,
        };
        match (&mut self.measured, target) {
            (Some(measured), Some(target)) => measured.push(target),
            _ => self.labels.push(self.file, record.line, record.field(columns.target))?,
        }
        self.count += 1;
        Ok(())
    }

    fn number(&self, record: &Record, column: usize, columns: &Columns) -> Result<f32, DataError> {
        let text = record.field(column);
        let (file, line, column) = (self.file, record.line, || columns.label(column));
        match text.parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(value),
            Ok(_) => {
                let place = format!("line {line}, column {}", column());
                Err(DataError::NotFinite {
                    file: file.into(),
                    place,
                    value: text.into(),
                })
            }
            Err(_) => Err(DataError::NotANumber {
                file: file.into(),
                line,
                column: column(),
                value: text.into(),
            }),
        }
    }

    fn finish(self, columns: &Columns, dropped: usize) -> Result<Table, DataError> {
        let (file, rows) = (self.file, self.count);
        if rows == 0 {
            return Err(DataError::Empty { file: file.into() });
        }
        // Every record was checked to have all columns, so that the counts cannot differ.
        let mismatch = |_| DataError::Empty { file: file.into() };
        let x = ArrayD::from_shape_vec(vec![rows, columns.features.len()], self.values).map_err(mismatch)?;
        let labels = match self.measured {
            Some(values) => Labels::Values(Array2::from_shape_vec((rows, 1), values).map_err(mismatch)?),
            None => Labels::Text(self.labels),
        };
        let feature_names = columns.feature_names();
        Ok(Table {
            file: file.into(),
            x,
            labels,
            feature_names,
            dropped,
        })
    }
}

/// The missing values met so far.
#[derive(Default)]
struct Missing {
    /// Line, column and text of the first.
    first: Option<(u64, usize, String)>,
    values: u64,
    rows: usize,
}

impl Missing {
    fn add(&mut self, record: &Record, column: usize, count: u64) {
        self.first
            .get_or_insert_with(|| (record.line, column, record.field(column).into()));
        self.values += count;
        self.rows += 1;
    }

    fn refuse(&self, file: &Path, columns: &Columns) -> Result<(), DataError> {
        match &self.first {
            None => Ok(()),
            Some((line, column, value)) => Err(DataError::Missing {
                file: file.into(),
                line: *line,
                column: columns.label(*column),
                value: value.clone(),
                total: self.values,
            }),
        }
    }
}
