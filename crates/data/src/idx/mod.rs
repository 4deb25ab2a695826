//! The IDX format of the MNIST files: two zero bytes, an element type, the number of dimensions, each dimension as a big-endian
//! `u32`, then the elements, big-endian, in row-major order.

use std::io::Read;
use std::path::Path;

use ndarray::ArrayD;

use crate::error::DataError;
use crate::input;
use crate::labels::{Labels, Table};
use crate::numbers::{self, Elements, Numbers, checked_size};
use crate::source::{Format, IdxOptions};

#[cfg(test)]
mod tests;

/// No known file has more; it bounds the header before it is read.
const MAX_DIMENSIONS: u8 = 8;

/// Reads features and, from a file of its own, labels.
pub(crate) fn read_table(file: &Path, labels_file: &Path, options: &IdxOptions) -> Result<Table, DataError> {
    let x = read_features(file, options)?;
    let labels = read(labels_file)?.into_labels(labels_file, options.regression)?;
    Table::new(file, x, labels_file, labels)
}

/// Reads features, scaled as the options say.
pub(crate) fn read_features(file: &Path, options: &IdxOptions) -> Result<ArrayD<f32>, DataError> {
    let Some(divisor) = options.divide_by else {
        return read(file)?.to_features(file, options.scale);
    };
    // Within these bounds no 32-bit number becomes 0 or infinite unless it was close to it.
    if !(1e-9..=1e9).contains(&divisor) {
        return Err(DataError::Option {
            option: "idx.divide_by",
            expected: "from 1e-9 to 1e9",
            actual: divisor.to_string(),
        });
    }
    let mut x = read(file)?.to_features(file, false)?;
    x.mapv_inplace(|value| (f64::from(value) / divisor) as f32);
    match x.iter().find(|value| !value.is_finite()) {
        None => Ok(x),
        Some(value) => Err(DataError::NotFinite {
            file: file.into(),
            place: "a value divided by idx.divide_by".into(),
            value: value.to_string(),
        }),
    }
}

/// Reads a list of 0-based row numbers that must lie below `rows`.
pub(crate) fn read_rows(file: &Path, rows: usize) -> Result<Vec<usize>, DataError> {
    let Labels::Integers(numbers) = read(file)?.into_labels(file, false)? else {
        return Ok(Vec::new());
    };
    let valid = |number: i64| usize::try_from(number).ok().filter(|&row| row < rows);
    numbers
        .iter()
        .map(|&number| {
            valid(number).ok_or_else(|| DataError::Subset {
                file: file.into(),
                reason: format!(
                    "it names row {number}, expected numbers from 0 to {} (the test set has {rows} rows)",
                    rows.saturating_sub(1)
                ),
            })
        })
        .collect()
}

/// Reads one array.
pub(crate) fn read(file: &Path) -> Result<Numbers, DataError> {
    decode(input::open(file)?, file)
}

/// Decodes one array that must fill the stream exactly.
pub(crate) fn decode(mut stream: impl Read, file: &Path) -> Result<Numbers, DataError> {
    let io = |error| input::read_error(file, Format::Idx, error);
    let malformed = |reason: String| DataError::Malformed {
        file: file.into(),
        format: Format::Idx,
        reason,
    };
    let mut head = [0; 4];
    stream.read_exact(&mut head).map_err(io)?;
    let [zero, zero_too, code, dimensions] = head;
    let width = element_width(code);
    if (zero, zero_too) != (0, 0) || width.is_none() || dimensions == 0 || dimensions > MAX_DIMENSIONS {
        return Err(malformed(format!(
            "it begins with the bytes {head:02x?}, expected 00 00, an element type 08 to 0e and 1 to 8 dimensions"
        )));
    }
    let mut shape = Vec::with_capacity(dimensions.into());
    for _ in 0..dimensions {
        let mut size = [0; 4];
        stream.read_exact(&mut size).map_err(io)?;
        shape.push(u32::from_be_bytes(size) as usize);
    }
    let expected = checked_size(&shape, width.unwrap_or(1), file)?;
    let bytes = numbers::read_announced(&mut stream, &shape, expected)
        .map_err(io)?
        .map_err(malformed)?;
    Ok(Numbers {
        name: String::new(),
        shape,
        elements: elements(code, bytes),
    })
}

fn element_width(code: u8) -> Option<u64> {
    match code {
        0x08 | 0x09 => Some(1),
        0x0b => Some(2),
        0x0c | 0x0d => Some(4),
        0x0e => Some(8),
        _ => None,
    }
}

fn elements(code: u8, bytes: Vec<u8>) -> Elements {
    fn each<const N: usize, T>(bytes: &[u8], decode: fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|&chunk| decode(chunk)).collect()
    }
    match code {
        0x09 => Elements::I16(each(&bytes, |b| i8::from_be_bytes(b).into())),
        0x0b => Elements::I16(each(&bytes, i16::from_be_bytes)),
        0x0c => Elements::I32(each(&bytes, i32::from_be_bytes)),
        0x0d => Elements::F32(each(&bytes, f32::from_be_bytes)),
        0x0e => Elements::F64(each(&bytes, f64::from_be_bytes)),
        _ => Elements::U8(bytes),
    }
}
