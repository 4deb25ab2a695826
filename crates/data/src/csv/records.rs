//! Lines of a CSV file, each checked to have as many fields as the first.

use std::io::{Chain, Read};
use std::path::{Path, PathBuf};

use csv::{ErrorKind, ReaderBuilder, StringRecord, Terminator};

use crate::columns::Heading;
use crate::error::DataError;
use crate::input;
use crate::source::Format;

/// Whether the first line holds column names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    Present,
    Absent,
    /// Present unless the first line looks like data.
    Guess,
}

/// The data lines of a file, one at a time.
pub(crate) struct Records<R> {
    file: PathBuf,
    reader: csv::Reader<Chain<R, &'static [u8]>>,
    /// Column names, where the file has a header.
    pub(crate) names: Option<Vec<String>>,
    pub(crate) width: usize,
    record: Record,
    /// The first line was read to learn its width, and is data.
    pending: bool,
}

/// One line.
#[derive(Default)]
pub(crate) struct Record {
    fields: StringRecord,
    /// 1-based line number in the file.
    pub(crate) line: u64,
}

impl Record {
    /// A field without blanks around it; empty beyond the last.
    pub(crate) fn field(&self, column: usize) -> &str {
        self.fields.get(column).unwrap_or("").trim()
    }

    /// A field as it stands in the file; empty beyond the last.
    pub(crate) fn raw(&self, column: usize) -> &str {
        self.fields.get(column).unwrap_or("")
    }

    fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(str::trim)
    }
}

impl<R: Read> Records<R> {
    pub(crate) fn new(text: R, file: &Path, header: Header, delimiter: char) -> Result<Self, DataError> {
        let delimiter = u8::try_from(delimiter)
            .ok()
            .filter(u8::is_ascii)
            .ok_or_else(|| DataError::Option {
                option: "csv.delimiter",
                expected: "one ASCII character",
                actual: format!("{delimiter:?}"),
            })?;
        let reader = ReaderBuilder::new()
            .has_headers(false)
            // The width is checked here, where the line is known.
            .flexible(true)
            .delimiter(delimiter)
            // A carriage return before it stays in the last field and is trimmed there: only so are lines counted exactly.
            .terminator(Terminator::Any(b'\n'))
            // The last line may lack its end; see `read`.
            .from_reader(text.chain(&b"\n"[..]));
        let mut records = Records {
            file: file.into(),
            reader,
            names: None,
            width: 0,
            record: Record::default(),
            pending: false,
        };
        if !records.read()? {
            return Err(DataError::Empty { file: file.into() });
        }
        records.width = records.record.fields.len();
        let data = looks_like_data(&records.record);
        match header {
            Header::Present if data => {
                let first_line = records.record.fields().take(4).collect::<Vec<_>>().join(", ");
                return Err(DataError::NoHeader {
                    file: file.into(),
                    first_line,
                });
            }
            Header::Present => records.take_names(),
            Header::Guess if !data => records.take_names(),
            Header::Absent | Header::Guess => records.pending = true,
        }
        Ok(records)
    }

    pub(crate) fn heading(&self) -> Heading<'_> {
        Heading {
            names: self.names.as_deref(),
            width: self.width,
        }
    }

    /// The next data line.
    pub(crate) fn next(&mut self) -> Result<Option<&Record>, DataError> {
        if !std::mem::take(&mut self.pending) && !self.read()? {
            return Ok(None);
        }
        let actual = self.record.fields.len();
        if actual != self.width {
            let (file, line, expected) = (self.file.clone(), self.record.line, self.width);
            return Err(DataError::FieldCount {
                file,
                line,
                expected,
                actual,
            });
        }
        Ok(Some(&self.record))
    }

    fn take_names(&mut self) {
        self.names = Some(self.record.fields().map(String::from).collect());
    }

    /// Reads the next line that is not blank.
    fn read(&mut self) -> Result<bool, DataError> {
        loop {
            let fields = &mut self.record.fields;
            if !self
                .reader
                .read_record(fields)
                .map_err(|error| read_error(&self.file, error))?
            {
                return Ok(false);
            }
            // The reader stands behind the line end, and a quoted field may span lines.
            let inner = fields.as_slice().bytes().filter(|&byte| byte == b'\n').count() as u64;
            self.record.line = self.reader.position().line().saturating_sub(1 + inner);
            let blank = fields.len() == 1 && self.record.field(0).is_empty();
            if !blank || self.width == 1 {
                return Ok(true);
            }
        }
    }
}

/// Whether a first line holds numbers only. Numbers that rise from field to field may be names (0, 1, 2 or wavelengths).
fn looks_like_data(record: &Record) -> bool {
    let numbers: Option<Vec<f64>> = record.fields().map(|field| field.parse().ok()).collect();
    numbers.is_some_and(|numbers| !numbers.is_sorted_by(|a, b| a < b))
}

fn read_error(file: &Path, error: csv::Error) -> DataError {
    let text = error.to_string();
    match error.into_kind() {
        ErrorKind::Io(error) => input::read_error(file, Format::Csv, error),
        ErrorKind::Utf8 { pos, .. } => {
            let line = pos.map_or(0, |pos| pos.line());
            DataError::Malformed {
                file: file.into(),
                format: Format::Csv,
                reason: format!("line {line} is not UTF-8 text"),
            }
        }
        _ => DataError::Malformed {
            file: file.into(),
            format: Format::Csv,
            reason: text,
        },
    }
}
