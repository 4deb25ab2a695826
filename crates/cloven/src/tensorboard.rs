//! Metrics as a TensorBoard event file: the format is small enough to be written here (a record is a length, two masked CRC-32C and a
//! protocol-buffer message of three fields).

use std::{
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use crate::{Error, Report, files};

impl Report {
    /// Writes the metrics by epoch as `FOLDER/RUN/events.out.tfevents.*`; the same run gives the same file again.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write_tensorboard(&self, folder: &Path) -> Result<PathBuf, Error> {
        let begun = self.begun()?;
        let mut out = record(&event(begun, 0, &[text_field(3, b"brain.Event:2")]));
        let mut at = begun;
        for row in &self.facts.epochs {
            at += row.seconds;
            let mut scalars: Vec<(String, f64)> = vec![
                ("epoch/seconds".into(), row.seconds),
                ("epoch/bytes".into(), row.bytes as f64),
            ];
            scalars.extend(row.loss.iter().map(|(party, loss)| (format!("loss/training {party}"), *loss)));
            scalars.extend(row.test_loss.map(|loss| ("loss/test".into(), loss)));
            scalars.extend(row.accuracy.map(|accuracy| ("accuracy/test".into(), accuracy)));
            scalars.extend(row.subsets.iter().map(|(name, a)| (format!("accuracy/test {name}"), *a)));
            let values: Vec<u8> = scalars
                .iter()
                .flat_map(|(tag, value)| text_field(1, &scalar(tag, *value as f32)))
                .collect();
            out.extend(record(&event(at, row.epoch.into(), &[text_field(5, &values)])));
        }
        let path = folder
            .join(&self.name)
            .join(format!("events.out.tfevents.{:010}.cloven", begun as u64));
        files::write(&path, &out, false)?;
        Ok(path)
    }

    /// When the run began: when its job was written. Seconds since 1970.
    fn begun(&self) -> Result<f64, Error> {
        let path = self.folder.join("job.toml");
        let modified = std::fs::metadata(&path)
            .and_then(|m| m.modified())
            .map_err(Error::file(&path))?;
        Ok(modified.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()))
    }
}

/// `Event`: wall_time = 1 (double), step = 2 (varint), and other fields.
fn event(wall_time: f64, step: u64, fields: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![1 << 3 | 1];
    out.extend_from_slice(&wall_time.to_le_bytes());
    out.push(2 << 3);
    put_varint(&mut out, step);
    fields.iter().for_each(|field| out.extend_from_slice(field));
    out
}

/// `Summary.Value`: tag = 1, simple_value = 2 (float).
fn scalar(tag: &str, value: f32) -> Vec<u8> {
    let mut out = text_field(1, tag.as_bytes());
    out.push(2 << 3 | 5);
    out.extend_from_slice(&value.to_le_bytes());
    out
}

/// A field of text, bytes or a message.
fn text_field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    put_varint(&mut out, content.len() as u64);
    out.extend_from_slice(content);
    out
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A TFRecord.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let parts = [&length[..], &masked(&length).to_le_bytes(), data, &masked(data).to_le_bytes()];
    parts.concat()
}

fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: event files are small.
fn crc32c(data: &[u8]) -> u32 {
    let step = |crc: u32| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
    !data
        .iter()
        .fold(!0u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // The check value of CRC-32C, and one of RFC 3720.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn records_are_framed_and_fields_are_numbered() {
        assert_eq!(scalar("ab", 1.0), [0x0a, 2, b'a', b'b', 0x15, 0, 0, 0x80, 0x3f]);
        let event = event(0.0, 300, &[]);
        assert_eq!(event, [0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0xac, 0x02]);
        let record = record(&event);
        assert_eq!(record.len(), 8 + 4 + event.len() + 4);
        assert_eq!(record[..8], 12u64.to_le_bytes());
    }
}
