//! The run folder: `job.toml`, `metrics.jsonl`, `summary.json` or `failure.json`, `checkpoints/`.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use cloven_wire::Party;

use crate::{Error, Failure, Job, Stamped, Summary, checkpoints, files};

/// Makes `<time>-<name>` under `parent`, or `path` itself when one is given, which must not exist; with a `job.toml` in it.
pub(crate) fn make(parent: &Path, path: Option<&Path>, name: &str, job: &str) -> Result<PathBuf, Error> {
    let path = match path {
        Some(path) => {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(Error::file(path))?;
            fs::create_dir(path).map_err(Error::file(path))?;
            path.to_owned()
        }
        None => create_numbered(parent, &format!("{}-{name}", timestamp()))?,
    };
    files::write(&path.join("job.toml"), job.as_bytes(), false)?;
    Ok(path)
}

/// A run folder that is being written.
pub struct RunFolder {
    path: PathBuf,
    metrics: File,
}

impl RunFolder {
    /// Makes `runs/<time>-<data>-<protocol>` under `parent`, or `path` itself when one is given; it must not exist.
    pub fn create(parent: &Path, path: Option<&Path>, job: &Job) -> Result<Self, Error> {
        let path = make(
            parent,
            path,
            &format!("{}-{}", job.data.name, job.protocol.name()),
            &job.to_toml(),
        )?;
        let metrics = path.join("metrics.jsonl");
        let metrics = File::create(&metrics).map_err(Error::file(metrics))?;
        Ok(Self { path, metrics })
    }

    /// Opens the folder of a run that did not finish, to go on with it, or of one that finished without having reached every other party. It must be
    /// of this job.
    pub fn open(path: &Path, job: &Job) -> Result<Self, Error> {
        let of = Job::read(&path.join("job.toml"), &[])?;
        if of.digest() != job.digest() {
            return Err(Error::OtherJob {
                path: path.join("job.toml"),
                expected: job.digest_hex(),
                got: of.digest_hex(),
            });
        }
        if path.join("summary.json").exists() && !checkpoints::exist(path) {
            return Err(Error::configuration(
                path.display(),
                "this run is finished: there is nothing to resume",
            ));
        }
        let _ = fs::remove_file(path.join(Failure::FILE));
        let metrics = path.join("metrics.jsonl");
        let metrics = File::options()
            .append(true)
            .create(true)
            .open(&metrics)
            .map_err(Error::file(metrics))?;
        let path = path.to_owned();
        Ok(Self { path, metrics })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a party's trained weights go.
    pub fn checkpoint(run: &Path, party: &Party) -> PathBuf {
        run.join("checkpoints").join(format!("{party}.safetensors"))
    }

    /// Where a client keeps what it has not revealed of the server's layer, under `encrypted-activation`.
    pub fn unrevealed(run: &Path, party: &Party) -> PathBuf {
        Self::checkpoint(run, party).with_extension("unrevealed.safetensors")
    }

    /// Where a server keeps its layer as ciphertexts, under `encrypted-model`.
    pub fn encrypted_layer(run: &Path, party: &cloven_wire::Party) -> PathBuf {
        Self::checkpoint(run, party).with_extension("encrypted")
    }

    /// Where a client keeps the key of the server's layer, under `encrypted-model`.
    pub fn encryption_key(run: &Path, party: &cloven_wire::Party) -> PathBuf {
        Self::checkpoint(run, party).with_extension("encryption-key.json")
    }

    /// Where a holder keeps its shares of the first layer, under `vertical`.
    pub fn first_layer(run: &Path, party: &Party) -> PathBuf {
        Self::checkpoint(run, party).with_extension("first-layer-share")
    }

    /// Where a client keeps what turns its rows into the network's inputs.
    pub fn preprocessing(run: &Path, party: &Party) -> PathBuf {
        Self::checkpoint(run, party).with_extension("preprocessing.json")
    }

    /// Notes where this party's `local.toml` is, for a later prediction.
    pub fn note_local(&self, local: &Path) -> Result<(), Error> {
        let local = std::path::absolute(local).map_err(Error::file(local))?;
        let text = format!("{}\n", local.display());
        files::write(&self.path.join(Self::LOCAL), text.as_bytes(), true)
    }

    /// Where this party's `local.toml` was when it trained, if the folder says.
    pub fn noted_local(run: &Path) -> Option<PathBuf> {
        let text = files::read_text(&run.join(Self::LOCAL)).ok()?;
        Some(PathBuf::from(text.trim_end_matches('\n')))
    }

    const LOCAL: &str = "local.path";

    /// Records an update, if it is a metric.
    pub fn record(&mut self, stamped: &Stamped) -> Result<(), Error> {
        if !stamped.update.is_metric() {
            return Ok(());
        }
        let line = serde_json::to_string(stamped).expect("updates have only string keys");
        writeln!(self.metrics, "{line}").map_err(Error::file(&self.path))
    }

    /// Leaves the run's failure for `cloven report`. Best effort: the failure itself is what the operator is told.
    pub fn fail(&self, error: &Error) {
        let failure = Failure::of(error);
        let text = serde_json::to_string_pretty(&failure).expect("a failure has only string keys");
        let _ = files::write(&self.path.join(Failure::FILE), format!("{text}\n").as_bytes(), false);
    }

    /// Removes what a party kept to go on from. Only when its end is noted: from then on nobody needs it.
    pub fn forget(&self, party: &Party) -> Result<(), Error> {
        checkpoints::clear(&self.path, party)
    }

    /// Writes the summary.
    pub fn finish(&mut self, summary: &Summary) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(summary).expect("summaries have only string keys");
        files::write(&self.path.join("summary.json"), format!("{text}\n").as_bytes(), false)
    }
}

/// Makes `parent/name`, or `parent/name-2` and so on when it exists.
fn create_numbered(parent: &Path, name: &str) -> Result<PathBuf, Error> {
    fs::create_dir_all(parent).map_err(Error::file(parent))?;
    let mut path = parent.join(name);
    for number in 2.. {
        match fs::create_dir(&path) {
            Ok(()) => break,
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => path = parent.join(format!("{name}-{number}")),
            Err(cause) => return Err(Error::File { path, cause }),
        }
    }
    Ok(path)
}

/// Now, UTC, as `20261121T093000Z`.
fn timestamp() -> String {
    let now = time::OffsetDateTime::now_utc();
    let (date, time) = (now.date(), now.time());
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}
