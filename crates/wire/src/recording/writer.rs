//! Writing a view while a run goes on.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use super::{END, End, MAGIC, MESSAGE, VERSION};
use crate::Party;

/// When to stop recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The file grows no larger than this.
    pub bytes: u64,
    /// Messages of later rounds are left out. A training batch is one round, from 1; round 0 is the set-up.
    pub rounds: Option<u64>,
}

/// Writes what a party receives on all its links into one file. Clones write to the same file.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<Writer>>);

struct Writer {
    file: BufWriter<File>,
    limits: Limits,
    written: u64,
    messages: u64,
    end: Option<End>,
}

/// Bytes of an end entry.
const END_LEN: u64 = 10;

impl Recorder {
    /// Makes the file, readable by its owner only; it must not exist.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn create(path: &Path, party: &Party, job: &[u8; 32], limits: Limits) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&VERSION.to_le_bytes());
        put_name(&mut head, party.as_str());
        head.extend_from_slice(job);
        let mut writer = Writer {
            file: BufWriter::new(options.open(path)?),
            limits,
            written: 0,
            messages: 0,
            end: None,
        };
        writer.write(&[&head])?;
        Ok(Self(Arc::new(Mutex::new(writer))))
    }

    /// Ends the recording with the run; says how it ended and how many messages and bytes it holds.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn finish(&self) -> io::Result<(End, u64, u64)> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writer.stop(End::Complete)?;
        writer.file.get_ref().sync_all()?;
        Ok((writer.end.unwrap_or(End::Complete), writer.messages, writer.written))
    }

    /// Adds a message, unless a limit is reached. What was added is in the file when this returns, should the process end.
    pub(crate) fn received(&self, peer: &Party, name: &str, kind: u8, round: u64, payload: &[u8]) -> io::Result<()> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.end.is_some() {
            return Ok(());
        }
        if let Some(limit) = writer.limits.rounds.filter(|limit| round > *limit) {
            return writer.stop(End::Rounds(limit));
        }
        let mut head = vec![MESSAGE];
        put_name(&mut head, peer.as_str());
        put_name(&mut head, name);
        head.push(kind);
        head.extend_from_slice(&round.to_le_bytes());
        head.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        let after = writer.written + (head.len() + payload.len()) as u64 + END_LEN;
        if after > writer.limits.bytes {
            let limit = writer.limits.bytes;
            return writer.stop(End::Bytes(limit));
        }
        writer.messages += 1;
        writer.write(&[&head, payload])
    }
}

impl Writer {
    fn write(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            self.file.write_all(part)?;
            self.written += part.len() as u64;
        }
        self.file.flush()
    }

    fn stop(&mut self, end: End) -> io::Result<()> {
        if self.end.is_some() {
            return Ok(());
        }
        self.end = Some(end);
        let (reason, limit) = match end {
            End::Complete => (0, 0),
            End::Bytes(limit) => (1, limit),
            End::Rounds(limit) => (2, limit),
        };
        self.write(&[&[END, reason], &u64::to_le_bytes(limit)])
    }
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    debug_assert!(name.len() <= super::MAX_NAME);
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
}
