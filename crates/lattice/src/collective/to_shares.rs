//! Encryption to shares: parties mask their decryption shares, so that the aggregator reads the message less all masks.
//!
//! Party j draws m_j modulo 2^k, its share of the message, and sends c1 s_j + smudge_j - m_j / 2^k. The aggregator, a party too, adds c0 and its own c1 s, which
//! never leaves it and so is not smudged, and rounds: the result is the message less the others' m_j, its own share.

use super::{Collective, Compressed, PartySecret, check_count, compressed::add};
use crate::{LatticeError, wire::write_fractions};
use zeroize::Zeroize;

const PURPOSE: &str = "cloven v1 lattice purpose: encryption to shares";

/// What a party sends, and what it keeps.
pub struct ToShares {
    /// For [`Collective::last_share`]: [`Collective::wanted_len`] bytes.
    pub message: Vec<u8>,
    /// The party's additive share modulo 2^k, in the order of the wanted coefficients.
    pub share: Vec<u64>,
}

impl Collective {
    /// A party's step; `whole` is [`Collective::write_whole`] of the ciphertext. Message and share are a function of the secret, `whole`, `wanted` and `context`:
    /// the same ciphertext gives the same, another one independent ones.
    pub fn to_shares(
        &self,
        whole: &[u8],
        wanted: &[usize],
        secret: &PartySecret,
        context: &[u8],
    ) -> Result<ToShares, LatticeError> {
        let c1 = self.read_whole(whole, wanted)?;
        let mut covered = self.times_secret(secret, &c1, wanted)?;
        let mut randomness = self.share_stream(secret, PURPOSE, context, whole, wanted);
        let share = self.encoding.masks(wanted.len(), &mut randomness);
        self.smudge(&mut covered, &mut randomness);
        let masked = covered.iter_mut().zip(share.iter());
        masked.for_each(|(fraction, &mask)| *fraction = fraction.wrapping_sub(self.encoding.fraction(mask)));
        let mut message = Vec::with_capacity(self.wanted_len(wanted.len()));
        write_fractions(&covered, self.wanted_bits(), &mut message);
        Ok(ToShares {
            message,
            share: share.to_vec(),
        })
    }

    /// The aggregator's share, from the messages of all other parties.
    pub fn last_share(
        &self,
        ciphertext: &Compressed,
        wanted: &[usize],
        secret: &PartySecret,
        messages: &[impl AsRef<[u8]>],
    ) -> Result<Vec<u64>, LatticeError> {
        check_count("messages of parties", self.settings.parties - 1, messages.len())?;
        check_count("wanted coefficients", wanted.len(), ciphertext.wanted.len())?;
        self.check_positions(wanted)?;
        let mut sum = self.times_secret(secret, &ciphertext.whole, wanted)?;
        add(&mut sum, &ciphertext.wanted);
        let mut sum = self.sum_of_fractions(sum, messages)?;
        let share = sum.iter().map(|&f| self.encoding.message(f)).collect();
        // The noise beside the share says something of secrets.
        sum.zeroize();
        Ok(share)
    }
}
