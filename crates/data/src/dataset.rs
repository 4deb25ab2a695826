//! A train and a test part that belong together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::expectation::Expectation;
use crate::samples::{Samples, Targets};
use crate::split::Split;
use crate::standardise::Standardiser;

/// Data ready for training: both parts have the same sample shape and the same numbering of classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// The rows to train on.
    pub train: Samples,
    /// The rows to test on.
    pub test: Samples,
    /// Named parts of the test rows, as positions in `test`.
    pub test_subsets: BTreeMap<String, Vec<usize>>,
    /// What was done to the features, when [`Split::standardise`] was set.
    pub standardiser: Option<Standardiser>,
    /// Where the train rows come from.
    pub train_file: PathBuf,
    /// Where the test rows come from.
    pub test_file: PathBuf,
}

impl Dataset {
    /// Cuts `samples` into a train and a test part as [`load`](crate::load()) does for a source without a test file; `origin` names
    /// them in errors.
    ///
    /// # Errors
    ///
    /// When the fraction is out of range or leaves a part empty, or when the samples do not fit `expected`.
    pub fn split(samples: &Samples, origin: &Path, split: &Split, expected: Option<&Expectation>) -> Result<Dataset, DataError> {
        let (train, test) = split.rows(&samples.targets)?;
        let empty = match (train.len(), test.len()) {
            (0, _) => "the train part",
            (_, 0) => "the test part",
            _ => {
                let dataset = Dataset {
                    train: samples.select(first(&train, split.max_train_rows)),
                    test: samples.select(first(&test, split.max_test_rows)),
                    test_subsets: BTreeMap::new(),
                    standardiser: None,
                    train_file: origin.into(),
                    test_file: origin.into(),
                };
                return dataset.prepared(split, expected);
            }
        };
        Err(DataError::EmptySplit {
            file: origin.into(),
            rows: samples.rows(),
            test_fraction: split.test_fraction,
            empty,
        })
    }

    /// The names of the classes or labels by number; nothing for regression.
    pub fn class_names(&self) -> Option<&[String]> {
        match &self.train.targets {
            Targets::Classes { names, .. } | Targets::Labels { names, .. } => Some(names),
            Targets::Values(_) => None,
        }
    }

    /// Checks both parts against what a job expects, and brings samples into the expected shape where only dimensions of 1 differ
    /// or one of the shapes is flat.
    ///
    /// # Errors
    ///
    /// When the sample shape is another, there are more classes than expected, or the targets are values instead of classes.
    pub fn check(&mut self, expected: &Expectation) -> Result<(), DataError> {
        expected.fit(&self.train_file, &mut self.train)?;
        expected.fit(&self.test_file, &mut self.test)
    }

    /// Checks, then standardises: channels are told from the expected shape.
    pub(crate) fn prepared(mut self, split: &Split, expected: Option<&Expectation>) -> Result<Dataset, DataError> {
        if let Some(expected) = expected {
            self.check(expected)?;
        }
        if split.standardise {
            let standardiser = Standardiser::fit(&self.train.x);
            standardiser.apply(&mut self.train.x)?;
            standardiser.apply(&mut self.test.x)?;
            self.standardiser = Some(standardiser);
        }
        Ok(self)
    }
}

fn first(rows: &[usize], limit: Option<usize>) -> &[usize] {
    &rows[..limit.unwrap_or(rows.len()).min(rows.len())]
}
