//! The party with the inputs.

use super::{COLUMNS, Hashes, MAX_SET, Output, ROW, table::Row};
use crate::{
    MpcError, Session,
    ids::Id,
    prg::Prg,
    transfer::base,
    transposition::{COLUMN, Columns, TILE},
    wire::{expect_count, put_words},
    words,
};
use zeroize::Zeroize;

/// The receiver before the sender's points have come.
pub struct ReceiverSetup {
    base: base::Sender,
    hashes: Hashes,
    table: Vec<Row<ROW>>,
    ids: Vec<Id>,
}

impl ReceiverSetup {
    /// Step 1: fills the table of the receiver's distinct ids, and announces.
    ///
    /// # Errors
    /// [`MpcError::Count`] with no ids or beyond [`MAX_SET`]; [`MpcError::Table`] when ids repeat, else once in 2^40 sessions.
    pub fn new(session: &Session, ids: Vec<Id>) -> Result<(Self, Vec<u8>), MpcError> {
        expect_count("ids", ids.len(), 1, MAX_SET)?;
        let hashes = Hashes::new(session, ids.len());
        let table = hashes
            .layout
            .encode(&ids, |i| hashes.code(&ids[i]), &mut session.stream("oprf: free slots"))?;
        let (base, message) = base::Sender::new(session);
        Ok((
            Self {
                base,
                hashes,
                table,
                ids,
            },
            message,
        ))
    }

    /// Step 3, on the points of [`super::Sender::new`].
    ///
    /// # Errors
    /// [`MpcError::Length`], [`MpcError::Point`].
    pub fn finish(self, points: &[u8]) -> Result<Receiver, MpcError> {
        let pads = self.base.finish(COLUMNS, points)?;
        Ok(Receiver {
            streams: pads.iter().map(|pair| pair.map(Prg::new)).collect(),
            hashes: self.hashes,
            rows: self.table,
            ids: self.ids,
            sent: 0,
        })
    }
}

/// The receiver while it sends its table. Wiped on drop.
pub struct Receiver {
    streams: Vec<[Prg; 2]>,
    hashes: Hashes,
    /// Rows of T where they were sent, of D where not yet.
    rows: Vec<Row<ROW>>,
    ids: Vec<Id>,
    sent: usize,
}

impl Receiver {
    /// Step 4, until there is none: the next chunk for [`super::Sender::accept`].
    pub fn next_chunk(&mut self) -> Option<Vec<u8>> {
        let first = self.sent;
        let rows = self.rows[first..].chunks_mut(TILE).next()?;
        self.sent += rows.len();
        let (mut columns, mut other) = (Columns::new(COLUMNS), [0; COLUMN]);
        let mut row_words = vec![0; rows.len() * ROW];
        let position = (first / 128) as u64;
        for (i, [zero, one]) in self.streams.iter().enumerate() {
            zero.fill(position, columns.column(i));
            one.fill(position, &mut other);
            words::xor_assign(columns.column(i), &other);
        }
        columns.write_rows(&mut row_words);
        words::xor_assign(&mut row_words, bytemuck::cast_slice(rows));
        let mut message = Vec::with_capacity(row_words.len() * 16);
        put_words(&mut message, &row_words);
        for (i, [zero, _]) in self.streams.iter().enumerate() {
            zero.fill(position, columns.column(i));
        }
        columns.write_rows(bytemuck::cast_slice_mut(rows));
        other.zeroize();
        Some(message)
    }

    /// The function at each id, in their order.
    ///
    /// # Errors
    /// [`MpcError::Turn`] before the last chunk was made.
    pub fn outputs(&self) -> Result<Vec<Output>, MpcError> {
        if self.sent < self.rows.len() {
            return Err(MpcError::Turn {
                expected: "sending the whole table",
            });
        }
        Ok(self.hashes.outputs(&self.ids, &self.rows, |_, _| ()))
    }

    /// The ids.
    pub fn ids(&self) -> &[Id] {
        &self.ids
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.rows.as_flattened_mut().zeroize();
    }
}
