//! Three and more parties: only ids common to *all* are learnt, whichever parties but one put together what they saw.
//!
//! Before: for each ordered pair i -> j the oblivious function runs with j's ids at j and the key at i ([`crate::oprf`], each in a [`Session::child`] of its own).
//! 1. Zero-sharing: party i draws for each of its ids words that sum to zero, one for each party, and programs the word of j into a table for j
//!    ([`Party::share`] -> [`Party::accept_share`]). The table holds word ^ F(id): at other ids it decodes to something random.
//! 2. Everyone adds up its own word and what it decoded at its ids. Party 0 gets the sums of the others the same way, under the second word of F
//!    ([`Party::sum`] -> [`Party::accept_sum`]). They cancel exactly at ids that all have, else with probability 2^-128 each.
//! 3. Party 0 tells the others: digests of the common ids under a fresh key, in increasing order ([`Party::finish`] -> [`Party::learn`]).

use super::Intersection;
use crate::{
    MpcError, Session,
    ids::Id,
    oprf::{MAX_SET, Output, table::Layout},
    wire::{WORD, expect_count, expect_equal, expect_length, put_words, words as read_words},
};
use rand::Rng;
use rayon::prelude::*;
use std::collections::HashMap;
use zeroize::Zeroizing;

/// The most parties.
pub const MAX_PARTIES: usize = 64;
const KEY: usize = 32;

/// One party.
pub struct Party {
    session: Session,
    index: usize,
    sizes: Vec<usize>,
    ids: Vec<Id>,
    /// What has been added up at each id.
    sums: Zeroizing<Vec<u128>>,
    shared: Vec<bool>,
    accepted: Vec<bool>,
    summed: Vec<bool>,
}

impl Party {
    /// Party `index` with distinct `ids`, where party j has `sizes[j]` ids. The session is the same context at all parties.
    ///
    /// # Errors
    /// [`MpcError::Count`] for fewer than two or more than [`MAX_PARTIES`] parties, sizes of zero or beyond [`MAX_SET`]; [`MpcError::Mismatch`] when
    /// `ids` are not as many as the sizes say.
    pub fn new(session: &Session, index: usize, sizes: &[usize], ids: Vec<Id>) -> Result<Self, MpcError> {
        expect_count("parties", sizes.len(), 2, MAX_PARTIES)?;
        expect_count("as a party's number", index, 0, sizes.len() - 1)?;
        sizes.iter().try_for_each(|size| expect_count("ids", *size, 1, MAX_SET))?;
        expect_equal("ids", ids.len(), sizes[index])?;
        let none = |own: bool| (0..sizes.len()).map(|j| own && j == index).collect::<Vec<_>>();
        let mut party = Self {
            session: session.child(b"multiparty intersection"),
            index,
            sizes: sizes.to_vec(),
            sums: Zeroizing::new(vec![0; ids.len()]),
            ids,
            shared: none(true),
            accepted: none(true),
            summed: none(true),
        };
        for other in (0..sizes.len()).filter(|other| *other != index) {
            let words = party.words_for(other);
            party.sums.iter_mut().zip(&*words).for_each(|(sum, word)| *sum ^= word);
        }
        Ok(party)
    }

    /// Step 1: the table for party `to`, from the function at this party's ids under its key towards `to`.
    ///
    /// # Errors
    /// [`MpcError::Count`], [`MpcError::Mismatch`], [`MpcError::Table`].
    pub fn share(&mut self, to: usize, outputs: &[Output]) -> Result<Vec<u8>, MpcError> {
        self.check(to, outputs)?;
        let words = self.words_for(to);
        let table = self.table("share", self.index, to, outputs, 0, &words)?;
        self.shared[to] = true;
        Ok(table)
    }

    /// Step 1 at the other end, with the function at this party's ids under the key of `from`.
    ///
    /// # Errors
    /// [`MpcError::Count`], [`MpcError::Mismatch`], [`MpcError::Length`]; [`MpcError::Turn`] for a second table of one party.
    pub fn accept_share(&mut self, from: usize, outputs: &[Output], table: &[u8]) -> Result<(), MpcError> {
        self.check(from, outputs)?;
        once(self.accepted[from])?;
        self.add("share", from, outputs, 0, table)?;
        self.accepted[from] = true;
        Ok(())
    }

    /// Step 2, at all but party 0: the table of sums for party 0. `outputs` as for [`Party::share`] to party 0.
    ///
    /// # Errors
    /// As [`Party::share`]; [`MpcError::Turn`] at party 0 or before step 1 is done with every party.
    pub fn sum(&self, outputs: &[Output]) -> Result<Vec<u8>, MpcError> {
        self.check(0, outputs)?;
        self.first_step_done()?;
        self.table("sum", self.index, 0, outputs, 1, &self.sums)
    }

    /// Step 2 at party 0. `outputs` as for [`Party::accept_share`].
    ///
    /// # Errors
    /// As [`Party::accept_share`]; [`MpcError::Turn`] elsewhere than at party 0 or before step 1 is done.
    pub fn accept_sum(&mut self, from: usize, outputs: &[Output], table: &[u8]) -> Result<(), MpcError> {
        self.only_first()?;
        self.check(from, outputs)?;
        self.first_step_done()?;
        once(self.summed[from])?;
        self.add("sum", from, outputs, 1, table)?;
        self.summed[from] = true;
        Ok(())
    }

    /// Step 3 at party 0: the common ids, and the message for all others.
    ///
    /// # Errors
    /// [`MpcError::Turn`] before all sums have come.
    pub fn finish(self) -> Result<(Intersection, Vec<u8>), MpcError> {
        self.only_first()?;
        if self.summed.contains(&false) {
            return Err(MpcError::Turn {
                expected: "the sum of every party",
            });
        }
        let mut message = vec![0; KEY];
        self.session.stream("order").fill_bytes(&mut message);
        let digest = order(&message);
        let mut common: Vec<(u128, usize)> = (0..self.ids.len())
            .filter(|i| self.sums[*i] == 0)
            .map(|i| (digest(&self.ids[i]), i))
            .collect();
        common.sort_unstable();
        let digests: Vec<u128> = common.iter().map(|(digest, _)| *digest).collect();
        put_words(&mut message, &digests);
        let places = common.into_iter().map(|(_, place)| place).collect();
        Ok((Intersection { places }, message))
    }

    /// Step 3 at the others, on the message of [`Party::finish`].
    ///
    /// # Errors
    /// [`MpcError::Length`] when the message is none; [`MpcError::Invalid`] for an id that this party does not have, or twice, or out of order.
    pub fn learn(self, message: &[u8]) -> Result<Intersection, MpcError> {
        let most = self.sizes.iter().min().copied().unwrap_or_default();
        let count = message.len().saturating_sub(KEY) / WORD;
        expect_length(message, KEY + WORD * count.min(most))?;
        let digest = order(message);
        let own: HashMap<u128, usize> = self.ids.iter().map(digest).zip(0..).collect();
        let mut last = None;
        let place = |(index, digest): (usize, u128)| {
            let sound = last.replace(digest).is_none_or(|last| last < digest);
            let place = own.get(&digest).copied().filter(|_| sound);
            place.ok_or(MpcError::Invalid { what: "an id", index })
        };
        let places = read_words(&message[KEY..]).enumerate().map(place).collect::<Result<_, _>>()?;
        Ok(Intersection { places })
    }

    fn words_for(&self, to: usize) -> Zeroizing<Vec<u128>> {
        let mut words = Zeroizing::new(vec![0u128; self.ids.len()]);
        let mut stream = self.session.stream(&format!("zero shares: party {to}"));
        stream.fill_bytes(bytemuck::cast_slice_mut(&mut words));
        words
    }

    fn layout(&self, step: &str, from: usize, to: usize) -> Layout {
        let key = self.session.public_key(&format!("{step} table: party {from} to {to}"));
        Layout::new(self.sizes[from], key)
    }

    fn table(
        &self,
        step: &str,
        from: usize,
        to: usize,
        outputs: &[Output],
        part: usize,
        words: &[u128],
    ) -> Result<Vec<u8>, MpcError> {
        let mut free = self.session.stream(&format!("{step} table: free slots for party {to}"));
        let value = |i: usize| [words[i] ^ outputs[i][part]];
        let rows = self.layout(step, from, to).encode(&self.ids, value, &mut free)?;
        let mut message = Vec::with_capacity(rows.len() * WORD);
        put_words(&mut message, rows.as_flattened());
        Ok(message)
    }

    fn add(&mut self, step: &str, from: usize, outputs: &[Output], part: usize, table: &[u8]) -> Result<(), MpcError> {
        let layout = self.layout(step, from, self.index);
        expect_length(table, layout.slots() * WORD)?;
        let rows: Vec<[u128; 1]> = read_words(table).map(|word| [word]).collect();
        let sums = self.sums.par_iter_mut().with_min_len(1024);
        sums.zip(&self.ids)
            .zip(outputs)
            .for_each(|((sum, id), output)| *sum ^= layout.decode(&rows, id)[0] ^ output[part]);
        Ok(())
    }

    fn check(&self, other: usize, outputs: &[Output]) -> Result<(), MpcError> {
        expect_count("as a party's number", other, 0, self.sizes.len() - 1)?;
        if other == self.index {
            return Err(MpcError::Turn {
                expected: "another party",
            });
        }
        expect_equal("outputs", outputs.len(), self.ids.len())
    }

    fn first_step_done(&self) -> Result<(), MpcError> {
        match self.shared.iter().chain(&self.accepted).all(|done| *done) {
            true => Ok(()),
            false => Err(MpcError::Turn {
                expected: "sharing with every party",
            }),
        }
    }

    fn only_first(&self) -> Result<(), MpcError> {
        match self.index {
            0 => Ok(()),
            _ => Err(MpcError::Turn { expected: "party 0" }),
        }
    }
}

fn once(done: bool) -> Result<(), MpcError> {
    match done {
        true => Err(MpcError::Turn {
            expected: "another party's table",
        }),
        false => Ok(()),
    }
}

/// The digest that ids are sorted by, under the key that `message` begins with.
fn order(message: &[u8]) -> impl Fn(&Id) -> u128 + use<> {
    let mut key = [0; KEY];
    key.copy_from_slice(&message[..KEY]);
    move |id| read_words(blake3::keyed_hash(&key, id).as_bytes()).next().unwrap_or_default()
}
