//! Labels that a file to predict from happens to carry.

use std::path::Path;

use ndarray::ArrayD;

use crate::csv;
use crate::error::DataError;
use crate::expectation::Expectation;
use crate::features::{FeatureOptions, Features};
use crate::labels::{self, Table};
use crate::samples::Targets;
use crate::source::{CsvOptions, Format};

/// The labels of some of the rows of [`Features`].
#[derive(Debug, Clone, PartialEq)]
pub struct GivenLabels {
    /// Which rows of [`Features::x`] have a label, by position.
    pub positions: Vec<usize>,
    /// Their labels, in that order.
    pub targets: Targets,
}

/// Reads the labels of `features`, which [`read_features`](crate::read_features) read from the same CSV file with the same options;
/// nothing where the file has no target column, no row has a label, or the file is not CSV. `classes` are the classes in the order of
/// their numbers, nothing for regression. A row whose label is missing has none.
///
/// # Errors
///
/// When a label is none of `classes` or no number, or the file can no longer be read.
pub fn read_labels(
    file: &Path,
    options: &FeatureOptions,
    expected: &Expectation,
    features: &Features,
    classes: Option<&[String]>,
) -> Result<Option<GivenLabels>, DataError> {
    if options.format.or_else(|| Format::of(file)) != Some(Format::Csv) {
        return Ok(None);
    }
    let csv = CsvOptions {
        regression: classes.is_none(),
        ..options.csv.clone().unwrap_or_default()
    };
    let count = expected.shape.iter().product();
    let names = options.feature_names.as_deref();
    let Some((positions, labels)) = csv::read_target(file, &csv, names, count, &features.rows)? else {
        return Ok(None);
    };
    let table = Table::new(file, ArrayD::zeros(vec![positions.len(), 0]), file, labels)?;
    let targets = labels::number(&[table], classes)?.swap_remove(0);
    Ok(Some(GivenLabels { positions, targets }))
}
