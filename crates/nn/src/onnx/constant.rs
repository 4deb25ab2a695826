//! The numbers of constants.

use ndarray::{ArrayD, IxDyn};

use super::message::Tensor;
use crate::MAX_PARAMETERS;

/// ONNX's numbers of types.
const FLOAT: u64 = 1;
const INT64: u64 = 7;
const DOUBLE: u64 = 11;

/// A constant of a graph, whose numbers are decoded when a layer needs them.
#[derive(Clone)]
pub(super) struct Constant<'a> {
    tensor: &'a Tensor<'a>,
    shape: Vec<usize>,
    /// A matrix whose numbers lie column by column.
    transposed: bool,
}

impl<'a> Constant<'a> {
    /// `Err` says what is wrong.
    pub fn of(tensor: &'a Tensor<'a>) -> Result<Self, String> {
        let shape: Option<Vec<usize>> = tensor.axes.iter().map(|axis| usize::try_from(*axis).ok()).collect();
        let shape = shape.filter(|shape| size(shape).is_some());
        match shape {
            Some(_) if tensor.external => Err("numbers in another file".to_owned()),
            Some(shape) => Ok(Self {
                tensor,
                shape,
                transposed: false,
            }),
            None => Err(format!("{} axes with another number of values", tensor.axes.len())),
        }
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The same numbers in another shape, in which one axis may be -1 (what is left) and others 0 (as before).
    pub fn reshaped(&self, axes: &[i64]) -> Option<Self> {
        let shape = target(&self.shape, axes).filter(|_| !self.transposed)?;
        Some(Self { shape, ..self.clone() })
    }

    /// The transpose of a matrix.
    pub fn transposed(&self) -> Option<Self> {
        let [rows, columns] = self.shape[..] else { return None };
        Some(Self {
            shape: vec![columns, rows],
            transposed: !self.transposed,
            ..self.clone()
        })
    }

    /// As f32; doubles are rounded.
    pub fn floats(&self) -> Result<ArrayD<f32>, String> {
        let values: Vec<f32> = match (self.tensor.kind, self.tensor.raw) {
            (FLOAT, Some(raw)) => whole(raw)?.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            (FLOAT, None) => self.tensor.floats.clone(),
            (DOUBLE, Some(raw)) => whole(raw)?.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect(),
            (kind, _) => return Err(format!("numbers of type {kind}")),
        };
        let (count, mut expected) = (values.len(), self.shape.clone());
        if self.transposed {
            expected.reverse();
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err("an infinity or NaN".to_owned());
        }
        let array = ArrayD::from_shape_vec(IxDyn(&expected), values);
        let array = array.map_err(|_| format!("{count} numbers for {expected:?}"))?;
        Ok(if self.transposed { array.reversed_axes() } else { array })
    }

    /// As integers: a shape or axes.
    pub fn integers(&self) -> Result<Vec<i64>, String> {
        let values: Vec<i64> = match (self.tensor.kind, self.tensor.raw) {
            // A list of axes is short: nothing longer is read.
            (INT64, Some(raw)) if raw.len() <= 64 => whole(raw)?.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
            (INT64, None) => self.tensor.integers.clone(),
            (kind, _) => return Err(format!("numbers of type {kind}")),
        };
        match values.len() == self.len() {
            true => Ok(values),
            false => Err(format!("{} numbers for {:?}", values.len(), self.shape)),
        }
    }
}

/// The shape that ONNX's Reshape gives: one axis may be -1 (what is left) and others 0 (as before).
pub(super) fn target(shape: &[usize], axes: &[i64]) -> Option<Vec<usize>> {
    let before = size(shape)?;
    let mut open = None;
    let mut target = Vec::with_capacity(axes.len());
    for (at, axis) in axes.iter().enumerate() {
        target.push(match axis {
            -1 if open.is_none() => {
                open = Some(at);
                1
            }
            0 => *shape.get(at)?,
            _ => usize::try_from(*axis).ok()?,
        });
    }
    let given = size(&target)?;
    if let Some(at) = open {
        target[at] = before.checked_div(given)?;
    }
    (size(&target)? == before).then_some(target)
}

fn size(shape: &[usize]) -> Option<usize> {
    let size = shape.iter().try_fold(1usize, |size, axis| size.checked_mul(*axis))?;
    (size <= MAX_PARAMETERS).then_some(size)
}

fn whole<const N: usize>(raw: &[u8]) -> Result<&[[u8; N]], String> {
    match raw.as_chunks() {
        (numbers, []) => Ok(numbers),
        _ => Err(format!("{} bytes", raw.len())),
    }
}
