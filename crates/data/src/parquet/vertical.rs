//! A holder's columns of a Parquet file, column by column.

use std::path::Path;

use super::content::{Cell, Content, Kind};
use super::{heading, ids_in};
use crate::error::DataError;
use crate::input::MAX_BYTES;
use crate::labels::TextLabels;
use crate::source::{OnMissing, ParquetOptions};
use crate::vertical::{Chosen, MissingLabels, Rows, VerticalOptions, VerticalTable};

/// Reads ids, features and, where the options name a target, labels.
pub(crate) fn read_vertical(
    file: &Path,
    parquet: &ParquetOptions,
    options: &VerticalOptions,
) -> Result<VerticalTable, DataError> {
    let content = super::open(file)?;
    let names = content.names();
    let chosen = Chosen::find(file, heading(&names), parquet.into(), options)?;
    // Ids come first: once they are read, the file has as many rows as it announces, and memory may be taken for them.
    let ids = ids_in(&content, &chosen.ids)?.rows;
    let groups = match chosen.groups.is_empty() {
        true => None,
        false => Some(ids_in(&content, &chosen.groups)?.rows),
    };
    let mut rows = Rows::none(file, &chosen, parquet.regression);
    rows.read_features(&content)?;
    let labels = Labels::read(&content, &chosen, parquet.regression)?;
    let kept = rows.keep(ids, groups, &labels, parquet.on_missing)?;
    rows.keep_features(&kept);
    match labels.measured {
        Some(values) => rows.measured = Some(kept.iter().map(|&row| values[row]).collect()),
        None if chosen.target.is_some() => rows.labels = labels.texts.select(file, &kept)?,
        None => {}
    }
    rows.numbers = kept;
    rows.into_table(parquet.classes.as_deref())
}

type Texts = Vec<Option<Vec<String>>>;

impl Rows<'_> {
    /// Reads the features of all rows.
    fn read_features(&mut self, content: &Content) -> Result<(), DataError> {
        let width = self.chosen.features.len();
        let actual = content.rows as u128 * width as u128 * size_of::<f32>() as u128;
        if actual > u128::from(MAX_BYTES) {
            return Err(DataError::TooLarge {
                file: self.file.into(),
                what: format!("a table of {} rows and {width} features", content.rows),
                actual,
                limit: MAX_BYTES,
            });
        }
        self.values = vec![f32::NAN; content.rows * width];
        for (position, feature) in self.chosen.features.iter().enumerate() {
            let (file, values) = (self.file, &mut self.values);
            let mut put = |row: usize, value: f32| {
                if let Some(place) = values.get_mut(row * width + position) {
                    *place = value;
                }
            };
            if feature.categorical {
                let dictionary = &mut self.dictionaries[position];
                content.each_text(feature.column, |row, text| {
                    if let Some(text) = text {
                        put(row, dictionary.position(file, text)? as f32);
                    }
                    Ok(())
                })?;
                continue;
            }
            content.expect_feature(feature.column)?;
            content.each_finite(feature.column, |row, value| {
                put(row, value);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Takes ids and groups of the rows that have both, and says which these are.
    fn keep(
        &mut self,
        ids: Texts,
        groups: Option<Texts>,
        labels: &Labels,
        on_missing: OnMissing,
    ) -> Result<Vec<usize>, DataError> {
        let width = self.chosen.features.len();
        let (mut kept, mut unlabelled) = (Vec::with_capacity(ids.len()), MissingLabels::default());
        let split = groups.is_some();
        let mut groups = groups.into_iter().flatten();
        for (row, id) in ids.into_iter().enumerate() {
            // Without columns to split by, a row has the empty group, which is not kept.
            let group = if split { groups.next().flatten() } else { Some(Vec::new()) };
            let (Some(id), Some(group)) = (id, group) else {
                self.missing_ids += 1;
                continue;
            };
            let labelled = !labels.missing.get(row).copied().unwrap_or(false);
            let whole = || self.values[row * width..][..width].iter().all(|value| !value.is_nan());
            if on_missing == OnMissing::DropRow && !(labelled && whole()) {
                self.dropped += 1;
                continue;
            }
            if !labelled {
                unlabelled.add(|| format!("row {row}"));
            }
            self.ids.push(self.folded(id));
            if split {
                self.groups.push(self.folded(group));
            }
            kept.push(row);
        }
        unlabelled.refuse(self)?;
        Ok(kept)
    }

    fn folded(&self, id: Vec<String>) -> Vec<String> {
        match self.chosen.fold_case {
            true => id.iter().map(|part| self.id_part(part)).collect(),
            false => id,
        }
    }

    /// Moves the features of the kept rows, which rise, to the front.
    fn keep_features(&mut self, kept: &[usize]) {
        let width = self.chosen.features.len();
        for (to, &from) in kept.iter().enumerate() {
            self.values.copy_within(from * width..(from + 1) * width, to * width);
        }
        self.values.truncate(kept.len() * width);
    }
}

/// The labels of all rows.
#[derive(Default)]
struct Labels {
    texts: TextLabels,
    measured: Option<Vec<f32>>,
    /// Whether each is missing; its text is then empty, its value 0.
    missing: Vec<bool>,
}

impl Labels {
    fn read(content: &Content, chosen: &Chosen, regression: bool) -> Result<Self, DataError> {
        let mut labels = Labels::default();
        let Some(target) = chosen.target else { return Ok(labels) };
        labels.missing = vec![false; content.rows];
        if regression {
            content.expect_numbers(target)?;
            let mut values = vec![f32::NAN; content.rows];
            content.each_finite(target, |row, value| {
                values[row] = value;
                Ok(())
            })?;
            labels.missing = values.iter().map(|value| value.is_nan()).collect();
            labels.measured = Some(values);
            return Ok(labels);
        }
        let (texts, missing) = (&mut labels.texts, &mut labels.missing);
        content.each_text(target, |row, text| {
            missing[row] = text.is_none();
            texts.push(&content.file, || format!("row {row}"), text.unwrap_or_default())
        })?;
        Ok(labels)
    }
}

impl Content {
    /// Refuses a column that is not declared to hold categories and holds no numbers.
    fn expect_feature(&self, column: usize) -> Result<(), DataError> {
        let field = &self.columns[column];
        match field.kind {
            Kind::Number { .. } => Ok(()),
            Kind::Text => Err(DataError::TextFeature {
                file: self.file.clone(),
                place: "every row".into(),
                column: field.name.clone(),
                value: "text".into(),
            }),
            Kind::Other => self.expect_numbers(column),
        }
    }

    /// Hands over the values of a column of numbers that are not missing.
    fn each_finite(&self, column: usize, mut take: impl FnMut(usize, f32) -> Result<(), DataError>) -> Result<(), DataError> {
        self.each(column, |row, cell| match cell.as_float() {
            Cell::Number(value) if value.is_nan() => Ok(()),
            Cell::Number(value) if (value as f32).is_finite() => take(row, value as f32),
            Cell::Number(value) => Err(DataError::NotFinite {
                file: self.file.clone(),
                place: format!("row {row}, column {}", self.columns[column].name),
                value: format!("{value:e}"),
            }),
            Cell::Missing | Cell::Text(_) | Cell::Integer(_) => Ok(()),
        })
    }

    /// Hands over a column as text: whole numbers without a fraction, truth values as `false` and `true`, nothing where a value is missing.
    fn each_text(
        &self,
        column: usize,
        mut take: impl FnMut(usize, Option<&str>) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        self.expect_readable(column)?;
        let boolean = self.columns[column].dtype == "bool";
        self.each(column, |row, cell| match super::id_part(cell, boolean) {
            None => take(row, None),
            Some(text) => take(row, Some(&text)),
        })
    }
}
