//! A cut between train and test rows by the hash of their ids: every party that knows the id of a row puts it in the same part.

use serde::{Deserialize, Serialize};

use crate::error::DataError;

#[cfg(test)]
#[path = "hash_split_tests.rs"]
mod tests;

/// A row is for testing if the hash of its id, taken as a number from 0 to 1, is below the fraction.
///
/// Nothing is sent for it, and a row stays in its part whatever other rows there are. The share of test rows is close to the fraction
/// for many rows, and chance for few. Dividing by another column, such as the company that a row is about, leaves the rows of one
/// company together; it then is the hash of that column, which every party must have.
///
/// The hash is BLAKE3 in key derivation mode, of salt and parts with their lengths before them, so that `("a", "bc")` and
/// `("ab", "c")` differ. The salt is public: it protects nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashSplit {
    /// Share of the test rows, above 0 and below 1.
    pub test: f64,
    /// Another salt gives another cut.
    pub salt: String,
}

impl HashSplit {
    const CONTEXT: &str = "cloven-data 2026 test rows by the hash of their ids";

    /// Whether the row with this id is for testing.
    ///
    /// # Errors
    ///
    /// When the fraction is out of range.
    pub fn is_test(&self, id: &[String]) -> Result<bool, DataError> {
        let bound = self.bound()?;
        Ok(u128::from(self.hash(id)) < bound)
    }

    /// Positions of the train and of the test rows among `ids`, in rising order. Either may be empty.
    ///
    /// # Errors
    ///
    /// When the fraction is out of range.
    pub fn rows(&self, ids: &[Vec<String>]) -> Result<(Vec<usize>, Vec<usize>), DataError> {
        let bound = self.bound()?;
        let (test, train) = (0..ids.len()).partition(|&row| u128::from(self.hash(&ids[row])) < bound);
        Ok((train, test))
    }

    /// The fraction in units of 2^-64, which is exact.
    fn bound(&self) -> Result<u128, DataError> {
        match self.test > 0.0 && self.test < 1.0 {
            true => Ok((self.test * 2f64.powi(64)) as u128),
            false => Err(DataError::Option {
                option: "test",
                expected: "above 0 and below 1",
                actual: self.test.to_string(),
            }),
        }
    }

    fn hash(&self, id: &[String]) -> u64 {
        let mut hasher = blake3::Hasher::new_derive_key(Self::CONTEXT);
        for part in [&self.salt].into_iter().chain(id) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut first = [0; 8];
        hasher.finalize_xof().fill(&mut first);
        u64::from_le_bytes(first)
    }
}
