//! The target column of a file whose features are read without it.

use std::path::Path;

use ndarray::Array2;

use super::{Columns, Records, Rows, records};
use crate::error::DataError;
use crate::input;
use crate::labels::Labels;
use crate::source::{Column, CsvOptions};

/// The labels at the data rows `rows` (ascending, counted from 0), each with its position in `rows`; nothing where the file has no such
/// column or none of these rows has a label. `names` and `count` are those of the features.
pub(crate) fn read_target(
    file: &Path,
    options: &CsvOptions,
    names: Option<&[String]>,
    count: usize,
    rows: &[usize],
) -> Result<Option<(Vec<usize>, Labels)>, DataError> {
    let mut records = records(input::open(file)?, file, options)?;
    let columns = Columns::choose_features(file, records.heading(), options.into(), names, count)?;
    let Some(target) = target(&records, options, &columns) else {
        return Ok(None);
    };
    let mut read = Rows::none(file, options);
    let mut positions = Vec::new();
    let (mut number, mut next) = (0, 0);
    while let Some(record) = records.next()? {
        if rows.get(next) == Some(&number) {
            if !options.missing.iter().any(|marker| marker == record.field(target)) {
                read.push_target(record, target, &columns)?;
                positions.push(next);
            }
            next += 1;
        }
        number += 1;
    }
    // Regression targets stand in one column.
    let labels = match read.measured {
        None => Labels::Text(read.labels),
        Some(values) => {
            Labels::Values(Array2::from_shape_vec((values.len(), 1), values).map_err(|_| DataError::Empty { file: file.into() })?)
        }
    };
    Ok((!positions.is_empty()).then_some((positions, labels)))
}

/// The target column, where the file has it beside the features.
fn target<R>(records: &Records<R>, options: &CsvOptions, columns: &Columns) -> Option<usize> {
    let column = match options.target.as_ref()? {
        Column::Number(number) => Some(*number).filter(|number| *number < records.width),
        Column::Name(name) => records.names.as_ref()?.iter().position(|other| other == name),
    };
    column.filter(|column| !columns.features.contains(column))
}
