//! Reading a view. The file may be anybody's: nothing is believed, and memory is taken only as bytes arrive.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use super::{END, End, MAGIC, MAX_NAME, MESSAGE, VERSION};
use crate::{MAX_PAYLOAD, Party};

/// A file that is no recording, or a damaged one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file system refused.
    #[error("{0}")]
    File(#[from] io::Error),
    /// Not a recording of a version that this one reads.
    #[error("expected a recording of version {VERSION}, got something else")]
    Foreign,
    /// A field that no recorder writes.
    #[error("at byte {at}: expected {expected}, got {got}")]
    Damaged {
        /// Where.
        at: u64,
        /// What is allowed.
        expected: &'static str,
        /// What stands there.
        got: String,
    },
}

/// One recorded message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub peer: Party,
    /// The message's name.
    pub name: String,
    /// Its kind.
    pub kind: u8,
    /// Its round.
    pub round: u64,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A recording that is being read, message by message.
pub struct Recording<R> {
    fields: Fields<R>,
    party: Party,
    job: [u8; 32],
    end: Option<End>,
    done: bool,
}

impl Recording<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`RecordingError`].
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        Self::new(BufReader::new(File::open(path)?))
    }
}

impl<R: Read> Recording<R> {
    /// Reads the head.
    ///
    /// # Errors
    /// [`RecordingError`].
    pub fn new(source: R) -> Result<Self, RecordingError> {
        let mut fields = Fields { source, at: 0 };
        let (magic, version): ([u8; 8], [u8; 2]) = (fields.array()?, fields.array()?);
        if magic != *MAGIC || u16::from_le_bytes(version) != VERSION {
            return Err(RecordingError::Foreign);
        }
        Ok(Self {
            party: fields.party()?,
            job: fields.array()?,
            fields,
            end: None,
            done: false,
        })
    }

    /// Who recorded.
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// The job's digest.
    pub fn job(&self) -> [u8; 32] {
        self.job
    }

    /// How it ends; `None` before the last message was read, and for one that was cut.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    fn message(&mut self) -> Result<Option<Received>, RecordingError> {
        match self.fields.tag()? {
            None => Ok(None),
            Some(MESSAGE) => self.fields.message().map(Some),
            Some(END) => self.fields.end().map(|end| {
                self.end = Some(end);
                None
            }),
            Some(other) => Err(self.fields.damaged("a message or the end", other)),
        }
    }
}

/// The file's fields, one after the other.
struct Fields<R> {
    source: R,
    /// Bytes read so far.
    at: u64,
}

impl<R: Read> Fields<R> {
    /// The next entry's tag; `None` at the end of the file.
    fn tag(&mut self) -> Result<Option<u8>, RecordingError> {
        let mut tag = [0];
        let read = self.source.read(&mut tag)?;
        self.at += read as u64;
        Ok((read > 0).then_some(tag[0]))
    }

    fn message(&mut self) -> Result<Received, RecordingError> {
        let peer = self.party()?;
        let name = self.name()?;
        let [kind] = self.array()?;
        let round = u64::from_le_bytes(self.array()?);
        let length = u32::from_le_bytes(self.array()?);
        if length as usize > MAX_PAYLOAD {
            return Err(self.damaged("a payload of at most 1 GiB", length));
        }
        let mut payload = Vec::new();
        self.source.by_ref().take(length.into()).read_to_end(&mut payload)?;
        self.at += payload.len() as u64;
        if payload.len() < length as usize {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(Received {
            peer,
            name,
            kind,
            round,
            payload,
        })
    }

    fn end(&mut self) -> Result<End, RecordingError> {
        let [reason] = self.array()?;
        let limit = u64::from_le_bytes(self.array()?);
        let end = match reason {
            0 => End::Complete,
            1 => End::Bytes(limit),
            2 => End::Rounds(limit),
            other => return Err(self.damaged("a reason for the end", other)),
        };
        match self.source.read(&mut [0])? {
            0 => Ok(end),
            _ => Err(self.damaged("nothing after the end", "more bytes")),
        }
    }

    fn party(&mut self) -> Result<Party, RecordingError> {
        let name = self.name()?;
        name.parse().map_err(|_| self.damaged("a party's name", format!("{name:?}")))
    }

    fn name(&mut self) -> Result<String, RecordingError> {
        let [length] = self.array()?;
        if !(1..=MAX_NAME).contains(&(length as usize)) {
            return Err(self.damaged("a name of 1 to 64 bytes", length));
        }
        let mut bytes = vec![0; length.into()];
        self.source.read_exact(&mut bytes)?;
        self.at += u64::from(length);
        match String::from_utf8(bytes) {
            Ok(name) if !name.chars().any(char::is_control) => Ok(name),
            _ => Err(self.damaged("a name", "other bytes")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordingError> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn damaged(&self, expected: &'static str, got: impl ToString) -> RecordingError {
        RecordingError::Damaged {
            at: self.at,
            expected,
            got: got.to_string(),
        }
    }
}

/// The messages in order. A file that was cut gives those that are whole, and then ends without an error and without [`Recording::end`].
impl<R: Read> Iterator for Recording<R> {
    type Item = Result<Received, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let result = self.message();
        self.done = !matches!(result, Ok(Some(_)));
        match result {
            Err(RecordingError::File(error)) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            other => other.transpose(),
        }
    }
}
