//! WFDB records, as PhysioNet keeps them: a header `.hea`, signals `.dat`, annotations `.atr`. Beats are cut from the signal around the
//! annotations and become samples of shape `[1, points]`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ndarray::ArrayD;

use crate::error::DataError;
use crate::features::Features;
use crate::input::{self, MAX_BYTES};
use crate::labels::{Labels, Table, TextLabels};
use crate::source::{Format, Source, WfdbOptions};
use crate::split::Split;

mod annotations;
mod beats;
mod header;
mod signal;
#[cfg(test)]
mod tests;

pub(crate) use annotations::Annotation;
pub(crate) use beats::class_names;
use beats::{Cutter, class};
pub(crate) use header::Header;

/// The most records that are read.
const MAX_RECORDS: usize = 10_000;

/// Reads the train and the test part; no record is in both.
pub(crate) fn read_tables(source: &Source, base: &Path, split: &Split) -> Result<(Table, Table), DataError> {
    let options = source.wfdb.clone().unwrap_or_default();
    options.check()?;
    let (train_path, test_path) = (base.join(&source.train), source.test.as_ref().map(|test| base.join(test)));
    let test_path_or_train = test_path.as_deref().unwrap_or(&train_path);
    let (train, test) = match (&options.test_records, &test_path) {
        (Some(names), _) => {
            let test = named(test_path_or_train, names)?;
            let train = records(&train_path, &options, options.records.as_deref())?;
            // Without named records, those to test on are simply not trained on.
            if options.records.is_some() {
                refuse_overlap(&train_path, &train, &test)?;
            }
            (train.into_iter().filter(|record| !test.contains(record)).collect(), test)
        }
        (None, Some(test_path)) => {
            let (train, test) = (
                records(&train_path, &options, options.records.as_deref())?,
                records(test_path, &options, None)?,
            );
            refuse_overlap(&train_path, &train, &test)?;
            (train, test)
        }
        (None, None) => {
            let all = records(&train_path, &options, options.records.as_deref())?;
            let (train, test) = split.groups(&train_path, all.len())?;
            let pick = |numbers: Vec<usize>| numbers.into_iter().map(|number| all[number].clone()).collect::<Vec<_>>();
            (pick(train), pick(test))
        }
    };
    Ok((
        table(&train_path, &train, &options)?,
        table(test_path_or_train, &test, &options)?,
    ))
}

/// Reads every beat, of whatever class, that lies whole within its record.
pub(crate) fn read_features(path: &Path, options: &WfdbOptions) -> Result<Features, DataError> {
    options.check()?;
    let (mut values, mut rows, mut before) = (Vec::new(), Vec::new(), 0);
    for record in records(path, options, None)? {
        let (cutter, annotations) = open(&record, options)?;
        let beats = annotations.iter().filter(|annotation| annotation.is_beat());
        let mut count = 0;
        for annotation in beats {
            if cutter.cut(annotation.sample, &mut values) {
                rows.push(before + count);
            }
            count += 1;
        }
        before += count;
        check_size(path, values.len())?;
    }
    Ok(Features {
        x: array(path, values, options.points)?,
        rows,
        names: None,
    })
}

/// All of a record, for inspection.
pub(crate) struct Record {
    pub(crate) header: Header,
    /// In physical units.
    pub(crate) signals: Vec<Vec<f32>>,
    /// Those of the usual annotator, where there are any.
    pub(crate) annotations: Option<Vec<Annotation>>,
}

/// Reads all of a record.
pub(crate) fn read_whole(file: &Path) -> Result<Record, DataError> {
    let header = Header::read(file)?;
    let signals = (0..header.signals.len()).map(|number| signal::read(file, &header, number));
    let signals = signals.collect::<Result<_, _>>()?;
    let annotator = file.with_extension(WfdbOptions::default().annotator);
    let annotations = annotator.exists().then(|| annotations::read(&annotator)).transpose()?;
    Ok(Record {
        header,
        signals,
        annotations,
    })
}

/// Whether `file` is a signal or annotation file of a record whose header lies beside it.
pub(crate) fn belongs_to_record(file: &Path) -> bool {
    let part = file
        .extension()
        .is_some_and(|extension| extension == "dat" || extension == "atr");
    part && file.with_extension("hea").exists()
}

/// The beats of the given records whose class is asked for.
fn table(path: &Path, records: &[PathBuf], options: &WfdbOptions) -> Result<Table, DataError> {
    let (mut values, mut labels) = (Vec::new(), TextLabels::default());
    for record in records {
        let (cutter, annotations) = open(record, options)?;
        for annotation in &annotations {
            if let Some(class) = class(annotation.symbol(), options.classes)
                && cutter.cut(annotation.sample, &mut values)
            {
                labels.push(record, String::new, class)?;
            }
        }
        check_size(path, values.len())?;
    }
    let x = array(path, values, options.points)?;
    Table::new(path, x, path, Labels::Text(labels))
}

fn open(record: &Path, options: &WfdbOptions) -> Result<(Cutter, Vec<Annotation>), DataError> {
    let header = Header::read(record)?;
    let number = header.lead(record, options.lead.as_ref())?;
    let annotations = annotations::read(&record.with_extension(&options.annotator))?;
    let signal = signal::read(record, &header, number)?;
    Ok((Cutter::new(signal, header.frequency, options), annotations))
}

fn check_size(path: &Path, values: usize) -> Result<(), DataError> {
    let actual = values as u128 * size_of::<f32>() as u128;
    match actual > u128::from(MAX_BYTES) {
        false => Ok(()),
        true => Err(DataError::TooLarge {
            file: path.into(),
            what: "the array of beats".into(),
            actual,
            limit: MAX_BYTES,
        }),
    }
}

fn array(path: &Path, values: Vec<f32>, points: usize) -> Result<ArrayD<f32>, DataError> {
    let empty = || DataError::Empty { file: path.into() };
    if values.is_empty() {
        return Err(empty());
    }
    ArrayD::from_shape_vec(vec![values.len() / points, 1, points], values).map_err(|_| empty())
}

/// The header files of the records in `path`: those named, or else all that are annotated, sorted by name.
fn records(path: &Path, options: &WfdbOptions, names: Option<&[String]>) -> Result<Vec<PathBuf>, DataError> {
    if let Some(names) = names {
        return named(path, names);
    }
    if !path.is_dir() {
        return Ok(vec![path.into()]);
    }
    let listed =
        fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<BTreeSet<_>, _>>());
    let listed = listed.map_err(|source| DataError::Io {
        file: path.into(),
        source,
    })?;
    let annotated = |file: &PathBuf| Format::of(file) == Some(Format::Wfdb) && file.with_extension(&options.annotator).exists();
    let found: Vec<PathBuf> = listed.into_iter().filter(annotated).take(MAX_RECORDS).collect();
    match found.is_empty() {
        false => Ok(found),
        true => Err(DataError::Records {
            file: path.into(),
            reason: format!(
                "expected records, .hea files with an .{} file beside each, found none",
                options.annotator
            ),
        }),
    }
}

fn named(path: &Path, names: &[String]) -> Result<Vec<PathBuf>, DataError> {
    let refused = |reason| DataError::Records {
        file: path.into(),
        reason,
    };
    if !path.is_dir() {
        return Err(refused("records are named, expected a folder of records".into()));
    }
    let mut seen = BTreeSet::new();
    names
        .iter()
        .map(|name| match header::is_plain_name(name) && seen.insert(name) {
            true => {
                let file = path.join(format!("{name}.hea"));
                input::open_plain(&file).map(|_| file)
            }
            false => Err(refused(format!("{name:?} is no name of a record, or is there twice"))),
        })
        .collect()
}

fn refuse_overlap(path: &Path, train: &[PathBuf], test: &[PathBuf]) -> Result<(), DataError> {
    match train.iter().find(|record| test.contains(record)) {
        None => Ok(()),
        Some(record) => Err(DataError::Records {
            file: path.into(),
            reason: format!(
                "{} is to be trained and tested on, expected each record in one part",
                record.display()
            ),
        }),
    }
}

impl WfdbOptions {
    fn check(&self) -> Result<(), DataError> {
        let refused = |option, expected, actual: String| {
            Err(DataError::Option {
                option,
                expected,
                actual,
            })
        };
        let (before, after) = (self.before, self.after);
        if !(before >= 0.0 && after >= 0.0 && before + after > 0.0 && before + after <= 60.0) {
            let actual = format!("{before} and {after}");
            return refused(
                "wfdb.before and wfdb.after",
                "seconds, not both 0 and at most 60 together",
                actual,
            );
        }
        if !(2..=65_536).contains(&self.points) {
            return refused("wfdb.points", "from 2 to 65536", self.points.to_string());
        }
        match header::is_plain_name(&self.annotator) {
            true => Ok(()),
            false => refused(
                "wfdb.annotator",
                "the ending of annotation files, such as \"atr\"",
                format!("{:?}", self.annotator),
            ),
        }
    }
}
