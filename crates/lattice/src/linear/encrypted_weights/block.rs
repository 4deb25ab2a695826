//! Block layout: modular matrix products.
//!
//! A row's block becomes kw scalars by a transform of length kw; xfwd reads them mirrored. For every component, prime and output block
//! the whole batch is then one modular matrix product.

use std::ops::Range;

use cloven_ring::{
    Evaluations, NttPlan, Poly, RnsBasis,
    product::{Classes, MAX_TERMS, MatrixProduct, Scalars, Shape},
};

use super::{EncodedRows, EncryptedWeights, WeightProduct, respond::BLOCKS};
use crate::{Ciphertext, LatticeError};

/// The kernels of the block layout.
#[derive(Debug, Clone)]
pub(super) struct BlockKernel {
    /// For every prime, the transform of length kw.
    pub(super) subrings: Vec<NttPlan>,
    product: MatrixProduct,
}

impl BlockKernel {
    pub(super) fn new(basis: &RnsBasis, block_inputs: usize) -> Result<Self, LatticeError> {
        let subrings = basis.plans().iter().map(|plan| plan.subring(block_inputs));
        Ok(Self {
            subrings: subrings.collect::<Result<_, _>>()?,
            product: MatrixProduct::with_backend(basis.backend())?,
        })
    }
}

impl WeightProduct {
    /// Adds to whole blocks of inputs, the first of them number `first`.
    pub(super) fn update_in_blocks(
        &self,
        kernel: &BlockKernel,
        blocks: &mut [Ciphertext],
        first: usize,
        x: &EncodedRows,
        deltas: &[Ciphertext],
    ) -> Result<(), LatticeError> {
        let (of_row, number) = (self.input_blocks() * self.block_inputs(), blocks.len() / self.output_blocks());
        for (prime, (modulus, values)) in self.parameters.basis().moduli().iter().zip(&x.residues).enumerate() {
            for start in (0..x.rows).step_by(MAX_TERMS) {
                let rows = start..x.rows.min(start + MAX_TERMS);
                let columns = first * self.block_inputs()..(first + number) * self.block_inputs();
                let values = cut(values, of_row, rows.clone(), columns);
                let shape = Shape {
                    outputs: number,
                    terms: rows.len(),
                    classes: self.block_inputs(),
                };
                let scalars = Scalars::by_term(modulus, shape, Classes::Natural, &values)?;
                for r in 0..self.output_blocks() {
                    let deltas = &deltas[r * x.rows..][rows.clone()];
                    for component in COMPONENTS {
                        let inputs: Vec<&[u64]> = deltas.iter().map(|d| component.of(d).residues(prime)).collect();
                        let outputs = blocks.iter_mut().skip(r).step_by(self.output_blocks());
                        let outputs = outputs.map(|w| component.of_mut(w).residues_mut(prime));
                        kernel
                            .product
                            .add_assign(&scalars, &inputs, &mut outputs.collect::<Vec<_>>())?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Into `products`: sum_q W[q,r] xfwd[i,q] for some rows i.
    pub(super) fn multiply_in_blocks(
        &self,
        kernel: &BlockKernel,
        weights: &EncryptedWeights,
        x: &EncodedRows,
        r: usize,
        rows: Range<usize>,
        products: &mut [Ciphertext],
    ) -> Result<(), LatticeError> {
        let of_row = self.input_blocks() * self.block_inputs();
        for (prime, (modulus, values)) in self.parameters.basis().moduli().iter().zip(&x.residues).enumerate() {
            for start in (0..self.input_blocks()).step_by(BLOCKS) {
                let terms = BLOCKS.min(self.input_blocks() - start);
                let columns = start * self.block_inputs()..(start + terms) * self.block_inputs();
                let values = cut(values, of_row, rows.clone(), columns);
                let shape = Shape {
                    outputs: rows.len(),
                    terms,
                    classes: self.block_inputs(),
                };
                let scalars = Scalars::by_output(modulus, shape, Classes::Mirrored, &values)?;
                for component in COMPONENTS {
                    let blocks = weights.blocks.iter().skip(start * self.output_blocks() + r);
                    let blocks = blocks.step_by(self.output_blocks()).take(terms);
                    let inputs: Vec<&[u64]> = blocks.map(|w| component.of(w).residues(prime)).collect();
                    let outputs = products.iter_mut().map(|y| component.of_mut(y).residues_mut(prime));
                    let mut outputs: Vec<_> = outputs.collect();
                    match start {
                        0 => kernel.product.assign(&scalars, &inputs, &mut outputs)?,
                        _ => kernel.product.add_assign(&scalars, &inputs, &mut outputs)?,
                    }
                }
            }
        }
        Ok(())
    }
}

/// Some columns of some rows of `width` numbers.
fn cut(values: &[u64], width: usize, rows: Range<usize>, columns: Range<usize>) -> Vec<u64> {
    let mut cut = Vec::with_capacity(rows.len() * columns.len());
    for row in values.chunks(width).take(rows.end).skip(rows.start) {
        cut.extend_from_slice(&row[columns.clone()]);
    }
    cut
}

/// One half of a ciphertext.
#[derive(Clone, Copy)]
enum Component {
    C0,
    C1,
}

const COMPONENTS: [Component; 2] = [Component::C0, Component::C1];

impl Component {
    fn of(self, ciphertext: &Ciphertext) -> &Poly<Evaluations> {
        match self {
            Self::C0 => &ciphertext.c0,
            Self::C1 => &ciphertext.c1,
        }
    }

    fn of_mut(self, ciphertext: &mut Ciphertext) -> &mut Poly<Evaluations> {
        match self {
            Self::C0 => &mut ciphertext.c0,
            Self::C1 => &mut ciphertext.c1,
        }
    }
}
