//! `report.html`: a run folder as one page that needs nothing else.
//!
//! [`Facts`] are what the folder's files say; the page is made of them and of nothing else. Whatever comes from a file is text on the page,
//! never markup: see `markup`.

use std::path::{Path, PathBuf};

use serde::Serialize;

mod audit;
mod charts;
mod curves;
mod facts;
mod index;
mod markup;
mod numbers;
mod page;
mod tables;
mod terms;
#[cfg(test)]
mod tests;

pub(crate) use index::write_index;

pub use facts::{EpochRow, Facts, Failure, PhaseRow, State};

use crate::{
    Audits, Error, Job,
    files::{self, read_text},
};

/// Everything a report shows of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The run folder's name.
    pub name: String,
    /// What the folder says.
    #[serde(flatten)]
    pub facts: Facts,
    /// What `cloven audit` found, if it ran.
    pub audit: Option<Audits>,
    /// What the folder of the plain run says that it was compared with.
    pub plain: Option<Facts>,
    #[serde(skip)]
    job: Option<Job>,
    #[serde(skip)]
    job_text: Option<String>,
    #[serde(skip)]
    pub(crate) folder: PathBuf,
}

impl Report {
    /// The file that [`Report::write`] writes.
    pub const FILE: &str = "report.html";

    /// Reads a run folder, of all parties or of one alone, finished or not.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a folder that is none of a run, or a file in it that is damaged; [`Error::File`] for one that cannot be read.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let job = folder.join("job.toml");
        if !job.exists() && !folder.join("metrics.jsonl").exists() {
            let problem = "expected a run folder, with job.toml and metrics.jsonl in it";
            return Err(Error::configuration(folder.display(), problem));
        }
        let job_text = job.exists().then(|| read_text(&job)).transpose()?;
        let parsed = job_text
            .as_deref()
            .map(|text| Job::parse(text, &job.display().to_string(), &[]));
        let plain = folder.join("plain");
        let absolute = std::path::absolute(folder).map_err(Error::file(folder))?;
        Ok(Self {
            name: absolute
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            facts: Facts::read(folder)?,
            audit: facts::read_json(&folder.join(Audits::FILE))?,
            plain: plain
                .join("metrics.jsonl")
                .exists()
                .then(|| Facts::read(&plain))
                .transpose()?,
            // A job of another version may no longer parse; its text is shown all the same.
            job: parsed.and_then(Result::ok),
            job_text,
            folder: folder.to_owned(),
        })
    }

    /// The page.
    pub fn html(&self) -> String {
        page::page(self)
    }

    /// Writes the page into the run folder; returns its path.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self) -> Result<PathBuf, Error> {
        let path = self.folder.join(Self::FILE);
        // With an audit it shows rows of the client's data.
        files::write(&path, self.html().as_bytes(), self.audit.is_some())?;
        Ok(path)
    }
}
