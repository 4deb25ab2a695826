//! A party's checkpoints as files: `resume/NAME/PEER/EPOCH-BATCH.checkpoint` in the run folder, mode 0600, gone when the run is finished.
//!
//! ```text
//! "cloven checkpoint 1\n"
//! length of the header, 4 bytes, little-endian
//! header, JSON: job, position, the reporter's figures, name and length of each part
//! the parts, one after the other
//! BLAKE3 of everything before, 32 bytes
//! ```
//!
//! A file appears whole or not at all; a large one is written by a thread of its own while training goes on. Those of the end of an epoch
//! survive a loss of power, and so does the mark `complete` beside them: every party has the state after the last epoch. Of those within an epoch a loss of power may damage the newest, a killed process none: waiting for the disk
//! at each would cost more than the training between them. A file that cannot be read back is treated as if it were not there.

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use cloven_protocols::{CheckpointError, Keep, Parts, Position, superseded};
use cloven_wire::Party;
use serde::{Deserialize, Serialize};
use tracing::debug;
use zeroize::Zeroizing;

use crate::{
    Error, files,
    reporter::{Figures, Reporter},
};

const MAGIC: &[u8] = b"cloven checkpoint 1\n";
const EXTENSION: &str = "checkpoint";
/// The mark of a state that needs no other party any more.
const COMPLETE: &str = "complete";
/// A file of more bytes than this is worth a thread.
const LARGE: usize = 1 << 20;
/// Length of the digest at the end.
const DIGEST: usize = 32;

/// The checkpoints of one link.
pub(crate) struct Checkpoints<'a, 'r> {
    folder: PathBuf,
    job: String,
    reporter: &'a Reporter<'r>,
    /// The files that exist or are being written.
    known: RefCell<Vec<Position>>,
    writing: RefCell<Option<JoinHandle<Result<(), Error>>>>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    job: String,
    position: Position,
    figures: Figures,
    parts: Vec<(String, usize)>,
}

impl<'a, 'r> Checkpoints<'a, 'r> {
    /// Those of `party`'s link to `peer`.
    pub(crate) fn new(
        run_folder: &Path,
        party: &Party,
        peer: &Party,
        job: String,
        reporter: &'a Reporter<'r>,
    ) -> Result<Self, Error> {
        let folder = folder(run_folder, party).join(peer.as_str());
        fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        Ok(Self {
            known: RefCell::new(listed(&folder)),
            folder,
            job,
            reporter,
            writing: RefCell::default(),
        })
    }

    fn path(&self, position: Position) -> PathBuf {
        let Position { epoch, batch } = position;
        self.folder.join(format!("{epoch}-{batch}.{EXTENSION}"))
    }

    /// Whether every party has its state after the last epoch, and this one can read its own.
    pub(crate) fn is_complete(&self, end: Position) -> bool {
        let mark = files::read_text(&self.folder.join(COMPLETE));
        mark.is_ok_and(|job| job == self.job) && self.read(end).is_ok()
    }

    fn encode(&self, position: Position, parts: &Parts) -> Vec<u8> {
        let header = Header {
            job: self.job.clone(),
            position,
            figures: self.reporter.figures(),
            parts: parts.iter().map(|(name, part)| (name.clone(), part.len())).collect(),
        };
        let header = serde_json::to_vec(&header).expect("only string keys and finite numbers");
        let mut bytes = [MAGIC, &(header.len() as u32).to_le_bytes(), &header].concat();
        parts.values().for_each(|part| bytes.extend_from_slice(part));
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    fn read(&self, position: Position) -> Result<(Header, Parts), String> {
        let bytes = fs::read(self.path(position)).map_err(|e| e.to_string())?;
        let (header, parts) = decode(&bytes)?;
        match header.job == self.job && header.position == position {
            true => Ok((header, parts)),
            false => Err(format!(
                "expected job {} at {position:?}, got job {} at {:?}",
                self.job, header.job, header.position
            )),
        }
    }

    /// Notes a new file; returns those that are then no longer needed.
    fn outdated_by(&self, position: Position) -> Vec<Position> {
        let mut known = self.known.borrow_mut();
        known.retain(|other| *other != position);
        known.push(position);
        let old = superseded(&known);
        known.retain(|other| !old.contains(other));
        old
    }

    /// Waits for the thread that writes.
    fn finish_writing(&self) -> Result<(), CheckpointError> {
        match self.writing.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(because(error)),
            Some(Err(_)) => Err(because("the thread that writes it ended early")),
        }
    }
}

/// Where a party keeps what it needs to resume.
pub(crate) fn folder(run_folder: &Path, party: &Party) -> PathBuf {
    run_folder.join("resume").join(party.as_str())
}

/// Where a server keeps encrypted rows; no party's name has a dot.
pub(crate) fn encrypted_rows(run_folder: &Path, party: &Party) -> PathBuf {
    folder(run_folder, party).join("samples.encrypted")
}

/// Where a holder keeps the order of the rows that all holders have.
pub(crate) fn aligned_rows(run_folder: &Path, party: &Party) -> PathBuf {
    folder(run_folder, party).join("rows.aligned")
}

/// Where a dealer or a coordinator notes that it has done everything.
pub(crate) fn served(run_folder: &Path, party: &Party) -> PathBuf {
    folder(run_folder, party).join("served")
}

/// A party's secret for this run, from which its encryption keys are drawn: the one kept from an earlier start, or a fresh one.
pub(crate) fn secret(run_folder: &Path, party: &Party, fresh: Zeroizing<[u8; 32]>) -> Result<Zeroizing<[u8; 32]>, Error> {
    let path = folder(run_folder, party).join("secret");
    match fs::read(&path).map(Zeroizing::new) {
        Ok(kept) => kept
            .as_slice()
            .try_into()
            .map(Zeroizing::new)
            .map_err(|_| Error::configuration(path.display(), format!("expected 32 bytes, got {}", kept.len()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            files::write(&path, &*fresh, true)?;
            Ok(fresh)
        }
        Err(error) => Err(Error::file(&path)(error)),
    }
}

/// Whether any party keeps something in a run folder.
pub(crate) fn exist(run_folder: &Path) -> bool {
    run_folder.join("resume").exists()
}

/// Removes what is no longer needed when a party has finished.
pub(crate) fn clear(run_folder: &Path, party: &Party) -> Result<(), Error> {
    let folder = folder(run_folder, party);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file(&folder)(error)),
        _ => {
            // The last party to finish finds the folder of all empty.
            let _ = fs::remove_dir(run_folder.join("resume"));
            Ok(())
        }
    }
}

fn because(why: impl std::fmt::Display) -> CheckpointError {
    CheckpointError { why: why.to_string() }
}

fn decode(bytes: &[u8]) -> Result<(Header, Parts), String> {
    let damaged = || "the file is damaged or of another version".to_owned();
    let (content, digest) = bytes.split_last_chunk::<DIGEST>().ok_or_else(damaged)?;
    if blake3::hash(content) != *digest {
        return Err(damaged());
    }
    let rest = content.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (length, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let (header, mut rest) = rest
        .split_at_checked(u32::from_le_bytes(*length) as usize)
        .ok_or_else(damaged)?;
    let header: Header = serde_json::from_slice(header).map_err(|e| e.to_string())?;
    let mut parts = Parts::new();
    for (name, length) in &header.parts {
        let (part, others) = rest.split_at_checked(*length).ok_or_else(damaged)?;
        parts.insert(name.clone(), part.to_vec());
        rest = others;
    }
    match rest.is_empty() {
        true => Ok((header, parts)),
        false => Err(damaged()),
    }
}

/// The position that a file's name says.
fn position(path: &Path) -> Option<Position> {
    if path.extension()? != EXTENSION {
        return None;
    }
    let (epoch, batch) = path.file_stem()?.to_str()?.split_once('-')?;
    Some(Position {
        epoch: epoch.parse().ok()?,
        batch: batch.parse().ok()?,
    })
}

/// The positions of the files in a folder.
fn listed(folder: &Path) -> Vec<Position> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| position(&entry.path())).collect()
}

impl Keep for Checkpoints<'_, '_> {
    fn positions(&self) -> Vec<Position> {
        listed(&self.folder)
            .into_iter()
            .filter(|position| self.read(*position).is_ok())
            .collect()
    }

    fn save(&self, position: Position, parts: Parts) -> Result<(), CheckpointError> {
        self.finish_writing()?;
        let (bytes, path, old) = (self.encode(position, &parts), self.path(position), self.outdated_by(position));
        let large = bytes.len() > LARGE;
        debug!(?position, bytes = bytes.len(), "checkpoint");
        let write = move || {
            match position.batch {
                0 => files::write(&path, &bytes, true)?,
                _ => files::write_for_now(&path, &bytes)?,
            }
            old.into_iter().try_for_each(|old| remove(&path, old))
        };
        if !large {
            write().map_err(because)?;
            self.reporter.checkpoint(position);
            return Ok(());
        }
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(write)
            .map_err(because)?;
        *self.writing.borrow_mut() = Some(thread);
        self.reporter.checkpoint(position);
        Ok(())
    }

    fn flush(&self) -> Result<(), CheckpointError> {
        self.finish_writing()
    }

    fn load(&self, position: Position) -> Result<Parts, CheckpointError> {
        self.finish_writing()?;
        let (header, parts) = self.read(position).map_err(because)?;
        debug!(?position, file = %self.path(position).display(), "checkpoint loaded");
        self.reporter.restore(header.figures);
        Ok(parts)
    }

    fn settled(&self, epoch: u32) -> Result<(), CheckpointError> {
        debug!(epoch, "every party has the checkpoint at the beginning of this epoch");
        self.finish_writing()?;
        let known = self.known.take();
        let (old, still): (Vec<_>, Vec<_>) = known.into_iter().partition(|position| position.epoch < epoch);
        self.known.replace(still);
        old.into_iter()
            .try_for_each(|old| remove(&self.path(old), old))
            .map_err(because)
    }

    fn complete(&self) -> Result<(), CheckpointError> {
        self.finish_writing()?;
        debug!("every party has the state after the last epoch");
        files::write(&self.folder.join(COMPLETE), self.job.as_bytes(), true).map_err(because)
    }
}

/// Removes the file of another position beside `path`; one that is gone is no error.
fn remove(path: &Path, Position { epoch, batch }: Position) -> Result<(), Error> {
    let path = path.with_file_name(format!("{epoch}-{batch}.{EXTENSION}"));
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file(&path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
