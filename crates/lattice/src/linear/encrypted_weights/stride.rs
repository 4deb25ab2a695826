//! Stride layout: products with polynomials of low degree, and responses merged.
//!
//! With kw nw = N and B samples to a delta (powers of two), kb = kw / B,
//!
//! ```text
//! W[q,r](X)    = sum_{b<kb} sum_{j<nw}  W[q kb+b][r nw+j]  X^(b + kw j)
//! xfwd[i,q](X) = sum_{b<kb}  x[i][q kb+b]  X^-b
//! D[g,r](X)    = sum_{i<B} sum_{j<nw}  delta[gB+i][r nw+j]  X^(kw j - kb i)
//! Z[g,q](X)    = sum_{i<B} sum_{b<kb}  x[gB+i][q kb+b]  X^(b + kb i)
//!
//! coefficient kw j of  sum_q W[q,r] xfwd[i,q]  =  y[i][r nw+j]
//! D[g,r] Z[g,q]  =  the block (q, r) of x^T delta over group g, in the layout of W[q,r], and garbage
//! ```
//!
//! Forward: a term of W[q,r] xfwd[i,q] stands at kw j + b - b', and |b - b'| < kb <= kw: it is a multiple of kw for b = b' only. Terms that pass 0 come
//! back at N less, with sign; kw divides N, so what an exponent is modulo kw never changes.
//!
//! Update: sample i' of the delta with sample i of the rows stands at kw j + kb (i - i') + b. For i = i' that is W's own layout. Else
//! i - i' is not 0 modulo B, and the exponent is, modulo kw = B kb, in kb .. kw. So W comes to hold garbage, but only at exponents that are kb .. kw
//! modulo kw, and in a forward product garbage stands at rho - b' with kb <= rho < kw and 0 <= b' < kb: between 1 and kw - 1 modulo kw, never at an
//! output. It may wrap modulo q as often as it likes. Merging annihilates it (see [`crate::merging`]); where few responses are merged, it stands between
//! outputs and is not sent.
//!
//! An encrypted matrix is B times, a delta 1 / B times as large as in block layout; up to kw responses travel as one. xfwd has kb coefficients and Z has
//! kw, both from X^0 on, so that their evaluations are pruned transforms (see [`cloven_ring::low_degree`]).

use std::ops::Range;

use cloven_ring::{
    Modulus, Poly, RnsBasis,
    low_degree::{Argument, Factors, LowDegreeProduct, Shape},
};

use super::{EncodedRows, EncryptedWeights, WeightProduct};
use crate::{
    Ciphertext, LatticeError, RandomnessKey, SecretKey,
    merging::{self, MergeKeys},
    wire::check_len,
};

/// The kernels of the stride layout, one for every prime.
#[derive(Debug, Clone)]
pub(super) struct StrideKernel {
    products: Vec<LowDegreeProduct>,
}

impl StrideKernel {
    pub(super) fn new(basis: &RnsBasis) -> Result<Self, LatticeError> {
        let products = basis.plans().iter().map(LowDegreeProduct::new);
        Ok(Self {
            products: products.collect::<Result<_, _>>()?,
        })
    }
}

/// Keys for merging.
impl WeightProduct {
    /// What the other party needs to merge responses; nothing in block layout. The same context gives the same keys.
    pub fn merge_keys(&self, secret: &SecretKey, key: &RandomnessKey, context: &[u8]) -> Result<Vec<u8>, LatticeError> {
        let mut out = Vec::with_capacity(self.merge_keys_len());
        MergeKeys::generate(secret, self.merged_rows(), key, context)?.encode(&mut out);
        Ok(out)
    }

    /// Bytes of [`WeightProduct::merge_keys`].
    pub fn merge_keys_len(&self) -> usize {
        MergeKeys::encoded_len(&self.parameters, self.merged_rows())
    }

    /// Reads what [`WeightProduct::merge_keys`] wrote and keeps it with the matrix. Every residue is checked.
    pub fn receive_merge_keys(&self, weights: &mut EncryptedWeights, bytes: &[u8]) -> Result<(), LatticeError> {
        check_len(self.merge_keys_len(), bytes)?;
        weights.keys = match self.merged_rows() {
            1 => None,
            stride => Some(MergeKeys::decode(&self.parameters, stride, bytes)?),
        };
        Ok(())
    }
}

impl WeightProduct {
    /// Into `products`: sum_q W[q,r] xfwd[i,q] for some rows i, the first of them that of a response. To be merged, they are multiplied by 2^-levels modulo q.
    pub(super) fn multiply_in_strides(
        &self,
        kernel: &StrideKernel,
        weights: &EncryptedWeights,
        x: &EncodedRows,
        r: usize,
        rows: Range<usize>,
        products: &mut [Ciphertext],
    ) -> Result<(), LatticeError> {
        let (kb, width) = (self.block_inputs(), self.row_words());
        let shape = Shape {
            outputs: rows.len(),
            terms: self.input_blocks(),
            coefficients: kb,
        };
        for (prime, modulus) in self.parameters.basis().moduli().iter().enumerate() {
            let residues = &x.residues[prime];
            let levels = |row| merging::levels(self.merged_with(row, x.rows));
            let scales: Vec<u64> = rows.clone().map(|row| halved(modulus, levels(row))).collect();
            let value = |i: usize, q, b| modulus.mul(scales[i], residues[(rows.start + i) * width + q * kb + b]);
            let factors = Factors::new(modulus, shape, value)?;
            let blocks = weights.blocks.iter().skip(r).step_by(self.output_blocks());
            let inputs: Vec<[&[u64]; 2]> = blocks.map(|w| [&w.c0, &w.c1].map(|c| c.residues(prime))).collect();
            let outputs = products
                .iter_mut()
                .map(|y| [&mut y.c0, &mut y.c1].map(|c| Poly::residues_mut(c, prime)));
            let mut outputs: Vec<_> = outputs.collect();
            outputs.iter_mut().flatten().for_each(|residues| residues.fill(0));
            kernel.products[prime].add_assign(&factors, Argument::Inverse, 0, &inputs, &mut outputs)?;
        }
        Ok(())
    }

    /// Of `rows` rows, those whose responses are merged with that of `row`.
    fn merged_with(&self, row: usize, rows: usize) -> usize {
        let first = row - row % self.merged_rows();
        self.merged_rows().min(rows - first)
    }

    /// Adds the products of all groups to whole blocks of inputs, the first of them number `first`.
    pub(super) fn update_in_strides(
        &self,
        kernel: &StrideKernel,
        blocks: &mut [Ciphertext],
        first: usize,
        x: &EncodedRows,
        deltas: &[Ciphertext],
    ) -> Result<(), LatticeError> {
        let (kb, width, groups) = (self.block_inputs(), self.row_words(), self.delta_groups(x.rows));
        let shape = Shape {
            outputs: blocks.len() / self.output_blocks(),
            terms: groups,
            coefficients: self.merged_rows(),
        };
        for (prime, modulus) in self.parameters.basis().moduli().iter().enumerate() {
            let residues = &x.residues[prime];
            let factors = Factors::new(modulus, shape, |q, g, c| {
                let (row, b) = (g * self.samples() + c / kb, c % kb);
                // The last group may be short.
                if row < x.rows {
                    residues[row * width + (first + q) * kb + b]
                } else {
                    0
                }
            })?;
            for r in 0..self.output_blocks() {
                let deltas = deltas[r * groups..][..groups].iter();
                let inputs: Vec<[&[u64]; 2]> = deltas.map(|d| [&d.c0, &d.c1].map(|c| c.residues(prime))).collect();
                let outputs = blocks.iter_mut().skip(r).step_by(self.output_blocks());
                let outputs = outputs.map(|w| [&mut w.c0, &mut w.c1].map(|c| Poly::residues_mut(c, prime)));
                let mut outputs: Vec<_> = outputs.collect();
                kernel.products[prime].add_assign(&factors, Argument::Plain, 0, &inputs, &mut outputs)?;
            }
        }
        Ok(())
    }
}

/// 2^-`times`. The modulus is odd.
fn halved(modulus: &Modulus, times: usize) -> u64 {
    modulus.pow(modulus.value().div_ceil(2), times as u64)
}
