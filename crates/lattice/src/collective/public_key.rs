//! The collective public key: b_j = -a s_j + e_j, b = sum b_j, an encryption (b, a) of zero under s with noise e_1 + ... + e_n.

use cloven_ring::{Evaluations, Poly};

use super::{Collective, CommonReference, PartySecret, check_count};
use crate::{
    LatticeError, PublicKey,
    encryption::{SeededPair, expand},
    randomness::{SEED, words_of},
    stream::Domain,
    wire::{check_len, read_residues, residues_len, write_residues},
};

const PURPOSE: &str = "cloven v1 lattice purpose: collective public key";

impl Collective {
    /// Bytes of every share of a public key or of an encryption.
    pub fn share_len(&self) -> usize {
        residues_len(self.parameters.basis(), 0)
    }

    /// One party's share of the public key that `context` names.
    pub fn public_key_share(
        &self,
        secret: &PartySecret,
        reference: &CommonReference,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        let seed = reference.seed(PURPOSE, context, 0);
        self.masked_share(
            secret,
            PURPOSE,
            context,
            seed,
            &Poly::zero(self.parameters.basis()),
            Vec::new(),
        )
    }

    /// The public key from all shares. Every residue is checked; that the shares were made as they should cannot be.
    pub fn public_key(
        &self,
        reference: &CommonReference,
        context: &[u8],
        shares: &[impl AsRef<[u8]>],
    ) -> Result<PublicKey, LatticeError> {
        let seed = reference.seed(PURPOSE, context, 0);
        let pair = SeededPair {
            seed,
            b: self.sum_of_shares("shares of the public key", shares)?,
            a: expand(self.parameters.basis(), seed),
        };
        Ok(PublicKey::of(self.parameters.clone(), pair))
    }

    /// -a s_j + e_j + plaintext, in evaluations. e_j is PRF(key, purpose, context, seed of a, words), where the plaintext is a function of `words`.
    pub(super) fn masked_share(
        &self,
        secret: &PartySecret,
        purpose: &'static str,
        context: &[u8],
        seed: [u8; SEED],
        plaintext: &Poly<cloven_ring::Coefficients>,
        mut words: Vec<u64>,
    ) -> Result<Vec<u8>, LatticeError> {
        secret.check(self)?;
        words.extend(words_of(&[&seed]));
        let mut errors = secret.stream(purpose, Domain::Error, context, words);
        let pair = secret.secret.encrypt_pair_from(plaintext, seed, &mut errors)?;
        let mut out = Vec::with_capacity(self.share_len());
        write_residues(&pair.b, 0, &mut out);
        Ok(out)
    }

    /// The sum of one share of every party.
    pub(super) fn sum_of_shares(
        &self,
        what: &'static str,
        shares: &[impl AsRef<[u8]>],
    ) -> Result<Poly<Evaluations>, LatticeError> {
        check_count(what, self.settings.parties, shares.len())?;
        let mut sum = Poly::zero(self.parameters.basis());
        for share in shares {
            sum.add_assign(&self.read_share(share.as_ref())?)?;
        }
        Ok(sum)
    }

    /// Whether bytes are a share of a public key or of an encryption, or a sum of such: for whoever wants to know which of several is none.
    pub fn check_share(&self, bytes: &[u8]) -> Result<(), LatticeError> {
        self.read_share(bytes).map(drop)
    }

    /// Reads a share, or a sum of shares.
    pub(super) fn read_share(&self, bytes: &[u8]) -> Result<Poly<Evaluations>, LatticeError> {
        check_len(self.share_len(), bytes)?;
        read_residues(self.parameters.basis(), 0, bytes)
    }
}
