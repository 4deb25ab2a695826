//! The key holder: encrypting an input and reading its share.

use zeroize::{Zeroize, Zeroizing};

use super::PrivateInputLinear;
use crate::{
    LatticeError, RandomnessKey, SecretKey,
    linear::fixed::check_size,
    parallel,
    wire::{check_len, read_fractions},
};

/// Purpose of the randomness, apart from that of other encryptions under the same key.
const PURPOSE: &str = "cloven v1 lattice purpose: private input encryption";
/// Nanoseconds to a residue of an upload, and of a response.
const ENCRYPT: usize = 9;
const DECRYPT: usize = 16;

impl PrivateInputLinear {
    /// Encrypts an input: words below 2^k, in the order of [`LinearShape`](super::LinearShape). `context` names the step (inference, layer); randomness is PRF(key,
    /// context, layer, input).
    pub fn encrypt(
        &self,
        input: &[u64],
        secret: &SecretKey,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        check_size("input", self.shape.inputs(), input.len())?;
        self.encoding.check_words("input", input)?;
        self.check_secret(secret)?;
        let key = key.for_purpose(PURPOSE);
        let mut out = Vec::with_capacity(self.upload_len());
        let cost = ENCRYPT * self.parameters.basis().words();
        parallel::append(self.uploads(), cost, &mut out, |block, out| {
            let placed = Zeroizing::new(self.layout.factor(input, 0, block, self.secrecy.ring_bits));
            let context = [context, &self.digest, &(block as u64).to_le_bytes()].concat();
            // Of the whole input: that a part of it repeats must not show.
            let (seed, mut errors) = key.derive_from_words(&context, input.to_vec());
            let mut plaintext = self.encoding.encoded(placed.iter().copied());
            let pair = secret.encrypt_pair_from(&plaintext, seed, &mut errors);
            plaintext.zeroize();
            pair?.encode(out);
            Ok(())
        })?;
        Ok(out)
    }

    /// Reads a response: the key holder's share of F x modulo 2^k, in the order of [`LinearShape`](super::LinearShape). Length and padding are checked; a response to
    /// something else, or under another key, gives numbers that mean nothing.
    pub fn decrypt(&self, response: &[u8], secret: &SecretKey) -> Result<Zeroizing<Vec<u64>>, LatticeError> {
        check_len(self.response_len(), response)?;
        self.check_secret(secret)?;
        let wanted: Vec<_> = (0..self.responses()).map(|index| self.layout.wanted(index)).collect();
        let mut rest = response;
        let split = |wanted: &Vec<(usize, usize)>| {
            let (one, tail) = rest.split_at(self.one_len(wanted.len()));
            rest = tail;
            one
        };
        let pieces: Vec<&[u8]> = wanted.iter().map(split).collect();
        let read = parallel::map(pieces.len(), DECRYPT * self.parameters.basis().words(), |index| {
            self.read_one(pieces[index], &wanted[index], secret)
        })?;
        let mut share = Zeroizing::new(vec![0; self.shape.outputs()]);
        for (wanted, fractions) in wanted.iter().zip(&read) {
            let outputs = wanted.iter().zip(fractions.iter());
            outputs.for_each(|(&(_, output), &fraction)| share[output] = self.encoding.message(fraction));
        }
        Ok(share)
    }

    /// The wanted coefficients of c0 + c1 s, in units of 2^-128.
    pub(super) fn read_one(
        &self,
        bytes: &[u8],
        wanted: &[(usize, usize)],
        secret: &SecretKey,
    ) -> Result<Zeroizing<Vec<u128>>, LatticeError> {
        let degree = self.parameters.degree();
        check_len(self.one_len(wanted.len()), bytes)?;
        let (whole, c0) = bytes.split_at(self.whole_len());
        let whole = read_fractions(whole, self.secrecy.whole_bits(degree), degree)?;
        let c0 = read_fractions(c0, self.secrecy.wanted_bits(), wanted.len())?;
        let c1 = self.encoding.lifted(&whole);
        let mut product = secret.times_powers(vec![c1])?;
        let prepared = self.encoding.fractions.prepare(&mut product);
        let positions = wanted.iter().map(|&(at, _)| at);
        let mut sum = Zeroizing::new(self.encoding.fractions.read(&product, positions));
        // With the response, it tells the secret.
        product.zeroize();
        prepared?;
        sum.iter_mut().zip(c0).for_each(|(sum, c0)| *sum = sum.wrapping_add(c0));
        Ok(sum)
    }

    fn check_secret(&self, secret: &SecretKey) -> Result<(), LatticeError> {
        match secret.parameters() == &self.parameters {
            true => Ok(()),
            false => Err(LatticeError::OtherProduct { what: "secret" }),
        }
    }
}
