//! W <- W - eta x^T delta, with everything encrypted: products with the mirrored rows, brought back by two key switches a block of W.
//!
//! With one sample a ciphertext, X[i,q](X^-1) X^(nw (kw-1)) = sum_c x[i][q kw+c] X^(nw c), and
//!
//! ```text
//! d[i,r](X) = sum_j delta[i][r nw+j] X^j
//! sum_i d[i,r] X[i,q](X^-1) X^(nw (kw-1))  =  the block (q, r) of x^T delta, in the very layout of W[q,r]
//! ```
//!
//! delta stands at 2^(sw-sx), so the product at W's own scale.

use super::{EncryptedGroup, EncryptedProduct};
use crate::{
    Ciphertext, LatticeError, MirrorKey, MirroredCiphertext, MirroredTensor, RandomnessKey, SecretKey, Upload,
    encryption::exact_variance,
    linear::{
        EncryptedWeights, Scales,
        fixed::{Integers, check_size, lifted, rows_of},
    },
    wire::check_len,
};

impl EncryptedProduct {
    /// Bytes of the encrypted delta of `rows` rows.
    pub fn delta_len(&self, rows: usize) -> usize {
        rows * self.layout.output_blocks() * Upload::exact_len(&self.parameters)
    }

    /// Encrypts -`rate` delta of a batch, row-major: one ciphertext per output block and row. `context` must not repeat.
    pub fn encrypt_delta(
        &self,
        delta: &[f32],
        rate: f32,
        secret: &SecretKey,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        let (layout, rows) = (&self.layout, rows_of("delta", delta, self.layout.outputs)?);
        let step: Vec<f32> = delta.iter().map(|d| -rate * d).collect();
        let integers = Integers::new("delta", &step, self.delta_scale()?, &self.parameters)?;
        let mut out = Vec::with_capacity(self.delta_len(rows));
        for r in 0..layout.output_blocks() {
            for (i, row) in integers.values.chunks(layout.outputs).enumerate() {
                let mut coefficients = vec![0; layout.degree];
                coefficients[..layout.width(r)].copy_from_slice(&row[r * layout.block_outputs..][..layout.width(r)]);
                let plaintext = lifted(&self.parameters, &coefficients, integers.lift)?;
                let context = [context, b"delta", &(i as u64).to_le_bytes(), &(r as u64).to_le_bytes()].concat();
                secret.encrypt(&plaintext, key, &context)?.encode_exact(&mut out);
            }
        }
        Ok(out)
    }

    /// W <- W - eta x^T delta, for rows that were encrypted one a ciphertext. Nothing is changed if any byte of `delta` is wrong.
    pub fn update(
        &self,
        weights: &mut EncryptedWeights,
        batch: &[&EncryptedGroup],
        delta: &[u8],
        key: &MirrorKey,
    ) -> Result<(), LatticeError> {
        let blocks = self.layout.input_blocks();
        check_size("samples of a ciphertext", 1, self.layout.samples)?;
        self.check_weights(weights)?;
        check_len(self.delta_len(batch.len()), delta)?;
        let deltas = self.ciphertexts(delta)?;
        // The rows are unknown, and key switches add noise of their own.
        weights.energy = f64::INFINITY;
        for q in 0..blocks {
            let rows = batch.iter().map(|group| self.backward(group, q));
            let rows: Vec<MirroredCiphertext> = rows.collect::<Result<_, _>>()?;
            for (weights, deltas) in weights.blocks.chunks_mut(blocks).zip(deltas.chunks(batch.len().max(1))) {
                weights[q].add_assign(&self.gradient(&rows, deltas, key)?)?;
            }
        }
        Ok(())
    }

    /// Standard deviation of what one update adds to the error of an output of the row `sample`: both key switches, noise of the rows times
    /// delta, and noise of delta times the rows, which correlate with `sample`. `batch` and `delta` (already times the rate) are row-major. Not the
    /// rounding of delta.
    pub fn update_error_deviation(
        &self,
        sample: &[f32],
        batch: &[f32],
        delta: &[f32],
        key: &MirrorKey,
    ) -> Result<f64, LatticeError> {
        check_size("sample", self.layout.inputs, sample.len())?;
        let rows = rows_of("rows", batch, self.layout.inputs)?;
        check_size("delta", rows * self.layout.outputs, delta.len())?;
        let square = |values: &[f32]| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
        let unit = |bits: u32| 2f64.powi(-(bits as i32));
        let (x, w, fresh) = (unit(self.scales.input), unit(self.scales.weight), exact_variance());
        let switches = 2.0 * key.noise_variance() * w.powi(2) * square(sample);
        // The widest block counts; with more than one, this is a bound.
        let of_rows = fresh * x.powi(2) * square(delta) * square(sample);
        let correlations = batch.chunks(self.layout.inputs).map(|row| self.correlation(sample, row));
        let of_delta = fresh * unit(self.delta_scale()?).powi(2) * correlations.sum::<f64>();
        Ok((switches + of_rows + of_delta).sqrt())
    }

    /// The sum of the squared coefficients of sum_q X'[q](X) X[q](X^-1).
    fn correlation(&self, sample: &[f32], row: &[f32]) -> f64 {
        let (kw, nw, degree) = (self.layout.block_inputs, self.layout.block_outputs, self.layout.degree);
        let mut product = vec![0.0; degree];
        for (sample, row) in sample.chunks(kw).zip(row.chunks(kw)) {
            for (c, x) in sample.iter().enumerate() {
                for (c_row, y) in row.iter().enumerate() {
                    let term = f64::from(*x) * f64::from(*y);
                    match c_row.checked_sub(c) {
                        Some(d) => product[nw * d] += term,
                        None => product[degree - nw * (c - c_row)] -= term,
                    }
                }
            }
        }
        product.iter().map(|r| r * r).sum()
    }

    /// sum_c x[q kw+c] X^(nw c) from the row's block q.
    fn backward(&self, group: &EncryptedGroup, q: usize) -> Result<MirroredCiphertext, LatticeError> {
        check_size("blocks of encrypted rows", self.layout.input_blocks(), group.blocks.len())?;
        let mut row = group.blocks[q].mirrored();
        row.shift(self.layout.block_outputs * (self.layout.block_inputs - 1))?;
        Ok(row)
    }

    fn gradient(&self, rows: &[MirroredCiphertext], deltas: &[Ciphertext], key: &MirrorKey) -> Result<Ciphertext, LatticeError> {
        let mut sum = MirroredTensor::zero(&self.parameters);
        for (row, delta) in rows.iter().zip(deltas) {
            sum.mul_add_assign(delta, row)?;
        }
        key.relinearise(sum)
    }

    /// sw - sx.
    fn delta_scale(&self) -> Result<u32, LatticeError> {
        let Scales { input, weight, .. } = self.scales;
        weight.checked_sub(input).ok_or(LatticeError::Wide {
            what: "scale of the input, of which delta has the rest",
            allowed: weight,
            actual: input,
        })
    }
}

#[cfg(test)]
mod tests;
