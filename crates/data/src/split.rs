//! Cutting rows into a train and a test part.

use std::path::Path;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::error::DataError;
use crate::samples::Targets;

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;

/// How rows are divided and prepared.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Share of the rows that go to the test part when there is no test file; above 0 and below 1.
    pub test_fraction: f64,
    /// Seed of the shuffle; the same seed gives the same rows for ever. It is public and protects nothing.
    pub seed: u64,
    /// Whether features are brought to mean 0 and standard deviation 1, as fitted on the train part.
    pub standardise: bool,
    /// Keep only the first rows of the train part: in file order with a test file, in shuffled order otherwise.
    pub max_train_rows: Option<usize>,
    /// Keep only the first rows of the test part, likewise.
    pub max_test_rows: Option<usize>,
}

impl Default for Split {
    /// A fifth for testing, seed 0, values as they are, all rows.
    fn default() -> Self {
        Self {
            test_fraction: 0.2,
            seed: 0,
            standardise: false,
            max_train_rows: None,
            max_test_rows: None,
        }
    }
}

impl Split {
    /// Numbers of the groups of rows (such as patients) that go whole to the train and to the test part, in rising order; `origin`
    /// names the `count` groups in errors.
    pub(crate) fn groups(&self, origin: &Path, count: usize) -> Result<(Vec<usize>, Vec<usize>), DataError> {
        self.check_fraction()?;
        let mut groups: Vec<usize> = (0..count).collect();
        shuffle(&mut groups, &mut rng(self.seed));
        let mut test = groups.split_off(count - (count as f64 * self.test_fraction).round() as usize);
        let empty = match (groups.is_empty(), test.is_empty()) {
            (true, _) => "the train part",
            (_, true) => "the test part",
            _ => {
                groups.sort_unstable();
                test.sort_unstable();
                return Ok((groups, test));
            }
        };
        Err(DataError::EmptySplit {
            file: origin.into(),
            rows: count,
            test_fraction: self.test_fraction,
            empty,
        })
    }

    /// Row numbers of the train and the test part, each shuffled; each class is divided in the same proportion.
    pub(crate) fn rows(&self, targets: &Targets) -> Result<(Vec<usize>, Vec<usize>), DataError> {
        self.check_fraction()?;
        let mut rng = rng(self.seed);
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for mut stratum in strata(targets) {
            shuffle(&mut stratum, &mut rng);
            let count = (stratum.len() as f64 * self.test_fraction).round() as usize;
            test.extend_from_slice(&stratum[..count]);
            train.extend_from_slice(&stratum[count..]);
        }
        shuffle(&mut train, &mut rng);
        shuffle(&mut test, &mut rng);
        Ok((train, test))
    }

    fn check_fraction(&self) -> Result<(), DataError> {
        if !(self.test_fraction > 0.0 && self.test_fraction < 1.0) {
            let actual = self.test_fraction.to_string();
            return Err(DataError::Option {
                option: "test_fraction",
                expected: "above 0 and below 1",
                actual,
            });
        }
        Ok(())
    }
}

/// The rows of each class; all rows together for several labels per row and regression.
fn strata(targets: &Targets) -> Vec<Vec<usize>> {
    match targets {
        Targets::Values(values) | Targets::Labels { values, .. } => vec![(0..values.nrows()).collect()],
        Targets::Classes { index, names } => {
            let mut strata = vec![Vec::new(); names.len()];
            for (row, &class) in index.iter().enumerate() {
                strata[class as usize].push(row);
            }
            strata
        }
    }
}

/// ChaCha20 keyed with a label and the seed. The key is spelt out here because the seeding helpers of rng crates have changed
/// between versions.
fn rng(seed: u64) -> ChaCha20Rng {
    let mut key = *b"cloven-data split v1\0\0\0\0\0\0\0\0\0\0\0\0";
    key[24..].copy_from_slice(&seed.to_le_bytes());
    ChaCha20Rng::from_seed(key)
}

/// Fisher-Yates from the last position down.
fn shuffle(rows: &mut [usize], rng: &mut ChaCha20Rng) {
    for last in (1..rows.len()).rev() {
        rows.swap(last, below(last as u64 + 1, rng) as usize);
    }
}

/// A uniform number below `bound`, which is not 0: draws from the incomplete last block of multiples are thrown away.
fn below(bound: u64, rng: &mut ChaCha20Rng) -> u64 {
    let usable = u64::MAX - u64::MAX % bound;
    loop {
        let draw = rng.next_u64();
        if draw < usable {
            return draw % bound;
        }
    }
}
