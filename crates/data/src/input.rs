//! Opening files: gzip told by content, and a cap on what decompression may yield.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::DataError;
use crate::source::Format;

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;

/// The most bytes one file may hold after decompression, and the most that one array may take: 8 GiB.
pub const MAX_BYTES: u64 = 8 << 30;

/// The content of a file, decompressed, broken off with an error after a cap.
pub(crate) struct Input {
    reader: Box<dyn Read>,
    left: u64,
}

/// Opens a file that may be gzipped.
pub(crate) fn open(file: &Path) -> Result<Input, DataError> {
    open_capped(file, MAX_BYTES)
}

pub(crate) fn open_capped(file: &Path, cap: u64) -> Result<Input, DataError> {
    let mut reader = BufReader::with_capacity(1 << 16, open_plain(file)?);
    let head = reader.fill_buf().map_err(|source| DataError::Io {
        file: file.into(),
        source,
    })?;
    let zipped = head.starts_with(&[0x1f, 0x8b]);
    if !zipped && file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz")) {
        return Err(DataError::Gzip {
            file: file.into(),
            reason: "the file does not begin with the gzip mark".into(),
        });
    }
    // A file of several members is one stream, and bytes after the last member are an error: that is what the multi-member decoder
    // gives and the plain one does not.
    let reader: Box<dyn Read> = if zipped {
        Box::new(GzipErrors(MultiGzDecoder::new(reader)))
    } else {
        Box::new(reader)
    };
    Ok(Input { reader, left: cap })
}

/// Opens a file and tells a wrong path from other faults.
pub(crate) fn open_plain(file: &Path) -> Result<File, DataError> {
    let opened = File::open(file).and_then(|handle| match handle.metadata()?.is_dir() {
        true => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder, expected a file")),
        false => Ok(handle),
    });
    opened.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => DataError::NotFound { file: file.into() },
        _ => DataError::Io {
            file: file.into(),
            source,
        },
    })
}

/// Sorts a reading error by its cause: damaged gzip, over the cap, cut short, or the operating system.
pub(crate) fn read_error(file: &Path, format: Format, error: io::Error) -> DataError {
    let file = file.to_path_buf();
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Fault>()) {
        Some(Fault::Gzip(reason)) => DataError::Gzip {
            file,
            reason: reason.clone(),
        },
        Some(Fault::OverCap) => DataError::TooLarge {
            file,
            what: "the decompressed content".into(),
            actual: u128::from(MAX_BYTES) + 1,
            limit: MAX_BYTES,
        },
        None if error.kind() == io::ErrorKind::UnexpectedEof => DataError::Malformed {
            file,
            format,
            reason: "the file ends too early".into(),
        },
        None => DataError::Io { file, source: error },
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other(Fault::OverCap))?;
        Ok(count)
    }
}

/// Marks errors of the gzip layer, so that they can be told from those of the file below it.
struct GzipErrors<R>(R);

impl<R: Read> Read for GzipErrors<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::other(Fault::Gzip("it ends too early, or bytes follow it that are not gzip".into()))
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => io::Error::other(Fault::Gzip(error.to_string())),
            _ => error,
        })
    }
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Gzip(String),
    #[error("over the cap")]
    OverCap,
}
