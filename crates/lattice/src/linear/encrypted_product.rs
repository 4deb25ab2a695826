//! Encrypted rows times an encrypted matrix, both under one key: the key holder's side, and the shape.
//!
//! The layout is that of [`super::Product`], with W encrypted as well, so a response has three components, decrypted with (1, s, s^2)
//! ([`crate::Tensor`]): no evaluation key. Rows are uploaded once and kept as ciphertexts, groups of S samples; so is the matrix. With one
//! sample a ciphertext the matrix is updated in place, for which the key holder hands out a [`crate::MirrorKey`].
//!
//! Noise of the rows multiplies W and noise of W multiplies the rows, so both need a scale far above the noise: with N = 4096 and two 50-bit
//! primes, sx = 24 and sw = 58 to 64 leave outputs 16 to 10 bits. Rounding c2 costs the response's precision B some 10 bits, since it is multiplied by
//! s^2.

use super::{
    compression::Compression,
    encrypted_weights::EncryptedWeights,
    fixed::{Integers, check_size, lifted, rows_of},
    layout::Layout,
    noise::Norms,
    outputs::Outputs,
    product::Scales,
};
use crate::{
    Ciphertext, LatticeError, Parameters, RandomnessKey, SecretKey, Tensor, Upload, encryption::exact_variance, wire::check_len,
};

#[cfg(test)]
mod tests;
mod update;

/// Encrypted rows times an encrypted matrix, as both parties compute it.
#[derive(Debug, Clone, PartialEq)]
pub struct EncryptedProduct {
    parameters: Parameters,
    layout: Layout,
    scales: Scales,
    compression: Compression,
}

/// The rows that share ciphertexts, one ciphertext for every block of inputs.
pub struct EncryptedGroup {
    rows: usize,
    blocks: Vec<Ciphertext>,
}

impl EncryptedGroup {
    /// How many rows it holds.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

impl EncryptedProduct {
    /// The product of batches of `rows` rows with an inputs x outputs matrix; the layout is the one with the fewest bytes when every batch is
    /// uploaded and answered once.
    pub fn new(parameters: &Parameters, shape: [usize; 3], scales: Scales) -> Result<Self, LatticeError> {
        let response = Compression::new(parameters, scales.response, 2)?.len(0);
        let layout = Layout::choose(parameters.degree(), shape, Upload::exact_len(parameters), response)?;
        Self::with_layout(parameters, layout, scales)
    }

    /// The same in a layout of choice, such as one sample a ciphertext, so that batches can be drawn from all rows.
    pub fn with_layout(parameters: &Parameters, layout: Layout, scales: Scales) -> Result<Self, LatticeError> {
        layout.check(parameters.degree())?;
        Ok(Self {
            parameters: parameters.clone(),
            layout,
            scales,
            compression: Compression::new(parameters, scales.response, 2)?,
        })
    }

    /// How it is laid out.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Bytes of one encrypted group of rows.
    pub fn group_len(&self) -> usize {
        self.layout.input_blocks() * Upload::exact_len(&self.parameters)
    }

    /// Bytes of `rows` encrypted rows.
    pub fn rows_len(&self, rows: usize) -> usize {
        self.layout.groups(rows) * self.group_len()
    }

    /// Bytes of the encrypted matrix.
    pub fn weights_len(&self) -> usize {
        self.layout.output_blocks() * self.group_len()
    }

    /// Bytes of the response for `rows` rows.
    pub fn response_len(&self, rows: usize) -> usize {
        self.outputs().len(rows)
    }

    /// The largest result that is surely read right.
    pub fn output_bound(&self) -> f64 {
        self.scales.output_bound(&self.parameters)
    }

    /// Standard deviation of the error of one output: noise of the rows times W, noise of W times the rows (`group` is the norm of all rows
    /// of the row's group together), noise times noise, rounding of W and x, and the response's rounding.
    pub fn error_deviation(&self, norms: Norms, group: f64) -> f64 {
        let unit = |bits: u32| 2f64.powi(-(bits as i32));
        let (x, w) = (unit(self.scales.input), unit(self.scales.weight));
        let terms = self.layout.input_blocks() * self.layout.degree;
        let fresh = exact_variance();
        let noise = fresh * ((norms.block * x).powi(2) + (group * w).powi(2)) + fresh * fresh * (x * w).powi(2) * terms as f64;
        let rounded = (norms.row * w).powi(2) + (norms.column * x).powi(2);
        (noise + rounded / 12.0 + self.scales.step().powi(2) * self.compression.variance()).sqrt()
    }

    /// Encrypts `x`, row-major, as many rows as it holds. `context` must not repeat (see [`RandomnessKey`]).
    pub fn encrypt_rows(
        &self,
        x: &[f32],
        secret: &SecretKey,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        let rows = rows_of("rows", x, self.layout.inputs)?;
        let integers = Integers::new("input", x, self.scales.input, &self.parameters)?;
        let mut out = Vec::with_capacity(self.rows_len(rows));
        for g in 0..self.layout.groups(rows) {
            for q in 0..self.layout.input_blocks() {
                let block = self.layout.row_block(&integers.values, rows, g, q);
                let plaintext = lifted(&self.parameters, &block, integers.lift)?;
                let context = [context, b"rows", &(g as u64).to_le_bytes(), &(q as u64).to_le_bytes()].concat();
                secret.encrypt(&plaintext, key, &context)?.encode_exact(&mut out);
            }
        }
        Ok(out)
    }

    /// Encrypts an inputs x outputs matrix, row-major. `context` must not repeat.
    pub fn encrypt_weights(
        &self,
        matrix: &[f32],
        secret: &SecretKey,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        check_size("matrix", self.layout.inputs * self.layout.outputs, matrix.len())?;
        let integers = Integers::new("weight", matrix, self.scales.weight, &self.parameters)?;
        let mut out = Vec::with_capacity(self.weights_len());
        for r in 0..self.layout.output_blocks() {
            for q in 0..self.layout.input_blocks() {
                let block = self.layout.weight_block(&integers.values, q, r);
                let plaintext = lifted(&self.parameters, &block, integers.lift)?;
                let context = [context, b"weights", &(q as u64).to_le_bytes(), &(r as u64).to_le_bytes()].concat();
                secret.encrypt(&plaintext, key, &context)?.encode_exact(&mut out);
            }
        }
        Ok(out)
    }

    /// Reads a response to `rows` rows: rows x outputs, row-major. A result beyond [`EncryptedProduct::output_bound`] is an error.
    pub fn decrypt(&self, response: &[u8], rows: usize, secret: &SecretKey) -> Result<Vec<f32>, LatticeError> {
        self.outputs().read(response, rows, secret)
    }

    fn outputs(&self) -> Outputs<'_> {
        Outputs {
            layout: &self.layout,
            compression: &self.compression,
            step: self.scales.step(),
            bound: self.output_bound(),
        }
    }
}

/// The side that holds the ciphertexts.
impl EncryptedProduct {
    /// Reads what [`EncryptedProduct::encrypt_rows`] wrote for `rows` rows. Every residue is checked.
    pub fn receive_rows(&self, bytes: &[u8], rows: usize) -> Result<Vec<EncryptedGroup>, LatticeError> {
        check_len(self.rows_len(rows), bytes)?;
        let groups = bytes.chunks(self.group_len()).enumerate();
        groups
            .map(|(g, bytes)| self.receive_group(bytes, self.layout.samples_in(g, rows)))
            .collect()
    }

    /// Reads one group, of `rows` rows: 1 to [`Layout::samples`].
    pub fn receive_group(&self, bytes: &[u8], rows: usize) -> Result<EncryptedGroup, LatticeError> {
        if !(1..=self.layout.samples).contains(&rows) {
            return Err(LatticeError::Size {
                what: "rows of a group",
                expected: self.layout.samples,
                actual: rows,
            });
        }
        check_len(self.group_len(), bytes)?;
        let blocks = self.ciphertexts(bytes)?;
        Ok(EncryptedGroup { rows, blocks })
    }

    /// Reads what [`EncryptedProduct::encrypt_weights`] wrote. Every residue is checked.
    pub fn receive_weights(&self, bytes: &[u8]) -> Result<EncryptedWeights, LatticeError> {
        check_len(self.weights_len(), bytes)?;
        let blocks = self.ciphertexts(bytes)?;
        Ok(EncryptedWeights::new(blocks))
    }

    /// Multiplies a batch of groups, of which only the last may hold fewer rows than the others, and compresses the products.
    pub fn respond(&self, weights: &EncryptedWeights, batch: &[&EncryptedGroup]) -> Result<Vec<u8>, LatticeError> {
        let blocks = self.layout.input_blocks();
        self.check_weights(weights)?;
        let rows = self.rows_in(batch)?;
        let mut out = Vec::with_capacity(self.response_len(rows));
        for (g, group) in batch.iter().enumerate() {
            check_size("blocks of encrypted rows", blocks, group.blocks.len())?;
            for (r, weights) in weights.blocks.chunks(blocks).enumerate() {
                let mut sum = Tensor::zero(&self.parameters);
                for (x, w) in group.blocks.iter().zip(weights) {
                    sum.mul_add_assign(x, w)?;
                }
                let [c0, c1, c2] = [sum.c0, sum.c1, sum.c2].map(|c| c.into_coefficients());
                self.compression
                    .write(&c0, &[&c1, &c2], self.layout.wanted(g, r, rows), &mut out);
            }
        }
        Ok(out)
    }

    fn check_weights(&self, weights: &EncryptedWeights) -> Result<(), LatticeError> {
        let expected = self.layout.input_blocks() * self.layout.output_blocks();
        check_size("blocks of the encrypted matrix", expected, weights.blocks.len())
    }

    fn rows_in(&self, batch: &[&EncryptedGroup]) -> Result<usize, LatticeError> {
        let full = batch.len().saturating_sub(1);
        if let Some(short) = batch[..full].iter().find(|group| group.rows != self.layout.samples) {
            return Err(LatticeError::Size {
                what: "rows of a group before the last",
                expected: self.layout.samples,
                actual: short.rows,
            });
        }
        Ok(batch.iter().map(|group| group.rows).sum())
    }

    fn ciphertexts(&self, bytes: &[u8]) -> Result<Vec<Ciphertext>, LatticeError> {
        let uploads = bytes.chunks(Upload::exact_len(&self.parameters));
        uploads.map(|one| Upload::decode_exact(&self.parameters, one)).collect()
    }
}
