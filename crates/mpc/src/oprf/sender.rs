//! The party with the key.

use super::{COLUMNS, Hashes, MAX_SET, Output, ROW, table::Row};
use crate::{
    Bits, MpcError, Session,
    ids::Id,
    prg::Prg,
    transfer::base,
    transposition::{Columns, TILE},
    wire::{expect_count, expect_length, words},
};
use zeroize::Zeroize;

/// The sender while the table comes. Wiped on drop.
pub struct Sender {
    streams: Vec<Prg>,
    choices: Bits,
    hashes: Hashes,
    /// Rows of Q.
    rows: Vec<Row<ROW>>,
}

impl Sender {
    /// Step 2, on the announcement of [`super::ReceiverSetup::new`] by a receiver of `receiver_ids` ids: the sender, and its points.
    ///
    /// # Errors
    /// [`MpcError::Count`], [`MpcError::Length`], [`MpcError::Point`].
    pub fn new(session: &Session, receiver_ids: usize, announcement: &[u8]) -> Result<(Self, Vec<u8>), MpcError> {
        expect_count("ids", receiver_ids, 1, MAX_SET)?;
        let choices = Bits::random(COLUMNS, &mut session.stream("oprf: columns"));
        let (pads, points) = base::receive(session, &choices, announcement)?;
        let sender = Self {
            streams: pads.iter().map(|pad| Prg::new(*pad)).collect(),
            choices,
            hashes: Hashes::new(session, receiver_ids),
            rows: Vec::new(),
        };
        Ok((sender, points))
    }

    /// Step 5, on every chunk of [`super::Receiver::next_chunk`].
    ///
    /// # Errors
    /// [`MpcError::Length`], also when nothing is due any more.
    pub fn accept(&mut self, chunk: &[u8]) -> Result<(), MpcError> {
        let first = self.rows.len();
        let count = (self.hashes.layout.slots() - first).min(TILE);
        expect_length(chunk, count * COLUMNS / 8)?;
        let mut columns = Columns::new(COLUMNS);
        for (i, stream) in self.streams.iter().enumerate() {
            stream.fill((first / 128) as u64, columns.column(i));
        }
        self.rows.resize(first + count, [0; ROW]);
        let rows = self.rows[first..].as_flattened_mut();
        columns.write_rows(rows);
        let masks = self.choices.words().iter().cycle();
        for ((word, received), mask) in rows.iter_mut().zip(words(chunk)).zip(masks) {
            *word ^= received & mask;
        }
        Ok(())
    }

    /// Whether the whole table has come.
    pub fn is_complete(&self) -> bool {
        self.rows.len() == self.hashes.layout.slots()
    }

    /// The function at each of `ids`.
    ///
    /// # Errors
    /// [`MpcError::Turn`] before the last chunk.
    pub fn outputs(&self, ids: &[Id]) -> Result<Vec<Output>, MpcError> {
        if !self.is_complete() {
            return Err(MpcError::Turn {
                expected: "the receiver's whole table",
            });
        }
        Ok(self.hashes.outputs(ids, &self.rows, |id, row| {
            let code = self.hashes.code(id);
            let masked = code.iter().zip(self.choices.words()).map(|(code, mask)| code & mask);
            row.iter_mut().zip(masked).for_each(|(row, masked)| *row ^= masked);
        }))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.rows.as_flattened_mut().zeroize();
    }
}
