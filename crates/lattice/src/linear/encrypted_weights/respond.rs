//! The side that holds the rows and the encrypted matrix: forward products and updates, all in evaluations.

use cloven_ring::Poly;

use super::{
    Kernel, WeightProduct,
    matrix::{DECODE, EncryptedWeights},
    parts::square,
};
use crate::{
    Ciphertext, LatticeError, Upload,
    linear::{
        fixed::{fixed, rows_of},
        hide::Hiding,
    },
    merging::MergeKeys,
    parallel,
    wire::check_len,
};

/// Rows whose products are kept at a time.
const ROWS: usize = 24;
/// The same in stride layout, where the matrix is larger.
const STRIDE_ROWS: usize = 64;
/// Nanoseconds to a residue of a response, beside its product.
const RESPOND: usize = 4;
/// Blocks that are summed, or updated, in one go: what a tile of them takes stays in the nearest caches, and the sums stay in 64 bits.
pub(super) const BLOCKS: usize = 384;
/// Outputs that no kernel's registers are left unused by.
const ROUND: usize = 24;
/// Residues' products that take a microsecond, about, with vector kernels.
const PRODUCTS: usize = 8000;

/// A batch of rows, transformed once for its forward product and its update.
pub struct EncodedRows {
    pub(super) rows: usize,
    /// For every prime: `[row][input block][input]`; in block layout, every block is transformed.
    pub(super) residues: Vec<Vec<u64>>,
    /// Squared norms of the rows, in integers.
    squares: Vec<f64>,
}

impl WeightProduct {
    /// Rounds and transforms a batch of rows, row-major.
    pub fn encode_rows(&self, x: &[f32]) -> Result<EncodedRows, LatticeError> {
        let rows = rows_of("rows", x, self.inputs)?;
        let integers = fixed("input", x, self.scales.input, self.parameters.log2_modulus() as i32 - 2)?;
        let each = parallel::share(rows, 5 * self.row_words());
        let mut residues = Vec::with_capacity(self.parameters.basis().moduli().len());
        for (prime, modulus) in self.parameters.basis().moduli().iter().enumerate() {
            let mut of_prime = vec![0; rows * self.row_words()];
            parallel::chunks_mut(&mut of_prime, each * self.row_words(), |first, chunk| {
                let rows = integers.chunks(self.inputs).skip(first / self.row_words());
                for (row, padded) in rows.zip(chunk.chunks_exact_mut(self.row_words())) {
                    let values = row.iter().map(|&x| modulus.from_signed(x));
                    padded.iter_mut().zip(values).for_each(|(slot, x)| *slot = x);
                    if let Kernel::Block(kernel) = &self.kernel {
                        let blocks = padded.chunks_exact_mut(self.block_inputs());
                        blocks.for_each(|block| kernel.subrings[prime].forward(block));
                    }
                }
                Ok(())
            })?;
            residues.push(of_prime);
        }
        Ok(EncodedRows {
            rows,
            residues,
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
        let mut deltas = weights.take_spare(uploads.len(), &self.parameters);
        let share = parallel::share(uploads.len(), self.cost(DECODE));
        parallel::chunks_mut(&mut deltas, share, |first, deltas| {
            let pairs = deltas.iter_mut().zip(&uploads[first..]);
            pairs
                .into_iter()
                .try_for_each(|(delta, bytes)| Upload::decode_exact_into(&self.parameters, bytes, delta))
        })?;
        // Whole blocks of inputs to a thread: each is read and written once.
        let products = 2 * self.parameters.basis().words() * self.output_blocks() * self.delta_groups(x.rows);
        let share = parallel::share(self.input_blocks(), 1000 * products / self.products_per_microsecond());
        let most = match &self.kernel {
            Kernel::Block(_) => BLOCKS,
            // So many stay in the second-level cache, and share what is packed of the deltas.
            Kernel::Stride(_) => ROUND,
        };
        let blocks = share.next_multiple_of(ROUND).min(most);
        parallel::chunks_mut(&mut weights.blocks, blocks * self.output_blocks(), |start, chunk| {
            let first = start / self.output_blocks();
            match &self.kernel {
                Kernel::Block(kernel) => self.update_in_blocks(kernel, chunk, first, x, &deltas),
                Kernel::Stride(kernel) => self.update_in_strides(kernel, chunk, first, x, &deltas),
            }
        })?;
        weights.give_spare(deltas);
        weights.energy += x.squares.iter().sum::<f64>();
        Ok(())
    }

    fn respond(
        &self,
        weights: &EncryptedWeights,
        x: &EncodedRows,
        hide: impl Fn(&mut Ciphertext, usize) -> Result<(), LatticeError> + Sync,
    ) -> Result<Vec<u8>, LatticeError> {
        let mut out = Vec::with_capacity(self.response_len(x.rows));
        self.products(weights, x, &mut out, |products, (r, start), out| {
            let first = r * self.response_groups(x.rows) + start / self.merged_rows();
            let mut index = first..;
            let hide = |response: &mut Ciphertext| hide(response, index.next().unwrap_or_default());
            self.respond_with(products, r, weights.keys.as_ref(), hide, out)
        })?;
        Ok(out)
    }

    /// The products of a batch, some rows at a time, in order: `write` has them with their block of outputs and their first row, and gives back their memory.
    pub(super) fn products(
        &self,
        weights: &EncryptedWeights,
        x: &EncodedRows,
        out: &mut Vec<u8>,
        write: impl Fn(Vec<Ciphertext>, (usize, usize), &mut Vec<u8>) -> Result<Vec<Ciphertext>, LatticeError> + Sync,
    ) -> Result<(), LatticeError> {
        self.check_weights(weights)?;
        let products = 2 * self.parameters.basis().words() * self.input_blocks();
        let cost = 1000 * products / self.products_per_microsecond() + self.cost(RESPOND);
        // Rows whose products stay in the cache until they are merged and compressed.
        let size = match &self.kernel {
            Kernel::Block(_) => {
                let size = parallel::share(x.rows * self.output_blocks(), cost).min(x.rows);
                size.next_multiple_of(ROUND / 2).min(ROWS)
            }
            // As many as there are to a thread: the matrix is read once for all of them.
            Kernel::Stride(_) => {
                let size = (x.rows * self.output_blocks()).div_ceil(rayon::current_num_threads());
                size.min(STRIDE_ROWS).next_multiple_of(self.merged_rows())
            }
        };
        let groups = x.rows.div_ceil(size);
        parallel::append(self.output_blocks() * groups, size * cost, out, |index, out| {
            let (r, start) = (index / groups, index % groups * size);
            let rows = start..x.rows.min(start + size);
            let mut products = weights.take_spare(rows.len(), &self.parameters);
            match &self.kernel {
                Kernel::Block(kernel) => self.multiply_in_blocks(kernel, weights, x, r, rows, &mut products)?,
                Kernel::Stride(kernel) => self.multiply_in_strides(kernel, weights, x, r, rows, &mut products)?,
            }
            weights.give_spare(write(products, (r, start), out)?);
            Ok(())
        })
    }

    /// Merges the products of some rows, the first of them that of a response, hides and compresses the responses, and gives the memory back.
    pub(super) fn respond_with(
        &self,
        mut products: Vec<Ciphertext>,
        r: usize,
        keys: Option<&MergeKeys>,
        mut hide: impl FnMut(&mut Ciphertext) -> Result<(), LatticeError>,
        out: &mut Vec<u8>,
    ) -> Result<Vec<Ciphertext>, LatticeError> {
        let (all, merged) = (products.len(), self.merged_rows());
        if let Kernel::Stride(_) = self.kernel {
            let keys = keys.filter(|keys| keys.stride() == merged).ok_or(LatticeError::NoMergeKeys)?;
            products.chunks_mut(merged).try_for_each(|responses| keys.merge(responses))?;
        }
        let mut spare = Vec::with_capacity(all);
        for (index, mut response) in products.into_iter().enumerate() {
            // The others have been merged into the first of their group.
            if index.is_multiple_of(merged) {
                hide(&mut response)?;
                let (c0, c1) = (response.c0.into_coefficients(), response.c1.into_coefficients());
                self.compression
                    .write(&c0, &[&c1], self.wanted(r, merged.min(all - index)), out);
                let [c0, c1] = [c0, c1].map(Poly::into_zero);
                response = Ciphertext { c0, c1 };
            }
            spare.push(response);
        }
        Ok(spare)
    }

    /// Residues of a row: whole blocks.
    pub(super) fn row_words(&self) -> usize {
        self.input_blocks() * self.block_inputs()
    }

    fn products_per_microsecond(&self) -> usize {
        match &self.kernel {
            Kernel::Block(_) => PRODUCTS,
            // Evaluations take as long again.
            Kernel::Stride(_) => PRODUCTS / 2,
        }
    }
}
