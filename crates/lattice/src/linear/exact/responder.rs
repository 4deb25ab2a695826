//! The responder: multiplying, re-randomising, masking and flooding.

use cloven_ring::{Coefficients, Poly};

use super::{
    ExactPlaintext, ExactProduct,
    flooding::{self, Cover},
    wire,
};
use crate::{
    Ciphertext, LatticeError, PublicKey, RandomnessKey,
    encryption::SeededPair,
    parallel,
    randomness::words_of,
    stream::{Domain, Stream},
    wire::check_len,
};

/// Purpose of the randomness.
const PURPOSE: &str = "cloven v1 lattice purpose: exact response";
/// Purpose of the digest.
const DIGEST: &str = "cloven v1 lattice exact product: upload";
/// Nanoseconds to a residue of an upload that is read, of a product of two halves, and of a response beside them.
pub(super) const READ: usize = 4;
pub(super) const MULTIPLY: usize = 1;
pub(super) const RESPOND: usize = 14;

/// How responses are hidden from their receiver, beside the flooding.
pub struct Masking<'a> {
    /// The key holder's public key.
    pub receiver: &'a PublicKey,
    /// The responder's own randomness.
    pub key: &'a RandomnessKey,
    /// Names the product (parties, purpose, batch); must not repeat for another one.
    pub context: &'a [u8],
}

/// What a responder sends, and what it keeps.
pub struct ExactResponse {
    /// For [`ExactProduct::decrypt`].
    pub message: Vec<u8>,
    /// The responder's share of X W modulo 2^64, rows x columns, row-major: minus the mask.
    pub share: Vec<u64>,
}

impl ExactProduct {
    /// Multiplies an upload by X and hides the product. Every residue of the upload is checked.
    ///
    /// All randomness is PRF(key, context, receiver, X, upload): a step that is repeated repeats its bytes, and another one, of other data or for another
    /// receiver, shares no mask with it even where the context is the same.
    pub fn respond(&self, x: &ExactPlaintext, upload: &[u8], masking: &Masking<'_>) -> Result<ExactResponse, LatticeError> {
        let ciphertexts = self.read_upload(upload)?;
        let (rows, blocks) = (self.shape[0], self.layout.output_blocks());
        x.check(self)?;
        let key = masking.key.for_purpose(PURPOSE);
        let mut words = words_of(&[&masking.receiver.digest(), &x.digest, &digest(upload)]);
        words.extend(self.numbers());
        let cost = (self.layout.input_blocks() * MULTIPLY + RESPOND) * self.parameters.basis().words();
        let responses = parallel::map(self.responses(), cost, |index| {
            let (g, r) = (index / blocks, index % blocks);
            let product = self.multiply(x, &ciphertexts, g, r)?;
            let indexed = words.iter().copied().chain([index as u64]).collect();
            let mut randomness = key.stream_of_words(Domain::Hiding, masking.context, indexed);
            let (c0, c1) = self.randomise(product, masking.receiver, &mut randomness)?;
            let wanted: Vec<usize> = self.layout.wanted(g, r, rows).collect();
            let covers = flooding::draw(&mut randomness, wanted.len());
            let mut message = Vec::with_capacity(wire::len(wanted.len()));
            self.write(&c0, &c1, &wanted, &covers, &mut message)?;
            Ok((message, covers))
        })?;
        Ok(self.joined(responses))
    }

    /// What tells this product from others of the same operands.
    fn numbers(&self) -> [u64; 6] {
        let ([rows, inner, columns], layout) = (self.shape, &self.layout);
        [
            rows,
            inner,
            columns,
            layout.samples,
            layout.block_inputs,
            layout.block_outputs,
        ]
        .map(|n| n as u64)
    }

    /// Reads what [`ExactProduct::encrypt`] wrote.
    pub(super) fn read_upload(&self, upload: &[u8]) -> Result<Vec<Ciphertext>, LatticeError> {
        check_len(self.upload_len(), upload)?;
        let one = SeededPair::encoded_len(&self.parameters);
        parallel::map(self.uploads(), READ * self.parameters.basis().words(), |index| {
            let pair = SeededPair::decode(&self.parameters, &upload[index * one..][..one])?;
            Ok(Ciphertext { c0: pair.b, c1: pair.a })
        })
    }

    /// sum_q X[g,q] Enc(W[q,r]).
    pub(super) fn multiply(
        &self,
        x: &ExactPlaintext,
        ciphertexts: &[Ciphertext],
        g: usize,
        r: usize,
    ) -> Result<Ciphertext, LatticeError> {
        let (inputs, outputs) = (self.layout.input_blocks(), self.layout.output_blocks());
        let terms = || (0..inputs).map(|q| (&x.blocks[g * inputs + q], &ciphertexts[q * outputs + r]));
        let basis = self.parameters.basis();
        let sum = |terms: Vec<_>| Poly::sum_of_block_products(basis, &terms);
        Ok(Ciphertext {
            c0: sum(terms().map(|(block, c)| (block, &c.c0)).collect())?,
            c1: sum(terms().map(|(block, c)| (block, &c.c1)).collect())?,
        })
    }

    /// c0 + b u, where there are results, and c1 + a u + e1 in coefficients, as [`super::Fractions::read`] takes them.
    pub(super) fn randomise(
        &self,
        product: Ciphertext,
        receiver: &PublicKey,
        randomness: &mut Stream,
    ) -> Result<(Poly<Coefficients>, Poly<Coefficients>), LatticeError> {
        let (mut c0, mut c1) = receiver.randomise(product, &self.runs, randomness)?;
        self.fractions.prepare(&mut c0)?;
        self.fractions.prepare(&mut c1)?;
        Ok((c0, c1))
    }

    /// Appends a response, covered.
    pub(super) fn write(
        &self,
        c0: &Poly<Coefficients>,
        c1: &Poly<Coefficients>,
        wanted: &[usize],
        covers: &[Cover],
        out: &mut Vec<u8>,
    ) -> Result<(), LatticeError> {
        let mut some = self.fractions.read(c0, wanted.iter().copied());
        let pairs = some.iter_mut().zip(covers);
        pairs.for_each(|(fraction, cover)| *fraction = fraction.wrapping_add(cover.added));
        let whole = |first, low: &mut [u64], high: &mut [u64]| Ok(self.limbs.read(c1, first, low, high)?);
        wire::write(whole, &some, out)
    }

    /// All messages, and minus the masks at their places.
    fn joined(&self, responses: Vec<(Vec<u8>, Vec<Cover>)>) -> ExactResponse {
        let [rows, _, columns] = self.shape;
        let mut share = vec![0; rows * columns];
        let mut message = Vec::with_capacity(self.response_len());
        for ((g, r), (bytes, covers)) in self.layout.responses(rows).zip(responses) {
            message.extend_from_slice(&bytes);
            for ((_, position), cover) in self.layout.outputs_of(g, r, rows).into_iter().zip(covers) {
                share[position] = cover.mask.wrapping_neg();
            }
        }
        ExactResponse { message, share }
    }
}

fn digest(upload: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new_derive_key(DIGEST).update(upload).finalize().as_bytes()
}
