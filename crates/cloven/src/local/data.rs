//! Where a party's data are, and how they are loaded for a job.

use std::path::Path;

use cloven_data::{Column, Dataset, FeatureOptions, Format, IdOptions, Source, Split, Standardiser};
use serde::{Deserialize, Serialize};

use super::Part;
use crate::{Error, Job, catalogue};

/// Where a party's data are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Table", into = "toml::Table")]
pub enum LocalData {
    /// A small data set inside the program.
    Embedded(String),
    /// Files.
    Files(Box<Source>),
    /// A table, some columns of which say whom or what a row is about.
    Table(Box<Source>, IdOptions),
}

impl LocalData {
    /// Loads, splits, standardises and checks the data against the job; of the training rows, keeps `part`.
    pub(crate) fn load(&self, job: &Job, part: Option<Part>) -> Result<Dataset, Error> {
        let Some(part) = part else {
            return self.load_whole(job, job.data.standardise);
        };
        let mut data = self.load_whole(job, false)?;
        data.train = data.train.select(&part.rows(data.train.rows()));
        if data.train.rows() == 0 {
            let part = String::from(part);
            return Err(Error::configuration("part", format!("{part} of the training rows is no row")));
        }
        if job.data.standardise {
            let standardiser = Standardiser::fit(&data.train.x);
            standardiser.apply(&mut data.train.x)?;
            standardiser.apply(&mut data.test.x)?;
            data.standardiser = Some(standardiser);
        }
        Ok(data)
    }

    fn load_whole(&self, job: &Job, standardise: bool) -> Result<Dataset, Error> {
        let split = Split {
            test_fraction: job.data.test_fraction,
            seed: job.seed,
            standardise,
            max_train_rows: job.data.train_rows,
            max_test_rows: job.data.test_rows,
        };
        let expected = job.expectation();
        Ok(match self {
            Self::Embedded(name) => Dataset::split(&catalogue::inside(name)?, Path::new(name), &split, Some(&expected))?,
            Self::Files(source) => cloven_data::load(source, Path::new(""), &split, Some(&expected))?,
            Self::Table(source, ids) => cloven_data::load(&without(source, ids), Path::new(""), &split, Some(&expected))?,
        })
    }

    /// How rows to predict are read after a training on `dataset`, which was loaded from here.
    pub(crate) fn features(&self, dataset: &Dataset) -> FeatureOptions {
        match self {
            Self::Embedded(name) => cloven_data::embedded::feature_options(name).unwrap_or_default(),
            Self::Files(source) => FeatureOptions::after_training(source, dataset),
            Self::Table(source, ids) => FeatureOptions::after_training(&without(source, ids), dataset),
        }
    }

    pub(super) fn resolve(&mut self, base: &Path) {
        if let Self::Files(source) | Self::Table(source, _) = self {
            source.resolve(base);
        }
    }
}

impl TryFrom<toml::Table> for LocalData {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let ids = table.remove("ids").map(ids).transpose()?;
        match table.remove("embedded") {
            None => {
                let source = Box::new(table.try_into().map_err(|e: toml::de::Error| e.to_string())?);
                Ok(match ids {
                    None => Self::Files(source),
                    Some(ids) => Self::Table(source, ids),
                })
            }
            Some(toml::Value::String(name)) if table.is_empty() && ids.is_none() => Ok(Self::Embedded(name)),
            Some(_) => Err("`embedded` is the name of a data set inside the program and stands alone".into()),
        }
    }
}

impl From<LocalData> for toml::Table {
    fn from(data: LocalData) -> Self {
        match data {
            LocalData::Embedded(name) => Self::from_iter([("embedded".to_owned(), toml::Value::String(name))]),
            LocalData::Files(source) => Self::try_from(source).expect("a source has only string keys"),
            LocalData::Table(source, ids) => {
                let mut table = Self::try_from(source).expect("a source has only string keys");
                let ids = toml::Value::try_from(ids).expect("columns are names and numbers");
                table.insert("ids".to_owned(), ids);
                table
            }
        }
    }
}

/// `ids = ["company", "year"]`, or the same as a table with `columns` and `fold_case`.
fn ids(value: toml::Value) -> Result<IdOptions, String> {
    let table = match value {
        columns @ toml::Value::Array(_) => toml::Value::Table(toml::Table::from_iter([("columns".to_owned(), columns)])),
        other => other,
    };
    table.try_into().map_err(|e| format!("ids: {e}"))
}

/// The table without the columns of its ids.
pub(crate) fn without(source: &Source, ids: &IdOptions) -> Source {
    let mut source = source.clone();
    let dropped = match source.resolve_format() {
        Ok(Format::Parquet) => &mut source.parquet.get_or_insert_default().drop,
        _ => &mut source.csv.get_or_insert_default().drop,
    };
    let more: Vec<Column> = ids
        .columns
        .iter()
        .filter(|column| !dropped.contains(column))
        .cloned()
        .collect();
    dropped.extend(more);
    source
}
