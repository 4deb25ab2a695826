//! The header of a record: lines of text, first of the record, then of each signal.

use std::io::Read;
use std::path::Path;

use crate::error::DataError;
use crate::input;
use crate::source::{Column, Format};

/// No header is longer.
const MAX_TEXT: u64 = 1 << 20;
/// The most signals of a record.
const MAX_SIGNALS: usize = 256;
/// Analogue-to-digital units per physical unit where a header says none.
const DEFAULT_GAIN: f64 = 200.0;

/// A record's header.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Header {
    /// Samples per second of every signal.
    pub(crate) frequency: f64,
    /// Samples of every signal; nothing when only the files' lengths say it.
    pub(crate) samples: Option<u64>,
    pub(crate) signals: Vec<Signal>,
}

/// One signal of a record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Signal {
    /// The file beside the header that holds it, with others in turn.
    pub(crate) file: String,
    pub(crate) format: u16,
    /// Bytes before the first sample.
    pub(crate) offset: u64,
    pub(crate) gain: f64,
    pub(crate) baseline: i32,
    /// The sum of all samples, as 16 bits.
    pub(crate) checksum: Option<i16>,
    /// Its name, such as `MLII`.
    pub(crate) name: String,
}

impl Header {
    pub(crate) fn read(file: &Path) -> Result<Self, DataError> {
        let mut bytes = Vec::new();
        let mut content = input::open(file)?.take(MAX_TEXT + 1);
        content
            .read_to_end(&mut bytes)
            .map_err(|error| input::read_error(file, Format::Wfdb, error))?;
        if bytes.len() as u64 > MAX_TEXT {
            return Err(DataError::TooLarge {
                file: file.into(),
                what: "the header".into(),
                actual: bytes.len() as u128,
                limit: MAX_TEXT,
            });
        }
        parse(&String::from_utf8_lossy(&bytes)).map_err(|reason| DataError::Malformed {
            file: file.into(),
            format: Format::Wfdb,
            reason,
        })
    }

    /// The number of the signal that is asked for, the first when none is.
    pub(crate) fn lead(&self, file: &Path, lead: Option<&Column>) -> Result<usize, DataError> {
        let found = match lead {
            None => Some(0),
            Some(Column::Number(number)) => (*number < self.signals.len()).then_some(*number),
            Some(Column::Name(name)) => self.signals.iter().position(|signal| signal.name == *name),
        };
        found.ok_or_else(|| {
            let names: Vec<&str> = self.signals.iter().map(|signal| signal.name.as_str()).collect();
            let lead = lead.map(Column::to_string).unwrap_or_default();
            DataError::Records {
                file: file.into(),
                reason: format!("no lead {lead}; the record has {}", names.join(", ")),
            }
        })
    }
}

/// Whether a name stands for a file in the same folder and nothing else.
pub(super) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 200 && !name.starts_with('.') && !name.contains(['/', '\\', ':', '\0'])
}

pub(super) fn parse(text: &str) -> Result<Header, String> {
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let record = lines.next().ok_or("it has no line that describes the record")?;
    let mut fields = record.split_whitespace();
    let name = fields.next().unwrap_or_default();
    if name.contains('/') {
        return Err("it is of several segments, which are not read; name the records of the segments".into());
    }
    let count = fields.next().and_then(|field| field.parse().ok());
    let count: usize = count
        .filter(|count| (1..=MAX_SIGNALS).contains(count))
        .ok_or_else(|| format!("its first line is {record:?}, expected a name and the number of signals, 1 to {MAX_SIGNALS}"))?;
    let frequency = match fields.next() {
        None => 250.0,
        // The counter's frequency and start may follow.
        Some(field) => leading(field, &['/', '(']).parse().unwrap_or(f64::NAN),
    };
    if !(frequency > 0.0 && frequency <= 1e6) {
        return Err("its sampling frequency is no number above 0 and up to 10^6".into());
    }
    let samples = match fields.next() {
        None | Some("0") => None,
        Some(field) => Some(field.parse().map_err(|_| format!("its number of samples is {field:?}"))?),
    };
    let signals: Vec<Signal> = lines.take(count).map(signal).collect::<Result<_, _>>()?;
    match signals.len() == count {
        true => Ok(Header {
            frequency,
            samples,
            signals,
        }),
        false => Err(format!("it announces {count} signals and describes {}", signals.len())),
    }
}

fn signal(line: &str) -> Result<Signal, String> {
    let bad = |what: &str| format!("the signal line {line:?} {what}");
    let mut rest = line;
    let mut next = || {
        let (field, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        rest = after.trim_start();
        field
    };
    let file = next().to_string();
    if !is_plain_name(&file) {
        return Err(bad("does not begin with the name of a file in the same folder"));
    }
    let format_field = next();
    let frame = format_field.split_once('x').map(|(_, rest)| leading(rest, &[':', '+']));
    let skew = format_field.split_once(':').map(|(_, rest)| leading(rest, &['+']));
    if frame.is_some_and(|samples| samples != "1") || skew.is_some_and(|skew| skew != "0") {
        return Err(bad("has several samples per frame or a skew, which are not read"));
    }
    let format = leading(format_field, &['x', ':', '+'])
        .parse()
        .map_err(|_| bad("names no format"))?;
    let offset = format_field.split_once('+').map_or(Ok(0), |(_, offset)| offset.parse());
    let offset = offset.map_err(|_| bad("has no number for its byte offset"))?;
    let gain_field = next();
    let gain = match leading(gain_field, &['(', '/']) {
        "" => 0.0,
        gain => gain.parse().map_err(|_| bad("has no number for its gain"))?,
    };
    let gain = if gain == 0.0 { DEFAULT_GAIN } else { gain };
    let baseline = gain_field.split_once('(').map(|(_, rest)| leading(rest, &[')']).parse());
    let _resolution = next();
    let number = |field: &str| match field {
        "" => Ok(None),
        field => field.parse::<i32>().map(Some).map_err(|_| bad("holds a text for a number")),
    };
    let zero = number(next())?.unwrap_or(0);
    let _initial = next();
    // Some writers give the sum as an unsigned number.
    let checksum = number(next())?.map(|sum| sum as i16);
    let _block_size = next();
    let baseline = baseline
        .transpose()
        .map_err(|_| bad("has no number for its baseline"))?
        .unwrap_or(zero);
    if !f64::is_finite(gain) {
        return Err(bad("has no finite gain"));
    }
    Ok(Signal {
        file,
        format,
        offset,
        gain,
        baseline,
        checksum,
        name: rest.to_string(),
    })
}

/// What stands before the first of the separators.
fn leading<'a>(field: &'a str, separators: &[char]) -> &'a str {
    field.split(separators).next().unwrap_or(field)
}
