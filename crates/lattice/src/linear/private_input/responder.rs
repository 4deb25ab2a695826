//! The responder: multiplying, re-randomising, masking and flooding.

use cloven_ring::{Coefficients, Poly, Runs};
use zeroize::{Zeroize, Zeroizing};

use super::{PreparedWeights, PrivateInputLinear};
use crate::{
    Ciphertext, LatticeError, PublicKey, RandomnessKey,
    encryption::SeededPair,
    parallel,
    randomness::words_of,
    spline,
    stream::{Domain, Stream},
    wire::{check_len, write_fractions},
};

/// Purpose of the randomness.
const PURPOSE: &str = "cloven v1 lattice purpose: private input response";
/// Purpose of the digest.
const DIGEST: &str = "cloven v1 lattice private input: upload";
/// Nanoseconds to a residue of an upload that is read, of a product of two halves, and of a response beside them.
const READ: usize = 4;
const MULTIPLY: usize = 1;
const RESPOND: usize = 14;

/// What a responder sends, and what it keeps.
pub struct MaskedResponse {
    /// For [`PrivateInputLinear::decrypt`].
    pub response: Vec<u8>,
    /// The responder's share of F x modulo 2^k, in the order of [`LinearShape`](super::LinearShape): minus the mask.
    pub share: Zeroizing<Vec<u64>>,
}

impl PrivateInputLinear {
    /// Multiplies an upload by the weights and hides the product under `receiver`, the public key of whoever made the upload. Every residue of the upload is checked.
    ///
    /// All randomness is PRF(key, context, receiver, layer, weights, upload): a step that is repeated repeats its bytes, and another one, of other data or for another
    /// receiver, shares no mask with it even where the context is the same. `key` is the responder's own.
    pub fn respond(
        &self,
        weights: &PreparedWeights,
        upload: &[u8],
        receiver: &PublicKey,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<MaskedResponse, LatticeError> {
        weights.check(self)?;
        if receiver.parameters() != &self.parameters {
            return Err(LatticeError::OtherProduct { what: "public key" });
        }
        let ciphertexts = self.read_upload(upload)?;
        let key = key.for_purpose(PURPOSE);
        let words = words_of(&[&receiver.digest(), &self.digest, &weights.digest, &digest(upload)]);
        let cost = (self.uploads() * MULTIPLY + RESPOND) * self.parameters.basis().words();
        let parts = parallel::map(self.responses(), cost, |index| {
            let product = self.product(weights, &ciphertexts, index)?;
            let indexed = words.iter().copied().chain([index as u64]).collect();
            let mut randomness = key.stream_of_words(Domain::Hiding, context, indexed);
            let (c0, c1) = receiver.randomise(product, &Runs::all(), &mut randomness)?;
            let wanted = self.layout.wanted(index);
            let masks = self.encoding.masks(wanted.len(), &mut randomness);
            let covers = self.covers(&masks, &mut randomness);
            let bytes = self.covered(c0, c1, &wanted, &covers)?;
            Ok((wanted, masks, bytes))
        })?;
        let mut response = Vec::with_capacity(self.response_len());
        let mut share = Zeroizing::new(vec![0; self.shape.outputs()]);
        let lowest = (1 << self.secrecy.ring_bits) - 1;
        for (wanted, masks, bytes) in parts {
            response.extend_from_slice(&bytes);
            let outputs = wanted.into_iter().zip(masks.iter());
            outputs.for_each(|((_, output), mask)| share[output] = mask.wrapping_neg() & lowest);
        }
        Ok(MaskedResponse { response, share })
    }

    /// Reads what [`PrivateInputLinear::encrypt`] wrote.
    pub(super) fn read_upload(&self, upload: &[u8]) -> Result<Vec<Ciphertext>, LatticeError> {
        check_len(self.upload_len(), upload)?;
        let one = SeededPair::encoded_len(&self.parameters);
        parallel::map(self.uploads(), READ * self.parameters.basis().words(), |index| {
            let pair = SeededPair::decode(&self.parameters, &upload[index * one..][..one])?;
            Ok(Ciphertext { c0: pair.b, c1: pair.a })
        })
    }

    /// sum_b F[b] Enc(x)[b], for one group of output channels.
    pub(super) fn product(
        &self,
        weights: &PreparedWeights,
        ciphertexts: &[Ciphertext],
        outputs: usize,
    ) -> Result<Ciphertext, LatticeError> {
        let mut product = Ciphertext::zero(&self.parameters);
        let of_group = weights.blocks.iter().skip(outputs).step_by(self.layout.outputs());
        for (ciphertext, block) in ciphertexts.iter().zip(of_group) {
            product.c0.mul_add_assign(&ciphertext.c0, block)?;
            product.c1.mul_add_assign(&ciphertext.c1, block)?;
        }
        Ok(product)
    }

    /// What is added to coefficients of c0, in units of 2^-128: the masks, and the flooding.
    fn covers(&self, masks: &[u64], randomness: &mut Stream) -> Zeroizing<Vec<u128>> {
        let mut covers = Zeroizing::new(masks.iter().map(|&mask| self.encoding.fraction(mask)).collect::<Vec<_>>());
        spline::add(&mut covers, self.secrecy.flooding_bits(), randomness);
        covers
    }

    /// The wire form of a randomised product: all of c1, and the wanted coefficients of c0, covered.
    pub(super) fn covered(
        &self,
        mut c0: Poly<Coefficients>,
        mut c1: Poly<Coefficients>,
        wanted: &[(usize, usize)],
        covers: &[u128],
    ) -> Result<Vec<u8>, LatticeError> {
        let (fractions, degree) = (&self.encoding.fractions, self.parameters.degree());
        fractions.prepare(&mut c0)?;
        fractions.prepare(&mut c1)?;
        let mut out = Vec::with_capacity(self.one_len(wanted.len()));
        write_fractions(&fractions.read(&c1, 0..degree), self.secrecy.whole_bits(degree), &mut out);
        let mut some = fractions.read(&c0, wanted.iter().map(|&(at, _)| at));
        // Less what is sent, it is the cover.
        c0.zeroize();
        some.iter_mut()
            .zip(covers)
            .for_each(|(fraction, cover)| *fraction = fraction.wrapping_add(*cover));
        write_fractions(&some, self.secrecy.wanted_bits(), &mut out);
        Ok(out)
    }
}

fn digest(upload: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new_derive_key(DIGEST).update(upload).finalize().as_bytes()
}
