//! An oblivious pseudorandom function: the receiver gets F(x) for the ids of its set, the sender can compute F anywhere; semi-honest.
//!
//! Papers: Pinkas, Rosulek, Trieu, Yanai (EUROCRYPT 2020, "PaXoS") on a random-band table (Bienstock, Patel, Seo, Yeo, USENIX Security 2023) with the 512-bit
//! pseudorandom code of Kolesnikov, Kumaresan, Rosulek, Trieu (CCS 2016).
//!
//! The receiver fills a table D whose decoding at x is the code word C(x), and sends it through 512 correlated columns: T is random to it, the sender has Q = T ^ (s & D)
//! for its secret s. Decoding is linear, so Q decodes at x to that of T, and F(y) = H(y, Q(y) ^ (s & C(y))).
//! For y outside the set the receiver would need 128 or more bits of s: two independent 512-bit words are closer than that with probability 2^-96.
//!
//! | who | learns |
//! |---|---|
//! | sender | the number of the receiver's ids |
//! | receiver | F on its ids, and nothing about s or the sender's ids |
//!
//! Messages: 32 B to the sender, 16 KiB back, then 70 B for each id of the receiver, in chunks of 512 KiB. Ids are distinct 32-byte digests; the time of
//! a step depends on them. A table cannot be filled with probability below 2^-40: an error, to be answered with a new session.

mod receiver;
mod sender;
pub(crate) mod table;
#[cfg(test)]
mod tests;

pub use receiver::{Receiver, ReceiverSetup};
pub use sender::Sender;

use crate::{Session, ids::Id};
use rayon::prelude::*;
use table::{Layout, Row};
use zeroize::Zeroize;

/// The most ids of one set.
pub const MAX_SET: usize = 1 << 26;

/// Bits of the code, columns and base transfers.
const COLUMNS: usize = 512;
/// Words of a row.
const ROW: usize = COLUMNS / 128;

/// One value of the function: two independent words.
pub type Output = [u128; 2];

/// The public hashes of a session.
struct Hashes {
    layout: Layout,
    code: [u8; 32],
    output: [u8; 32],
}

impl Hashes {
    fn new(session: &Session, receiver_ids: usize) -> Self {
        Self {
            layout: Layout::new(receiver_ids, session.public_key("oprf: table")),
            code: session.public_key("oprf: code"),
            output: session.public_key("oprf: output"),
        }
    }

    fn code(&self, id: &Id) -> Row<ROW> {
        let mut row = [0; ROW];
        let mut hasher = blake3::Hasher::new_keyed(&self.code);
        hasher.update(id).finalize_xof().fill(bytemuck::cast_slice_mut(&mut row));
        row.map(u128::from_le)
    }

    fn output(&self, id: &Id, mut row: Row<ROW>) -> Output {
        let mut hasher = blake3::Hasher::new_keyed(&self.output);
        hasher.update(id);
        row.iter().for_each(|word| {
            hasher.update(&word.to_le_bytes());
        });
        row.zeroize();
        let bytes = *hasher.finalize().as_bytes();
        let mut words = crate::wire::words(&bytes);
        [0; 2].map(|_| words.next().unwrap_or_default())
    }

    /// The values of `rows` decoded at `ids`, after `change` has seen each.
    fn outputs(&self, ids: &[Id], rows: &[Row<ROW>], change: impl Fn(&Id, &mut Row<ROW>) + Sync) -> Vec<Output> {
        let value = |id: &Id| {
            let mut row = self.layout.decode(rows, id);
            change(id, &mut row);
            self.output(id, row)
        };
        ids.par_iter().with_min_len(1024).map(value).collect()
    }
}
