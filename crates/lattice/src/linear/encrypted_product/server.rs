//! The side that holds the ciphertexts: reading operands, multiplying and answering.

use std::borrow::Cow;

use cloven_ring::{Evaluations, Pair, Poly, TensorSum};

use super::{EncryptedProduct, Kind};
use crate::{
    Ciphertext, LatticeError, RelinearisationKey, Tensor, encryption::SeededPair, linear::fixed::check_size, parallel,
    wire::check_len,
};

/// Terms that are read and multiplied at a time: their ciphertexts stay in the second cache.
const TERMS: usize = 8;

/// Nanoseconds of reading a block of an operand, of one product of ciphertexts, and of finishing a response.
const READING: usize = 5_000;
const PRODUCT: usize = 800;
const RESPONSE: usize = 30_000;

/// An encrypted matrix, ready to be multiplied.
pub struct EncryptedMatrix {
    /// W[q,r], at index q * output blocks + r.
    blocks: Vec<Ciphertext>,
}

/// An encrypted delta, ready to be multiplied.
pub struct EncryptedDelta {
    rows: usize,
    /// D[g,r], at index g * output blocks + r.
    blocks: Vec<Ciphertext>,
}

impl EncryptedProduct {
    /// Reads what [`EncryptedProduct::relinearisation_key`] wrote. Every residue is checked.
    pub fn receive_relinearisation_key(&self, bytes: &[u8]) -> Result<RelinearisationKey, LatticeError> {
        RelinearisationKey::decode(&self.parameters, self.gadget(), bytes)
    }

    /// Checks what [`EncryptedProduct::encrypt_rows`] wrote for `rows` rows, every residue of it, and gives the groups: what is to be stored, drawn
    /// and multiplied, each [`EncryptedProduct::group_len`] bytes.
    pub fn receive_rows<'a>(&self, bytes: &'a [u8], rows: usize) -> Result<Vec<&'a [u8]>, LatticeError> {
        check_len(self.rows_len(rows), bytes)?;
        let groups: Vec<&[u8]> = bytes.chunks(self.group_len()).collect();
        let cost = self.packing.input_blocks() * READING;
        parallel::map(groups.len(), cost, |g| self.check_group(groups[g]))?;
        Ok(groups)
    }

    /// Checks one group. Products check what they read as well: this is for telling at once who sent wrong bytes.
    pub fn check_group(&self, bytes: &[u8]) -> Result<(), LatticeError> {
        check_len(self.group_len(), bytes)?;
        let mut blocks = bytes.chunks(self.block_len());
        blocks.try_for_each(|block| SeededPair::check(&self.parameters, block))
    }

    /// Reads what [`EncryptedProduct::encrypt_weights`] wrote. Every residue is checked.
    pub fn receive_weights(&self, bytes: &[u8]) -> Result<EncryptedMatrix, LatticeError> {
        check_len(self.weights_len(), bytes)?;
        let blocks = self.ciphertexts(bytes)?;
        Ok(EncryptedMatrix { blocks })
    }

    /// Reads what [`EncryptedProduct::encrypt_delta`] wrote for `rows` rows. Every residue is checked.
    pub fn receive_delta(&self, bytes: &[u8], rows: usize) -> Result<EncryptedDelta, LatticeError> {
        check_len(self.delta_len(rows), bytes)?;
        let blocks = self.ciphertexts(bytes)?;
        Ok(EncryptedDelta { rows, blocks })
    }

    /// x W of a batch of `rows` rows, given as groups: all full, but the last if `rows` is no multiple of their size.
    pub fn outputs(
        &self,
        batch: &[&[u8]],
        rows: usize,
        weights: &EncryptedMatrix,
        key: &RelinearisationKey,
    ) -> Result<Vec<u8>, LatticeError> {
        self.check_batch(batch, rows)?;
        self.check_weights(weights)?;
        let columns = self.packing.output_blocks();
        self.answer(
            Kind::Outputs { rows },
            self.packing.input_blocks(),
            |g, q| self.block(batch[g], q).map(Cow::Owned),
            |q, r| &weights.blocks[q * columns + r],
            key,
        )
    }

    /// x^T delta of a batch.
    pub fn gradient(&self, batch: &[&[u8]], delta: &EncryptedDelta, key: &RelinearisationKey) -> Result<Vec<u8>, LatticeError> {
        self.check_batch(batch, delta.rows)?;
        self.check_delta(delta)?;
        let columns = self.packing.output_blocks();
        self.answer(
            Kind::Gradient,
            batch.len(),
            |q, g| self.block(batch[g], q).map(Cow::Owned),
            |g, r| &delta.blocks[g * columns + r],
            key,
        )
    }

    /// delta W^T of a batch.
    pub fn input_gradient(
        &self,
        delta: &EncryptedDelta,
        weights: &EncryptedMatrix,
        key: &RelinearisationKey,
    ) -> Result<Vec<u8>, LatticeError> {
        self.check_delta(delta)?;
        self.check_weights(weights)?;
        let columns = self.packing.output_blocks();
        self.answer(
            Kind::InputGradient { rows: delta.rows },
            columns,
            |g, r| Ok(Cow::Borrowed(&delta.blocks[g * columns + r])),
            |r, q| &weights.blocks[q * columns + r],
            key,
        )
    }

    /// For every response (i, j), sum_t left(i, t) right(t, j): relinearised, switched and cut.
    fn answer<'a>(
        &self,
        kind: Kind,
        terms: usize,
        left: impl Fn(usize, usize) -> Result<Cow<'a, Ciphertext>, LatticeError> + Sync,
        right: impl Fn(usize, usize) -> &'a Ciphertext + Sync,
        key: &RelinearisationKey,
    ) -> Result<Vec<u8>, LatticeError> {
        let [first, second] = self.packing.responses(kind);
        let cost = terms * (READING + second * PRODUCT) + second * RESPONSE;
        let mut out = Vec::with_capacity(self.answer_len(kind));
        parallel::append(first, cost, &mut out, |i, out| {
            let mut sums: Vec<TensorSum> = (0..second).map(|_| TensorSum::zero(self.parameters.basis())).collect();
            let last = terms.saturating_sub(1) / TERMS * TERMS;
            for start in (0..last).step_by(TERMS) {
                let lefts = (start..start + TERMS).map(|t| left(i, t)).collect::<Result<Vec<_>, _>>()?;
                let lefts = pairs(lefts.iter().map(Cow::as_ref));
                for (j, sum) in sums.iter_mut().enumerate() {
                    let rights = pairs((start..start + TERMS).map(|t| right(t, j)));
                    sum.add_products(&lefts, &rights)?;
                }
            }
            // With the last terms every sum is finished at once.
            let lefts = (last..terms).map(|t| left(i, t)).collect::<Result<Vec<_>, _>>()?;
            let lefts = pairs(lefts.iter().map(Cow::as_ref));
            for (j, sum) in sums.into_iter().enumerate() {
                let rights = pairs((last..terms).map(|t| right(t, j)));
                let components = sum.into_components_with(&lefts, &rights)?;
                self.respond(
                    components,
                    self.packing.targets(kind, i, j).into_iter().map(|(at, _)| at),
                    key,
                    out,
                )?;
            }
            Ok(())
        })?;
        Ok(out)
    }

    fn respond(
        &self,
        [c0, c1, c2]: [Poly<Evaluations>; 3],
        wanted: impl Iterator<Item = usize>,
        key: &RelinearisationKey,
        out: &mut Vec<u8>,
    ) -> Result<(), LatticeError> {
        let Ciphertext { c0, c1 } = key.relinearise(Tensor { c0, c1, c2 })?;
        self.compression
            .write(&c0.into_coefficients(), &[&c1.into_coefficients()], wanted, out);
        Ok(())
    }

    /// Block `q` of a group. Every residue is checked.
    fn block(&self, group: &[u8], q: usize) -> Result<Ciphertext, LatticeError> {
        let bytes = &group[q * self.block_len()..][..self.block_len()];
        let SeededPair { b, a, .. } = SeededPair::decode(&self.parameters, bytes)?;
        Ok(Ciphertext { c0: b, c1: a })
    }

    fn ciphertexts(&self, bytes: &[u8]) -> Result<Vec<Ciphertext>, LatticeError> {
        let blocks: Vec<&[u8]> = bytes.chunks(self.block_len()).collect();
        parallel::map(blocks.len(), READING, |index| self.block(blocks[index], 0))
    }

    fn check_batch(&self, batch: &[&[u8]], rows: usize) -> Result<(), LatticeError> {
        check_size("groups of a batch", self.packing.groups(rows), batch.len())?;
        batch.iter().try_for_each(|group| check_len(self.group_len(), group))
    }

    fn check_weights(&self, weights: &EncryptedMatrix) -> Result<(), LatticeError> {
        let expected = self.packing.input_blocks() * self.packing.output_blocks();
        check_size("blocks of the encrypted matrix", expected, weights.blocks.len())
    }

    fn check_delta(&self, delta: &EncryptedDelta) -> Result<(), LatticeError> {
        let expected = self.packing.groups(delta.rows) * self.packing.output_blocks();
        check_size("blocks of the encrypted delta", expected, delta.blocks.len())
    }
}

fn pairs<'a>(ciphertexts: impl Iterator<Item = &'a Ciphertext>) -> Vec<Pair<'a>> {
    ciphertexts.map(|ciphertext| [&ciphertext.c0, &ciphertext.c1]).collect()
}
