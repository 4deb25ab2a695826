//! Bringing rows into form with what was learnt.

use ndarray::Array2;

use super::fitted::{Fitted, Preprocessor};
use super::{Clip, ColumnCount, Prepared, UnknownCategory, check_rows, refuse_missing};
use crate::error::DataError;
use crate::input::MAX_BYTES;
use crate::vertical::{VerticalColumn, VerticalTable};

impl Preprocessor {
    /// Brings the rows `rows` of `table` (positions) into form, in this order.
    ///
    /// # Errors
    ///
    /// When the table's columns are others than those of the fit, a row has a missing value or an unknown category that is refused, or the
    /// result would take more than [`MAX_BYTES`](crate::MAX_BYTES).
    pub fn apply(&self, table: &VerticalTable, rows: &[usize]) -> Result<Prepared, DataError> {
        check_rows(table, rows)?;
        self.check_columns(table)?;
        let width = self.width();
        let actual = rows.len() as u128 * width as u128 * size_of::<f32>() as u128;
        if actual > u128::from(MAX_BYTES) {
            return Err(DataError::TooLarge {
                file: table.file.clone(),
                what: format!("a table of {} rows and {width} features", rows.len()),
                actual,
                limit: MAX_BYTES,
            });
        }
        refuse_missing(table, rows, |column| !self.columns[column].takes_missing())?;
        let encoders = self.columns.iter().zip(&table.columns);
        let encoders: Vec<Encoder> = encoders.map(|pair| Encoder::new(self.clip, pair)).collect();
        let mut counts: Vec<ColumnCount> = self.columns.iter().map(|column| ColumnCount::none(column.name())).collect();
        let mut values = vec![0.0; rows.len() * width];
        for (number, &row) in rows.iter().enumerate() {
            let mut out = &mut values[number * width..(number + 1) * width];
            for (position, (encoder, value)) in encoders.iter().zip(table.features.row(row)).enumerate() {
                let (own, rest) = out.split_at_mut(encoder.width);
                out = rest;
                counts[position].missing += usize::from(value.is_nan());
                match encoder.encode(*value, own) {
                    Outcome::Known => (),
                    Outcome::Clipped => counts[position].clipped += 1,
                    Outcome::Unknown => {
                        self.take_unknown(table, row, position)?;
                        counts[position].unknown += 1;
                    }
                }
            }
        }
        let features = Array2::from_shape_vec((rows.len(), width), values);
        let features = features.map_err(|_| DataError::Empty {
            file: table.file.clone(),
        })?;
        self.refuse_infinite(table, rows, &features)?;
        counts.retain(|count| count.missing + count.unknown + count.clipped > 0);
        Ok(Prepared { features, counts })
    }

    /// Refuses values that standardisation brought beyond 32-bit floats.
    fn refuse_infinite(&self, table: &VerticalTable, rows: &[usize], features: &Array2<f32>) -> Result<(), DataError> {
        match features.indexed_iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(()),
            Some(((position, column), value)) => Err(DataError::NotFinite {
                file: table.file.clone(),
                place: format!(
                    "data row {} (counted from 0), feature {} after preprocessing",
                    table.numbers[rows[position]],
                    self.names()[column]
                ),
                value: value.to_string(),
            }),
        }
    }

    fn take_unknown(&self, table: &VerticalTable, row: usize, position: usize) -> Result<(), DataError> {
        if self.unknown_category == UnknownCategory::Zeros {
            return Ok(());
        }
        let column = &table.columns[position];
        let texts = column.categories.as_deref().unwrap_or_default();
        Err(DataError::UnknownCategory {
            file: table.file.clone(),
            row: table.numbers[row],
            column: column.name.clone(),
            value: texts
                .get(table.features[[row, position]] as usize)
                .cloned()
                .unwrap_or_default(),
        })
    }

    /// Refuses a table of other columns, or of columns in another order, than those of the fit.
    fn check_columns(&self, table: &VerticalTable) -> Result<(), DataError> {
        let (expected, actual) = (self.columns.len(), table.columns.len());
        let file = || table.file.clone();
        if expected != actual {
            return Err(DataError::FeatureCount {
                file: file(),
                expected,
                actual,
            });
        }
        let kind = |name: &str, categorical: bool| match categorical {
            true => format!("{name} (categories)"),
            false => name.to_owned(),
        };
        for (number, (fitted, column)) in self.columns.iter().zip(&table.columns).enumerate() {
            let (ours, theirs) = (fitted.is_categorical(), column.categories.is_some());
            if fitted.name() != column.name || ours != theirs {
                return Err(DataError::ColumnDiffers {
                    file: file(),
                    column: number,
                    expected: kind(fitted.name(), ours),
                    actual: kind(&column.name, theirs),
                });
            }
        }
        Ok(())
    }
}

impl ColumnCount {
    fn none(column: &str) -> Self {
        ColumnCount {
            column: column.into(),
            missing: 0,
            unknown: 0,
            clipped: 0,
        }
    }
}

/// What became of a value.
enum Outcome {
    Known,
    Unknown,
    Clipped,
}

/// A fitted column for the values of one table.
struct Encoder<'a> {
    fitted: &'a Fitted,
    clip: Clip,
    width: usize,
    /// For each category of the table, its position among the fitted ones.
    positions: Vec<Option<usize>>,
}

impl<'a> Encoder<'a> {
    fn new(clip: Clip, (fitted, column): (&'a Fitted, &VerticalColumn)) -> Self {
        let known = fitted.categories();
        let texts = column.categories.iter().flatten();
        Encoder {
            fitted,
            clip,
            width: fitted.width(),
            positions: texts.map(|text| known.binary_search(text).ok()).collect(),
        }
    }

    /// Writes a value over zeros, in the column's places. A missing one is known.
    fn encode(&self, value: f32, out: &mut [f32]) -> Outcome {
        if value.is_nan()
            && self.fitted.has_indicator()
            && let Some(last) = out.last_mut()
        {
            *last = 1.0;
        }
        match self.fitted {
            Fitted::Number {
                fill,
                mean,
                std,
                standardised,
                ..
            } => {
                let value = if value.is_nan() { fill.unwrap_or_default() } else { value };
                let far = (f64::from(value) - f64::from(*mean)) / f64::from(*std);
                let (value, clipped) = match standardised {
                    true => self.clip.apply(far),
                    false => (far, false),
                };
                if let Some(first) = out.first_mut() {
                    *first = value as f32;
                }
                if clipped { Outcome::Clipped } else { Outcome::Known }
            }
            Fitted::Category { .. } if value.is_nan() => Outcome::Known,
            Fitted::Category { .. } => {
                let position = self.positions.get(value as usize).copied().flatten();
                let place = position.and_then(|position| out.get_mut(position));
                match place.map(|place| *place = 1.0) {
                    Some(()) => Outcome::Known,
                    None => Outcome::Unknown,
                }
            }
        }
    }
}
