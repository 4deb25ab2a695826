//! One party's run, in a run folder of its own.

use std::path::{Path, PathBuf};

use cloven_protocols::helpers::Helpers;

use super::Prepared;
use crate::{Error, Job, Local, Party, Record, RunFolder, Stamped, Summary};

/// Where things are for [`PartyRun`].
#[derive(Debug, Clone, Default)]
pub struct PartyOptions {
    /// Run folders are made in here.
    pub runs: PathBuf,
    /// A run folder of this name instead.
    pub run_folder: Option<PathBuf>,
    /// Go on with the run in this folder, which did not finish.
    pub resume: Option<PathBuf>,
    /// Record what this party receives.
    pub record: Option<Record>,
    /// Where the party's settings were read from; noted for later predictions.
    pub local_file: Option<PathBuf>,
}

/// A party that can begin: what it can check alone is checked, and its run folder is there.
pub struct PartyRun {
    prepared: Prepared,
    folder: RunFolder,
    job: Job,
    party: Party,
}

impl PartyRun {
    /// Loads what the party needs, then makes the run folder, or opens the one that is gone on with.
    ///
    /// # Errors
    /// As [`Prepared::new`] and [`Prepared::helped`]; [`Error::File`] or [`Error::Configuration`] for a run folder that cannot be made or is of another job.
    pub fn new(
        job: Job,
        party: Party,
        local: Local,
        helpers: Option<Box<dyn Helpers>>,
        options: &PartyOptions,
    ) -> Result<Self, Error> {
        let prepared = Prepared::new(job.clone(), party.clone(), local)?
            .recording(options.record)
            .helped(helpers)?;
        let folder = match &options.resume {
            Some(path) => RunFolder::open(path, &job)?,
            None => RunFolder::create(&options.runs, options.run_folder.as_deref(), &job)?,
        };
        if let Some(file) = &options.local_file {
            folder.note_local(file)?;
        }
        Ok(Self {
            prepared,
            folder,
            job,
            party,
        })
    }

    /// The run folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Takes part; the run folder then says how it ended.
    pub fn finish(self, watch: &mut dyn FnMut(&Stamped)) -> Result<Summary, Error> {
        let Self {
            prepared,
            mut folder,
            job,
            party,
        } = self;
        let path = folder.path().to_owned();
        let mut recording = Ok(());
        let result = prepared.run(&path, &mut |stamped: Stamped| {
            watch(&stamped);
            if recording.is_ok() {
                recording = folder.record(&stamped);
            }
        });
        let result = result.and_then(|summary| recording.map(|()| summary)).and_then(|summary| {
            let done = summary.unreached.is_empty();
            let seconds = summary.seconds_total;
            let summary = Summary::new(&job, &[(party.clone(), summary)].into(), seconds);
            folder.finish(&summary)?;
            if done {
                folder.forget(&party)?;
            }
            Ok(summary)
        });
        if let Err(error) = &result {
            folder.fail(error);
        }
        result
    }
}
