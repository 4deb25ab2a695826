//! The view of a server that was sent all rows before the first batch.

use std::collections::BTreeMap;

use cloven_wire::recording::Received;
use ndarray::Array2;

use super::{Seen, View, bytes, wrong};
use crate::AuditError;

/// Of the ciphertexts of a row, so many bytes are looked at, the first ones: the attacks' work grows with them.
const MOST_BYTES: usize = 4096;

/// What an upload holds.
#[derive(Debug, Clone, Copy)]
pub struct Upload<'a> {
    /// Bytes of a row.
    pub row_len: usize,
    /// For each row that is trained on, in the order of training, its place in the upload.
    pub order: &'a [usize],
}

impl View {
    /// As [`View::read`], for a server to which the rows were uploaded: the integers of `samples` in the clear, or `encrypted rows`. A batch's gradient is
    /// the first ciphertext that is sent on its way back (`encrypted step`, `encrypted delta`).
    ///
    /// # Errors
    /// As [`View::read`].
    pub fn read_with_upload<E: Into<AuditError>>(
        messages: impl IntoIterator<Item = Result<Received, E>>,
        sizes: &[usize],
        upload: Upload<'_>,
    ) -> Result<Self, AuditError> {
        let mut rows = Rows::new(upload);
        let mut view = Self::default();
        let mut gradients = BTreeMap::new();
        for message in messages {
            let message = message.map_err(Into::into)?;
            let at = match message.round {
                0 => {
                    rows.take(&message)?;
                    continue;
                }
                round if round as usize > sizes.len() => break,
                round => round as usize - 1,
            };
            let payload = match message.name.as_str() {
                // Its first byte is a flag.
                "encrypted step" => message.payload.get(1..).unwrap_or_default(),
                "encrypted delta" => &message.payload,
                _ => continue,
            };
            gradients.entry(at).or_insert_with(|| first_bytes(payload, sizes[at]));
            if view.gradient_in.is_empty() {
                view.gradient_in = message.name;
            }
        }
        (view.activation_in, view.uploaded) = (rows.name.clone(), true);
        let mut first = 0;
        for (at, size) in sizes.iter().enumerate() {
            let (Some(activation), gradient) = (rows.seen(first..first + size), gradients.remove(&at)) else {
                break;
            };
            if gradient.is_none() {
                break;
            }
            first += size;
            view.batches.push(super::Batch {
                activation: Some(activation),
                gradient: gradient.map(Seen::Bytes),
                ..super::Batch::default()
            });
        }
        Ok(view)
    }
}

/// The rows of an upload that are trained on.
struct Rows<'a> {
    upload: Upload<'a>,
    /// The message that they came in.
    name: String,
    /// By place in the upload.
    kept: BTreeMap<usize, Option<Vec<u8>>>,
    /// Rows so far.
    come: usize,
}

impl<'a> Rows<'a> {
    fn new(upload: Upload<'a>) -> Self {
        Self {
            upload,
            name: String::new(),
            kept: upload.order.iter().map(|place| (*place, None)).collect(),
            come: 0,
        }
    }

    fn take(&mut self, message: &Received) -> Result<(), AuditError> {
        if !["samples", "encrypted rows"].contains(&message.name.as_str()) {
            return Ok(());
        }
        let row_len = self.upload.row_len;
        if row_len == 0 || !message.payload.len().is_multiple_of(row_len) {
            let got = format!("{} bytes", message.payload.len());
            return Err(wrong(message, format!("rows of {row_len} bytes"), got));
        }
        self.name.clone_from(&message.name);
        let most = if self.in_the_clear() {
            row_len
        } else {
            MOST_BYTES.min(row_len)
        };
        for row in message.payload.chunks(row_len) {
            if let Some(kept) = self.kept.get_mut(&self.come) {
                *kept = Some(row[..most].to_vec());
            }
            self.come += 1;
        }
        Ok(())
    }

    fn in_the_clear(&self) -> bool {
        self.name == "samples"
    }

    /// What came of these rows, numbered in the order of training; `None` if any did not.
    fn seen(&self, rows: std::ops::Range<usize>) -> Option<Seen> {
        let places = self.upload.order.get(rows)?;
        let rows: Option<Vec<&[u8]>> = places.iter().map(|place| self.kept.get(place)?.as_deref()).collect();
        let (rows, count) = (rows?.concat(), places.len());
        if !self.in_the_clear() {
            return Some(Seen::Bytes(bytes(&rows, count)));
        }
        let integers = rows
            .chunks_exact(2)
            .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])));
        let integers: Vec<f32> = integers.collect();
        let width = integers.len() / count.max(1);
        Array2::from_shape_vec((count, width), integers).ok().map(Seen::Numbers)
    }
}

/// Each row's part of a ciphertext by position, or its beginning.
fn first_bytes(payload: &[u8], rows: usize) -> Array2<f32> {
    let all = payload.len() / rows.max(1);
    let parts = payload.chunks(all.max(1)).take(rows);
    let short: Vec<&[u8]> = parts.map(|part| &part[..part.len().min(MOST_BYTES)]).collect();
    bytes(&short.concat(), rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, round: u64, payload: Vec<u8>) -> Result<Received, AuditError> {
        Ok(Received {
            peer: "hospital".parse().unwrap(),
            name: name.into(),
            kind: 2,
            round,
            payload,
        })
    }

    fn samples(rows: std::ops::Range<i16>) -> Vec<u8> {
        rows.flat_map(|row| [row, -row].map(i16::to_le_bytes).concat()).collect()
    }

    const ORDER: [usize; 4] = [3, 0, 4, 1];

    #[test]
    fn uploaded_rows_are_put_into_the_order_of_training() {
        let messages = [
            message("key", 0, vec![0; 16]),
            message("samples", 0, samples(0..3)),
            message("samples", 0, samples(3..6)),
            message("encrypted step", 1, vec![9; 1 + 2 * 5000]),
            message("encrypted delta", 2, vec![7; 60]),
            message("encrypted delta", 2, vec![8; 2]),
            message("encrypted step", 9, vec![]),
        ];
        let upload = Upload {
            row_len: 4,
            order: &ORDER,
        };
        let view = View::read_with_upload(messages, &[2, 2], upload).unwrap();
        assert_eq!(
            (view.activation_in.as_str(), view.gradient_in.as_str()),
            ("samples", "encrypted step")
        );
        let rows = |at: usize| view.batches[at].activation.clone().unwrap();
        assert_eq!(rows(0), Seen::Numbers(ndarray::arr2(&[[3.0, -3.0], [0.0, 0.0]])));
        assert_eq!(rows(1), Seen::Numbers(ndarray::arr2(&[[4.0, -4.0], [1.0, -1.0]])));
        let gradient = |at: usize| view.batches[at].gradient.clone().unwrap();
        assert_eq!(gradient(0).values().dim(), (2, MOST_BYTES));
        assert_eq!(gradient(1), Seen::Bytes(bytes(&[7; 60], 2)));
    }

    /// Ciphertexts are bytes; what was not recorded ends the view; other lengths are named.
    #[test]
    fn ciphertexts_gaps_and_damage() {
        let read = |messages: Vec<Result<Received, AuditError>>, row_len| {
            let upload = Upload { row_len, order: &ORDER };
            View::read_with_upload(messages, &[2, 2], upload)
        };
        let uploaded = |rows: usize| message("encrypted rows", 0, (0..rows * 10).map(|i| i as u8).collect());
        let delta = |round| message("encrypted delta", round, vec![1; 20]);
        let view = read(vec![uploaded(5), delta(1), delta(2)], 10).unwrap();
        let third: Vec<u8> = (30..40).chain(0..10).collect();
        assert_eq!(view.batches[0].activation, Some(Seen::Bytes(bytes(&third, 2))));
        assert_eq!(view.batches.len(), 2);
        // Row 4 did not come; there is no second batch.
        assert_eq!(read(vec![uploaded(4), delta(1), delta(2)], 10).unwrap().batches.len(), 1);
        assert_eq!(read(vec![uploaded(5), delta(1)], 10).unwrap().batches.len(), 1);
        let error = read(vec![uploaded(5)], 7).unwrap_err().to_string();
        assert!(
            error.contains("encrypted rows of round 0") && error.contains("50 bytes"),
            "{error}"
        );
        assert!(read(vec![uploaded(5)], 0).is_err());
    }
}
