//! The plaintext matrix, transformed once.
//!
//! A polynomial of X has its coefficients at multiples of nw, so of the largest power of two in nw, the *width*: its evaluations are constant over blocks of so many
//! slots ([`cloven_ring::NttPlan::subring`]), and one word stands for a block.

use cloven_ring::{BlockConstant, RnsBasis};

use super::ExactProduct;
use crate::{
    LatticeError,
    linear::{fixed::check_size, layout::Layout},
    parallel,
};

/// Nanoseconds of a coefficient's way into evaluations, for every prime.
const PREPARE: usize = 4;
/// Purpose of the digest.
const DIGEST: &str = "cloven v1 lattice exact product: plaintext matrix";

/// A plaintext matrix ready to be multiplied, as often as one likes.
pub struct ExactPlaintext {
    /// X[g,q], at index g * input blocks + q.
    pub(super) blocks: Vec<BlockConstant>,
    layout: Layout,
    basis: RnsBasis,
    /// Of the integers.
    pub(super) digest: [u8; 32],
}

impl ExactPlaintext {
    /// Bytes in memory, about.
    pub fn memory(&self) -> usize {
        self.blocks.iter().map(|block| 8 * block.words()).sum()
    }

    /// Refuses to serve a product of other sizes or primes.
    pub(super) fn check(&self, product: &ExactProduct) -> Result<(), LatticeError> {
        let rows = product.layout.groups(product.shape[0]) * product.layout.input_blocks();
        match self.layout == product.layout && self.basis == *product.parameters.basis() && self.blocks.len() == rows {
            true => Ok(()),
            false => Err(LatticeError::OtherProduct {
                what: "plaintext matrix",
            }),
        }
    }
}

/// Slots over which evaluations of X are constant. A transform has two values at least.
pub(super) fn width(layout: &Layout) -> usize {
    (1 << layout.block_outputs.trailing_zeros()).min(layout.degree / 2)
}

impl ExactProduct {
    /// Transforms X (rows x inner, row-major). A number of more bits than the product was made for is refused: its noise might show.
    pub fn prepare(&self, x: &[i64]) -> Result<ExactPlaintext, LatticeError> {
        let [rows, inner, _] = self.shape;
        check_size("plaintext matrix", rows * inner, x.len())?;
        self.check_range(x)?;
        let inputs = self.layout.input_blocks();
        let cost = PREPARE * self.layout.degree / self.width() * self.subrings.len();
        let blocks = parallel::map(self.layout.groups(rows) * inputs, cost, |index| {
            let words = self.prepare_block(x, index / inputs, index % inputs)?;
            Ok(BlockConstant::new(self.parameters.basis(), self.width(), words)?)
        });
        let mut hasher = blake3::Hasher::new_derive_key(DIGEST);
        hasher.update(bytemuck::cast_slice(x));
        Ok(ExactPlaintext {
            blocks: blocks?,
            layout: self.layout,
            basis: self.parameters.basis().clone(),
            digest: *hasher.finalize().as_bytes(),
        })
    }

    fn width(&self) -> usize {
        width(&self.layout)
    }

    fn prepare_block(&self, x: &[i64], g: usize, q: usize) -> Result<Vec<u64>, LatticeError> {
        let coefficients = self.layout.spaced_row_block(x, self.shape[0], g, q, self.width());
        let mut words = vec![0; self.subrings.len() * coefficients.len()];
        let residues = words.chunks_exact_mut(coefficients.len());
        for ((prime, subring), residues) in self.subrings.iter().enumerate().zip(residues) {
            self.parameters.basis().multiples_of(prime, 1, &coefficients, residues)?;
            subring.forward(residues);
        }
        Ok(words)
    }

    /// From -2^(bits-1) to 2^(bits-1). Without an early exit: that all are in range is not secret, the numbers are.
    fn check_range(&self, x: &[i64]) -> Result<(), LatticeError> {
        let bound = 1u64 << (self.plaintext_bits - 1);
        let outside = |value: &i64| value.unsigned_abs() > bound;
        match x.iter().fold(false, |any, value| any | outside(value)) {
            false => Ok(()),
            true => {
                let position = x.iter().position(outside).unwrap_or_default();
                Err(LatticeError::Range {
                    what: "plaintext matrix",
                    position,
                    value: x[position] as f64,
                    bound: bound as f64,
                })
            }
        }
    }
}
