//! Ciphertexts as fractions of the modulus: all of c1, and the wanted coefficients of c0.

use cloven_ring::{Coefficients, Poly};
use zeroize::Zeroize;

use super::{Collective, PartySecret, check_count};
use crate::{
    Ciphertext, LatticeError,
    linear::fixed::check_size,
    wire::{check_len, fractions_len, read_fractions, write_fractions},
};

/// A ciphertext on its way to decryption; fractions are in units of 2^-128 and add up modulo one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compressed {
    /// All of c1, to [`Collective::whole_bits`].
    pub(super) whole: Vec<u128>,
    /// c0 at the wanted positions, to [`Collective::wanted_bits`].
    pub(super) wanted: Vec<u128>,
}

impl Collective {
    /// Bytes of a compressed ciphertext with so many wanted coefficients.
    pub fn compressed_len(&self, wanted: usize) -> usize {
        self.whole_len() + self.wanted_len(wanted)
    }

    /// Bytes of a compressed c1, which is all that a decryption share is made of.
    pub fn whole_len(&self) -> usize {
        fractions_len(self.parameters.degree(), self.whole_bits())
    }

    /// Bytes of so many coefficients of c0 or of a decryption share.
    pub fn wanted_len(&self, wanted: usize) -> usize {
        fractions_len(wanted, self.wanted_bits())
    }

    /// Compresses a ciphertext for the coefficients at `wanted`. Nothing is hidden here: that coefficients are left out is what keeps them from
    /// being decrypted.
    pub fn compress(&self, ciphertext: Ciphertext, wanted: &[usize]) -> Result<Vec<u8>, LatticeError> {
        self.check_positions(wanted)?;
        let mut out = Vec::with_capacity(self.compressed_len(wanted.len()));
        let (c0, c1) = (ciphertext.c0.into_coefficients(), ciphertext.c1.into_coefficients());
        self.compress_coefficients(c0, c1, wanted, &mut out)?;
        Ok(out)
    }

    /// The same in coefficients, appended.
    pub(super) fn compress_coefficients(
        &self,
        mut c0: Poly<Coefficients>,
        mut c1: Poly<Coefficients>,
        wanted: &[usize],
        out: &mut Vec<u8>,
    ) -> Result<(), LatticeError> {
        self.encoding.fractions.prepare(&mut c0)?;
        self.encoding.fractions.prepare(&mut c1)?;
        let whole = self.encoding.fractions.read(&c1, 0..self.parameters.degree());
        let some = self.encoding.fractions.read(&c0, wanted.iter().copied());
        write_fractions(&whole, self.whole_bits(), out);
        write_fractions(&some, self.wanted_bits(), out);
        Ok(())
    }

    /// Reads a compressed ciphertext with so many wanted coefficients. Length and padding are checked; any other bits are valid.
    pub fn read_compressed(&self, bytes: &[u8], wanted: usize) -> Result<Compressed, LatticeError> {
        check_len(self.compressed_len(wanted), bytes)?;
        let (whole, some) = bytes.split_at(self.whole_len());
        Ok(Compressed {
            whole: read_fractions(whole, self.whole_bits(), self.parameters.degree())?,
            wanted: read_fractions(some, self.wanted_bits(), wanted)?,
        })
    }

    /// c1 as it is sent to those who make decryption shares.
    pub fn write_whole(&self, ciphertext: &Compressed, out: &mut Vec<u8>) {
        write_fractions(&ciphertext.whole, self.whole_bits(), out);
    }

    /// Refuses positions that are not those of coefficients, or too many of them.
    pub(super) fn check_positions(&self, wanted: &[usize]) -> Result<(), LatticeError> {
        let degree = self.parameters.degree();
        check_size("wanted coefficients", wanted.len().min(degree), wanted.len())?;
        match wanted.iter().position(|&at| at >= degree) {
            None => Ok(()),
            Some(position) => Err(LatticeError::Range {
                what: "position of a wanted coefficient",
                position,
                value: wanted[position] as f64,
                bound: (degree - 1) as f64,
            }),
        }
    }

    /// The coefficients at `wanted` of c1 s_j modulo q as fractions, for a c1 as it was sent.
    pub(super) fn times_secret(&self, secret: &PartySecret, whole: &[u128], wanted: &[usize]) -> Result<Vec<u128>, LatticeError> {
        secret.check(self)?;
        let mut product = secret.secret.times_powers(vec![self.encoding.lifted(whole)])?;
        self.encoding.fractions.prepare(&mut product)?;
        let fractions = self.encoding.fractions.read(&product, wanted.iter().copied());
        // With c1, it tells the secret.
        product.zeroize();
        Ok(fractions)
    }
}

impl Compressed {
    /// The sum of the messages.
    pub fn add_assign(&mut self, other: &Self) -> Result<(), LatticeError> {
        check_count("wanted coefficients", self.wanted.len(), other.wanted.len())?;
        add(&mut self.whole, &other.whole);
        add(&mut self.wanted, &other.wanted);
        Ok(())
    }
}

/// Modulo one.
pub(super) fn add(sum: &mut [u128], other: &[u128]) {
    sum.iter_mut().zip(other).for_each(|(a, b)| *a = a.wrapping_add(*b));
}
