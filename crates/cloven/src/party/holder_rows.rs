//! A holder's rows under `vertical`: ids, columns, labels; first as its table has them, then aligned with the other holders'.

use std::{collections::HashSet, ops::Range, path::Path};

use cloven_data::{
    Column, ColumnCount, HashSplit, Preprocessing, Preprocessor, Samples, Targets, VerticalOptions, VerticalTable,
};
use cloven_nn::BatchTargets;
use cloven_protocols::vertical::{Aligned, Columns, Id};
use ndarray::{Axis, Ix2};
use tracing::warn;

use super::rows::targets;
use crate::{
    Alignment, ColumnRange, Error, Job, Local, LocalData, Party, Role, catalogue, vertical_preprocessing::VerticalPreprocessing,
};

/// A holder's rows in the order of its table.
pub(crate) struct HolderRows {
    party: Party,
    table: VerticalTable,
    /// What stands for each row's id in the alignment.
    digests: Vec<Id>,
    preprocessing: Preprocessing,
    /// How the table was read, where it is a file.
    options: Option<VerticalOptions>,
    /// Rows read, left out and kept; what comes later is 0.
    counts: Alignment,
}

/// The rows that all holders have, in the order that they agreed on, less those that the job leaves out.
pub(crate) struct AlignedRows {
    /// None at a label holder without columns.
    pub(crate) columns: Option<Columns>,
    /// Of training and test rows, at the label holder.
    pub(crate) targets: Option<[BatchTargets; 2]>,
    /// What a later prediction needs to know of them.
    pub(crate) preprocessing: VerticalPreprocessing,
    /// Training and test rows.
    pub(crate) rows: [usize; 2],
    /// What became of values in them, for the columns that had any such.
    pub(crate) adjusted: Vec<ColumnCount>,
}

impl HolderRows {
    /// Reads what a holder brings to a job.
    pub(crate) fn load(job: &Job, party: &Party, role: Role, local: &Local) -> Result<Self, Error> {
        let source = match &local.data {
            Some(data) => data.clone(),
            None => catalogue::find(&job.data.name)?,
        };
        let labelled = role == Role::LabelHolder;
        let (mut table, preprocessing, options) = match (source, &local.columns) {
            (LocalData::Table(source), _) => (source.read(labelled)?, source.preprocess, Some(source.options)),
            (LocalData::Embedded(name), Some(_)) => (embedded(&name, labelled)?, Preprocessing::default(), None),
            (LocalData::Embedded(_), None) => {
                let problem =
                    "a data set inside the program has the columns of all holders: say which are this one's, such as \"0..15\"";
                return Err(Error::configuration("columns", problem));
            }
            (LocalData::Files(_), _) => {
                let problem = "say which columns tell whom or what a row is about: ids = [\"NAME\"]";
                return Err(Error::configuration(format!("{}: data", Local::FILE), problem));
            }
        };
        if table.missing_ids + table.dropped > 0 {
            let (ids, values) = (table.missing_ids, table.dropped);
            warn!(%party, without_id = ids, without_value = values, "rows were left out");
        }
        if let Some(ColumnRange(range)) = &local.columns {
            table = for_a_trial(table, range.clone(), party)?;
        }
        check_labels(job, &table)?;
        let (with_id, missing_ids, dropped_rows) = (table.len(), table.missing_ids, table.dropped);
        let (table, digests) = distinct(party, table)?;
        let rows = Self {
            party: party.clone(),
            counts: Alignment {
                rows: with_id + missing_ids + dropped_rows,
                missing_ids,
                dropped_rows,
                repeated_ids: with_id - table.len(),
                distinct_ids: table.len(),
                ..Alignment::default()
            },
            digests,
            table,
            preprocessing: Preprocessing {
                standardise: job.data.standardise,
                ..preprocessing
            },
            options,
        };
        if rows.table.columns.iter().all(|column| column.categories.is_none()) && !rows.preprocessing.missing_indicator {
            rows.check_width(job, rows.table.columns.len())?;
        }
        Ok(rows)
    }

    /// What stands for the rows' ids in the alignment.
    pub(crate) fn digests(&self) -> &[Id] {
        &self.digests
    }

    /// What was found together with the other holders, in numbers; `rows` are training and test rows.
    pub(crate) fn alignment(&self, party: &Party, found: &Aligned, rows: [usize; 2]) -> Alignment {
        let others = found.distinct.iter().filter(|(holder, _)| *holder != party);
        Alignment {
            common_ids: found.places.len(),
            train_rows: rows[0],
            test_rows: rows[1],
            others: others.map(|(holder, count)| (holder.clone(), *count)).collect(),
            ..self.counts.clone()
        }
    }

    /// The rows at these places, and how the job divides them: positions among them of training and test rows.
    pub(crate) fn divided(&self, job: &Job, places: &[usize]) -> Result<(VerticalTable, [Vec<usize>; 2]), Error> {
        let common = self.table.select(places)?;
        let split = HashSplit {
            test: job.data.test_fraction,
            salt: job.seed.to_string(),
        };
        let (mut train, mut test) = common.split(&split)?;
        train.truncate(job.data.train_rows.unwrap_or(usize::MAX));
        test.truncate(job.data.test_rows.unwrap_or(usize::MAX));
        Ok((common, [train, test]))
    }

    /// Names of the columns of ids.
    pub(crate) fn id_names(&self) -> Vec<String> {
        let names = self.options.iter().flat_map(|options| &options.ids.columns);
        let mut names: Vec<String> = names
            .map(|column| match column {
                Column::Name(name) => name.clone(),
                Column::Number(number) => format!("column {number}"),
            })
            .collect();
        if names.is_empty() {
            names.push("id".into());
        }
        names
    }

    /// The rows at these places, divided by their ids and brought into form as the training rows teach it.
    pub(crate) fn aligned(&self, job: &Job, places: &[usize]) -> Result<AlignedRows, Error> {
        let (common, [train, test]) = self.divided(job, places)?;
        job.check_batches(train.len())?;
        let all = common.targets.as_ref().map(|found| {
            let classes = job.data.classes.unwrap_or(0);
            targets(found.clone(), job.training.loss, classes)
        });
        let (columns, preprocessor, adjusted) = match common.columns.is_empty() {
            true => (None, None, Vec::new()),
            false => {
                let (columns, preprocessor, adjusted) = self.prepared(job, &common, [&train, &test])?;
                (Some(columns), Some(preprocessor), adjusted)
            }
        };
        let classes = match &common.targets {
            Some(Targets::Classes { names, .. }) => Some(names.clone()),
            _ => None,
        };
        Ok(AlignedRows {
            targets: all.map(|all| [all.select(&train), all.select(&test)]),
            columns,
            rows: [train.len(), test.len()],
            adjusted,
            preprocessing: VerticalPreprocessing::new(job, self.options.clone(), preprocessor, classes),
        })
    }

    fn prepared(
        &self,
        job: &Job,
        table: &VerticalTable,
        [train, test]: [&[usize]; 2],
    ) -> Result<(Columns, Preprocessor, Vec<ColumnCount>), Error> {
        let preprocessor = Preprocessor::fit(&self.preprocessing, table, train)?;
        self.check_width(job, preprocessor.width())?;
        let [train, test] = [preprocessor.apply(table, train)?, preprocessor.apply(table, test)?];
        let adjusted = together(train.counts, test.counts);
        log_adjusted(&self.party, &adjusted);
        let columns = Columns {
            train: train.features,
            test: test.features,
        };
        Ok((columns, preprocessor, adjusted))
    }

    fn check_width(&self, job: &Job, got: usize) -> Result<(), Error> {
        let expected = job.data.columns.get(&self.party).copied().unwrap_or(0);
        match got == expected {
            true => Ok(()),
            false => {
                let problem = format!("{} has {got} features, the job says {expected}", self.party);
                Err(Error::configuration("data.columns", problem))
            }
        }
    }
}

/// The counts of both, by column.
fn together(mut counts: Vec<ColumnCount>, more: Vec<ColumnCount>) -> Vec<ColumnCount> {
    for count in more {
        match counts.iter_mut().find(|known| known.column == count.column) {
            Some(known) => {
                known.missing += count.missing;
                known.unknown += count.unknown;
                known.clipped += count.clipped;
            }
            None => counts.push(count),
        }
    }
    counts
}

/// Logs what became of values, column by column.
pub(crate) fn log_adjusted(party: &Party, counts: &[ColumnCount]) {
    for count in counts {
        let (column, missing, unknown, clipped) = (&count.column, count.missing, count.unknown, count.clipped);
        warn!(%party, column, missing, unknown, clipped, "values were filled in, not known, or clipped");
    }
}

/// A table inside the program; the numbers of its rows stand for ids.
fn embedded(name: &str, labelled: bool) -> Result<VerticalTable, Error> {
    let Samples {
        x,
        targets,
        feature_names,
    } = catalogue::inside(name)?;
    let shape = x.shape().to_vec();
    let features = x.into_dimensionality::<Ix2>().map_err(|_| {
        let problem = format!(
            "{name} has samples of shape {:?}, which are no columns of a table",
            &shape[1..]
        );
        Error::configuration("data.name", problem)
    })?;
    let ids = (0..features.nrows()).map(|row| vec![row.to_string()]).collect();
    let names = feature_names.unwrap_or_else(|| (0..features.ncols()).map(|column| column.to_string()).collect());
    let targets = labelled.then_some(targets);
    Ok(VerticalTable::new(Path::new(name), ids, features, &names, targets)?)
}

/// Some of the columns, and the rows in an order that differs from party to party.
fn for_a_trial(table: VerticalTable, range: Range<usize>, party: &Party) -> Result<VerticalTable, Error> {
    let features = table.columns.len();
    if range.end > features {
        let problem = format!("expected some of {features} features, got {}..{}", range.start, range.end);
        return Err(Error::configuration("columns", problem));
    }
    let mut table = table.select(&shuffled(table.len(), party))?;
    let chosen: Vec<usize> = range.clone().collect();
    table.features = table.features.select(Axis(1), &chosen);
    table.columns = table.columns[range].to_vec();
    Ok(table)
}

/// An order of rows that differs from party to party, and is the same in every process.
fn shuffled(rows: usize, party: &Party) -> Vec<usize> {
    let key = blake3::derive_key("cloven v1 trial order of a holder's rows", party.as_str().as_bytes());
    let place = |row: usize| *blake3::keyed_hash(&key, &(row as u64).to_le_bytes()).as_bytes();
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by_cached_key(|row| place(*row));
    order
}

fn check_labels(job: &Job, table: &VerticalTable) -> Result<(), Error> {
    let wrong = |got: String| {
        let problem = format!("the job says {:?}, {} has {got}", job.data.classes, table.file.display());
        Err(Error::configuration("data.classes", problem))
    };
    match (&table.targets, job.data.classes) {
        (Some(Targets::Classes { names, .. }), Some(classes)) if names.len() > classes => {
            wrong(format!("{} classes", names.len()))
        }
        (Some(Targets::Classes { names, .. }), None) => wrong(format!("{} classes", names.len())),
        (Some(Targets::Values(_)), Some(_)) => wrong("real values".into()),
        _ => Ok(()),
    }
}

/// The rows with an id that no earlier row has, and what stands for their ids. Others are counted and left out: an id stands for one row.
pub(crate) fn distinct(party: &Party, table: VerticalTable) -> Result<(VerticalTable, Vec<Id>), Error> {
    let digests: Vec<Id> = table.ids.iter().map(|id| digest(id)).collect();
    let mut seen = HashSet::new();
    let first: Vec<usize> = (0..digests.len()).filter(|row| seen.insert(digests[*row])).collect();
    if first.len() == digests.len() {
        return Ok((table, digests));
    }
    let repeated = digests.len() - first.len();
    warn!(%party, repeated, "rows whose id an earlier row has were left out");
    let kept = first.iter().map(|row| digests[*row]).collect();
    Ok((table.select(&first)?, kept))
}

/// An id of several parts; their lengths are part of it.
fn digest(id: &[String]) -> Id {
    let mut hasher = blake3::Hasher::new_derive_key("cloven v1 id of a row");
    for part in id {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests;
