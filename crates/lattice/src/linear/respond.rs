//! The other party's side: multiplying encrypted rows by a plaintext matrix and compressing the result.

use cloven_ring::{Coefficients, Evaluations, Poly};

use super::product::{Product, fixed};
use crate::{Ciphertext, LatticeError, Upload};

/// A weight's integer stays below 2^this, so that block sums cannot come near the modulus.
const LOG2_WEIGHT: i32 = 40;

/// A plaintext matrix, transformed once and used for many batches.
pub struct Weights {
    /// W[q,r], at index q * output blocks + r.
    blocks: Vec<Poly<Evaluations>>,
    /// Added to every row's outputs; at the outputs' scale.
    bias: Vec<i64>,
}

impl Product {
    /// Prepares an inputs x outputs matrix (row-major) and the bias of the outputs.
    pub fn weights(&self, matrix: &[f32], bias: &[f32]) -> Result<Weights, LatticeError> {
        let layout = &self.layout;
        for (what, values, expected) in [
            ("matrix", matrix, layout.inputs * layout.outputs),
            ("bias", bias, layout.outputs),
        ] {
            if values.len() != expected {
                return Err(LatticeError::Size {
                    what,
                    expected,
                    actual: values.len(),
                });
            }
        }
        let integers = fixed("weight", matrix, self.scales.weight, LOG2_WEIGHT)?;
        let sum = self.scales.input + self.scales.weight;
        let bias = fixed("bias", bias, sum, self.parameters.log2_modulus() as i32 - 2)?;
        let mut blocks = Vec::new();
        for q in 0..layout.input_blocks() {
            for r in 0..layout.output_blocks() {
                blocks.push(self.block(&integers, q, r)?);
            }
        }
        Ok(Weights { blocks, bias })
    }

    /// Multiplies an upload of `rows` rows and compresses the products. Every coefficient of the upload is checked.
    pub fn respond(&self, weights: &Weights, upload: &[u8], rows: usize) -> Result<Vec<u8>, LatticeError> {
        let expected = self.upload_len(rows);
        if upload.len() != expected {
            return Err(LatticeError::Length {
                expected,
                actual: upload.len(),
            });
        }
        let mut out = Vec::with_capacity(self.response_len(rows));
        let one = Upload::encoded_len(&self.parameters);
        for (g, group) in upload.chunks(self.layout.input_blocks() * one).enumerate() {
            let ciphertexts: Vec<Ciphertext> = group
                .chunks(one)
                .map(|bytes| Upload::decode(&self.parameters, bytes))
                .collect::<Result<_, _>>()?;
            for r in 0..self.layout.output_blocks() {
                self.respond_one(weights, &ciphertexts, (g, r), rows, &mut out)?;
            }
        }
        Ok(out)
    }

    fn respond_one(
        &self,
        weights: &Weights,
        ciphertexts: &[Ciphertext],
        (g, r): (usize, usize),
        rows: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), LatticeError> {
        let basis = self.parameters.basis();
        let (mut c0, mut c1) = (Poly::<Evaluations>::zero(basis), Poly::<Evaluations>::zero(basis));
        for (q, ciphertext) in ciphertexts.iter().enumerate() {
            let block = &weights.blocks[q * self.layout.output_blocks() + r];
            c0.mul_add_assign(&ciphertext.c0, block)?;
            c1.mul_add_assign(&ciphertext.c1, block)?;
        }
        let (mut c0, c1) = (c0.into_coefficients(), c1.into_coefficients());
        let bias = &weights.bias[r * self.layout.block_outputs..][..self.layout.width(r)];
        for (prime, modulus) in basis.moduli().iter().enumerate() {
            let residues = c0.residues_mut(prime);
            for (at, &bias) in self.layout.wanted(g, r, rows).zip(bias.iter().cycle()) {
                residues[at] = modulus.add(residues[at], modulus.from_signed(bias));
            }
        }
        self.compression.write(&c0, &c1, self.layout.wanted(g, r, rows), out);
        Ok(())
    }

    /// W[q,r] of the layout.
    fn block(&self, integers: &[i64], q: usize, r: usize) -> Result<Poly<Evaluations>, LatticeError> {
        let layout = &self.layout;
        let mut coefficients = vec![0; layout.degree];
        let rows = integers
            .chunks(layout.outputs)
            .skip(q * layout.block_inputs)
            .take(layout.block_inputs);
        for (c, row) in rows.enumerate() {
            for (j, value) in row[r * layout.block_outputs..].iter().take(layout.width(r)).enumerate() {
                coefficients[layout.weight_at(c, j)] = *value;
            }
        }
        Ok(Poly::<Coefficients>::from_signed(self.parameters.basis(), &coefficients)?.into_evaluations())
    }
}
