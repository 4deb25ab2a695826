//! Secure aggregation: the server adds up what several clients send and learns the sum only (after Bonawitz et al., "Practical Secure Aggregation",
//! CCS 2017, the variant for parties that stay).
//!
//! Every two clients agree on a key by X25519. The public keys go through the server, each signed with the key of its owner's certificate, which the other
//! clients pin; so the server cannot put its own in between. For sum number k, the client earlier in the alphabet adds a
//! stream of that key and k, the other subtracts it. Sums are modulo 2^64, of fixed-point numbers, so the masks cancel exactly and a result does not depend on them.
//!
//! A key pair lives as long as a connection, and k grows within it: no stream is ever used for two different vectors, also not after a restart.
//! Against the server together with all other clients nothing is hidden: they know the sum and its other parts.

use std::collections::BTreeMap;

use cloven_wire::{
    Party,
    tcp::{Identity, Roster},
};
use ndarray::ArrayD;
use rand::Rng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use crate::{ProtocolError, SignedKey};

/// Fractional bits of the fixed-point numbers.
const FRACTION: i32 = 40;
/// Their sums stay below this magnitude.
const LIMIT: f64 = (1u64 << 22) as f64;
/// What the keys are signed for.
const PURPOSE: &str = "mask key";

/// The clients of a job, as one of them knows them.
pub struct Fellows<'a> {
    /// This client's key and name.
    pub identity: &'a Identity,
    /// Pins the certificate of every other client.
    pub roster: &'a Roster,
    /// All clients, this one included.
    pub clients: Vec<Party>,
    /// The digest of the job.
    pub job: [u8; 32],
}

/// A client's secret mask key.
pub(super) struct MaskSecret(StaticSecret);

impl MaskSecret {
    pub(super) fn generate(rng: &mut impl Rng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *bytes);
        Self(StaticSecret::from(*bytes))
    }

    /// The public key, signed.
    pub(super) fn signed(&self, fellows: &Fellows<'_>) -> Result<SignedKey, ProtocolError> {
        SignedKey::sign(PURPOSE, fellows.job, fellows.identity, PublicKey::from(&self.0).to_bytes())
    }

    /// The masks shared with every other client; `keys` are those of all clients. A key that is not its owner's is an error that names the owner.
    pub(super) fn agree(self, fellows: &Fellows<'_>, keys: &BTreeMap<Party, SignedKey>) -> Result<PairMasks, Party> {
        let me = &fellows.identity.party;
        let others = fellows.clients.iter().filter(|client| *client != me);
        let pair = |other: &Party| {
            let theirs = keys
                .get(other)
                .filter(|theirs| theirs.is_of(other, PURPOSE, fellows.job, fellows.roster))
                .ok_or_else(|| other.clone())?;
            let shared = self.0.diffie_hellman(&PublicKey::from(theirs.key));
            // A key of small order gives the same secret with everybody.
            if !shared.was_contributory() {
                return Err(other.clone());
            }
            let seed = Zeroizing::new(blake3::derive_key(
                "cloven v1 secure aggregation mask of two clients",
                shared.as_bytes(),
            ));
            Ok((me < other, seed))
        };
        Ok(PairMasks {
            seeds: others.map(pair).collect::<Result<_, _>>()?,
            sums: 0,
        })
    }
}

/// The masks that a client shares with each other client.
pub(super) struct PairMasks {
    /// Whether this client adds the stream, and its seed.
    seeds: Vec<(bool, Zeroizing<[u8; 32]>)>,
    /// Sums so far.
    sums: u64,
}

impl PairMasks {
    /// Masks the next vector to be summed.
    pub(super) fn mask(&mut self, values: &mut [u64]) {
        self.sums += 1;
        let mut words = Zeroizing::new(vec![0; 8 * values.len()]);
        for (adds, seed) in &self.seeds {
            let mut hasher = blake3::Hasher::new_keyed(seed);
            hasher.update(&self.sums.to_le_bytes());
            hasher.finalize_xof().fill(&mut words);
            hasher.zeroize();
            for (value, word) in values.iter_mut().zip(words.as_chunks().0) {
                let word = u64::from_le_bytes(*word);
                *value = if *adds {
                    value.wrapping_add(word)
                } else {
                    value.wrapping_sub(word)
                };
            }
        }
    }
}

/// Fixed-point numbers of `share` times the values, one array after the other.
pub(super) fn to_fixed(arrays: &[ArrayD<f32>], share: f64) -> Result<Vec<u64>, ProtocolError> {
    let fixed = |value: &f32| {
        let value = f64::from(*value) * share;
        match value.abs() < LIMIT {
            true => Ok((value * 2f64.powi(FRACTION)).round() as i64 as u64),
            false => Err(ProtocolError::Model(cloven_nn::ModelError::Diverged { what: "an update" })),
        }
    };
    arrays.iter().flatten().map(fixed).collect()
}

/// Adds summed fixed-point numbers to the arrays.
pub(super) fn add_fixed<'a>(arrays: impl Iterator<Item = &'a mut ArrayD<f32>>, sums: &[u64]) {
    let values = sums.iter().map(|sum| (*sum as i64 as f64 * 2f64.powi(-FRACTION)) as f32);
    arrays
        .flat_map(|array| array.iter_mut())
        .zip(values)
        .for_each(|(u, v)| *u += v);
}

#[cfg(test)]
mod tests;
