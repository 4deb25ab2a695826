//! Plaintext rows times an encrypted matrix that is updated in place: the key holder's side, and the shape.
//!
//! With kw nw = N, both powers of two, block (q, r) of W and a row's block q are
//!
//! ```text
//! W[q,r](X)    = sum_{b<kw} sum_{j<nw}  W[q kw+b][r nw+j]  X^(j + nw b)
//! xfwd[i,q](X) = sum_{b<kw}  x[i][q kw+b]  X^(-nw b)
//! xbwd[i,q](X) = sum_{b<kw}  x[i][q kw+b]  X^(+nw b)
//! d[i,r](X)    = sum_{j<nw}  delta[i][r nw+j]  X^j
//!
//! coefficient j < nw of  sum_q W[q,r] xfwd[i,q]  =  y[i][r nw+j]
//! sum_i d[i,r] xbwd[i,q]  =  the block (q, r) of x^T delta, in the very layout of W[q,r]
//! ```
//!
//! This is the *block* layout, the fastest; the *stride* layout ([`WeightProduct::strided`], see `stride`) takes a fraction of the bytes.
//!
//! Both parties' rounds: the key holder sends Enc(W) once; per batch the other party sends Enc(x W), the key holder Enc(-eta delta), and
//! W <- W - eta x^T delta is an addition of ciphertexts. x stands at 2^sx, W at 2^sw, delta at 2^(sw-sx). xfwd and xbwd are polynomials
//! in X^nw, so in evaluations all products are modular matrix products with kw scalars a block (see `block`).
//!
//! Noise stays in W and grows with the root of the number of updates: [`WeightProduct::error_deviation`].

use std::ops::Range;

use super::{
    compression::Compression,
    fixed::{Integers, lifted, rows_of},
    product::Scales,
};
use crate::{LatticeError, Parameters, RandomnessKey, SecretKey, Upload, parallel, wire::check_len};

mod block;
mod matrix;
mod noise;
mod packing;
mod respond;
mod stride;
#[cfg(test)]
mod tests;

use block::BlockKernel;
pub use matrix::EncryptedWeights;
use matrix::{DECRYPT, ENCRYPT};
use packing::Packing;
pub use respond::EncodedRows;
use stride::StrideKernel;

/// Plaintext rows times an encrypted matrix, as both parties compute it.
#[derive(Debug, Clone)]
pub struct WeightProduct {
    parameters: Parameters,
    inputs: usize,
    outputs: usize,
    packing: Packing,
    scales: Scales,
    compression: Compression,
    kernel: Kernel,
}

/// How the other party multiplies.
#[derive(Debug, Clone)]
enum Kernel {
    Block(BlockKernel),
    Stride(StrideKernel),
}

impl WeightProduct {
    /// Rows times an inputs x outputs matrix, with the widest blocks that are of use: the fewest responses.
    pub fn new(parameters: &Parameters, [inputs, outputs]: [usize; 2], scales: Scales) -> Result<Self, LatticeError> {
        let degree = parameters.degree();
        let all_inputs = inputs.clamp(2, degree).next_power_of_two();
        let block_outputs = outputs.clamp(1, degree).next_power_of_two().max(degree / all_inputs);
        Self::with_block_outputs(parameters, [inputs, outputs], block_outputs.min(degree / 2), scales)
    }

    /// The same with blocks of `block_outputs` (nw: a power of two, at most N/2) outputs.
    pub fn with_block_outputs(
        parameters: &Parameters,
        [inputs, outputs]: [usize; 2],
        block_outputs: usize,
        scales: Scales,
    ) -> Result<Self, LatticeError> {
        let degree = parameters.degree();
        if !block_outputs.is_power_of_two() || block_outputs > degree / 2 {
            return Err(LatticeError::NoLayout { inputs, outputs, degree });
        }
        let packing = Packing::block(degree, block_outputs);
        let kernel = Kernel::Block(BlockKernel::new(parameters.basis(), packing.block_inputs)?);
        Self::with_kernel(parameters, [inputs, outputs], packing, kernel, scales)
    }

    /// The same in stride layout, with the widest blocks that are of use: `samples` rows to a delta (B: a power of two, at most N/2), and as many to
    /// a response as fit. The matrix, and the work of forward products, are B times that of the block layout.
    pub fn strided(
        parameters: &Parameters,
        [inputs, outputs]: [usize; 2],
        samples: usize,
        scales: Scales,
    ) -> Result<Self, LatticeError> {
        let degree = parameters.degree();
        let room = degree / samples.clamp(2, degree / 2).next_power_of_two();
        let stride = inputs
            .clamp(2, degree)
            .next_power_of_two()
            .saturating_mul(samples.max(1))
            .min(degree / 2);
        let block_outputs = outputs.clamp(2, degree).next_power_of_two().max(degree / stride);
        Self::strided_with_block_outputs(parameters, [inputs, outputs], samples, block_outputs.min(room), scales)
    }

    /// The same with blocks of `block_outputs` (nw: a power of two, 2 to N / 2) outputs.
    pub fn strided_with_block_outputs(
        parameters: &Parameters,
        [inputs, outputs]: [usize; 2],
        samples: usize,
        block_outputs: usize,
        scales: Scales,
    ) -> Result<Self, LatticeError> {
        let degree = parameters.degree();
        let powers = block_outputs.is_power_of_two() && samples.is_power_of_two();
        if !powers || !(2..=degree / 2).contains(&block_outputs) || samples > degree / block_outputs {
            return Err(LatticeError::NoLayout { inputs, outputs, degree });
        }
        let packing = Packing::stride(degree, block_outputs, samples);
        let kernel = Kernel::Stride(StrideKernel::new(parameters.basis())?);
        Self::with_kernel(parameters, [inputs, outputs], packing, kernel, scales)
    }

    fn with_kernel(
        parameters: &Parameters,
        [inputs, outputs]: [usize; 2],
        packing: Packing,
        kernel: Kernel,
        scales: Scales,
    ) -> Result<Self, LatticeError> {
        if inputs == 0 || outputs == 0 {
            let degree = parameters.degree();
            return Err(LatticeError::NoLayout { inputs, outputs, degree });
        }
        if scales.weight < scales.input {
            return Err(LatticeError::Wide {
                what: "scale of the input, of which delta has the rest",
                allowed: scales.weight,
                actual: scales.input,
            });
        }
        Ok(Self {
            parameters: parameters.clone(),
            inputs,
            outputs,
            packing,
            scales,
            compression: Compression::new(parameters, scales.response, 1)?,
            kernel,
        })
    }

    /// Inputs of a block: kw, or kb in stride layout.
    pub fn block_inputs(&self) -> usize {
        self.packing.block_inputs
    }

    /// nw: outputs of a block.
    pub fn block_outputs(&self) -> usize {
        self.packing.block_outputs
    }

    /// Rows whose deltas share a ciphertext: B; 1 in block layout.
    pub fn samples(&self) -> usize {
        self.packing.samples
    }

    /// Most rows whose outputs share a response: kw in stride layout, 1 in block layout.
    pub fn merged_rows(&self) -> usize {
        self.packing.merged
    }

    /// Blocks of inputs: the inputs divided by those of a block, rounded up.
    pub fn input_blocks(&self) -> usize {
        self.inputs.div_ceil(self.block_inputs())
    }

    /// Blocks of outputs: ceil(n / nw).
    pub fn output_blocks(&self) -> usize {
        self.outputs.div_ceil(self.block_outputs())
    }

    /// Bytes of the encrypted delta of `rows` rows.
    pub fn delta_len(&self, rows: usize) -> usize {
        self.delta_groups(rows) * self.output_blocks() * Upload::exact_len(&self.parameters)
    }

    /// Bytes of the response for `rows` rows.
    pub fn response_len(&self, rows: usize) -> usize {
        self.responses(rows).map(|(r, rows)| self.one_len(r, rows.len())).sum()
    }

    /// The largest result that is surely read right.
    pub fn output_bound(&self) -> f64 {
        self.scales.output_bound(&self.parameters)
    }

    /// Encrypts -`rate` delta of a batch, row-major: one ciphertext per output block and [`WeightProduct::samples`] rows.
    pub fn encrypt_delta(
        &self,
        delta: &[f32],
        rate: f32,
        secret: &SecretKey,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        let rows = rows_of("delta", delta, self.outputs)?;
        let step: Vec<f32> = delta.iter().map(|d| -rate * d).collect();
        let integers = Integers::new("delta", &step, self.scales.weight - self.scales.input, &self.parameters)?;
        let mut out = Vec::with_capacity(self.delta_len(rows));
        let groups = self.delta_groups(rows);
        parallel::append(groups * self.output_blocks(), self.cost(ENCRYPT), &mut out, |index, out| {
            let (r, g) = (index / groups, index % groups);
            let mut coefficients = vec![0; self.parameters.degree()];
            let rows = integers.values.chunks(self.outputs).skip(g * self.samples());
            for (i, row) in rows.take(self.samples()).enumerate() {
                for (j, &value) in row[r * self.block_outputs()..][..self.width(r)].iter().enumerate() {
                    let (at, negative) = self.packing.delta_at(i, j);
                    coefficients[at] = if negative { -value } else { value };
                }
            }
            let plaintext = lifted(&self.parameters, &coefficients, integers.lift)?;
            let context = [context, &(g as u64).to_le_bytes(), &(r as u64).to_le_bytes()].concat();
            secret.encrypt(&plaintext, key, &context)?.encode_exact(out);
            Ok(())
        })?;
        Ok(out)
    }

    /// Reads a response: `rows` x outputs, row-major. A result beyond [`WeightProduct::output_bound`] is an error.
    pub fn decrypt(&self, response: &[u8], rows: usize, secret: &SecretKey) -> Result<Vec<f32>, LatticeError> {
        check_len(self.response_len(rows), response)?;
        let unit = self.compression.unit() * self.scales.step();
        let responses: Vec<_> = self.responses(rows).collect();
        let mut starts = vec![0];
        for (r, rows) in &responses {
            starts.push(starts[starts.len() - 1] + self.one_len(*r, rows.len()));
        }
        let results = parallel::map(responses.len(), self.cost(DECRYPT), |index| {
            let (r, rows) = &responses[index];
            let wanted: Vec<usize> = self.wanted(*r, rows.len()).collect();
            let packed = &response[starts[index]..starts[index + 1]];
            self.compression.read(packed, wanted.into_iter(), secret)
        })?;
        let mut y = vec![0.0; rows * self.outputs];
        for ((r, rows), steps) in responses.into_iter().zip(results) {
            for (i, steps) in rows.zip(steps.chunks(self.width(r))) {
                let first = i * self.outputs + r * self.block_outputs();
                for (j, step) in steps.iter().enumerate() {
                    y[first + j] = self.result(*step as f64 * unit, first + j)?;
                }
            }
        }
        Ok(y)
    }

    fn result(&self, value: f64, position: usize) -> Result<f32, LatticeError> {
        let bound = self.output_bound();
        match value.abs() < bound {
            true => Ok(value as f32),
            false => Err(LatticeError::Range {
                what: "output",
                position,
                value,
                bound,
            }),
        }
    }

    /// Output block and rows of every response, in order.
    fn responses(&self, rows: usize) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let (merged, groups) = (self.merged_rows(), self.response_groups(rows));
        let of_group = move |g: usize| g * merged..rows.min((g + 1) * merged);
        (0..self.output_blocks()).flat_map(move |r| (0..groups).map(move |g| (r, of_group(g))))
    }

    /// The wanted coefficients of a response of `rows` rows, in order.
    fn wanted(&self, r: usize, rows: usize) -> impl Iterator<Item = usize> + use<> {
        let (packing, width) = (self.packing, self.width(r));
        (0..rows).flat_map(move |i| (0..width).map(move |j| packing.output_at(i, j)))
    }

    /// Bytes of a response of `rows` rows.
    fn one_len(&self, r: usize, rows: usize) -> usize {
        self.compression.len(rows * self.width(r))
    }

    /// Responses of one output block.
    fn response_groups(&self, rows: usize) -> usize {
        rows.div_ceil(self.merged_rows())
    }

    /// Deltas of one output block.
    fn delta_groups(&self, rows: usize) -> usize {
        rows.div_ceil(self.samples())
    }

    /// Outputs in block `r`; the last may be narrower.
    fn width(&self, r: usize) -> usize {
        self.block_outputs().min(self.outputs - r * self.block_outputs())
    }
}
