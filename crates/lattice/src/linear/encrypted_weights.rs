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

use super::{compression::Compression, product::Scales};
use crate::{LatticeError, Parameters};

mod block;
mod matrix;
mod messages;
mod noise;
mod packing;
mod parts;
mod respond;
mod stride;
#[cfg(test)]
mod tests;

use block::BlockKernel;
pub use matrix::EncryptedWeights;
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

    /// The largest result that is surely read right.
    pub fn output_bound(&self) -> f64 {
        self.scales.output_bound(&self.parameters)
    }

    /// Outputs in block `r`; the last may be narrower.
    fn width(&self, r: usize) -> usize {
        self.block_outputs().min(self.outputs - r * self.block_outputs())
    }
}
