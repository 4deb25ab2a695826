//! Encrypted rows at the server, as a file: they are too many for memory.
//!
//! ```text
//! "cloven rows v1\n\0", job digest (32), key (16) and fingerprint of the rows (16),
//! length of a row (8), number of rows that are surely on disk (8), little-endian
//! the rows, one after the other
//! ```
//!
//! A loss of power loses the rows after that number; the client sends them again.

use std::{
    cell::RefCell,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use cloven_protocols::{
    CheckpointError,
    encrypted_model::{
        Fingerprint,
        encrypted_samples::{RowStore, Upload},
    },
};

const MAGIC: &[u8; 16] = b"cloven rows v1\n\0";
const DIGEST: usize = 32;
/// Where the number of rows stands.
const COUNT: usize = MAGIC.len() + DIGEST + 2 * Fingerprint::LEN + 8;
const HEADER: usize = COUNT + 8;
/// After so many bytes they are put on disk, and counted.
const SYNCED: u64 = 256 << 20;

pub(crate) struct EncryptedRows {
    path: PathBuf,
    job: [u8; DIGEST],
    row_len: usize,
    /// The file, if there is one of this job.
    held: RefCell<Option<Held>>,
}

struct Held {
    file: File,
    upload: Upload,
    rows: u64,
    /// How many of them are on disk.
    synced: u64,
}

impl EncryptedRows {
    /// What an earlier process left at `path`, if it is of this job and whole.
    pub(crate) fn open(path: &Path, job: [u8; DIGEST], row_len: usize) -> Self {
        let me = Self {
            path: path.to_owned(),
            job,
            row_len,
            held: RefCell::default(),
        };
        me.held.replace(me.left_over().ok().flatten());
        me
    }

    fn left_over(&self) -> io::Result<Option<Held>> {
        let mut file = File::options().read(true).write(true).open(&self.path)?;
        let mut header = [0; HEADER];
        file.read_exact(&mut header)?;
        let key = &header[MAGIC.len() + DIGEST..];
        let fingerprint = |at: usize| {
            let mut short = [0; Fingerprint::LEN];
            short.copy_from_slice(&key[at..at + Fingerprint::LEN]);
            Fingerprint(short)
        };
        let mut count = [0; 8];
        count.copy_from_slice(&header[COUNT..]);
        let (upload, rows) = (
            Upload {
                key: fingerprint(0),
                rows: fingerprint(Fingerprint::LEN),
            },
            u64::from_le_bytes(count),
        );
        let whole = rows
            .checked_mul(self.row_len as u64)
            .is_some_and(|len| file.metadata().is_ok_and(|is| is.len() >= HEADER as u64 + len));
        let ours = header[..COUNT] == self.header(upload)[..COUNT];
        Ok((ours && whole).then_some(Held {
            file,
            upload,
            rows,
            synced: rows,
        }))
    }

    /// Of a file without rows.
    fn header(&self, upload: Upload) -> Vec<u8> {
        [
            &MAGIC[..],
            &self.job,
            &upload.key.0,
            &upload.rows.0,
            &(self.row_len as u64).to_le_bytes(),
            &[0; 8],
        ]
        .concat()
    }

    fn create(&self, upload: Upload) -> io::Result<Held> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path)?;
        file.write_all(&self.header(upload))?;
        Ok(Held {
            file,
            upload,
            rows: 0,
            synced: 0,
        })
    }

    /// Does something with the file; the error names it.
    fn with<T>(&self, work: impl FnOnce(&mut Held) -> io::Result<T>) -> Result<T, CheckpointError> {
        let mut held = self.held.borrow_mut();
        let held = held.as_mut().ok_or_else(|| io::Error::other("no rows have been received"));
        held.and_then(work).map_err(|cause| self.error(&cause))
    }

    fn error(&self, cause: &io::Error) -> CheckpointError {
        CheckpointError {
            why: format!("{}: {cause}", self.path.display()),
        }
    }

    fn place(&self, row: u64) -> SeekFrom {
        SeekFrom::Start(HEADER as u64 + row * self.row_len as u64)
    }
}

impl Held {
    fn sync(&mut self) -> io::Result<()> {
        if self.synced == self.rows {
            return Ok(());
        }
        // First the rows, then their number.
        self.file.sync_data()?;
        self.file.seek(SeekFrom::Start(COUNT as u64))?;
        self.file.write_all(&self.rows.to_le_bytes())?;
        self.file.sync_data()?;
        self.synced = self.rows;
        Ok(())
    }
}

impl RowStore for EncryptedRows {
    fn held(&self) -> Option<(Upload, u64)> {
        self.held.borrow().as_ref().map(|held| (held.upload, held.rows))
    }

    fn begin(&self, upload: Upload) -> Result<(), CheckpointError> {
        let held = self.create(upload).map_err(|cause| self.error(&cause))?;
        self.held.replace(Some(held));
        Ok(())
    }

    fn append(&self, rows: &[u8]) -> Result<(), CheckpointError> {
        self.with(|held| {
            held.file.seek(self.place(held.rows))?;
            held.file.write_all(rows)?;
            held.rows += (rows.len() / self.row_len) as u64;
            match (held.rows - held.synced) * self.row_len as u64 >= SYNCED {
                true => held.sync(),
                false => Ok(()),
            }
        })
    }

    fn flush(&self) -> Result<(), CheckpointError> {
        self.with(Held::sync)
    }

    fn read(&self, row: usize, into: &mut Vec<u8>) -> Result<(), CheckpointError> {
        self.with(|held| {
            held.file.seek(self.place(row as u64))?;
            let start = into.len();
            into.resize(start + self.row_len, 0);
            held.file.read_exact(&mut into[start..])
        })
    }
}

#[cfg(test)]
mod tests;
