//! The other party's side: multiplying encrypted rows by a plaintext matrix and compressing the result.

use cloven_ring::{Evaluations, Poly};

use super::{
    fixed::{Integers, check_size, fixed, lifted},
    hide::Hiding,
    product::Product,
};
use crate::{Ciphertext, LatticeError, Upload, wire::check_len};

/// A weight's integer stays below 2^this, so that block sums cannot come near the modulus.
const LOG2_WEIGHT: i32 = 40;

/// A plaintext matrix, transformed once and used for many batches.
pub struct Weights {
    /// W[q,r], at index q * output blocks + r.
    blocks: Vec<Poly<Evaluations>>,
    /// What is added to the responses of output block r; at the outputs' scale.
    bias: Vec<Poly<Evaluations>>,
    /// Bound on the noise of a response's coefficients.
    noise: f64,
}

#[cfg(test)]
impl Weights {
    /// W[0,0].
    pub(super) fn first_block(&self) -> &Poly<Evaluations> {
        &self.blocks[0]
    }
}

impl Product {
    /// Whether [`Product::weights`] would refuse a matrix or a bias.
    pub fn check_weights(&self, matrix: &[f32], bias: &[f32]) -> Result<(), LatticeError> {
        self.integers(matrix, bias).map(drop)
    }

    fn integers(&self, matrix: &[f32], bias: &[f32]) -> Result<(Vec<i64>, Integers), LatticeError> {
        check_size("matrix", self.layout.inputs * self.layout.outputs, matrix.len())?;
        check_size("bias", self.layout.outputs, bias.len())?;
        let scale = self.scales.input + self.scales.weight;
        Ok((
            fixed("weight", matrix, self.scales.weight, LOG2_WEIGHT)?,
            Integers::new("bias", bias, scale, &self.parameters)?,
        ))
    }

    /// Prepares an inputs x outputs matrix (row-major) and the bias of the outputs.
    pub fn weights(&self, matrix: &[f32], bias: &[f32]) -> Result<Weights, LatticeError> {
        let layout = &self.layout;
        let (integers, bias) = self.integers(matrix, bias)?;
        let mut blocks = Vec::new();
        for q in 0..layout.input_blocks() {
            for r in 0..layout.output_blocks() {
                let block = Poly::from_signed(self.parameters.basis(), &layout.weight_block(&integers, q, r))?;
                blocks.push(block.into_evaluations());
            }
        }
        let biases = (0..layout.output_blocks()).map(|r| self.bias_block(&bias, r));
        Ok(Weights {
            blocks,
            bias: biases.collect::<Result<_, _>>()?,
            noise: self.noise_of(self.widest_norm(&integers)),
        })
    }

    /// Multiplies an upload of `rows` rows and compresses the products. Every coefficient of the upload is checked. The key holder can compute
    /// the matrix from responses.
    pub fn respond(&self, weights: &Weights, upload: &[u8], rows: usize) -> Result<Vec<u8>, LatticeError> {
        self.respond_with(weights, upload, rows, |_, _| Ok(()))
    }

    /// The same for a key holder who must not learn the matrix beyond the products it decrypts. A matrix with more noise than the flooding
    /// hides is refused. The secrecy holds for an upload made by [`Product::encrypt`]: a key holder that puts more noise into it than that
    /// sees more.
    pub fn respond_hidden(
        &self,
        weights: &Weights,
        upload: &[u8],
        rows: usize,
        hiding: &Hiding<'_>,
    ) -> Result<Vec<u8>, LatticeError> {
        hiding.check_noise(weights.noise)?;
        self.respond_with(weights, upload, rows, |response, index| hiding.apply(response, index))
    }

    /// Refuses what [`Product::respond`] would refuse of an upload; every residue is checked.
    pub fn check_upload(&self, upload: &[u8], rows: usize) -> Result<(), LatticeError> {
        check_len(self.upload_len(rows), upload)?;
        let mut uploads = upload.chunks(Upload::encoded_len(&self.parameters));
        uploads.try_for_each(|bytes| Upload::check(&self.parameters, bytes))
    }

    fn respond_with(
        &self,
        weights: &Weights,
        upload: &[u8],
        rows: usize,
        hide: impl Fn(&mut Ciphertext, usize) -> Result<(), LatticeError>,
    ) -> Result<Vec<u8>, LatticeError> {
        check_len(self.upload_len(rows), upload)?;
        let blocks = self.layout.output_blocks();
        check_size(
            "blocks of the matrix",
            self.layout.input_blocks() * blocks,
            weights.blocks.len(),
        )?;
        let mut out = Vec::with_capacity(self.response_len(rows));
        let one = Upload::encoded_len(&self.parameters);
        for (g, group) in upload.chunks(self.layout.input_blocks() * one).enumerate() {
            let ciphertexts: Vec<Ciphertext> = group
                .chunks(one)
                .map(|bytes| Upload::decode(&self.parameters, bytes))
                .collect::<Result<_, _>>()?;
            for r in 0..blocks {
                let mut response = self.multiply(weights, &ciphertexts, r)?;
                hide(&mut response, g * blocks + r)?;
                let (c0, c1) = (response.c0.into_coefficients(), response.c1.into_coefficients());
                self.compression.write(&c0, &[&c1], self.layout.wanted(g, r, rows), &mut out);
            }
        }
        Ok(out)
    }

    /// sum_q X[g,q] W[q,r], and the bias.
    fn multiply(&self, weights: &Weights, ciphertexts: &[Ciphertext], r: usize) -> Result<Ciphertext, LatticeError> {
        let (mut c0, mut c1) = (weights.bias[r].clone(), Poly::zero(self.parameters.basis()));
        for (q, ciphertext) in ciphertexts.iter().enumerate() {
            let block = &weights.blocks[q * self.layout.output_blocks() + r];
            c0.mul_add_assign(&ciphertext.c0, block)?;
            c1.mul_add_assign(&ciphertext.c1, block)?;
        }
        Ok(Ciphertext { c0, c1 })
    }

    /// The bias of output block `r`, for as many samples as a ciphertext holds.
    fn bias_block(&self, bias: &Integers, r: usize) -> Result<Poly<Evaluations>, LatticeError> {
        let layout = &self.layout;
        let mut coefficients = vec![0; layout.degree];
        let values = &bias.values[r * layout.block_outputs..][..layout.width(r)];
        for i in 0..layout.samples {
            coefficients[layout.output_at(i, 0)..][..values.len()].copy_from_slice(values);
        }
        Ok(lifted(&self.parameters, &coefficients, bias.lift)?.into_evaluations())
    }

    /// The largest Euclidean norm of the columns of one output block, in integers.
    fn widest_norm(&self, integers: &[i64]) -> f64 {
        let layout = &self.layout;
        let mut squares = vec![0.0; layout.output_blocks()];
        for row in integers.chunks(layout.outputs) {
            for (sum, block) in squares.iter_mut().zip(row.chunks(layout.block_outputs)) {
                *sum += block.iter().map(|&w| (w as f64).powi(2)).sum::<f64>();
            }
        }
        squares.into_iter().fold(0.0, f64::max).sqrt()
    }
}
