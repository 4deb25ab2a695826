//! The samples of a signal.

use std::io::Read;
use std::path::Path;

use super::header::{Header, Signal};
use crate::error::DataError;
use crate::input::{self, MAX_BYTES};
use crate::source::Format;

/// Reads one signal in physical units (millivolts for an ECG); a sample that is marked invalid is NaN. The sum of its samples is
/// compared with the header's.
pub(super) fn read(record: &Path, header: &Header, number: usize) -> Result<Vec<f32>, DataError> {
    let signal = &header.signals[number];
    let file = record.with_file_name(&signal.file);
    let malformed = |reason: String| DataError::Malformed {
        file: file.clone(),
        format: Format::Wfdb,
        reason,
    };
    // The signals of one file follow each other in the header, and their samples take turns.
    let together: Vec<usize> = (0..header.signals.len())
        .filter(|&other| header.signals[other].file == signal.file)
        .collect();
    if together
        .iter()
        .any(|&other| (header.signals[other].format, header.signals[other].offset) != (signal.format, signal.offset))
    {
        return Err(malformed("its signals have different formats or offsets".into()));
    }
    let turn = together.iter().position(|&other| other == number).unwrap_or(0);
    let decode = decoder(signal.format)
        .ok_or_else(|| malformed(format!("its format is {}, expected 16, 24, 32, 61, 80 or 212", signal.format)))?;
    let bytes = content(&file, signal, header.samples.map(|samples| (samples, together.len())))?;
    let available = samples_in(signal.format, bytes.len()) / together.len();
    let samples = header.samples.map_or(available, |samples| samples as usize);
    if available < samples {
        return Err(malformed(format!(
            "expected {samples} samples of each of {} signals, found {available}",
            together.len()
        )));
    }
    let raw = (0..samples).map(|sample| decode(&bytes, sample * together.len() + turn));
    let sum = raw.clone().fold(0i16, |sum, value| sum.wrapping_add(value as i16));
    match signal.checksum {
        Some(expected) if expected != sum => Err(malformed(format!(
            "the samples of signal {} add up to {sum}, the header says {expected}",
            signal.name
        ))),
        _ => Ok(raw.map(|value| physical(signal, value)).collect()),
    }
}

fn content(file: &Path, signal: &Signal, expected: Option<(u64, usize)>) -> Result<Vec<u8>, DataError> {
    let most = match expected {
        None => u128::from(MAX_BYTES),
        // No format takes more than four bytes for a sample.
        Some((samples, signals)) => u128::from(samples) * signals as u128 * 4,
    };
    if most > u128::from(MAX_BYTES) {
        return Err(DataError::TooLarge {
            file: file.into(),
            what: "the announced signals".into(),
            actual: most,
            limit: MAX_BYTES,
        });
    }
    let mut bytes = Vec::new();
    let mut stream = input::open(file)?;
    let io = |error| input::read_error(file, Format::Wfdb, error);
    std::io::copy(&mut (&mut stream).take(signal.offset), &mut std::io::sink()).map_err(io)?;
    stream.take(most as u64).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// How to read the sample with a number, counted over all signals of a file.
fn decoder(format: u16) -> Option<fn(&[u8], usize) -> i32> {
    Some(match format {
        16 => |bytes, number| i16::from_le_bytes([bytes[2 * number], bytes[2 * number + 1]]).into(),
        61 => |bytes, number| i16::from_be_bytes([bytes[2 * number], bytes[2 * number + 1]]).into(),
        24 => |bytes, number| {
            let at = 3 * number;
            i32::from_le_bytes([0, bytes[at], bytes[at + 1], bytes[at + 2]]) >> 8
        },
        32 => |bytes, number| {
            let at = 4 * number;
            i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        },
        80 => |bytes, number| i32::from(bytes[number]) - 128,
        212 => |bytes, number| {
            // Two samples of 12 bits in three bytes; the middle byte holds the high bits of both.
            let at = number / 2 * 3;
            let (low, high) = match number % 2 {
                0 => (bytes[at], bytes[at + 1] & 0x0f),
                _ => (bytes[at + 2], bytes[at + 1] >> 4),
            };
            (i32::from(high) << 28 | i32::from(low) << 20) >> 20
        },
        _ => return None,
    })
}

fn samples_in(format: u16, bytes: usize) -> usize {
    match format {
        16 | 61 => bytes / 2,
        24 => bytes / 3,
        32 => bytes / 4,
        // The last pair may lack its second sample.
        212 => bytes / 3 * 2 + usize::from(bytes % 3 == 2),
        _ => bytes,
    }
}

fn physical(signal: &Signal, value: i32) -> f32 {
    let invalid = match signal.format {
        16 | 61 => -1 << 15,
        24 => -1 << 23,
        32 => i32::MIN,
        80 => -1 << 7,
        _ => -1 << 11,
    };
    match value == invalid {
        true => f32::NAN,
        false => ((f64::from(value) - f64::from(signal.baseline)) / signal.gain) as f32,
    }
}
