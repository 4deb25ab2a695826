//! Real data compiled into the tool; origin and licence are in `data/README.md`.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use ndarray::IxDyn;

use crate::csv;
use crate::error::DataError;
use crate::features::FeatureOptions;
use crate::labels;
use crate::samples::Samples;
use crate::source::{Column, CsvOptions};

const WDBC: &[u8] = include_bytes!("../../../data/wdbc.csv");
const WDBC_TARGET: &str = "diagnosis";
const DIGITS: &[u8] = include_bytes!("../../../data/digits.csv.gz");
const DIGITS_TARGET: &str = "digit";

/// Breast cancer Wisconsin (diagnostic): 569 rows of 30 features, classes `benign` (0, 357 rows) and `malignant` (1, 212 rows).
pub fn wdbc() -> Samples {
    parse(WDBC, Path::new("wdbc.csv (embedded)"), WDBC_TARGET).expect("the embedded table is fixed and a test reads it")
}

/// Optical recognition of handwritten digits: 1,797 images of shape `[1, 8, 8]` with values from 0 to 1 in sixteenths, classes `0` to
/// `9` with 174 to 183 rows each.
pub fn digits() -> Samples {
    let table = parse(GzDecoder::new(DIGITS), Path::new("digits.csv.gz (embedded)"), DIGITS_TARGET);
    let mut samples = table.expect("the embedded table is fixed and a test reads it");
    let shape = IxDyn(&[samples.rows(), 1, 8, 8]);
    let x = std::mem::take(&mut samples.x).into_shape_with_order(shape);
    samples.x = x.expect("the embedded table has 64 features");
    samples
}

/// How to read rows to predict from with a model trained on the data set `name` of this module: CSV columns are matched with its
/// features by name.
pub fn feature_options(name: &str) -> Option<FeatureOptions> {
    let (samples, target) = match name {
        "wdbc" => (wdbc(), WDBC_TARGET),
        "digits" => (digits(), DIGITS_TARGET),
        _ => return None,
    };
    Some(FeatureOptions {
        feature_names: samples.feature_names,
        csv: Some(csv_options(target)),
        ..FeatureOptions::default()
    })
}

fn parse(text: impl Read, file: &Path, target: &str) -> Result<Samples, DataError> {
    let table = csv::parse(text, file, &csv_options(target))?;
    let targets = labels::number(std::slice::from_ref(&table), None)?.swap_remove(0);
    Ok(table.into_samples(targets))
}

fn csv_options(target: &str) -> CsvOptions {
    CsvOptions {
        target: Some(Column::Name(target.into())),
        ..CsvOptions::default()
    }
}
