//! `--record`: a party's view in the run folder.

use std::path::{Path, PathBuf};

use cloven_wire::{
    Party,
    recording::{Limits, Recorder},
};

use crate::{Error, Job, Local, Update};

/// A recording is no larger than this, unless `limits.recording_mb` of the party's `local.toml` says otherwise.
const DEFAULT_MB: u64 = 1000;

/// That a party records what it receives, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    /// The first so many batches; all if `None`.
    pub batches: Option<u32>,
}

impl Record {
    /// Where a party's view is in a run folder.
    pub fn path(run_folder: &Path, party: &Party) -> PathBuf {
        run_folder.join("transcript").join(format!("{party}.view"))
    }

    /// Where a holder's rows in the order that all agreed on are, which an audit of a vertical run scores by.
    pub(crate) fn rows(run_folder: &Path, party: &Party) -> PathBuf {
        Self::path(run_folder, party).with_extension("rows")
    }

    pub(crate) fn start(self, run_folder: &Path, party: &Party, job: &Job, local: &Local) -> Result<Recorder, Error> {
        let path = Self::path(run_folder, party);
        let folder = path.parent().unwrap_or(run_folder);
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        let limits = Limits {
            bytes: local.limits.recording_mb.unwrap_or(DEFAULT_MB).saturating_mul(1_000_000),
            rounds: self.batches.map(u64::from),
        };
        Recorder::create(&path, party, &job.digest(), limits).map_err(Error::file(path))
    }
}

/// Ends a recording; what to tell about it.
pub(crate) fn finish(recorder: &Recorder, run_folder: &Path, party: &Party) -> Result<Update, Error> {
    let path = Record::path(run_folder, party);
    let (end, messages, bytes) = recorder.finish().map_err(Error::file(&path))?;
    Ok(Update::Recorded {
        path: path.display().to_string(),
        messages,
        bytes,
        end: end.to_string(),
    })
}
