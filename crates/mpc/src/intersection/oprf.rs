//! Two parties on the oblivious pseudorandom function: the sender sends short tags of F at its ids in increasing order, the receiver compares them with its own and
//! sends back which of them are common. The order of the tags is the order of the result.
//!
//! The function runs first ([`crate::oprf`], the receiver with its ids); then [`Sender::next_tags`] -> [`Receiver::accept`], until there are none, and [`Receiver::finish`] ->
//! [`Sender::finish`]. Tags are long enough that two different ids of the two sets have the same one with probability 2^-40.

use super::Intersection;
use crate::{
    MpcError,
    ids::Id,
    oprf::{self, MAX_SET},
    wire::{expect_count, expect_length},
};

/// Tags of a message; the last may have fewer.
const CHUNK: usize = 1 << 16;
/// Bits of tags beyond those that the numbers of ids take.
const STATISTICAL: usize = 40;

fn tag_bytes(ids: [usize; 2]) -> usize {
    let bits: u32 = ids.iter().map(|count| count.next_power_of_two().ilog2()).sum();
    (STATISTICAL + bits as usize).div_ceil(8)
}

/// The tag of every output with its place, in increasing order.
fn sorted_tags(outputs: Vec<oprf::Output>, bytes: usize) -> Vec<(u128, u32)> {
    let mask = (1 << (8 * bytes)) - 1;
    let mut tags: Vec<_> = outputs.into_iter().map(|[word, _]| word & mask).zip(0..).collect();
    tags.sort_unstable();
    tags
}

/// The party with the function's key.
pub struct Sender {
    tags: Vec<(u128, u32)>,
    bytes: usize,
    sent: usize,
}

impl Sender {
    /// After the function has run: the tags of this party's distinct `ids`, for a receiver of `receiver_ids`.
    ///
    /// # Errors
    /// [`MpcError::Count`]; [`MpcError::Turn`] before the receiver's table has come.
    pub fn new(function: &oprf::Sender, ids: &[Id], receiver_ids: usize) -> Result<Self, MpcError> {
        expect_count("ids", ids.len(), 1, MAX_SET)?;
        expect_count("ids of the receiver", receiver_ids, 1, MAX_SET)?;
        let bytes = tag_bytes([ids.len(), receiver_ids]);
        let tags = sorted_tags(function.outputs(ids)?, bytes);
        Ok(Self { tags, bytes, sent: 0 })
    }

    /// The next tags, until there are none.
    pub fn next_tags(&mut self) -> Option<Vec<u8>> {
        let tags = self.tags[self.sent..].chunks(CHUNK).next()?;
        self.sent += tags.len();
        Some(
            tags.iter()
                .flat_map(|(tag, _)| tag.to_le_bytes().into_iter().take(self.bytes))
                .collect(),
        )
    }

    /// The common ids, from the message of [`Receiver::finish`].
    ///
    /// # Errors
    /// [`MpcError::Length`]; [`MpcError::Invalid`] for a bit beyond the last tag.
    pub fn finish(self, message: &[u8]) -> Result<Intersection, MpcError> {
        expect_length(message, self.tags.len().div_ceil(8))?;
        let bit = |i: usize| message[i / 8] >> (i % 8) & 1 == 1;
        if let Some(index) = (self.tags.len()..8 * message.len()).find(|i| bit(*i)) {
            return Err(MpcError::Invalid { what: "a mark", index });
        }
        let common = self.tags.iter().enumerate().filter(|(i, _)| bit(*i));
        Ok(Intersection {
            places: common.map(|(_, (_, place))| *place as usize).collect(),
        })
    }
}

/// The party with the function's inputs.
pub struct Receiver {
    tags: Vec<(u128, u32)>,
    bytes: usize,
    sender_ids: usize,
    received: usize,
    last: Option<u128>,
    /// Place in `tags` up to which there was something smaller than the last tag received.
    cursor: usize,
    marks: Vec<u8>,
    places: Vec<usize>,
}

impl Receiver {
    /// After the function has run: ready for the tags of a sender of `sender_ids`.
    ///
    /// # Errors
    /// [`MpcError::Count`]; [`MpcError::Turn`] before the whole table was sent.
    pub fn new(function: &oprf::Receiver, sender_ids: usize) -> Result<Self, MpcError> {
        expect_count("ids of the sender", sender_ids, 1, MAX_SET)?;
        let bytes = tag_bytes([sender_ids, function.ids().len()]);
        Ok(Self {
            tags: sorted_tags(function.outputs()?, bytes),
            bytes,
            sender_ids,
            received: 0,
            last: None,
            cursor: 0,
            marks: vec![0; sender_ids.div_ceil(8)],
            places: Vec::new(),
        })
    }

    /// The next of the sender's tags.
    ///
    /// # Errors
    /// [`MpcError::Length`]; [`MpcError::Invalid`] when tags do not increase. The receiver is of no use after that.
    pub fn accept(&mut self, message: &[u8]) -> Result<(), MpcError> {
        let count = (self.sender_ids - self.received).min(CHUNK);
        expect_length(message, count * self.bytes)?;
        for (index, bytes) in message.chunks_exact(self.bytes).enumerate() {
            let tag = bytes.iter().rev().fold(0, |tag, byte| tag << 8 | u128::from(*byte));
            if self.last.is_some_and(|last| last >= tag) {
                return Err(MpcError::Invalid {
                    what: "the order of tags",
                    index,
                });
            }
            self.compare(tag);
            self.last = Some(tag);
            self.received += 1;
        }
        Ok(())
    }

    fn compare(&mut self, tag: u128) {
        while self.tags.get(self.cursor).is_some_and(|(own, _)| *own < tag) {
            self.cursor += 1;
        }
        if let Some((own, place)) = self.tags.get(self.cursor)
            && *own == tag
        {
            self.marks[self.received / 8] |= 1 << (self.received % 8);
            self.places.push(*place as usize);
        }
    }

    /// Whether all tags have come.
    pub fn is_complete(&self) -> bool {
        self.received == self.sender_ids
    }

    /// The common ids, and the message that tells the sender.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] before all tags have come.
    pub fn finish(self) -> Result<(Intersection, Vec<u8>), MpcError> {
        crate::wire::expect_equal("tags", self.received, self.sender_ids)?;
        Ok((Intersection { places: self.places }, self.marks))
    }
}
