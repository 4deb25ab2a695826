//! A holder's columns of a CSV file, in one pass.

use std::path::Path;

use super::{Record, records};
use crate::error::DataError;
use crate::ids;
use crate::input;
use crate::source::{CsvOptions, OnMissing};
use crate::vertical::{Chosen, MissingLabels, Rows, VerticalOptions, VerticalTable};

/// Reads ids, features and, where the options name a target, labels.
pub(crate) fn read_vertical(file: &Path, csv: &CsvOptions, options: &VerticalOptions) -> Result<VerticalTable, DataError> {
    let mut records = records(input::open(file)?, file, csv)?;
    let chosen = Chosen::find(file, records.heading(), csv.into(), options)?;
    let markers = Markers::new(csv);
    let mut rows = Rows::none(file, &chosen, csv.regression);
    let mut unlabelled = MissingLabels::default();
    let mut number = 0;
    while let Some(record) = records.next()? {
        rows.push(record, number, &markers, &mut unlabelled)?;
        number += 1;
    }
    unlabelled.refuse(&rows)?;
    rows.into_table(csv.classes.as_deref())
}

/// What stands for a missing value.
struct Markers<'a> {
    texts: &'a [String],
    /// Whether one of them is a number, such as -999: only then need numbers be compared with them.
    numbers: bool,
    drop_rows: bool,
}

impl<'a> Markers<'a> {
    fn new(csv: &'a CsvOptions) -> Self {
        let is_number = |text: &String| text.parse::<f32>().is_ok_and(f32::is_finite);
        Markers {
            texts: &csv.missing,
            numbers: csv.missing.iter().any(is_number),
            drop_rows: csv.on_missing == OnMissing::DropRow,
        }
    }

    fn hold(&self, text: &str) -> bool {
        self.texts.iter().any(|marker| marker == text)
    }
}

impl Rows<'_> {
    fn push(
        &mut self,
        record: &Record,
        number: usize,
        markers: &Markers,
        unlabelled: &mut MissingLabels,
    ) -> Result<(), DataError> {
        let chosen = self.chosen;
        let (Some(id), Some(group)) = (
            self.parts(record, &chosen.ids, markers),
            self.parts(record, &chosen.groups, markers),
        ) else {
            self.missing_ids += 1;
            return Ok(());
        };
        let before = self.values.len();
        let whole = self.push_features(record, markers)?;
        let label = chosen.target.map(|column| record.field(column));
        let labelled = !label.is_some_and(|text| markers.hold(text));
        if markers.drop_rows && !(whole && labelled) {
            self.values.truncate(before);
            self.dropped += 1;
            return Ok(());
        }
        match label {
            Some(text) if labelled => self.push_label(record, text)?,
            Some(_) => unlabelled.add(|| format!("line {}", record.line)),
            None => {}
        }
        self.ids.push(id);
        if !chosen.groups.is_empty() {
            self.groups.push(group);
        }
        self.numbers.push(number);
        Ok(())
    }

    /// The texts in these columns; nothing if one is missing.
    fn parts(&self, record: &Record, columns: &[usize], markers: &Markers) -> Option<Vec<String>> {
        let part = |&column: &usize| {
            let text = ids::normalised(record.raw(column));
            (!text.is_empty() && !markers.hold(text)).then(|| self.id_part(text))
        };
        columns.iter().map(part).collect()
    }

    /// Whether no feature of the row is missing.
    fn push_features(&mut self, record: &Record, markers: &Markers) -> Result<bool, DataError> {
        let mut whole = true;
        for (position, feature) in self.chosen.features.iter().enumerate() {
            let text = record.field(feature.column);
            let value = match feature.categorical {
                true if markers.hold(text) => f32::NAN,
                true => self.dictionaries[position].position(self.file, text)? as f32,
                false => match text.parse::<f32>() {
                    Ok(value) if value.is_finite() && !(markers.numbers && markers.hold(text)) => value,
                    _ if markers.hold(text) => f32::NAN,
                    parsed => return Err(self.refused(record, &feature.name, text, parsed.is_ok())),
                },
            };
            whole &= !value.is_nan();
            self.values.push(value);
        }
        Ok(whole)
    }

    fn push_label(&mut self, record: &Record, text: &str) -> Result<(), DataError> {
        let Some(measured) = &mut self.measured else {
            return self.labels.push(self.file, || format!("line {}", record.line), text);
        };
        match text.parse::<f32>() {
            Ok(value) if value.is_finite() => measured.push(value),
            parsed => return Err(self.refused(record, &self.chosen.target_name, text, parsed.is_ok())),
        }
        Ok(())
    }

    /// The error about a field that is no finite number.
    fn refused(&self, record: &Record, column: &str, text: &str, number: bool) -> DataError {
        let file = self.file.into();
        match number {
            true => DataError::NotFinite {
                file,
                place: format!("line {}, column {column}", record.line),
                value: text.into(),
            },
            false => DataError::TextFeature {
                file,
                place: format!("line {}", record.line),
                column: column.into(),
                value: format!("{text:?}"),
            },
        }
    }
}
