//! Arrays of numbers as HDF5, IDX and npy files store them, before they become features or labels.

use std::io::{self, Read};
use std::path::Path;

use ndarray::{ArrayD, IxDyn};

use crate::error::DataError;
use crate::input::MAX_BYTES;
use crate::labels::Labels;

/// An array with the element type of its file; integers of other widths are widened to the next that is listed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Numbers {
    /// Name of the data set within the file; empty where a file is one array.
    pub(crate) name: String,
    /// `[rows, ...]`, in row-major order.
    pub(crate) shape: Vec<usize>,
    pub(crate) elements: Elements,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Elements {
    U8(Vec<u8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Numbers {
    pub(crate) fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// As features of shape `[rows, ...]`; bytes are divided by 255 when `scale_bytes` is set.
    pub(crate) fn to_features(&self, file: &Path, scale_bytes: bool) -> Result<ArrayD<f32>, DataError> {
        if self.shape.len() < 2 {
            return Err(self.wrong_shape(file, "an array of rows and at least one more dimension"));
        }
        if self.elements.len() == 0 {
            return Err(DataError::Empty { file: file.into() });
        }
        let divisor = if scale_bytes { 255.0 } else { 1.0 };
        let values: Vec<f32> = match &self.elements {
            Elements::U8(v) => v.iter().map(|&e| f32::from(e) / divisor).collect(),
            Elements::I16(v) => v.iter().map(|&e| f32::from(e)).collect(),
            Elements::I32(v) => v.iter().map(|&e| e as f32).collect(),
            Elements::I64(v) => v.iter().map(|&e| e as f32).collect(),
            Elements::F32(v) => v.clone(),
            Elements::F64(v) => v.iter().map(|&e| e as f32).collect(),
        };
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(self.not_finite(file, index));
        }
        ArrayD::from_shape_vec(IxDyn(&self.shape), values)
            .map_err(|_| self.wrong_shape(file, "as many elements as the shape says"))
    }

    /// As class numbers or, for regression, as real values.
    pub(crate) fn into_labels(self, file: &Path, regression: bool) -> Result<Labels, DataError> {
        let width = self.elements.len().checked_div(self.rows()).unwrap_or(1);
        if self.shape.is_empty() || self.shape.len() > 2 || (width != 1 && !regression) {
            let expected = if regression {
                "one row of values per sample"
            } else {
                "one class number per sample"
            };
            return Err(self.wrong_shape(file, expected));
        }
        if !regression {
            return Ok(Labels::Integers(self.integers(file)?));
        }
        let table = Numbers {
            shape: vec![self.rows(), width],
            ..self
        };
        let values = table.to_features(file, false)?.into_dimensionality();
        values
            .map(Labels::Values)
            .map_err(|_| table.wrong_shape(file, "one row of values per sample"))
    }

    /// As integers; real numbers are accepted where they hold integers.
    pub(crate) fn integers(&self, file: &Path) -> Result<Vec<i64>, DataError> {
        match &self.elements {
            Elements::U8(v) => Ok(v.iter().map(|&e| e.into()).collect()),
            Elements::I16(v) => Ok(v.iter().map(|&e| e.into()).collect()),
            Elements::I32(v) => Ok(v.iter().map(|&e| e.into()).collect()),
            Elements::I64(v) => Ok(v.clone()),
            Elements::F32(v) => self.rounded(file, v.iter().map(|&e| e.into())),
            Elements::F64(v) => self.rounded(file, v.iter().copied()),
        }
    }

    fn rounded(&self, file: &Path, values: impl Iterator<Item = f64>) -> Result<Vec<i64>, DataError> {
        values
            .enumerate()
            .map(|(index, value)| match value.fract() == 0.0 && value.abs() < 2f64.powi(53) {
                true => Ok(value as i64),
                false if !value.is_finite() => Err(self.not_finite(file, index)),
                false => Err(DataError::Label {
                    file: file.into(),
                    place: self.position(index),
                    label: value.to_string(),
                    expected: "a class number, counted from 0 (for measured values set regression = true)".into(),
                }),
            })
            .collect()
    }

    fn not_finite(&self, file: &Path, index: usize) -> DataError {
        let value = match &self.elements {
            Elements::F32(v) => v[index].to_string(),
            Elements::F64(v) => format!("{:e}", v[index]),
            // No integer is beyond the range of f32.
            _ => String::new(),
        };
        DataError::NotFinite {
            file: file.into(),
            place: self.position(index),
            value,
        }
    }

    /// Where the element with this row-major index lies: "x_train, row 7, position [0, 5]".
    pub(crate) fn position(&self, index: usize) -> String {
        let mut rest = index;
        let mut at: Vec<usize> = self
            .shape
            .iter()
            .rev()
            .map(|&size| (rest % size.max(1), rest /= size.max(1)).0)
            .collect();
        at.reverse();
        let name = if self.name.is_empty() {
            String::new()
        } else {
            format!("{}, ", self.name)
        };
        match at.split_first() {
            None => format!("{name}the only element"),
            Some((row, [])) => format!("{name}row {row}"),
            Some((row, inner)) => format!("{name}row {row}, position {inner:?}"),
        }
    }

    fn wrong_shape(&self, file: &Path, expected: &'static str) -> DataError {
        let place = if self.name.is_empty() {
            "the file".into()
        } else {
            format!("data set {}", self.name)
        };
        DataError::ElementType {
            file: file.into(),
            place,
            expected,
            actual: format!("an array of shape {:?}", self.shape),
        }
    }
}

impl Elements {
    pub(crate) fn len(&self) -> usize {
        match self {
            Elements::U8(v) => v.len(),
            Elements::I16(v) => v.len(),
            Elements::I32(v) => v.len(),
            Elements::I64(v) => v.len(),
            Elements::F32(v) => v.len(),
            Elements::F64(v) => v.len(),
        }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Elements::U8(_) => "u8",
            Elements::I16(_) => "i16",
            Elements::I32(_) => "i32",
            Elements::I64(_) => "i64",
            Elements::F32(_) => "f32",
            Elements::F64(_) => "f64",
        }
    }
}

/// The bytes that an announced array takes, if they are within the cap.
pub(crate) fn checked_size(shape: &[usize], width: u64, file: &Path) -> Result<u64, DataError> {
    // Eight dimensions: the product may exceed u128, hence saturating.
    let bytes = shape
        .iter()
        .fold(u128::from(width), |product, &size| product.saturating_mul(size as u128));
    match u64::try_from(bytes) {
        Ok(bytes) if bytes <= MAX_BYTES => Ok(bytes),
        _ => {
            let what = format!("the announced array of shape {shape:?}");
            Err(DataError::TooLarge {
                file: file.into(),
                what,
                actual: bytes,
                limit: MAX_BYTES,
            })
        }
    }
}

/// The `expected` bytes of elements that a header announces, which must be all that follows; the inner error says what follows instead.
pub(crate) fn read_announced(stream: &mut impl Read, shape: &[usize], expected: u64) -> io::Result<Result<Vec<u8>, String>> {
    // `take` and `read_to_end` let the buffer grow with the bytes that arrive: a header that lies costs nothing.
    let mut bytes = Vec::new();
    stream.by_ref().take(expected).read_to_end(&mut bytes)?;
    let actual = match (bytes.len() as u64 == expected, stream.read(&mut [0])?) {
        (true, 0) => return Ok(Ok(bytes)),
        (_, 0) => format!("only {} follow", bytes.len()),
        _ => "more follow".to_owned(),
    };
    Ok(Err(format!("its header {shape:?} announces {expected} bytes, {actual}")))
}
