//! CSV tables: numbers in feature columns, a class or a number in the target column.

use std::io::Read;
use std::path::Path;

use ndarray::{Array2, ArrayD};

use crate::columns::{Columns, find_column};
use crate::error::DataError;
use crate::features::Features;
use crate::ids::{self, Ids};
use crate::input;
use crate::labels::{Labels, Table, TextLabels};
use crate::source::{Column, CsvOptions, OnMissing};

mod records;
mod target;
#[cfg(test)]
mod tests;
mod vertical;

pub(crate) use records::{Header, Record, Records};
pub(crate) use target::read_target;
pub(crate) use vertical::read_vertical;

/// Reads features and targets.
pub(crate) fn read_table(file: &Path, options: &CsvOptions) -> Result<Table, DataError> {
    parse(input::open(file)?, file, options)
}

/// Reads a table from decompressed text; `file` names it in errors.
pub(crate) fn parse(text: impl Read, file: &Path, options: &CsvOptions) -> Result<Table, DataError> {
    let mut records = records(text, file, options)?;
    let columns = Columns::choose(file, records.heading(), options.into())?;
    Rows::read(&mut records, file, &columns, options)?.into_table(&columns)
}

/// Reads `count` features without targets, by the names that they had in training, where these are known.
pub(crate) fn read_features(
    file: &Path,
    options: &CsvOptions,
    names: Option<&[String]>,
    count: usize,
) -> Result<Features, DataError> {
    let mut records = records(input::open(file)?, file, options)?;
    let columns = Columns::choose_features(file, records.heading(), options.into(), names, count)?;
    let rows = Rows::read(&mut records, file, &columns, options)?;
    let names = columns.feature_names().or_else(|| names.map(<[String]>::to_vec));
    let (x, rows) = rows.into_features(&columns)?;
    Ok(Features { x, rows, names })
}

/// The texts in one column of a table with a header, in the order of its lines.
pub(crate) fn group_names(file: &Path, column: &Column) -> Result<Vec<String>, DataError> {
    let mut records = records(input::open(file)?, file, &CsvOptions::default())?;
    let column = find_column(file, records.heading(), column)?;
    let mut names = Vec::new();
    while let Some(record) = records.next()? {
        names.push(record.field(column).to_owned());
    }
    Ok(names)
}

/// The ids in the given columns, row by row.
pub(crate) fn read_ids(file: &Path, options: &CsvOptions, columns: &[Column]) -> Result<Ids, DataError> {
    let mut records = records(input::open(file)?, file, options)?;
    let columns = columns.iter().map(|column| find_column(file, records.heading(), column));
    let columns = columns.collect::<Result<Vec<usize>, _>>()?;
    ids::all_different(&columns)?;
    let mut ids = Ids::default();
    while let Some(record) = records.next()? {
        let part = |&column: &usize| {
            let text = ids::normalised(record.raw(column));
            let missing = text.is_empty() || options.missing.iter().any(|marker| marker == text);
            (!missing).then(|| text.to_owned())
        };
        ids.push(columns.iter().map(part).collect());
    }
    Ok(ids)
}

fn records<R: Read>(text: R, file: &Path, options: &CsvOptions) -> Result<Records<R>, DataError> {
    let header = if options.header { Header::Present } else { Header::Absent };
    Records::new(text, file, header, options.delimiter)
}

/// The rows read so far.
struct Rows<'a> {
    file: &'a Path,
    values: Vec<f32>,
    labels: TextLabels,
    /// Targets for regression.
    measured: Option<Vec<f32>>,
    /// The number of each row among the file's data rows, counted from 0.
    kept: Vec<usize>,
    /// Rows left out for a missing value.
    dropped: usize,
}

impl<'a> Rows<'a> {
    fn read(
        records: &mut Records<impl Read>,
        file: &'a Path,
        columns: &Columns,
        options: &CsvOptions,
    ) -> Result<Self, DataError> {
        let mut rows = Rows::none(file, options);
        let mut missing = Missing::default();
        while let Some(record) = records.next()? {
            match first_missing(columns, record, &options.missing) {
                (0, _) => rows.push(record, columns, missing.rows)?,
                (count, first) => missing.add(record, first, count),
            }
        }
        if options.on_missing == OnMissing::Error {
            missing.refuse(file, columns)?;
        }
        rows.dropped = missing.rows;
        match rows.kept.len() {
            0 => Err(DataError::Empty { file: file.into() }),
            _ => Ok(rows),
        }
    }

    fn push(&mut self, record: &Record, columns: &Columns, dropped: usize) -> Result<(), DataError> {
        for &column in &columns.features {
            let value = self.number(record, column, columns)?;
            self.values.push(value);
        }
        if let Some(column) = columns.target {
            self.push_target(record, column, columns)?;
        }
        self.kept.push(self.kept.len() + dropped);
        Ok(())
    }

    fn none(file: &'a Path, options: &CsvOptions) -> Self {
        Rows {
            file,
            values: Vec::new(),
            labels: TextLabels::default(),
            measured: options.regression.then(Vec::new),
            kept: Vec::new(),
            dropped: 0,
        }
    }

    fn push_target(&mut self, record: &Record, column: usize, columns: &Columns) -> Result<(), DataError> {
        match self.measured.is_some() {
            true => {
                let target = self.number(record, column, columns)?;
                self.measured.get_or_insert_default().push(target);
                Ok(())
            }
            false => {
                let place = || format!("line {}", record.line);
                self.labels.push(self.file, place, record.field(column))
            }
        }
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

    fn into_table(mut self, columns: &Columns) -> Result<Table, DataError> {
        let (file, dropped, measured) = (self.file, self.dropped, self.measured.take());
        let labels = std::mem::take(&mut self.labels);
        let (x, kept) = self.into_features(columns)?;
        let labels = match measured {
            Some(values) => {
                let values = Array2::from_shape_vec((kept.len(), 1), values);
                Labels::Values(values.map_err(|_| DataError::Empty { file: file.into() })?)
            }
            None => Labels::Text(labels),
        };
        Ok(Table {
            file: file.into(),
            x,
            labels,
            feature_names: columns.feature_names(),
            dropped,
        })
    }

    /// The features with the numbers of their rows.
    fn into_features(self, columns: &Columns) -> Result<(ArrayD<f32>, Vec<usize>), DataError> {
        let shape = vec![self.kept.len(), columns.features.len()];
        // Every record was checked to have all columns, so that the counts cannot differ.
        let mismatch = |_| DataError::Empty { file: self.file.into() };
        let x = ArrayD::from_shape_vec(shape, self.values).map_err(mismatch)?;
        Ok((x, self.kept))
    }
}

/// How many of the fields that are read are missing, and the column of the first.
fn first_missing(columns: &Columns, record: &Record, markers: &[String]) -> (u64, usize) {
    let mut found = (0, 0);
    for column in columns.features.iter().copied().chain(columns.target) {
        if markers.iter().any(|marker| marker == record.field(column)) {
            found = (found.0 + 1, if found.0 == 0 { column } else { found.1 });
        }
    }
    found
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
                place: format!("line {line}"),
                column: columns.label(*column),
                value: value.clone(),
                total: self.values,
            }),
        }
    }
}
