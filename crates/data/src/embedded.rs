//! Real data compiled into the tool; origin and licence are in `data/README.md`.

use std::path::Path;

use crate::csv;
use crate::error::DataError;
use crate::labels;
use crate::samples::Samples;
use crate::source::{Column, CsvOptions};

const WDBC: &[u8] = include_bytes!("../../../data/wdbc.csv");

/// Breast cancer Wisconsin (diagnostic): 569 rows of 30 features, classes `benign` (0, 357 rows) and `malignant` (1, 212 rows).
pub fn wdbc() -> Samples {
    parse(WDBC, Path::new("wdbc.csv (embedded)"), "diagnosis").expect("the embedded table is fixed and a test reads it")
}

fn parse(text: &[u8], file: &Path, target: &str) -> Result<Samples, DataError> {
    let options = CsvOptions {
        target: Some(Column::Name(target.into())),
        ..CsvOptions::default()
    };
    let table = csv::parse(text, file, &options)?;
    let targets = labels::number(std::slice::from_ref(&table), None)?.swap_remove(0);
    Ok(table.into_samples(targets))
}
