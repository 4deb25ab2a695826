//! An encrypted matrix that several hold together, each some blocks of inputs of it.
//!
//! ```text
//! sum_q W[q,r] xfwd[i,q]  =  sum over holders of  sum_{q at the holder} W[q,r] xfwd[i,q]
//! ```
//!
//! A holder has a product of its own ([`WeightProduct::part`]), with which it reads, updates and encodes its blocks as if they were the whole matrix.
//! It sums up what its blocks add to every output ([`WeightProduct::sums`]); whoever has all holders' sums makes the response of them, bit for bit that of one
//! holder of the whole matrix. Sums are not merged: a key switch of a sum is not the sum of key switches, bit for bit.

use std::ops::Range;

use super::{
    EncodedRows, EncryptedWeights, WeightProduct,
    matrix::{DECODE, ENCODE, HEAD},
};
use crate::{
    Ciphertext, LatticeError, Upload,
    linear::fixed::{check_size, fixed, rows_of},
    parallel,
    wire::check_len,
};

impl WeightProduct {
    /// The product of these blocks of inputs alone, in the same layout and at the same scales.
    ///
    /// # Errors
    /// [`LatticeError::Size`] if there are no such blocks.
    pub fn part(&self, blocks: Range<usize>) -> Result<Self, LatticeError> {
        if blocks.is_empty() || blocks.end > self.input_blocks() {
            return Err(LatticeError::Size {
                what: "blocks of inputs",
                expected: self.input_blocks(),
                actual: blocks.end,
            });
        }
        let inputs = self.inputs.min(blocks.end * self.block_inputs()) - blocks.start * self.block_inputs();
        Ok(Self { inputs, ..self.clone() })
    }

    /// What these blocks of inputs add to the outputs of a batch: for each block of outputs, a ciphertext a row.
    pub fn sums(&self, weights: &EncryptedWeights, x: &EncodedRows) -> Result<Vec<u8>, LatticeError> {
        let mut out = Vec::with_capacity(self.sums_len(x.rows));
        self.products(weights, x, &mut out, |products, _, out| {
            products.iter().for_each(|product| product.encode(out));
            Ok(products)
        })?;
        Ok(out)
    }

    /// Bytes of the sums of `rows` rows.
    pub fn sums_len(&self, rows: usize) -> usize {
        self.output_blocks() * rows * Ciphertext::encoded_len(&self.parameters)
    }

    /// The response to a batch of `rows` rows, from the sums of parts that make up the whole matrix: what [`WeightProduct::forward`] writes. In stride layout,
    /// `keys` is any matrix that has the keys for merging.
    pub fn respond_to_sums(&self, sums: &[&[u8]], rows: usize, keys: &EncryptedWeights) -> Result<Vec<u8>, LatticeError> {
        sums.iter().try_for_each(|sums| check_len(self.sums_len(rows), sums))?;
        let Some((first_sums, others)) = sums.split_first() else {
            return check_size("parts of the encrypted matrix", 1, 0).map(|()| Vec::new());
        };
        let len = Ciphertext::encoded_len(&self.parameters);
        let (merged, groups) = (self.merged_rows(), self.response_groups(rows));
        let cost = merged * sums.len() * self.cost(DECODE);
        let mut out = Vec::with_capacity(self.response_len(rows));
        parallel::append(self.output_blocks() * groups, cost, &mut out, |index, out| {
            let (r, first) = (index / groups, index % groups * merged);
            let of_group = first..rows.min(first + merged);
            let mut products = Vec::with_capacity(of_group.len());
            for row in of_group {
                let at = (r * rows + row) * len;
                let mut product = Ciphertext::decode(&self.parameters, &first_sums[at..at + len])?;
                for sums in others {
                    product.add_assign(&Ciphertext::decode(&self.parameters, &sums[at..at + len])?)?;
                }
                products.push(product);
            }
            self.respond_with(products, r, keys.keys.as_ref(), |_| Ok(()), out).map(drop)
        })?;
        Ok(out)
    }

    /// The sum of the squared norms, in integers, of rows that update the matrix: what an update adds to its energy.
    pub fn energy(&self, x: &[f32]) -> Result<f64, LatticeError> {
        rows_of("rows", x, self.inputs)?;
        let integers = fixed("input", x, self.scales.input, self.parameters.log2_modulus() as i32 - 2)?;
        Ok(integers.chunks(self.inputs).map(square).sum())
    }

    /// The energy that an encoded part ([`WeightProduct::encode_weights_part`]) carries.
    pub fn energy_of_part(part: &[u8]) -> Result<f64, LatticeError> {
        match part.first_chunk::<HEAD>() {
            Some(head) => Ok(f64::from_le_bytes(*head)),
            None => check_len(HEAD, part).map(|()| 0.0),
        }
    }

    /// Gives an encoded part the energy of the whole matrix: a holder of some blocks knows that of its own inputs alone.
    pub fn set_energy_of_part(part: &mut [u8], energy: f64) -> Result<(), LatticeError> {
        let actual = part.len();
        let head = part
            .first_chunk_mut::<HEAD>()
            .ok_or(LatticeError::Length { expected: HEAD, actual })?;
        *head = energy.to_le_bytes();
        Ok(())
    }

    /// Whether an update would refuse the delta of `rows` rows; every residue is checked.
    pub fn check_delta(&self, delta: &[u8], rows: usize) -> Result<(), LatticeError> {
        check_len(self.delta_len(rows), delta)?;
        self.check_uploads(delta)
    }

    /// Whether [`WeightProduct::receive_weights_part`] would refuse so many blocks of inputs; every residue is checked.
    pub fn check_weights_parts(&self, parts: &[u8], blocks: usize) -> Result<(), LatticeError> {
        check_len(blocks * self.weights_part_len(), parts)?;
        self.check_uploads(parts)
    }

    /// Whether [`WeightProduct::decode_weights_part`] would refuse one of so many blocks of inputs; every residue is checked.
    pub fn check_encoded_parts(&self, parts: &[u8], blocks: usize) -> Result<(), LatticeError> {
        check_len(blocks * self.encoded_part_len(), parts)?;
        let len = Ciphertext::encoded_len(&self.parameters);
        let ciphertexts: Vec<&[u8]> = parts
            .chunks(self.encoded_part_len())
            .flat_map(|part| part[HEAD..].chunks(len))
            .collect();
        check_size(
            "blocks of the encrypted matrix",
            blocks * self.output_blocks(),
            ciphertexts.len(),
        )?;
        let check = |index: usize| Ciphertext::decode(&self.parameters, ciphertexts[index]).map(drop);
        parallel::map(ciphertexts.len(), self.cost(ENCODE + DECODE), check).map(drop)
    }

    fn check_uploads(&self, bytes: &[u8]) -> Result<(), LatticeError> {
        let uploads: Vec<&[u8]> = bytes.chunks(Upload::exact_len(&self.parameters)).collect();
        let check = |index: usize| Upload::check_exact(&self.parameters, uploads[index]);
        parallel::map(uploads.len(), self.cost(DECODE), check).map(drop)
    }
}

/// A row's squared norm.
pub(super) fn square(row: &[i64]) -> f64 {
    row.iter().map(|&x| (x as f64).powi(2)).sum()
}
