//! Decryption: shares c1 s_j + smudge_j of the wanted coefficients; with c0 they add up to the message and noise.

use super::{Collective, Compressed, PartySecret, check_count, compressed::add};
use crate::{
    LatticeError,
    wire::{check_len, read_fractions, write_fractions},
};

const PURPOSE: &str = "cloven v1 lattice purpose: collective decryption";

impl Collective {
    /// One party's share of the decryption of the coefficients at `wanted`; `whole` is [`Collective::write_whole`] of the ciphertext.
    pub fn decryption_share(
        &self,
        whole: &[u8],
        wanted: &[usize],
        secret: &PartySecret,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        let c1 = self.read_whole(whole, wanted)?;
        let mut share = self.times_secret(secret, &c1, wanted)?;
        let mut randomness = self.share_stream(secret, PURPOSE, context, whole, wanted);
        self.smudge(&mut share, &mut randomness);
        let mut out = Vec::with_capacity(self.wanted_len(wanted.len()));
        write_fractions(&share, self.wanted_bits(), &mut out);
        Ok(out)
    }

    /// The message modulo 2^k from the shares of all parties, in the order of the wanted coefficients.
    pub fn decrypt(&self, ciphertext: &Compressed, shares: &[impl AsRef<[u8]>]) -> Result<Vec<u64>, LatticeError> {
        check_count("shares of a decryption", self.settings.parties, shares.len())?;
        let sum = self.sum_of_fractions(ciphertext.wanted.clone(), shares)?;
        Ok(sum.into_iter().map(|f| self.encoding.message(f)).collect())
    }

    /// Reads a c1 that was sent by itself.
    pub(super) fn read_whole(&self, whole: &[u8], wanted: &[usize]) -> Result<Vec<u128>, LatticeError> {
        self.check_positions(wanted)?;
        check_len(self.whole_len(), whole)?;
        read_fractions(whole, self.whole_bits(), self.parameters.degree())
    }

    /// `sum` and the fractions of shares.
    pub(super) fn sum_of_fractions(&self, mut sum: Vec<u128>, shares: &[impl AsRef<[u8]>]) -> Result<Vec<u128>, LatticeError> {
        for share in shares {
            let bytes = share.as_ref();
            check_len(self.wanted_len(sum.len()), bytes)?;
            let fractions = read_fractions(bytes, self.wanted_bits(), sum.len())?;
            add(&mut sum, &fractions);
        }
        Ok(sum)
    }
}
