//! Annotations in the MIT format: 16-bit words, each a 6-bit code and a 10-bit interval since the annotation before.

use std::io::Read;
use std::path::Path;

use crate::error::DataError;
use crate::input;
use crate::source::Format;

/// No annotation file is longer.
const MAX_LENGTH: u64 = 64 << 20;

/// The codes that stand for beats, with PhysioNet's symbols.
const BEATS: [(u8, &str); 19] = [
    (1, "N"),
    (2, "L"),
    (3, "R"),
    (4, "a"),
    (5, "V"),
    (6, "F"),
    (7, "J"),
    (8, "A"),
    (9, "S"),
    (10, "E"),
    (11, "j"),
    (12, "/"),
    (13, "Q"),
    (25, "B"),
    (30, "?"),
    (34, "e"),
    (35, "n"),
    (38, "f"),
    (41, "r"),
];

/// One annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Annotation {
    /// The number of the sample it stands at.
    pub(crate) sample: i64,
    pub(crate) code: u8,
}

impl Annotation {
    pub(crate) fn is_beat(&self) -> bool {
        !self.symbol().is_empty()
    }

    /// PhysioNet's symbol of a beat; empty for what is no beat, such as a change of rhythm.
    pub(crate) fn symbol(&self) -> &'static str {
        let found = BEATS.iter().find(|(code, _)| *code == self.code);
        found.map_or("", |(_, symbol)| symbol)
    }
}

pub(super) fn read(file: &Path) -> Result<Vec<Annotation>, DataError> {
    let mut bytes = Vec::new();
    let mut content = input::open(file)?.take(MAX_LENGTH + 1);
    content
        .read_to_end(&mut bytes)
        .map_err(|error| input::read_error(file, Format::Wfdb, error))?;
    if bytes.len() as u64 > MAX_LENGTH {
        return Err(DataError::TooLarge {
            file: file.into(),
            what: "the list of annotations".into(),
            actual: bytes.len() as u128,
            limit: MAX_LENGTH,
        });
    }
    decode(&bytes).map_err(|reason| DataError::Malformed {
        file: file.into(),
        format: Format::Wfdb,
        reason: reason.into(),
    })
}

pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Annotation>, &'static str> {
    let mut words = bytes.as_chunks().0.iter().map(|&word| u16::from_le_bytes(word));
    let mut next = || words.next().ok_or("the list of annotations has no end");
    let (mut annotations, mut sample) = (Vec::new(), 0i64);
    loop {
        let word = next()?;
        let (code, interval) = ((word >> 10) as u8, word & 0x3ff);
        match code {
            0 if interval == 0 => return Ok(annotations),
            // A long interval, its high half first.
            59 => {
                let (high, low) = (next()?, next()?);
                sample += i64::from((u32::from(high) << 16 | u32::from(low)) as i32);
            }
            // Number, subtype and channel of the annotation before: not used.
            60..=62 => {}
            // A text about the annotation before, filled up to whole words.
            63 => {
                let words = (0..interval.div_ceil(2)).map(|_| next());
                let text: Vec<u8> = words
                    .collect::<Result<Vec<_>, _>>()?
                    .into_iter()
                    .flat_map(u16::to_le_bytes)
                    .collect();
                if text.starts_with(b"## time resolution") {
                    return Err("the annotations have a time resolution of their own, which is not read");
                }
            }
            code => {
                sample += i64::from(interval);
                annotations.push(Annotation { sample, code });
            }
        }
    }
}
