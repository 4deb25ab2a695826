//! Switching to a receiver's public key: everybody's decryption share, encrypted for the receiver.
//!
//! Party j's share is (b u_j + e_j + c1 s_j + smudge_j, a u_j + e'_j) under the receiver's public key (b, a); with c0 the sum is an encryption of the message that
//! the receiver's secret reads. The receiver sees the noise, which the smudge of one honest party hides. That the second component is rounded
//! to few bits ([`Collective::switched_len`]) tells the receiver nothing: its secret is its own.

use cloven_ring::Poly;
use zeroize::Zeroize;

use super::{Collective, Compressed, PartySecret, check_count, compressed::add};
use crate::{
    Ciphertext, LatticeError, PublicKey, SecretKey,
    wire::{check_len, fractions_len, read_fractions, write_fractions},
};

const PURPOSE: &str = "cloven v1 lattice purpose: collective key switching";

impl Collective {
    /// Bytes of every share, and of the switched ciphertext.
    pub fn switched_len(&self, wanted: usize) -> usize {
        self.switched_whole_len() + self.wanted_len(wanted)
    }

    /// One party's share for the coefficients at `wanted`; `whole` is [`Collective::write_whole`] of the ciphertext. The receiver's key has the collective's
    /// parameters.
    pub fn switching_share(
        &self,
        whole: &[u8],
        wanted: &[usize],
        secret: &PartySecret,
        receiver: &PublicKey,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        self.check_key(receiver)?;
        let c1 = self.read_whole(whole, wanted)?;
        let context = [context, &receiver.digest()].concat();
        let mut randomness = self.share_stream(secret, PURPOSE, &context, whole, wanted);
        let Ciphertext { c0, c1: h1 } = receiver.zero(&mut randomness)?;
        let (mut h0, mut h1) = (c0.into_coefficients(), h1.into_coefficients());
        self.encoding.fractions.prepare(&mut h0)?;
        self.encoding.fractions.prepare(&mut h1)?;
        let mut covered = self.times_secret(secret, &c1, wanted)?;
        add(&mut covered, &self.encoding.fractions.read(&h0, wanted.iter().copied()));
        self.smudge(&mut covered, &mut randomness);
        // Less the share, it is the share's key.
        h0.zeroize();
        let mut out = Vec::with_capacity(self.switched_len(wanted.len()));
        let all = self.encoding.fractions.read(&h1, 0..self.parameters.degree());
        write_fractions(&all, self.noise.switched_bits, &mut out);
        write_fractions(&covered, self.wanted_bits(), &mut out);
        Ok(out)
    }

    /// The switched ciphertext, from the shares of all parties.
    pub fn switched(&self, ciphertext: &Compressed, shares: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, LatticeError> {
        check_count("shares of a switched ciphertext", self.settings.parties, shares.len())?;
        let mut sum = (vec![0; self.parameters.degree()], ciphertext.wanted.clone());
        for share in shares {
            let (whole, wanted) = self.read_switched(share.as_ref(), ciphertext.wanted.len())?;
            add(&mut sum.0, &whole);
            add(&mut sum.1, &wanted);
        }
        let mut out = Vec::with_capacity(self.switched_len(sum.1.len()));
        write_fractions(&sum.0, self.noise.switched_bits, &mut out);
        write_fractions(&sum.1, self.wanted_bits(), &mut out);
        Ok(out)
    }

    /// The receiver's reading of a switched ciphertext: the message modulo 2^k, in the order of the wanted coefficients.
    pub fn decrypt_switched(&self, bytes: &[u8], wanted: &[usize], receiver: &SecretKey) -> Result<Vec<u64>, LatticeError> {
        self.check_positions(wanted)?;
        if receiver.parameters() != &self.parameters {
            return Err(LatticeError::OtherProduct { what: "secret" });
        }
        let (whole, mut sum) = self.read_switched(bytes, wanted.len())?;
        let mut product: Poly<_> = receiver.times_powers(vec![self.encoding.lifted(&whole)])?;
        self.encoding.fractions.prepare(&mut product)?;
        add(&mut sum, &self.encoding.fractions.read(&product, wanted.iter().copied()));
        product.zeroize();
        let message = sum.iter().map(|&f| self.encoding.message(f)).collect();
        sum.zeroize();
        Ok(message)
    }

    fn switched_whole_len(&self) -> usize {
        fractions_len(self.parameters.degree(), self.noise.switched_bits)
    }

    fn read_switched(&self, bytes: &[u8], wanted: usize) -> Result<(Vec<u128>, Vec<u128>), LatticeError> {
        check_len(self.switched_len(wanted), bytes)?;
        let (whole, some) = bytes.split_at(self.switched_whole_len());
        Ok((
            read_fractions(whole, self.noise.switched_bits, self.parameters.degree())?,
            read_fractions(some, self.wanted_bits(), wanted)?,
        ))
    }
}
