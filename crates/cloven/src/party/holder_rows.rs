//! A holder's rows under `vertical`: ids, columns, labels; first as its table has them, then aligned with the other holders'.

use std::{collections::HashMap, path::Path};

use cloven_data::{DataError, Expectation, FeatureOptions, HashSplit, IdOptions, Samples, Source, Split, Standardiser, Targets};
use cloven_nn::BatchTargets;
use cloven_protocols::vertical::{Columns, Id};
use ndarray::{ArrayD, Axis, Ix2};

use super::rows::targets;
use crate::{ColumnRange, Error, Job, Local, LocalData, Party, Role, catalogue, local::without};

/// A holder's rows in the order of its table.
pub(super) struct HolderRows {
    /// Of each row.
    ids: Vec<Vec<String>>,
    digests: Vec<Id>,
    /// `[rows, columns]`, as they are; none at a label holder without columns.
    x: Option<ArrayD<f32>>,
    /// At the label holder.
    targets: Option<BatchTargets>,
}

/// The rows that all holders have, in the order that they agreed on, without those that the job leaves out.
pub(super) struct AlignedRows {
    pub(super) columns: Option<Columns>,
    /// Of training and test rows.
    pub(super) targets: Option<[BatchTargets; 2]>,
}

/// A table as it is read.
struct Table {
    ids: Vec<Vec<String>>,
    x: Option<ArrayD<f32>>,
    targets: Option<Targets>,
}

impl HolderRows {
    /// Reads what a holder brings to a job.
    pub(super) fn load(job: &Job, party: &Party, role: Role, local: &Local) -> Result<Self, Error> {
        let source = match &local.data {
            Some(data) => data.clone(),
            None => catalogue::find(&job.data.name)?,
        };
        let labelled = role == Role::LabelHolder;
        let mut table = match (&source, &local.columns) {
            (LocalData::Embedded(name), Some(_)) => Table::embedded(catalogue::inside(name)?, labelled),
            (LocalData::Embedded(_), None) => {
                let problem =
                    "a data set inside the program has the columns of all holders: say which are this one's, such as \"0..15\"";
                return Err(Error::configuration("columns", problem));
            }
            (LocalData::Table(source, ids), columns) => {
                let own = job.data.columns.get(party).copied().unwrap_or(0);
                let count = columns.as_ref().map_or(own, |_| job.data.shape.iter().product());
                Table::read(source, ids, count, labelled.then_some(job))?
            }
            (LocalData::Files(_), _) => {
                let problem = "say which columns tell whom or what a row is about: ids = [\"NAME\"]";
                return Err(Error::configuration(format!("{}: data", Local::FILE), problem));
            }
        };
        if let Some(ColumnRange(range)) = &local.columns {
            table.take_columns(range.clone(), party)?;
        }
        table.finish(job, party)
    }

    /// What stands for the rows' ids in the alignment.
    pub(super) fn digests(&self) -> &[Id] {
        &self.digests
    }

    /// The rows at these places, divided by their ids and standardised by those to train on.
    pub(super) fn aligned(&self, job: &Job, places: &[usize]) -> Result<AlignedRows, Error> {
        let split = HashSplit {
            test: job.data.test_fraction,
            salt: job.seed.to_string(),
        };
        let ids: Vec<Vec<String>> = places.iter().map(|place| self.ids[*place].clone()).collect();
        let (train, test) = split.rows(&ids)?;
        let of = |rows: Vec<usize>, most: Option<usize>| -> Vec<usize> {
            let kept = rows.into_iter().take(most.unwrap_or(usize::MAX));
            kept.map(|row| places[row]).collect()
        };
        let (train, test) = (of(train, job.data.train_rows), of(test, job.data.test_rows));
        if train.is_empty() || test.is_empty() {
            let problem = format!(
                "of {} rows that all holders have, {} are for training and {} for testing: at least one each is needed",
                places.len(),
                train.len(),
                test.len()
            );
            return Err(Error::configuration("data.test_fraction", problem));
        }
        job.check_batches(train.len())?;
        Ok(AlignedRows {
            columns: match &self.x {
                None => None,
                Some(x) => Some(columns(x, [&train, &test], job.data.standardise)?),
            },
            targets: self
                .targets
                .as_ref()
                .map(|targets| [targets.select(&train), targets.select(&test)]),
        })
    }
}

fn columns(x: &ArrayD<f32>, [train, test]: [&[usize]; 2], standardise: bool) -> Result<Columns, Error> {
    let [mut train, mut test] = [train, test].map(|rows| x.select(Axis(0), rows));
    if standardise {
        let standardiser = Standardiser::fit(&train);
        standardiser.apply(&mut train)?;
        standardiser.apply(&mut test)?;
    }
    let matrix = |x: ArrayD<f32>| {
        let shape = x.shape().to_vec();
        x.into_dimensionality::<Ix2>()
            .map_err(|_| Error::configuration("data", format!("expected rows of columns, got an array of shape {shape:?}")))
    };
    Ok(Columns {
        train: matrix(train)?,
        test: matrix(test)?,
    })
}

impl Table {
    /// Numbers of rows stand for ids.
    fn embedded(samples: Samples, labelled: bool) -> Self {
        Self {
            ids: (0..samples.rows()).map(|row| vec![row.to_string()]).collect(),
            x: Some(samples.x),
            targets: labelled.then_some(samples.targets),
        }
    }

    /// Reads a table with `count` features, and labels for `job` if it is given.
    fn read(source: &Source, ids: &IdOptions, count: usize, job: Option<&Job>) -> Result<Self, Error> {
        if source.test.is_some() || source.groups.is_some() {
            let problem = "rows are divided into training and test rows by their ids: leave `test` and `groups` out";
            return Err(Error::configuration(format!("{}: data", Local::FILE), problem));
        }
        let table = without(source, ids);
        let options = FeatureOptions {
            format: Some(source.resolve_format()?),
            csv: table.csv.clone(),
            parquet: table.parquet.clone(),
            ..FeatureOptions::default()
        };
        let ids = cloven_data::read_ids(&source.train, ids, &options)?;
        if let Some(row) = ids.rows.iter().position(Option::is_none) {
            let problem = format!("{} rows have no id, the first of them row {row} (from 0)", ids.missing);
            return Err(Error::configuration(source.train.display(), problem));
        }
        let ids: Vec<Vec<String>> = ids.rows.into_iter().flatten().collect();
        if count == 0 {
            return Self::labels_alone(&table, ids);
        }
        let expected = Expectation {
            shape: vec![count],
            classes: None,
            multi_label: false,
        };
        let features = cloven_data::read_features(&source.train, &options, &expected)?;
        let targets = match job {
            None => None,
            Some(job) => Some(labels(&table, job, count, features.rows.len())?),
        };
        Ok(Self {
            ids: features.rows.iter().map(|row| ids[*row].clone()).collect(),
            x: Some(features.x),
            targets,
        })
    }

    /// Of a label holder without columns.
    fn labels_alone(source: &Source, _ids: Vec<Vec<String>>) -> Result<Self, Error> {
        let problem = "a label holder without columns is not there yet";
        Err(Error::configuration(source.train.display(), problem))
    }

    /// Keeps some of the features, and brings the rows into an order that depends on the party.
    fn take_columns(&mut self, range: std::ops::Range<usize>, party: &Party) -> Result<(), Error> {
        let order = shuffled(self.ids.len(), party);
        self.ids = order.iter().map(|row| self.ids[*row].clone()).collect();
        if let Some(targets) = self.targets.take() {
            self.targets = Some(select(targets, &order));
        }
        let Some(x) = self.x.take() else { return Ok(()) };
        let features = x.shape().get(1).copied().unwrap_or(0);
        if range.end > features || x.ndim() != 2 {
            let problem = format!("{}..{} of {features} features", range.start, range.end);
            return Err(Error::configuration("columns", problem));
        }
        let range: Vec<usize> = range.collect();
        let kept = x.select(Axis(0), &order).select(Axis(1), &range);
        self.x = (!range.is_empty()).then_some(kept);
        Ok(())
    }

    fn finish(self, job: &Job, party: &Party) -> Result<HolderRows, Error> {
        let (own, expected) = (
            self.x.as_ref().map_or(0, |x| x.len_of(Axis(1))),
            job.data.columns.get(party).copied().unwrap_or(0),
        );
        if own != expected {
            let problem = format!("{party} has {own} features, the job says {expected}");
            return Err(Error::configuration("data.columns", problem));
        }
        let digests: Vec<Id> = self.ids.iter().map(|id| digest(id)).collect();
        let mut seen = HashMap::new();
        for (row, digest) in digests.iter().enumerate() {
            if let Some(first) = seen.insert(digest, row) {
                let problem = format!("rows {first} and {row} (from 0) of {party} have the same id: an id stands for one row");
                return Err(Error::configuration("data.ids", problem));
            }
        }
        let classes = job.data.classes.unwrap_or(0);
        Ok(HolderRows {
            targets: self.targets.map(|found| targets(found, job.training.loss, classes)),
            ids: self.ids,
            digests,
            x: self.x,
        })
    }
}

/// The labels of all rows of a table.
fn labels(source: &Source, job: &Job, count: usize, rows: usize) -> Result<Targets, Error> {
    // As its own test file a table is read in its order.
    let source = Source {
        test: Some(source.train.clone()),
        ..source.clone()
    };
    let whole = Split {
        test_fraction: 0.0,
        seed: job.seed,
        standardise: false,
        max_train_rows: None,
        max_test_rows: Some(1),
    };
    let expected = Expectation {
        shape: vec![count],
        ..job.expectation()
    };
    let data = cloven_data::load(&source, Path::new(""), &whole, Some(&expected))?;
    match data.train.rows() == rows {
        true => Ok(data.train.targets),
        false => Err(Error::Data(DataError::Malformed {
            file: source.train.clone(),
            format: source.resolve_format()?,
            reason: format!("{} of {rows} rows have no label", rows - data.train.rows()),
        })),
    }
}

fn select(targets: Targets, rows: &[usize]) -> Targets {
    let samples = Samples {
        x: ArrayD::zeros(vec![rows.len(), 0]),
        targets,
        feature_names: None,
    };
    samples.select(rows).targets
}

/// An order of rows that differs from party to party, and is the same in every process.
fn shuffled(rows: usize, party: &Party) -> Vec<usize> {
    let key = blake3::derive_key("cloven v1 trial order of a holder's rows", party.as_str().as_bytes());
    let mut keyed: Vec<_> = (0..rows)
        .map(|row| (*blake3::keyed_hash(&key, &row.to_le_bytes()).as_bytes(), row))
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, row)| row).collect()
}

/// What stands for an id of several parts; their lengths are part of it.
fn digest(id: &[String]) -> Id {
    let mut hasher = blake3::Hasher::new_derive_key("cloven v1 id of a row");
    for part in id {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}
