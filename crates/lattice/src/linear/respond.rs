//! The other party's side: multiplying encrypted rows by a plaintext matrix and compressing the result.

use cloven_ring::{Coefficients, Evaluations, Poly};

use super::product::{Product, fixed};
use crate::{Ciphertext, LatticeError, Upload, bits::pack};

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
        let (c0, c1) = (c0.into_coefficients(), c1.into_coefficients());
        let modulus = basis.moduli()[0];
        let bias = &weights.bias[r * self.layout.block_outputs..][..self.layout.width(r)];
        let switch = Switch::new(modulus.value(), self.scales.response);
        let mut values: Vec<u64> = c1.residues(0).iter().map(|&c| switch.apply(c)).collect();
        let residues = c0.residues(0);
        let wanted = self.layout.wanted(g, r, rows).zip(bias.iter().cycle());
        values.extend(wanted.map(|(at, &bias)| switch.apply(modulus.add(residues[at], modulus.from_signed(bias)))));
        pack(&values, self.scales.response, out);
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

/// round(c 2^B / q) modulo 2^B for c < q < 2^50, in floating point: the product is off by less than 2^-20, which moves a rounding only
/// where it was undecided to that precision anyway.
struct Switch {
    factor: f64,
    mask: u64,
}

impl Switch {
    /// 2^52: adding it to a number below 2^51 leaves the number, rounded, in the low bits.
    const MAGIC: f64 = 4_503_599_627_370_496.0;

    fn new(modulus: u64, bits: u32) -> Self {
        Self {
            factor: 2f64.powi(bits as i32) / modulus as f64,
            mask: (1 << bits) - 1,
        }
    }

    fn apply(&self, c: u64) -> u64 {
        let exact = f64::from_bits(c | Self::MAGIC.to_bits()) - Self::MAGIC;
        (exact * self.factor + Self::MAGIC).to_bits() & self.mask
    }
}
