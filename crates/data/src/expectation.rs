//! Whether data fits what a job was written for.

use std::path::Path;

use ndarray::{ArrayD, IxDyn};

use crate::error::DataError;
use crate::samples::{Samples, Targets};

/// What a job expects of the data of every party that has some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// Shape of one sample.
    pub shape: Vec<usize>,
    /// Number of classes or labels; nothing for regression or when any number will do.
    pub classes: Option<usize>,
    /// Whether each row has so many labels of 0 or 1 instead of one class.
    pub multi_label: bool,
}

impl Expectation {
    /// Checks samples read from `file` and brings them into the expected shape.
    ///
    /// A sample is reshaped when the shapes differ only by dimensions of 1 (28 x 28 and 1 x 28 x 28) or when one of
    /// them is flat, such as a table's row of 784 numbers.
    /// Fewer classes than expected are fine: a party need not have met all.
    pub(crate) fn fit(&self, file: &Path, samples: &mut Samples) -> Result<(), DataError> {
        self.check_classes(file, &samples.targets)?;
        self.fit_shape(file, &mut samples.x)
    }

    /// The part of [`fit`](Self::fit) that is about `x`, of shape `[rows, sample shape...]`.
    pub(crate) fn fit_shape(&self, file: &Path, x: &mut ArrayD<f32>) -> Result<(), DataError> {
        let actual = x.shape().get(1..).unwrap_or(&[]).to_vec();
        if actual == self.shape {
            return Ok(());
        }
        let different = || DataError::Shape {
            file: file.into(),
            expected: self.shape.clone(),
            actual: actual.clone(),
        };
        if !fits(&actual, &self.shape) {
            return Err(different());
        }
        let shape: Vec<usize> = x.shape().iter().take(1).chain(&self.shape).copied().collect();
        *x = std::mem::take(x)
            .into_shape_with_order(IxDyn(&shape))
            .map_err(|_| different())?;
        Ok(())
    }

    fn check_classes(&self, file: &Path, targets: &Targets) -> Result<(), DataError> {
        let Some(expected) = self.classes else { return Ok(()) };
        let actual = match targets {
            Targets::Classes { names, .. } if names.len() <= expected && !self.multi_label => return Ok(()),
            Targets::Labels { names, .. } if names.len() == expected && self.multi_label => return Ok(()),
            Targets::Classes { names, .. } => format!("{} classes", names.len()),
            Targets::Labels { names, .. } => format!("{} labels per row", names.len()),
            Targets::Values(_) => "real values".into(),
        };
        if self.multi_label {
            let file = file.into();
            return Err(DataError::LabelCount { file, expected, actual });
        }
        Err(DataError::ClassCount {
            file: file.into(),
            expected,
            actual,
        })
    }
}

fn fits(actual: &[usize], expected: &[usize]) -> bool {
    let without_ones = |shape: &[usize]| shape.iter().copied().filter(|&size| size != 1).collect::<Vec<_>>();
    let flat = |shape: &[usize], other: &[usize]| matches!(shape, [size] if *size == other.iter().product::<usize>());
    flat(expected, actual) || flat(actual, expected) || without_ones(actual) == without_ones(expected)
}
