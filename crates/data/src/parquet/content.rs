//! Columns of a Parquet file, value by value.

use std::fs::File;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use crate::error::DataError;
use crate::input;
use crate::source::Format;

/// The most columns of a table.
const MAX_COLUMNS: usize = 100_000;
/// The most rows, over all row groups: what 8 GiB hold of one 4-byte column.
const MAX_ROWS: i64 = 1 << 31;
/// Values that are decoded at a time.
const BATCH: usize = 1 << 14;

/// An open file.
pub(crate) struct Content {
    pub(crate) file: PathBuf,
    reader: SerializedFileReader<File>,
    pub(crate) rows: usize,
    pub(crate) columns: Vec<Field>,
}

/// What a column holds.
pub(crate) struct Field {
    pub(crate) name: String,
    /// The type of its values, such as "i64" or "text".
    pub(crate) dtype: String,
    pub(crate) kind: Kind,
    /// The level of a value that is there; lower ones are null.
    level: i16,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Numbers, to be divided by the divisor (of decimals); unsigned ones are stored as if signed.
    Number {
        divisor: f64,
        unsigned: bool,
    },
    Text,
    /// Lists, dates and other things that are neither.
    Other,
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    Missing,
    /// Not divided, and exact.
    Integer(i128),
    Number(f64),
    Text(&'a str),
}

impl Cell<'_> {
    /// The cell with an integer as the nearest float.
    pub(crate) fn as_float(self) -> Self {
        match self {
            Cell::Integer(value) => Cell::Number(value as f64),
            other => other,
        }
    }
}

impl Kind {
    pub(crate) fn is_readable(self) -> bool {
        self != Kind::Other
    }
}

/// Opens a file and reads what it says of itself.
pub(crate) fn open(file: &Path) -> Result<Content, DataError> {
    let handle = input::open_plain(file)?;
    let reader = guarded(file, || SerializedFileReader::new(handle))?;
    let metadata = reader.metadata();
    let schema = metadata.file_metadata().schema_descr();
    let groups = metadata.row_groups().iter().map(|group| group.num_rows());
    let rows = groups
        .map(|rows| (0..=MAX_ROWS).contains(&rows).then_some(rows))
        .sum::<Option<i64>>();
    let rows = rows
        .filter(|rows| *rows <= MAX_ROWS)
        .and_then(|rows| usize::try_from(rows).ok());
    let malformed = |reason| DataError::Malformed {
        file: file.into(),
        format: Format::Parquet,
        reason,
    };
    let rows = rows.ok_or_else(|| malformed(format!("it announces row groups of less than 0 or more than {MAX_ROWS} rows")))?;
    if schema.num_columns() > MAX_COLUMNS {
        return Err(malformed(format!(
            "it has {} columns, more than the limit of {MAX_COLUMNS}",
            schema.num_columns()
        )));
    }
    let columns = schema.columns().iter().map(|column| field(column)).collect();
    Ok(Content {
        file: file.into(),
        rows,
        columns,
        reader,
    })
}

impl Content {
    pub(crate) fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// Refuses a column that cannot be a feature or a measured target.
    pub(super) fn expect_numbers(&self, column: usize) -> Result<(), DataError> {
        match self.columns[column].kind {
            Kind::Number { .. } => Ok(()),
            _ => Err(self.wrong_type(column, "numbers (list the column under drop if it is no feature)")),
        }
    }

    /// Refuses a column that cannot hold classes.
    pub(super) fn expect_readable(&self, column: usize) -> Result<(), DataError> {
        match self.columns[column].kind.is_readable() {
            true => Ok(()),
            false => Err(self.wrong_type(column, "numbers or text")),
        }
    }

    fn wrong_type(&self, column: usize, expected: &'static str) -> DataError {
        let Field { name, dtype, .. } = &self.columns[column];
        DataError::ElementType {
            file: self.file.clone(),
            place: format!("column {name}"),
            expected,
            actual: dtype.clone(),
        }
    }

    /// Hands over a column's values in the order of the rows; there are as many as [`rows`](Self::rows).
    pub(crate) fn each(
        &self,
        column: usize,
        mut take: impl FnMut(usize, Cell) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let mut row = 0;
        let mut next = |cell: Cell| {
            row += 1;
            take(row - 1, cell)
        };
        for (number, group) in self.reader.metadata().row_groups().iter().enumerate() {
            let rows = group.num_rows() as usize;
            let open = || {
                self.reader
                    .get_row_group(number)
                    .and_then(|group| group.get_column_reader(column))
            };
            self.values(guarded(&self.file, open)?, column, rows, &mut next)?;
        }
        Ok(())
    }

    fn values(
        &self,
        reader: ColumnReader,
        column: usize,
        rows: usize,
        next: &mut impl FnMut(Cell) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let (divisor, unsigned) = match self.columns[column].kind {
            Kind::Number { divisor, unsigned } => (divisor, unsigned),
            _ => (1.0, false),
        };
        let number = |value: i128| match divisor {
            1.0 => Cell::Integer(value),
            divisor => Cell::Number(value as f64 / divisor),
        };
        match reader {
            ColumnReader::BoolColumnReader(reader) => {
                self.pump(reader, column, rows, |&value| Some(Cell::Number(value.into())), next)
            }
            ColumnReader::Int32ColumnReader(reader) => {
                let plain = |value: i32| if unsigned { (value as u32).into() } else { value.into() };
                self.pump(reader, column, rows, |&value| Some(number(plain(value))), next)
            }
            ColumnReader::Int64ColumnReader(reader) => {
                let plain = |value: i64| if unsigned { (value as u64).into() } else { value.into() };
                self.pump(reader, column, rows, |&value| Some(number(plain(value))), next)
            }
            ColumnReader::FloatColumnReader(reader) => {
                self.pump(reader, column, rows, |&value| Some(Cell::Number(value.into())), next)
            }
            ColumnReader::DoubleColumnReader(reader) => self.pump(reader, column, rows, |&value| Some(Cell::Number(value)), next),
            ColumnReader::ByteArrayColumnReader(reader) => {
                self.pump(reader, column, rows, |value| value.as_utf8().ok().map(Cell::Text), next)
            }
            _ => Err(self.wrong_type(column, "numbers or text")),
        }
    }

    /// Decodes the `rows` values of one row group; `cell` gives nothing for text that is no UTF-8.
    fn pump<T: DataType>(
        &self,
        mut reader: ColumnReaderImpl<T>,
        column: usize,
        rows: usize,
        cell: impl for<'v> Fn(&'v T::T) -> Option<Cell<'v>>,
        next: &mut impl FnMut(Cell) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let level = self.columns[column].level;
        let name = &self.columns[column].name;
        let malformed = |reason| DataError::Malformed {
            file: self.file.clone(),
            format: Format::Parquet,
            reason,
        };
        let (mut values, mut levels, mut left) = (Vec::new(), Vec::new(), rows);
        while left > 0 {
            values.clear();
            levels.clear();
            let definition = (level > 0).then_some(&mut levels);
            let read = || reader.read_records(left.min(BATCH), definition, None, &mut values);
            let (records, ..) = guarded(&self.file, read)?;
            if records == 0 || records > left {
                return Err(malformed(format!("column {name} ends too early")));
            }
            let mut present = values.iter();
            for record in 0..records {
                let there = level == 0 || levels.get(record) == Some(&level);
                let value = there.then(|| present.next().ok_or_else(|| malformed(format!("column {name} lacks values"))));
                next(match value.transpose()? {
                    None => Cell::Missing,
                    Some(value) => cell(value).ok_or_else(|| malformed(format!("column {name} holds text that is not UTF-8")))?,
                })?;
            }
            left -= records;
        }
        Ok(())
    }
}

fn field(column: &ColumnDescriptor) -> Field {
    let (kind, dtype) = match column.max_rep_level() {
        0 => kind(column),
        _ => (Kind::Other, "lists".into()),
    };
    Field {
        name: column.path().string(),
        dtype,
        kind,
        level: column.max_def_level(),
    }
}

/// What a column holds, with a name for its type.
fn kind(column: &ColumnDescriptor) -> (Kind, String) {
    let number = |divisor, unsigned, name: &str| (Kind::Number { divisor, unsigned }, name.to_string());
    let (physical, logical, converted) = (column.physical_type(), column.logical_type_ref(), column.converted_type());
    let unsigned = matches!(logical, Some(LogicalType::Integer(integer)) if !integer.is_signed)
        || matches!(
            converted,
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
        );
    let decimal = matches!(logical, Some(LogicalType::Decimal(_))) || converted == ConvertedType::DECIMAL;
    let time = matches!(
        logical,
        Some(LogicalType::Date | LogicalType::Time(_) | LogicalType::Timestamp(_))
    ) || matches!(
        converted,
        ConvertedType::DATE
            | ConvertedType::TIME_MILLIS
            | ConvertedType::TIME_MICROS
            | ConvertedType::TIMESTAMP_MILLIS
            | ConvertedType::TIMESTAMP_MICROS
    );
    match physical {
        Type::INT32 | Type::INT64 if time => (Kind::Other, "dates or times".into()),
        Type::INT32 | Type::INT64 if decimal => {
            let divisor = 10f64.powi(column.type_scale());
            match divisor.is_normal() {
                true => number(divisor, false, "decimal"),
                false => (Kind::Other, "decimals of a scale beyond floats".into()),
            }
        }
        Type::INT32 => number(1.0, unsigned, if unsigned { "u32" } else { "i32" }),
        Type::INT64 => number(1.0, unsigned, if unsigned { "u64" } else { "i64" }),
        Type::BOOLEAN => number(1.0, false, "bool"),
        Type::FLOAT => number(1.0, false, "f32"),
        Type::DOUBLE => number(1.0, false, "f64"),
        Type::BYTE_ARRAY if decimal => (Kind::Other, "decimals as bytes".into()),
        Type::BYTE_ARRAY => (Kind::Text, "text".into()),
        Type::INT96 => (Kind::Other, "dates or times".into()),
        Type::FIXED_LEN_BYTE_ARRAY => (Kind::Other, "bytes of fixed length".into()),
    }
}

/// Runs a call of the `parquet` crate, which panics on some damaged files (a test has such ones).
///
/// What the call was working on is never used again after a failure, so that it may be left half changed.
fn guarded<T>(file: &Path, call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, DataError> {
    let outcome = panic::catch_unwind(AssertUnwindSafe(call));
    let reason = match outcome {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "its content contradicts itself".into(),
    };
    Err(DataError::Malformed {
        file: file.into(),
        format: Format::Parquet,
        reason,
    })
}
