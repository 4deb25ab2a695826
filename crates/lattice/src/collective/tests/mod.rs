//! Every step with two to five parties against plain arithmetic, noise against its formula, repeated and other rounds, refusals.

mod linear;
mod noise;
mod steps;

use super::*;
use crate::{
    Ciphertext, PublicKey,
    linear::LinearShape,
    testing::{spread, words},
};

/// All parties of a collective, with its key.
pub(super) struct Parties {
    pub(super) collective: Collective,
    pub(super) secrets: Vec<PartySecret>,
    pub(super) reference: CommonReference,
    pub(super) public: PublicKey,
}

impl Parties {
    pub(super) fn new(parties: usize, ring_bits: u32, layers: &[LinearShape]) -> Self {
        Self::of(CollectiveSettings::new(parties, ring_bits), layers)
    }

    pub(super) fn of(settings: CollectiveSettings, layers: &[LinearShape]) -> Self {
        let parties = settings.parties;
        let collective = Collective::new(settings, layers).unwrap();
        let secrets: Vec<PartySecret> = (0..parties)
            .map(|party| PartySecret::new(&collective, &[party as u8 + 1; 32]))
            .collect();
        let reference = CommonReference::new([9; 32]);
        let shares: Vec<Vec<u8>> = secrets
            .iter()
            .map(|secret| collective.public_key_share(secret, &reference, b"key").unwrap())
            .collect();
        let public = collective.public_key(&reference, b"key", &shares).unwrap();
        Self {
            collective,
            secrets,
            reference,
            public,
        }
    }

    /// Enc(m) from its additive shares.
    pub(super) fn encrypt(&self, shares: &[Vec<u64>], index: u64) -> Ciphertext {
        let (collective, reference) = (&self.collective, &self.reference);
        let messages: Vec<Vec<u8>> = shares
            .iter()
            .zip(&self.secrets)
            .map(|(share, secret)| collective.encryption_share(share, secret, reference, b"m", index).unwrap())
            .collect();
        assert!(messages.iter().all(|message| message.len() == collective.share_len()));
        collective.encryption(reference, b"m", index, &messages).unwrap()
    }

    /// The compressed ciphertext, and its c1 as it is sent.
    pub(super) fn compress(&self, ciphertext: Ciphertext, wanted: &[usize]) -> (Compressed, Vec<u8>) {
        let bytes = self.collective.compress(ciphertext, wanted).unwrap();
        assert_eq!(bytes.len(), self.collective.compressed_len(wanted.len()));
        let compressed = self.collective.read_compressed(&bytes, wanted.len()).unwrap();
        let mut whole = Vec::new();
        self.collective.write_whole(&compressed, &mut whole);
        assert_eq!(whole, bytes[..self.collective.whole_len()]);
        (compressed, whole)
    }

    /// c0 + c1 s, as nobody could compute it: message and noise.
    pub(super) fn open(&self, ciphertext: &Ciphertext) -> cloven_ring::Poly<cloven_ring::Coefficients> {
        let mut sum = ciphertext.c0.clone().into_coefficients();
        for secret in &self.secrets {
            let part = Ciphertext {
                c0: cloven_ring::Poly::zero(self.collective.parameters.basis()),
                c1: ciphertext.c1.clone(),
            };
            sum.add_assign(&secret.secret.decrypt(&part).unwrap()).unwrap();
        }
        sum
    }

    /// The noise at `wanted` of a ciphertext of these messages, in units of 1/q.
    pub(super) fn noise(&self, ciphertext: &Ciphertext, wanted: &[usize], messages: &[u64]) -> Vec<f64> {
        let mut noisy = self.open(ciphertext);
        let exact = self
            .collective
            .encoding
            .encoded(wanted.iter().copied().zip(messages.iter().copied()));
        noisy.sub_assign(&exact).unwrap();
        let all = crate::crt::centred_floats(&noisy);
        wanted.iter().map(|&at| all[at]).collect()
    }
}

/// The sum of vectors modulo 2^bits.
pub(super) fn sum<'a>(shares: impl IntoIterator<Item = &'a Vec<u64>>, bits: u32) -> Vec<u64> {
    let mut shares = shares.into_iter();
    let mut sum = shares.next().unwrap().clone();
    for share in shares {
        sum.iter_mut().zip(share).for_each(|(a, b)| *a = a.wrapping_add(*b));
    }
    sum.into_iter().map(|word| word & ((1 << bits) - 1)).collect()
}
