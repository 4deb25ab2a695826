//! From a party's `[data]` table to arrays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cifar10;
use crate::csv;
use crate::data_sets::Part;
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::expectation::Expectation;
use crate::groups;
use crate::hdf5;
use crate::idx;
use crate::labels::{self, Labels, Table};
use crate::npy;
use crate::parquet;
use crate::samples::Samples;
use crate::source::{Format, Source};
use crate::split::Split;
use crate::wfdb;

/// Reads the files of `source`, relative paths starting at `base`, and returns the train and test parts.
///
/// With a test file, both files keep their order, and so they do with [`Source::groups`]; otherwise the train file is shuffled and cut, each class in the same
/// proportion. When `expected` is given the samples are checked against it, as by [`Dataset::check`], before they are standardised,
/// so that a reshaped image is standardised by its channels.
///
/// # Errors
///
/// When a file is missing, damaged, too large, holds a value that is missing or not finite, or does not fit its partner or `expected`.
pub fn load(source: &Source, base: &Path, split: &Split, expected: Option<&Expectation>) -> Result<Dataset, DataError> {
    let multi_label = expected.is_some_and(|expected| expected.multi_label);
    let (train, test) = match multi_label {
        true => read(&with_values(source)?, base, split)?,
        false => read(source, base, split)?,
    };
    let finish = |tables| match multi_label {
        true => labelled(tables, source.label_names.as_deref()),
        false => numbered(tables, classes(source).as_deref()),
    };
    let (train, test) = match (test, &source.groups) {
        (Some(test), None) => (train, test),
        (Some(_), Some(groups)) => {
            let reason = "the rows to test on are already given, expected no groups".into();
            return Err(DataError::Groups {
                file: base.join(&groups.file),
                reason,
            });
        }
        (None, Some(groups)) => {
            refuse_subsets(source, base)?;
            groups::split(train, groups, base, split)?
        }
        (None, None) => {
            refuse_subsets(source, base)?;
            let file = train.file.clone();
            let samples = finish(vec![train])?.swap_remove(0);
            return Dataset::split(&samples, &file, split, expected);
        }
    };
    check_alike(&train, &test)?;
    let test_subsets = read_subsets(source, base, &test, split.max_test_rows)?;
    let (train_file, test_file) = (train.file.clone(), test.file.clone());
    let mut parts = finish(vec![train, test])?.into_iter();
    let (Some(train), Some(test)) = (parts.next(), parts.next()) else {
        return Err(DataError::Empty { file: train_file });
    };
    let train = truncated(train, split.max_train_rows);
    let test = truncated(test, split.max_test_rows);
    Dataset {
        train,
        test,
        test_subsets,
        standardiser: None,
        train_file,
        test_file,
    }
    .prepared(split, expected)
}

/// The classes in the order of their numbers, where the options say it.
fn classes(source: &Source) -> Option<Vec<String>> {
    let csv = source.csv.as_ref().and_then(|options| options.classes.clone());
    let parquet = || source.parquet.as_ref().and_then(|options| options.classes.clone());
    csv.or_else(parquet)
        .or_else(|| source.wfdb.as_ref().map(|options| wfdb::class_names(options.classes)))
        .or_else(|| {
            let cifar10 = source.resolve_format().ok() == Some(Format::Cifar10);
            cifar10.then(|| source.cifar10.clone().unwrap_or_default().classes)
        })
}

fn read(source: &Source, base: &Path, split: &Split) -> Result<(Table, Option<Table>), DataError> {
    let train_file = base.join(&source.train);
    let test_file = source.test.as_ref().map(|test| base.join(test));
    match source.resolve_format()? {
        Format::Csv => {
            let options = source.csv.clone().unwrap_or_default();
            let test = test_file.map(|file| csv::read_table(&file, &options)).transpose()?;
            Ok((csv::read_table(&train_file, &options)?, test))
        }
        Format::Hdf5 => {
            let options = source.hdf5.clone().unwrap_or_default();
            let test_file = test_file.or_else(|| options.test_x.as_ref().map(|_| train_file.clone()));
            let train = hdf5::read_table(&train_file, &options, Part::Train)?;
            let test = test_file
                .map(|file| hdf5::read_table(&file, &options, Part::Test))
                .transpose()?;
            Ok((train, test))
        }
        Format::Idx => {
            let options = source.idx.clone().unwrap_or_default();
            let labels = labels_file(base, &train_file, "idx.train_labels", options.train_labels.as_ref())?;
            let train = idx::read_table(&train_file, &labels, &options)?;
            let Some(test_file) = test_file else {
                return Ok((train, None));
            };
            let labels = labels_file(base, &test_file, "idx.test_labels", options.test_labels.as_ref())?;
            Ok((train, Some(idx::read_table(&test_file, &labels, &options)?)))
        }
        Format::Npy => {
            let options = source.npy.clone().unwrap_or_default();
            let test_file = test_file.or_else(|| options.test_x.as_ref().map(|_| train_file.clone()));
            let labels = |path: &Option<PathBuf>| path.as_ref().map(|path| base.join(path));
            let train = npy::read_table(&train_file, labels(&options.train_labels), &options, Part::Train)?;
            let test = test_file
                .map(|file| npy::read_table(&file, labels(&options.test_labels), &options, Part::Test))
                .transpose()?;
            Ok((train, test))
        }
        Format::Parquet => {
            let options = source.parquet.clone().unwrap_or_default();
            let test = test_file.map(|file| parquet::read_table(&file, &options)).transpose()?;
            Ok((parquet::read_table(&train_file, &options)?, test))
        }
        Format::Cifar10 => {
            let options = source.cifar10.clone().unwrap_or_default();
            let test_file = test_file.or_else(|| cifar10::test_file(&train_file));
            let test = test_file.map(|file| cifar10::read_table(&file, &options)).transpose()?;
            Ok((cifar10::read_table(&train_file, &options)?, test))
        }
        Format::Wfdb => wfdb::read_tables(source, base, split).map(|(train, test)| (train, Some(test))),
    }
}

fn labels_file(base: &Path, file: &Path, option: &'static str, labels: Option<&PathBuf>) -> Result<PathBuf, DataError> {
    labels
        .map(|labels| base.join(labels))
        .ok_or_else(|| DataError::OptionMissing {
            file: file.into(),
            option,
            hint: "an IDX file holds one array, so that its labels lie in another file".into(),
        })
}

/// Refuses train and test files whose rows cannot belong to one data set.
fn check_alike(train: &Table, test: &Table) -> Result<(), DataError> {
    if let (Some(expected), Some(actual)) = (&train.feature_names, &test.feature_names)
        && let Some(column) = expected.iter().zip(actual).position(|(expected, actual)| expected != actual)
    {
        let (expected, actual) = (expected[column].clone(), actual[column].clone());
        return Err(DataError::ColumnDiffers {
            file: test.file.clone(),
            column,
            expected,
            actual,
        });
    }
    let (expected, actual) = (train.x.shape()[1..].to_vec(), test.x.shape()[1..].to_vec());
    if expected != actual {
        return Err(DataError::ShapesDiffer {
            file: test.file.clone(),
            train: train.file.clone(),
            expected,
            actual,
        });
    }
    let (expected, actual) = (kind(&train.labels), kind(&test.labels));
    if expected != actual {
        return Err(DataError::TargetsDiffer {
            file: test.file.clone(),
            train: train.file.clone(),
            expected,
            actual,
        });
    }
    Ok(())
}

fn kind(labels: &Labels) -> String {
    match labels {
        Labels::Text(_) | Labels::Integers(_) => "classes".into(),
        Labels::Values(values) => format!("{} real values per row", values.ncols()),
    }
}

fn numbered(tables: Vec<Table>, classes: Option<&[String]>) -> Result<Vec<Samples>, DataError> {
    let targets = labels::number(&tables, classes)?;
    Ok(tables
        .into_iter()
        .zip(targets)
        .map(|(table, targets)| table.into_samples(targets))
        .collect())
}

/// The source with labels read as one number per column.
fn with_values(source: &Source) -> Result<Source, DataError> {
    let mut source = source.clone();
    match source.resolve_format()? {
        Format::Idx => source.idx.get_or_insert_default().regression = true,
        Format::Hdf5 => source.hdf5.get_or_insert_default().regression = true,
        Format::Npy => source.npy.get_or_insert_default().regression = true,
        Format::Csv | Format::Parquet | Format::Wfdb | Format::Cifar10 => {
            return Err(DataError::Option {
                option: "multi_label",
                expected: "used with labels in IDX, HDF5 or npy files, of shape [rows, labels]",
                actual: format!("{}", source.train.display()),
            });
        }
    }
    Ok(source)
}

/// Labels of 0 or 1, one column each.
fn labelled(tables: Vec<Table>, names: Option<&[String]>) -> Result<Vec<Samples>, DataError> {
    tables
        .into_iter()
        .map(|mut table| {
            let labels = std::mem::replace(&mut table.labels, Labels::Integers(Vec::new()));
            let targets = labels::multi_hot(&table.file, labels, names)?;
            Ok(table.into_samples(targets))
        })
        .collect()
}

/// The first rows, without a copy when all are kept.
fn truncated(samples: Samples, limit: Option<usize>) -> Samples {
    match limit {
        Some(limit) if limit < samples.rows() => samples.select(&(0..limit).collect::<Vec<_>>()),
        _ => samples,
    }
}

fn read_subsets(
    source: &Source,
    base: &Path,
    test: &Table,
    max_rows: Option<usize>,
) -> Result<BTreeMap<String, Vec<usize>>, DataError> {
    let mut subsets = BTreeMap::new();
    for (name, path) in &source.test_subsets {
        let file = base.join(path);
        if test.dropped > 0 {
            let reason = format!(
                "{} rows of the test file are dropped, which moves the row numbers of a subset",
                test.dropped
            );
            return Err(DataError::Subset { file, reason });
        }
        let mut rows = idx::read_rows(&file, test.x.shape()[0])?;
        rows.retain(|&row| max_rows.is_none_or(|limit| row < limit));
        subsets.insert(name.clone(), rows);
    }
    Ok(subsets)
}

fn refuse_subsets(source: &Source, base: &Path) -> Result<(), DataError> {
    match source.test_subsets.values().next() {
        None => Ok(()),
        Some(path) => {
            let reason = "a test subset needs a test file, expected test to be set".into();
            Err(DataError::Subset {
                file: base.join(path),
                reason,
            })
        }
    }
}
