//! Shares of zero from pairwise seeds (Cramer, Damgard, Ishai, TCC 2005, for the sum of all parties): for each two parties one adds and the other
//! subtracts the same pseudorandom matrix.

use super::{Matrix, WordStream};
use crate::{
    MpcError, Session,
    boolean::{MAX_PARTIES, Seed},
    circuit::Party,
    wire::{expect_count, expect_equal, expect_length},
};
use rand::Rng;
use std::collections::HashSet;
use zeroize::Zeroizing;

const SEED: &str = "cloven mpc 2026 pairwise seed";
const PURPOSE: &str = "cloven mpc 2026 zero share purpose";
const ZERO: &str = "cloven mpc 2026 zero share";

/// A party that has sent its halves of the seeds.
pub struct PairwiseSetup {
    party: Party,
    parties: usize,
    context: [u8; 32],
    halves: Vec<Seed>,
}

/// A secret in common with each other party. Wiped on drop.
pub struct PairwiseSeeds {
    party: Party,
    /// Of each other party, in order.
    seeds: Vec<(u8, Seed)>,
    purposes: HashSet<String>,
}

/// A party's shares of zero for one purpose, by index. Wiped on drop.
pub struct ZeroShares {
    party: Party,
    seeds: Vec<(u8, Seed)>,
    next: u64,
}

impl PairwiseSetup {
    /// Begins; gives 32 secret bytes for each other party, in order, over a link that only that party can read. The session's context is the same at
    /// all parties.
    ///
    /// # Errors
    /// [`MpcError::Count`] for fewer than two or more than [`MAX_PARTIES`] parties, or a number that is none of theirs.
    pub fn start(session: &Session, party: Party, parties: usize) -> Result<(Self, Vec<Seed>), MpcError> {
        expect_count("parties", parties, 2, MAX_PARTIES)?;
        expect_count("as the party's number", party.0.into(), 0, parties - 1)?;
        let mut stream = session.stream("pairwise seeds");
        let halves: Vec<Seed> = (1..parties)
            .map(|_| {
                let mut half = Zeroizing::new([0; 32]);
                stream.fill_bytes(&mut *half);
                half
            })
            .collect();
        let setup = Self {
            party,
            parties,
            context: session.public_key("pairwise seeds"),
            halves: halves.clone(),
        };
        Ok((setup, halves))
    }

    /// Takes the 32 bytes of each other party, in order.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for another number of messages, [`MpcError::Length`].
    pub fn finish<M: AsRef<[u8]>>(self, messages: &[M]) -> Result<PairwiseSeeds, MpcError> {
        expect_equal("messages", messages.len(), self.parties - 1)?;
        let peers = (0..self.parties as u8).filter(|peer| *peer != self.party.0);
        let seed = |((peer, own), message): ((u8, &Seed), &M)| {
            let theirs = message.as_ref();
            expect_length(theirs, 32)?;
            let lower = self.party.0 < peer;
            let halves: [&[u8]; 2] = if lower { [&**own, theirs] } else { [theirs, &**own] };
            let mut hasher = blake3::Hasher::new_derive_key(SEED);
            hasher.update(&self.context).update(halves[0]).update(halves[1]);
            Ok((peer, Zeroizing::new(*hasher.finalize().as_bytes())))
        };
        let seeds = peers.zip(&self.halves).zip(messages).map(seed).collect::<Result<_, _>>()?;
        Ok(PairwiseSeeds {
            party: self.party,
            seeds,
            purposes: HashSet::new(),
        })
    }
}

impl PairwiseSeeds {
    /// The shares of zero for one purpose, which all parties name alike. Every purpose is asked for once.
    ///
    /// # Errors
    /// [`MpcError::Used`] for the second time.
    pub fn zero_shares(&mut self, purpose: &str) -> Result<ZeroShares, MpcError> {
        if !self.purposes.insert(purpose.to_owned()) {
            let (what, index) = ("the shares of zero for this purpose", 0);
            return Err(MpcError::Used { what, index });
        }
        let derive = |(peer, seed): &(u8, Seed)| {
            let mut hasher = blake3::Hasher::new_derive_key(PURPOSE);
            hasher.update(&**seed).update(purpose.as_bytes());
            (*peer, Zeroizing::new(*hasher.finalize().as_bytes()))
        };
        Ok(ZeroShares {
            party: self.party,
            seeds: self.seeds.iter().map(derive).collect(),
            next: 0,
        })
    }
}

impl ZeroShares {
    /// This party's share of the zero matrix that `index` names: the shares of all parties add up to zero, and to parties that put theirs together those of
    /// the others are uniform but for that. Indices only rise, so that none serves twice; some may be left out.
    ///
    /// # Errors
    /// [`MpcError::Used`] for an index that is not above the last one; [`MpcError::Count`] beyond [`Matrix::MAX_WORDS`].
    pub fn share(&mut self, index: u64, rows: usize, columns: usize) -> Result<Matrix, MpcError> {
        if index < self.next || index == u64::MAX {
            let what = "a share of zero";
            return Err(MpcError::Used { what, index });
        }
        let mut sum = Matrix::zeros(rows, columns)?;
        self.next = index + 1;
        for (peer, seed) in &self.seeds {
            let term = WordStream::new(ZERO, &**seed, &[&index.to_le_bytes()]).matrix(rows, columns)?;
            match self.party.0 < *peer {
                true => sum.add_assign(&term)?,
                false => sum.sub_assign(&term)?,
            }
        }
        Ok(sum)
    }
}
