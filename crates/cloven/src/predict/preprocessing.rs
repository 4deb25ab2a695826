//! What a client keeps of its training data so that rows to predict become what the training rows became.

use std::{collections::BTreeSet, path::Path};

use cloven_data::{Dataset, FeatureOptions, Standardiser};
use serde::{Deserialize, Serialize};

use crate::{Error, Job, LocalData, files};

/// The file `checkpoints/NAME.preprocessing.json`. It is derived from the client's data and stays with the client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Preprocessing {
    /// [`Preprocessing::VERSION`].
    version: u32,
    /// Digest of the job.
    pub(super) job: String,
    /// Mean and deviation of each feature, where the job standardises.
    #[serde(with = "super::exact")]
    pub(super) standardiser: Option<Standardiser>,
    /// The names of the classes in the order of their numbers; nothing for regression.
    pub(super) classes: Option<Vec<String>>,
    /// How the training files were read, and the names of their features.
    pub(super) features: FeatureOptions,
}

impl Preprocessing {
    const VERSION: u32 = 1;
    /// Enough for the moments of more features than a sample may have values.
    const MAX_BYTES: u64 = 1 << 30;

    /// What `dataset`, loaded from `source`, leaves behind.
    pub(crate) fn new(job: &Job, source: &LocalData, dataset: &Dataset) -> Self {
        Self {
            version: Self::VERSION,
            job: job.digest_hex(),
            standardiser: dataset.standardiser.clone(),
            classes: dataset.class_names().map(<[String]>::to_vec),
            features: source.features(dataset),
        }
    }

    /// Writes the file, readable by its owner only.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec(self).expect("only string keys and finite numbers");
        files::write(path, &text, true)
    }

    /// Reads the file and checks it against the job.
    pub(super) fn read(path: &Path, job: &Job) -> Result<Self, Error> {
        let wrong = |problem: String| Error::configuration(path.display(), problem);
        let text = files::read_bounded(path, Self::MAX_BYTES)?;
        let version = serde_json::from_str::<Version>(&text)
            .map_err(|e| wrong(e.to_string()))?
            .version;
        if version != Self::VERSION {
            let problem = format!(
                "expected version {}, got {version}: another version of cloven wrote it",
                Self::VERSION
            );
            return Err(wrong(problem));
        }
        let read: Self = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        if read.job != job.digest_hex() {
            return Err(Error::OtherJob {
                path: path.to_owned(),
                expected: job.digest_hex(),
                got: read.job,
            });
        }
        read.check(job).map_err(wrong)?;
        Ok(read)
    }

    fn check(&self, job: &Job) -> Result<(), String> {
        if job.data.standardise != self.standardiser.is_some() {
            return Err(format!(
                "the job has standardise = {}, the file does not fit that",
                job.data.standardise
            ));
        }
        if let Some(Standardiser { mean, std }) = &self.standardiser {
            let features = job.data.shape.first().copied().unwrap_or(1);
            if [mean.len(), std.len()] != [features; 2] {
                return Err(format!("expected the moments of {features} features, got {}", mean.len()));
            }
            if !mean.iter().chain(std).all(|v| v.is_finite()) || std.iter().any(|v| *v <= 0.0) {
                return Err("expected finite means and positive deviations".into());
            }
        }
        match (&self.classes, job.data.classes) {
            (None, None) => Ok(()),
            (Some(names), Some(most)) if names.len() <= most => {
                match names.iter().collect::<BTreeSet<_>>().len() == names.len() {
                    true => Ok(()),
                    false => Err("a class name occurs twice".into()),
                }
            }
            (names, most) => Err(format!("expected {most:?} classes, got {:?}", names.as_ref().map(Vec::len))),
        }
    }

    /// The name of every class of the job, in the order of their numbers; one that the training data never had is called by its number.
    pub(super) fn class_names(&self, job: &Job) -> Option<Vec<String>> {
        let mut names = self.classes.clone()?;
        for number in names.len()..job.data.classes.unwrap_or(0) {
            let plain = number.to_string();
            names.push(match names.contains(&plain) {
                true => format!("class {plain}"),
                false => plain,
            });
        }
        Some(names)
    }
}

/// The one entry that every version of the file has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[cfg(test)]
mod tests;
