//! The encrypted matrix itself: on its way from the key holder, into checkpoints, and back to the key holder.
//!
//! Every form is a sequence of parts, one for each block of inputs, so that no message and no copy needs the size of the whole matrix.

use std::sync::{Mutex, PoisonError};

use super::WeightProduct;
use crate::{
    Ciphertext, LatticeError, Parameters, RandomnessKey, SecretKey, Upload,
    crt::centred_floats,
    linear::fixed::{Integers, check_size, lifted},
    merging::MergeKeys,
    parallel,
    wire::check_len,
};

/// Bytes of the energy at the start of an encoded part.
pub(super) const HEAD: usize = size_of::<f64>();

/// An encrypted matrix, updated in place.
pub struct EncryptedWeights {
    /// [`WeightProduct`]: W[q,r], at index q * output blocks + r.
    pub(in crate::linear) blocks: Vec<Ciphertext>,
    /// The sum of the squared norms, in integers, of all rows that updated it; infinite where they are not known.
    pub(in crate::linear) energy: f64,
    /// Ciphertexts whose values are of no use any more: their memory serves the next deltas and products, without the system's help.
    spare: Mutex<Vec<Ciphertext>>,
    /// For merging responses; not part of what is encoded.
    pub(in crate::linear) keys: Option<MergeKeys>,
}

impl EncryptedWeights {
    /// A matrix of which no part has come yet.
    pub fn empty() -> Self {
        Self::new(Vec::new())
    }

    /// A matrix that no rows have updated.
    pub(in crate::linear) fn new(blocks: Vec<Ciphertext>) -> Self {
        Self {
            blocks,
            energy: 0.0,
            spare: Mutex::default(),
            keys: None,
        }
    }

    /// As many ciphertexts, of any value.
    pub(super) fn take_spare(&self, count: usize, parameters: &Parameters) -> Vec<Ciphertext> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = spare.len() - count.min(spare.len());
        let mut taken = spare.split_off(kept);
        drop(spare);
        // Nothing of another ring, if the matrix was used there.
        taken.retain(|one| one.c0.basis() == parameters.basis());
        taken.resize_with(count, || Ciphertext::zero(parameters));
        taken
    }

    /// What [`EncryptedWeights::take_spare`] gave.
    pub(super) fn give_spare(&self, ciphertexts: Vec<Ciphertext>) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).extend(ciphertexts);
    }
}

/// The key holder's side.
impl WeightProduct {
    /// Encrypts an inputs x outputs matrix, row-major. `context` must not repeat (see [`RandomnessKey`]).
    pub fn encrypt_weights(
        &self,
        matrix: &[f32],
        secret: &SecretKey,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        check_size("matrix", self.inputs * self.outputs, matrix.len())?;
        let mut out = Vec::with_capacity(self.weights_len());
        for (q, rows) in matrix.chunks(self.block_inputs() * self.outputs).enumerate() {
            self.encrypt_block_row(q, rows, secret, key, context, &mut out)?;
        }
        Ok(out)
    }

    /// The part of [`WeightProduct::encrypt_weights`] for block `q` of inputs, from these rows of the matrix ([`WeightProduct::part_inputs`] of
    /// them) alone. All parts take the same `context`.
    pub fn encrypt_weights_part(
        &self,
        q: usize,
        rows: &[f32],
        secret: &SecretKey,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        check_size("rows of the matrix", self.part_inputs(q) * self.outputs, rows.len())?;
        let mut out = Vec::with_capacity(self.weights_part_len());
        self.encrypt_block_row(q, rows, secret, key, context, &mut out)?;
        Ok(out)
    }

    /// Reads the part of an encrypted matrix that [`WeightProduct::encode_weights_part`] wrote for block `q` of inputs: its rows, row-major, with
    /// their noise. An entry beyond [`WeightProduct::weight_bound`] is an error.
    pub fn decrypt_weights_part(&self, q: usize, part: &[u8], secret: &SecretKey) -> Result<Vec<f64>, LatticeError> {
        check_len(self.encoded_part_len(), part)?;
        let ciphertexts: Vec<&[u8]> = part[HEAD..].chunks(Ciphertext::encoded_len(&self.parameters)).collect();
        let (unit, bound) = (2f64.powi(-(self.scales.weight as i32)), self.weight_bound());
        let blocks = parallel::map(ciphertexts.len(), self.cost(DECRYPT), |r| {
            let plaintext = secret.decrypt(&Ciphertext::decode(&self.parameters, ciphertexts[r])?)?;
            Ok(centred_floats(&plaintext))
        })?;
        let mut rows = vec![0.0; self.part_inputs(q) * self.outputs];
        for (r, block) in blocks.iter().enumerate() {
            for b in 0..self.part_inputs(q) {
                for j in 0..self.width(r) {
                    let position = b * self.outputs + r * self.block_outputs() + j;
                    let value = block[self.packing.weight_at(b, j)] * unit;
                    if value.abs() >= bound {
                        return Err(LatticeError::Range {
                            what: "weight",
                            position: q * self.block_inputs() * self.outputs + position,
                            value,
                            bound,
                        });
                    }
                    rows[position] = value;
                }
            }
        }
        Ok(rows)
    }

    /// [`WeightProduct::decrypt_weights_part`] of all parts, one after the other: inputs x outputs, row-major.
    pub fn decrypt_weights(&self, bytes: &[u8], secret: &SecretKey) -> Result<Vec<f64>, LatticeError> {
        check_len(self.encoded_weights_len(), bytes)?;
        let mut matrix = Vec::with_capacity(self.inputs * self.outputs);
        for (q, part) in bytes.chunks(self.encoded_part_len()).enumerate() {
            matrix.extend(self.decrypt_weights_part(q, part, secret)?);
        }
        Ok(matrix)
    }

    /// The largest weight that is read right: a quarter of the modulus.
    pub fn weight_bound(&self) -> f64 {
        2f64.powf(self.parameters.log2_modulus() - 2.0 - f64::from(self.scales.weight))
    }

    fn encrypt_block_row(
        &self,
        q: usize,
        rows: &[f32],
        secret: &SecretKey,
        key: &RandomnessKey,
        context: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), LatticeError> {
        let integers = Integers::new("weight", rows, self.scales.weight, &self.parameters)?;
        parallel::append(self.output_blocks(), self.cost(ENCRYPT), out, |r, out| {
            let mut block = vec![0; self.parameters.degree()];
            for (b, row) in integers.values.chunks(self.outputs).enumerate() {
                let values = &row[r * self.block_outputs()..][..self.width(r)];
                for (j, value) in values.iter().enumerate() {
                    block[self.packing.weight_at(b, j)] = *value;
                }
            }
            let plaintext = lifted(&self.parameters, &block, integers.lift)?;
            let context = [context, &(q as u64).to_le_bytes(), &(r as u64).to_le_bytes()].concat();
            secret.encrypt(&plaintext, key, &context)?.encode_exact(out);
            Ok(())
        })
    }
}

/// The side that holds the encrypted matrix.
impl WeightProduct {
    /// Reads what [`WeightProduct::encrypt_weights`] wrote. Every residue is checked.
    pub fn receive_weights(&self, bytes: &[u8]) -> Result<EncryptedWeights, LatticeError> {
        check_len(self.weights_len(), bytes)?;
        let uploads: Vec<&[u8]> = bytes.chunks(Upload::exact_len(&self.parameters)).collect();
        let blocks = parallel::map(uploads.len(), self.cost(DECODE), |index| {
            Upload::decode_exact(&self.parameters, uploads[index])
        })?;
        Ok(EncryptedWeights::new(blocks))
    }

    /// Appends the next block of inputs, written by [`WeightProduct::encrypt_weights_part`]. Nothing is changed if any byte is wrong.
    pub fn receive_weights_part(&self, weights: &mut EncryptedWeights, part: &[u8]) -> Result<(), LatticeError> {
        check_len(self.weights_part_len(), part)?;
        self.append_blocks(weights, part, Upload::decode_exact)
    }

    /// The matrix as it is, for checkpoints and for its key holder: all parts, one after the other.
    pub fn encode_weights(&self, weights: &EncryptedWeights) -> Result<Vec<u8>, LatticeError> {
        let mut out = Vec::with_capacity(self.encoded_weights_len());
        for q in 0..self.input_blocks() {
            out.extend(self.encode_weights_part(weights, q)?);
        }
        Ok(out)
    }

    /// The part for block `q` of inputs: the energy of all updates, and the ciphertexts.
    pub fn encode_weights_part(&self, weights: &EncryptedWeights, q: usize) -> Result<Vec<u8>, LatticeError> {
        self.check_weights(weights)?;
        let mut out = Vec::with_capacity(self.encoded_part_len());
        out.extend(weights.energy.to_le_bytes());
        let blocks = weights.blocks.chunks(self.output_blocks()).nth(q).unwrap_or_default();
        check_size("blocks of the encrypted matrix in a part", self.output_blocks(), blocks.len())?;
        parallel::append(blocks.len(), self.cost(ENCODE), &mut out, |r, out| {
            blocks[r].encode(out);
            Ok(())
        })?;
        Ok(out)
    }

    /// Reads what [`WeightProduct::encode_weights`] wrote. Every residue is checked.
    pub fn decode_weights(&self, bytes: &[u8]) -> Result<EncryptedWeights, LatticeError> {
        check_len(self.encoded_weights_len(), bytes)?;
        let mut weights = EncryptedWeights::empty();
        for part in bytes.chunks(self.encoded_part_len()) {
            self.decode_weights_part(&mut weights, part)?;
        }
        Ok(weights)
    }

    /// Appends the next block of inputs, written by [`WeightProduct::encode_weights_part`]. Nothing is changed if any byte is wrong.
    pub fn decode_weights_part(&self, weights: &mut EncryptedWeights, part: &[u8]) -> Result<(), LatticeError> {
        check_len(self.encoded_part_len(), part)?;
        let (head, ciphertexts) = part.split_at(HEAD);
        let mut energy = [0; HEAD];
        energy.copy_from_slice(head);
        let energy = f64::from_le_bytes(energy);
        let expected = if weights.blocks.is_empty() { energy } else { weights.energy };
        // Nor is it a number below zero, or none.
        if !(energy >= 0.0 && energy == expected) {
            return Err(LatticeError::Energy {
                expected,
                actual: energy,
            });
        }
        self.append_blocks(weights, ciphertexts, Ciphertext::decode)?;
        weights.energy = energy;
        Ok(())
    }

    fn append_blocks(
        &self,
        weights: &mut EncryptedWeights,
        part: &[u8],
        decode: impl Fn(&Parameters, &[u8]) -> Result<Ciphertext, LatticeError> + Sync,
    ) -> Result<(), LatticeError> {
        let (blocks, all) = (self.output_blocks(), self.input_blocks() * self.output_blocks());
        if weights.blocks.len() + blocks > all {
            return check_size("blocks of the encrypted matrix", all, weights.blocks.len() + blocks);
        }
        let ciphertexts: Vec<&[u8]> = part.chunks(part.len() / blocks).collect();
        let decoded = parallel::map(blocks, self.cost(DECODE), |r| decode(&self.parameters, ciphertexts[r]))?;
        weights.blocks.extend(decoded);
        Ok(())
    }

    pub(super) fn check_weights(&self, weights: &EncryptedWeights) -> Result<(), LatticeError> {
        let expected = self.input_blocks() * self.output_blocks();
        check_size("blocks of the encrypted matrix", expected, weights.blocks.len())
    }
}

/// Sizes.
impl WeightProduct {
    /// Rows of the matrix in block `q` of inputs: [`WeightProduct::block_inputs`], or what is left.
    pub fn part_inputs(&self, q: usize) -> usize {
        self.block_inputs().min(self.inputs.saturating_sub(q * self.block_inputs()))
    }

    /// Bytes of the encrypted matrix.
    pub fn weights_len(&self) -> usize {
        self.input_blocks() * self.weights_part_len()
    }

    /// Bytes of one block of inputs of it.
    pub fn weights_part_len(&self) -> usize {
        self.output_blocks() * Upload::exact_len(&self.parameters)
    }

    /// Bytes of the matrix as [`WeightProduct::encode_weights`] writes it.
    pub fn encoded_weights_len(&self) -> usize {
        self.input_blocks() * self.encoded_part_len()
    }

    /// Bytes of one part of it.
    pub fn encoded_part_len(&self) -> usize {
        HEAD + self.output_blocks() * Ciphertext::encoded_len(&self.parameters)
    }
}

/// Nanoseconds to a residue of a ciphertext, about, with vector kernels.
pub(super) const ENCRYPT: usize = 10;
pub(super) const DECODE: usize = 4;
pub(super) const DECRYPT: usize = 4;
pub(super) const ENCODE: usize = 2;

impl WeightProduct {
    /// Nanoseconds to a ciphertext.
    pub(super) fn cost(&self, each: usize) -> usize {
        each * self.parameters.basis().words()
    }
}
