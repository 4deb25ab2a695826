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
//! Both parties' rounds: the key holder sends Enc(W) once; per batch the other party sends Enc(x W), the key holder Enc(-eta delta), and
//! W <- W - eta x^T delta is an addition of ciphertexts. x stands at 2^sx, W at 2^sw, delta at 2^(sw-sx). xfwd and xbwd are polynomials
//! in X^nw, so in evaluations all products are modular matrix products with kw scalars a block (see `respond`).
//!
//! Noise stays in W and grows with the root of the number of updates: [`WeightProduct::error_deviation`].

use cloven_ring::{NttPlan, product::MatrixProduct};

use super::{
    compression::Compression,
    fixed::{Integers, lifted, rows_of},
    product::Scales,
};
use crate::{LatticeError, Parameters, RandomnessKey, SecretKey, Upload, parallel, wire::check_len};

mod matrix;
mod noise;
mod packing;
mod respond;
#[cfg(test)]
mod tests;

pub use matrix::EncryptedWeights;
use matrix::{DECRYPT, ENCRYPT};
use packing::Packing;
pub use respond::EncodedRows;

/// Plaintext rows times an encrypted matrix, as both parties compute it.
#[derive(Debug, Clone)]
pub struct WeightProduct {
    parameters: Parameters,
    inputs: usize,
    outputs: usize,
    packing: Packing,
    scales: Scales,
    compression: Compression,
    /// For every prime, the transform of length kw.
    subrings: Vec<NttPlan>,
    kernel: MatrixProduct,
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
        let (degree, basis) = (parameters.degree(), parameters.basis());
        if inputs == 0 || outputs == 0 || !block_outputs.is_power_of_two() || block_outputs > degree / 2 {
            return Err(LatticeError::NoLayout { inputs, outputs, degree });
        }
        if scales.weight < scales.input {
            return Err(LatticeError::Wide {
                what: "scale of the input, of which delta has the rest",
                allowed: scales.weight,
                actual: scales.input,
            });
        }
        let plans = basis.plans().iter();
        Ok(Self {
            parameters: parameters.clone(),
            inputs,
            outputs,
            packing: Packing::block(degree, block_outputs),
            scales,
            compression: Compression::new(parameters, scales.response, 1)?,
            subrings: plans
                .map(|plan| plan.subring(degree / block_outputs))
                .collect::<Result<_, _>>()?,
            kernel: MatrixProduct::with_backend(basis.backend())?,
        })
    }

    /// kw: inputs of a block.
    pub fn block_inputs(&self) -> usize {
        self.packing.block_inputs
    }

    /// nw: outputs of a block.
    pub fn block_outputs(&self) -> usize {
        self.packing.block_outputs
    }

    /// Blocks of inputs: ceil(k / kw).
    pub fn input_blocks(&self) -> usize {
        self.inputs.div_ceil(self.block_inputs())
    }

    /// Blocks of outputs: ceil(n / nw).
    pub fn output_blocks(&self) -> usize {
        self.outputs.div_ceil(self.block_outputs())
    }

    /// Bytes of the encrypted delta of `rows` rows.
    pub fn delta_len(&self, rows: usize) -> usize {
        rows * self.output_blocks() * Upload::exact_len(&self.parameters)
    }

    /// Bytes of the response for `rows` rows.
    pub fn response_len(&self, rows: usize) -> usize {
        let one = |r| self.compression.len(self.width(r));
        rows * (0..self.output_blocks()).map(one).sum::<usize>()
    }

    /// The largest result that is surely read right.
    pub fn output_bound(&self) -> f64 {
        self.scales.output_bound(&self.parameters)
    }

    /// Encrypts -`rate` delta of a batch, row-major: one ciphertext per output block and row.
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
        parallel::append(rows * self.output_blocks(), self.cost(ENCRYPT), &mut out, |index, out| {
            let (r, i) = (index / rows, index % rows);
            let mut coefficients = vec![0; self.parameters.degree()];
            let row = &integers.values[i * self.outputs + r * self.block_outputs()..][..self.width(r)];
            for (j, value) in row.iter().enumerate() {
                coefficients[self.packing.output_at(j)] = *value;
            }
            let plaintext = lifted(&self.parameters, &coefficients, integers.lift)?;
            let context = [context, &(i as u64).to_le_bytes(), &(r as u64).to_le_bytes()].concat();
            secret.encrypt(&plaintext, key, &context)?.encode_exact(out);
            Ok(())
        })?;
        Ok(out)
    }

    /// Reads a response: `rows` x outputs, row-major. A result beyond [`WeightProduct::output_bound`] is an error.
    pub fn decrypt(&self, response: &[u8], rows: usize, secret: &SecretKey) -> Result<Vec<f32>, LatticeError> {
        check_len(self.response_len(rows), response)?;
        let unit = self.compression.unit() * self.scales.step();
        let mut starts = vec![0];
        for (r, _) in self.responses(rows) {
            starts.push(starts[starts.len() - 1] + self.compression.len(self.width(r)));
        }
        let results = parallel::map(starts.len() - 1, self.cost(DECRYPT), |index| {
            let packed = &response[starts[index]..starts[index + 1]];
            let wanted = (0..self.width(index / rows)).map(|j| self.packing.output_at(j));
            self.compression.read(packed, wanted, secret)
        })?;
        let mut y = vec![0.0; rows * self.outputs];
        for ((r, i), steps) in self.responses(rows).zip(results) {
            let first = i * self.outputs + r * self.block_outputs();
            for (j, step) in steps.into_iter().enumerate() {
                y[first + j] = self.result(step as f64 * unit, first + j)?;
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

    /// (output block, row) of every response and delta, in order.
    fn responses(&self, rows: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        (0..self.output_blocks()).flat_map(move |r| (0..rows).map(move |i| (r, i)))
    }

    /// Outputs in block `r`; the last may be narrower.
    fn width(&self, r: usize) -> usize {
        self.block_outputs().min(self.outputs - r * self.block_outputs())
    }
}
