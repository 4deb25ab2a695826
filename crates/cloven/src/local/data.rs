//! Where a party's data are, and how they are loaded for a job.

use std::path::Path;

use cloven_data::{Dataset, FeatureOptions, Source, Split, Standardiser};
use serde::{Deserialize, Serialize};

use super::{Part, table::TableSource};
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
    Table(Box<TableSource>),
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
            Self::Table(table) => cloven_data::load(&table.without_ids(), Path::new(""), &split, Some(&expected))?,
        })
    }

    /// How rows to predict are read after a training on `dataset`, which was loaded from here.
    pub(crate) fn features(&self, dataset: &Dataset) -> FeatureOptions {
        match self {
            Self::Embedded(name) => cloven_data::embedded::feature_options(name).unwrap_or_default(),
            Self::Files(source) => FeatureOptions::after_training(source, dataset),
            Self::Table(table) => FeatureOptions::after_training(&table.without_ids(), dataset),
        }
    }

    pub(super) fn resolve(&mut self, base: &Path) {
        match self {
            Self::Embedded(_) => (),
            Self::Files(source) => source.resolve(base),
            Self::Table(table) => table.file = base.join(&table.file),
        }
    }
}

impl TryFrom<toml::Table> for LocalData {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        if table.contains_key("ids") {
            return TableSource::try_from(table).map(|table| Self::Table(Box::new(table)));
        }
        match table.remove("embedded") {
            None => table
                .try_into()
                .map(|source| Self::Files(Box::new(source)))
                .map_err(|e| e.to_string()),
            Some(toml::Value::String(name)) if table.is_empty() => Ok(Self::Embedded(name)),
            Some(_) => Err("`embedded` is the name of a data set inside the program and stands alone".into()),
        }
    }
}

impl From<LocalData> for toml::Table {
    fn from(data: LocalData) -> Self {
        match data {
            LocalData::Embedded(name) => Self::from_iter([("embedded".to_owned(), toml::Value::String(name))]),
            LocalData::Files(source) => Self::try_from(source).expect("a source has only string keys"),
            LocalData::Table(table) => (*table).into(),
        }
    }
}
