//! The rows of a holder's file as they are read.

use std::collections::HashMap;
use std::path::Path;

use ndarray::{Array2, ArrayD};

use super::{Chosen, VerticalColumn, VerticalTable};
use crate::error::DataError;
use crate::labels::{self, Labels, MAX_CLASSES, Table, TextLabels};
use crate::samples::Targets;

/// The rows read so far.
pub(crate) struct Rows<'a> {
    pub(crate) file: &'a Path,
    pub(crate) chosen: &'a Chosen,
    pub(crate) ids: Vec<Vec<String>>,
    pub(crate) groups: Vec<Vec<String>>,
    pub(crate) numbers: Vec<usize>,
    /// Row after row, NaN where a value is missing.
    pub(crate) values: Vec<f32>,
    /// One for each feature; those of numbers stay empty.
    pub(crate) dictionaries: Vec<Dictionary>,
    pub(crate) labels: TextLabels,
    /// Targets for regression.
    pub(crate) measured: Option<Vec<f32>>,
    pub(crate) missing_ids: usize,
    pub(crate) dropped: usize,
}

/// The categories of a column by their texts.
#[derive(Default)]
pub(crate) struct Dictionary {
    by_text: HashMap<String, u32>,
    texts: Vec<String>,
}

impl Dictionary {
    /// The position of a category, which is new where it was not met before.
    pub(crate) fn position(&mut self, file: &Path, text: &str) -> Result<u32, DataError> {
        if let Some(&position) = self.by_text.get(text) {
            return Ok(position);
        }
        if self.texts.len() == MAX_CLASSES {
            return Err(DataError::TooManyClasses {
                file: file.into(),
                limit: MAX_CLASSES,
            });
        }
        let position = self.texts.len() as u32;
        self.texts.push(text.into());
        self.by_text.insert(text.into(), position);
        Ok(position)
    }
}

impl<'a> Rows<'a> {
    pub(crate) fn none(file: &'a Path, chosen: &'a Chosen, regression: bool) -> Self {
        Rows {
            file,
            chosen,
            ids: Vec::new(),
            groups: Vec::new(),
            numbers: Vec::new(),
            values: Vec::new(),
            dictionaries: chosen.features.iter().map(|_| Dictionary::default()).collect(),
            labels: TextLabels::default(),
            measured: regression.then(Vec::new),
            missing_ids: 0,
            dropped: 0,
        }
    }

    /// A part of an id as all holders write it.
    pub(crate) fn id_part(&self, text: &str) -> String {
        match self.chosen.fold_case {
            true => text.to_lowercase(),
            false => text.into(),
        }
    }

    /// The table of these rows; `classes` gives their order, where the options say it.
    pub(crate) fn into_table(mut self, classes: Option<&[String]>) -> Result<VerticalTable, DataError> {
        let rows = self.ids.len();
        let empty = || DataError::Empty { file: self.file.into() };
        if rows == 0 {
            return Err(empty());
        }
        let targets = self.chosen.target.map(|_| {
            let labels = match self.measured.take() {
                Some(values) => Labels::Values(Array2::from_shape_vec((rows, 1), values).map_err(|_| empty())?),
                None => Labels::Text(std::mem::take(&mut self.labels)),
            };
            self.targets(rows, labels, classes)
        });
        let columns = self.chosen.features.iter().zip(self.dictionaries);
        let columns = columns.map(|(feature, dictionary)| VerticalColumn {
            name: feature.name.clone(),
            categories: feature.categorical.then_some(dictionary.texts),
        });
        let columns: Vec<VerticalColumn> = columns.collect();
        Ok(VerticalTable {
            file: self.file.into(),
            ids: self.ids,
            groups: (!self.chosen.groups.is_empty()).then_some(self.groups),
            numbers: self.numbers,
            // Every row was read to all columns, so that the counts cannot differ.
            features: Array2::from_shape_vec((rows, columns.len()), self.values)
                .map_err(|_| DataError::Empty { file: self.file.into() })?,
            columns,
            targets: targets.transpose()?,
            missing_ids: self.missing_ids,
            dropped: self.dropped,
        })
    }

    fn targets(&self, rows: usize, labels: Labels, classes: Option<&[String]>) -> Result<Targets, DataError> {
        let table = Table::new(self.file, ArrayD::zeros(vec![rows, 0]), self.file, labels)?;
        Ok(labels::number(&[table], classes)?.swap_remove(0))
    }
}

/// Labels that are missing, of which none may be.
#[derive(Default)]
pub(crate) struct MissingLabels {
    /// Where the first is.
    first: Option<String>,
    count: u64,
}

impl MissingLabels {
    pub(crate) fn add(&mut self, place: impl FnOnce() -> String) {
        self.first.get_or_insert_with(place);
        self.count += 1;
    }

    pub(crate) fn refuse(self, rows: &Rows) -> Result<(), DataError> {
        match self.first {
            None => Ok(()),
            Some(place) => Err(DataError::Missing {
                file: rows.file.into(),
                place,
                column: rows.chosen.target_name.clone(),
                value: "no label".into(),
                total: self.count,
            }),
        }
    }
}
