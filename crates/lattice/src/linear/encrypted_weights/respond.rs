//! The side that holds the rows and the encrypted matrix: forward products and updates, all in evaluations.
//!
//! A row's block becomes kw scalars by a transform of length kw; xfwd reads them mirrored. For every component, prime and output block the
//! whole batch is then one modular matrix product.

use std::ops::Range;

use cloven_ring::{
    Evaluations, Poly,
    product::{Classes, MAX_TERMS, Scalars, Shape},
};

use super::{
    WeightProduct,
    matrix::{DECODE, EncryptedWeights},
};
use crate::{
    Ciphertext, LatticeError, Upload,
    linear::{
        fixed::{fixed, rows_of},
        hide::Hiding,
    },
    parallel,
    wire::check_len,
};

/// Rows whose products are kept at a time.
const ROWS: usize = 24;
/// Nanoseconds to a residue of a response, beside its product.
const RESPOND: usize = 4;
/// Blocks that are summed, or updated, in one go: what a tile of them takes stays in the nearest caches, and the sums stay in 64 bits.
const BLOCKS: usize = 384;
/// Outputs that no kernel's registers are left unused by.
const ROUND: usize = 12;
/// Residues' products that take a microsecond, about, with vector kernels.
const PRODUCTS: usize = 8000;

/// A batch of rows, transformed once for its forward product and its update.
pub struct EncodedRows {
    rows: usize,
    /// For every prime: `[row][input block][class]`.
    scalars: Vec<Vec<u64>>,
    /// Squared norms of the rows, in integers.
    squares: Vec<f64>,
}

impl WeightProduct {
    /// Rounds and transforms a batch of rows, row-major.
    pub fn encode_rows(&self, x: &[f32]) -> Result<EncodedRows, LatticeError> {
        let rows = rows_of("rows", x, self.inputs)?;
        let integers = fixed("input", x, self.scales.input, self.parameters.log2_modulus() as i32 - 2)?;
        let row_words = self.input_blocks() * self.block_inputs();
        let each = parallel::share(rows, 5 * row_words);
        let mut scalars = Vec::with_capacity(self.subrings.len());
        for subring in &self.subrings {
            let mut of_prime = vec![0; rows * row_words];
            parallel::chunks_mut(&mut of_prime, each * row_words, |first, chunk| {
                let rows = integers.chunks(self.inputs).skip(first / row_words);
                for (row, padded) in rows.zip(chunk.chunks_exact_mut(row_words)) {
                    let residues = row.iter().map(|&x| subring.modulus().from_signed(x));
                    padded.iter_mut().zip(residues).for_each(|(slot, x)| *slot = x);
                    let blocks = padded.chunks_exact_mut(self.block_inputs());
                    blocks.for_each(|block| subring.forward(block));
                }
                Ok(())
            })?;
            scalars.push(of_prime);
        }
        let square = |row: &[i64]| row.iter().map(|&x| (x as f64).powi(2)).sum();
        Ok(EncodedRows {
            rows,
            scalars,
            squares: integers.chunks(self.inputs).map(square).collect(),
        })
    }

    /// Multiplies, and compresses the products. The key holder can compute the rows from the response.
    pub fn forward(&self, weights: &EncryptedWeights, x: &EncodedRows) -> Result<Vec<u8>, LatticeError> {
        self.respond(weights, x, |_, _| Ok(()))
    }

    /// The same for a key holder who must not learn the rows. Rows and updates with more noise than the flooding hides are refused. The
    /// secrecy holds for a matrix and deltas that the key holder encrypted as stated.
    pub fn forward_hidden(
        &self,
        weights: &EncryptedWeights,
        x: &EncodedRows,
        hiding: &Hiding<'_>,
    ) -> Result<Vec<u8>, LatticeError> {
        let square = x.squares.iter().copied().fold(0.0, f64::max);
        hiding.check_noise(self.noise_of(square, weights.energy))?;
        self.respond(weights, x, |response, index| hiding.apply(response, index))
    }

    /// W <- W - eta x^T delta. Nothing is changed if any byte of `delta` is wrong.
    pub fn update(&self, weights: &mut EncryptedWeights, x: &EncodedRows, delta: &[u8]) -> Result<(), LatticeError> {
        self.check_weights(weights)?;
        check_len(self.delta_len(x.rows), delta)?;
        let uploads: Vec<&[u8]> = delta.chunks(Upload::exact_len(&self.parameters)).collect();
        weights.deltas.retain(|kept| kept.c0.basis() == self.parameters.basis());
        weights
            .deltas
            .resize_with(uploads.len(), || Ciphertext::zero(&self.parameters));
        let share = parallel::share(uploads.len(), self.cost(DECODE));
        parallel::chunks_mut(&mut weights.deltas, share, |first, deltas| {
            let pairs = deltas.iter_mut().zip(&uploads[first..]);
            pairs
                .into_iter()
                .try_for_each(|(delta, bytes)| Upload::decode_exact_into(&self.parameters, bytes, delta))
        })?;
        let deltas = &weights.deltas;
        // Whole blocks of inputs to a thread: each is read and written once.
        let products = 2 * self.parameters.basis().words() * self.output_blocks() * x.rows;
        let share = parallel::share(self.input_blocks(), 1000 * products / PRODUCTS);
        let blocks = share.next_multiple_of(ROUND).min(BLOCKS);
        parallel::chunks_mut(&mut weights.blocks, blocks * self.output_blocks(), |first, chunk| {
            self.update_blocks(chunk, first / self.output_blocks(), x, deltas)
        })?;
        weights.energy += x.squares.iter().sum::<f64>();
        Ok(())
    }

    /// Adds to whole blocks of inputs, the first of them number `first`.
    fn update_blocks(
        &self,
        blocks: &mut [Ciphertext],
        first: usize,
        x: &EncodedRows,
        deltas: &[Ciphertext],
    ) -> Result<(), LatticeError> {
        let (of_row, number) = (self.input_blocks() * self.block_inputs(), blocks.len() / self.output_blocks());
        for (prime, (modulus, values)) in self.parameters.basis().moduli().iter().zip(&x.scalars).enumerate() {
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
                        self.kernel.add_assign(&scalars, &inputs, &mut outputs.collect::<Vec<_>>())?;
                    }
                }
            }
        }
        Ok(())
    }

    fn respond(
        &self,
        weights: &EncryptedWeights,
        x: &EncodedRows,
        hide: impl Fn(&mut Ciphertext, usize) -> Result<(), LatticeError> + Sync,
    ) -> Result<Vec<u8>, LatticeError> {
        self.check_weights(weights)?;
        let words = self.parameters.basis().words();
        let cost = 2000 * words * self.input_blocks() / PRODUCTS + self.cost(RESPOND);
        // Groups of rows, whose products stay in the cache until they are compressed.
        let size = parallel::share(x.rows * self.output_blocks(), cost).min(x.rows);
        let size = size.next_multiple_of(ROUND).min(ROWS);
        let groups = x.rows.div_ceil(size);
        let mut out = Vec::with_capacity(self.response_len(x.rows));
        parallel::append(self.output_blocks() * groups, size * cost, &mut out, |index, out| {
            let (r, start) = (index / groups, index % groups * size);
            let rows = start..x.rows.min(start + size);
            for (i, mut response) in rows.clone().zip(self.multiply(weights, x, r, rows)?) {
                hide(&mut response, r * x.rows + i)?;
                let (c0, c1) = (response.c0.into_coefficients(), response.c1.into_coefficients());
                let wanted = (0..self.width(r)).map(|j| self.packing.output_at(j));
                self.compression.write(&c0, &[&c1], wanted, out);
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// sum_q W[q,r] xfwd[i,q] for some rows i.
    fn multiply(
        &self,
        weights: &EncryptedWeights,
        x: &EncodedRows,
        r: usize,
        rows: Range<usize>,
    ) -> Result<Vec<Ciphertext>, LatticeError> {
        let mut products: Vec<Ciphertext> = rows.clone().map(|_| Ciphertext::zero(&self.parameters)).collect();
        let of_row = self.input_blocks() * self.block_inputs();
        for (prime, (modulus, values)) in self.parameters.basis().moduli().iter().zip(&x.scalars).enumerate() {
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
                    self.kernel.add_assign(&scalars, &inputs, &mut outputs.collect::<Vec<_>>())?;
                }
            }
        }
        Ok(products)
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
