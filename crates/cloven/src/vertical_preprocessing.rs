//! What a holder keeps of its training data so that rows to predict become what the training rows became.

use std::path::Path;

use cloven_data::{Preprocessor, VerticalOptions};
use serde::{Deserialize, Serialize};

use crate::{Error, Job, files};

/// A holder's file `checkpoints/NAME.preprocessing.json` under `vertical`. It is derived from the holder's data and stays with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerticalPreprocessing {
    version: u32,
    /// Digest of the job.
    job: String,
    /// How the training file was read; nothing for a data set inside the program. It holds no path.
    pub(crate) options: Option<VerticalOptions>,
    /// What is done to the columns; nothing without columns.
    pub(crate) preprocessor: Option<Preprocessor>,
    /// At the label holder, the names of the classes in the order of their numbers.
    pub(crate) classes: Option<Vec<String>>,
}

impl VerticalPreprocessing {
    /// 2: a limit on how far standardised numbers lie from the mean.
    const VERSION: u32 = 2;

    pub(crate) fn new(
        job: &Job,
        options: Option<VerticalOptions>,
        preprocessor: Option<Preprocessor>,
        classes: Option<Vec<String>>,
    ) -> Self {
        Self {
            version: Self::VERSION,
            job: job.digest_hex(),
            options,
            preprocessor,
            classes,
        }
    }

    /// Writes the file, readable by its owner only.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec(self).expect("only string keys and finite numbers");
        files::write(path, &text, true)
    }

    /// Reads the file; it must be of this job.
    pub(crate) fn read(path: &Path, job: &Job) -> Result<Self, Error> {
        let text = files::read_text(path)?;
        let kept: Self = serde_json::from_str(&text).map_err(|e| Error::configuration(path.display(), e))?;
        if !(1..=Self::VERSION).contains(&kept.version) {
            let problem = format!("expected version 1 to {}, got {}", Self::VERSION, kept.version);
            return Err(Error::configuration(path.display(), problem));
        }
        match kept.job == job.digest_hex() {
            true => Ok(kept),
            false => Err(Error::OtherJob {
                path: path.to_owned(),
                expected: job.digest_hex(),
                got: kept.job.escape_debug().to_string(),
            }),
        }
    }
}
