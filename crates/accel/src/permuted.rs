//! Blinding by secret permutations (`blinding = "permute"`), as published in Tempo (arXiv 2401.11531), with signs instead of scales so that the matrices
//! are orthogonal: X~ = P1 X P2^T, W~ = P2 W P3^T, and a worker computes in f32 Y~ = X~ W~ = P1 Y P3^T. With G~ = P1 G P3^T it computes X~^T G~ = P2 dW P3^T and
//! G~ W~^T = P1 dX P2^T; it can update W~ itself, for a step with dW~ is the permuted step with dW, until [`LayerKeys::rekey`].
//!
//! **This is obfuscation, not encryption.** A worker sees all numbers up to order and sign: how many are zero, the sorted magnitudes, every norm and angle. Rows
//! of the same batch can be compared with one another. Who knows weights that training started from (a published pre-trained model) gets P2 and P3 from
//! W~, and with them every row of X. Keys that stay for many steps can be averaged out. Use [`crate::masked`] against anybody who is curious; this is
//! here for its price, and to be compared with.
//!
//! Cost: no arithmetic, one pass over each matrix. Products differ from plain ones by the order of summation only.

use crate::{AccelError, Matrices, Shape, convolution::Window, error::expect};
use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret permutation with signs: (P x)_i = sign_i x_(order_i). Wiped on drop, never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SignedPermutation {
    order: Vec<u32>,
    /// The sign bit of an f32 or nothing.
    signs: Vec<u32>,
}

impl SignedPermutation {
    /// Uniform among all of a length, which is at most [`Shape::MAX_ELEMENTS`].
    pub fn random(len: usize, rng: &mut impl CryptoRng) -> Result<Self, AccelError> {
        Shape::matrix(1, len)?;
        let mut order: Vec<u32> = (0..len as u32).collect();
        for last in (1..len).rev() {
            order.swap(last, below(last as u32 + 1, rng) as usize);
        }
        let signs = (0..len).map(|_| rng.next_u32() & SIGN).collect();
        Ok(Self { order, signs })
    }

    /// Its length.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether it permutes nothing.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

const SIGN: u32 = 1 << 31;

/// Uniform in `0..bound`.
fn below(bound: u32, rng: &mut impl CryptoRng) -> u32 {
    let whole = u32::MAX - u32::MAX % bound;
    loop {
        let word = rng.next_u32();
        if word < whole {
            return word % bound;
        }
    }
}

/// The keys of a layer W `[k, n]`: P2 and P3. Of the batch: P1, [`LayerKeys::rows`].
pub struct LayerKeys {
    inner: SignedPermutation,
    columns: SignedPermutation,
}

impl LayerKeys {
    /// For `k` inputs and `n` outputs.
    pub fn new(inputs: usize, outputs: usize, rng: &mut impl CryptoRng) -> Result<Self, AccelError> {
        Ok(Self {
            inner: SignedPermutation::random(inputs, rng)?,
            columns: SignedPermutation::random(outputs, rng)?,
        })
    }

    /// P1 for a batch of `rows` rows: the same for X, Y, G and dX of one step, another one for every step.
    pub fn rows(rows: usize, rng: &mut impl CryptoRng) -> Result<SignedPermutation, AccelError> {
        SignedPermutation::random(rows, rng)
    }

    /// New keys for the same layer, and W~ under them from `weights`, W~ under the old ones.
    pub fn rekey(&mut self, weights: &Matrices<f32>, rng: &mut impl CryptoRng) -> Result<Matrices<f32>, AccelError> {
        let plain = self.unblind_weights(weights)?;
        *self = Self::new(self.inner.len(), self.columns.len(), rng)?;
        self.blind_weights(&plain)
    }

    /// X~ of X `[m, k]`.
    pub fn blind_input(&self, rows: &SignedPermutation, input: &Matrices<f32>) -> Result<Matrices<f32>, AccelError> {
        blind(rows, &self.inner, input)
    }

    /// [`Self::blind_input`] of the patches of images, which are never there all at once.
    pub fn blind_patches(
        &self,
        rows: &SignedPermutation,
        window: &Window,
        images: &Matrices<f32>,
    ) -> Result<Matrices<f32>, AccelError> {
        let shape = window.unfolded(images.shape())?;
        expect("rows of the matrix", rows.len(), shape.rows)?;
        expect("columns of the matrix", self.inner.len(), shape.columns)?;
        let mut values = vec![0.0; shape.elements()];
        let mut patch = vec![0.0; shape.columns];
        let lines = values.chunks_mut(shape.columns).zip(rows.order.iter().zip(&rows.signs));
        for (out, (&from, &sign)) in lines {
            let from = from as usize;
            patch.fill(0.0);
            window.unfold_block(images.values(), from..from + 1, 0..shape.columns, &mut patch);
            gather(&self.inner, out, &patch, sign);
        }
        Matrices::new(shape, values)
    }

    /// W~ of W `[k, n]`.
    pub fn blind_weights(&self, weights: &Matrices<f32>) -> Result<Matrices<f32>, AccelError> {
        blind(&self.inner, &self.columns, weights)
    }

    /// G~ of G `[m, n]`.
    pub fn blind_gradient(&self, rows: &SignedPermutation, gradient: &Matrices<f32>) -> Result<Matrices<f32>, AccelError> {
        blind(rows, &self.columns, gradient)
    }

    /// Y from Y~ `[m, n]`.
    pub fn unblind_output(&self, rows: &SignedPermutation, output: &Matrices<f32>) -> Result<Matrices<f32>, AccelError> {
        unblind(rows, &self.columns, output)
    }

    /// dW from dW~ `[k, n]`, or W from W~.
    pub fn unblind_weights(&self, weights: &Matrices<f32>) -> Result<Matrices<f32>, AccelError> {
        unblind(&self.inner, &self.columns, weights)
    }

    /// [`Self::unblind_input`], folded to images ([`Window::fold`]): patches in the same order, so that the same sums come out.
    pub fn unblind_patches(
        &self,
        rows: &SignedPermutation,
        window: &Window,
        input: &Matrices<f32>,
    ) -> Result<Matrices<f32>, AccelError> {
        let (patches, shape) = (input.shape(), window.folded(input.shape())?);
        expect("rows of the matrix", rows.len(), patches.rows)?;
        expect("columns of the matrix", self.inner.len(), patches.columns)?;
        let mut places = vec![0; patches.rows];
        for (at, from) in rows.order.iter().enumerate() {
            places[*from as usize] = at;
        }
        let mut images = vec![0.0; shape.elements()];
        let mut patch = vec![0.0; patches.columns];
        for (row, at) in places.into_iter().enumerate() {
            let blinded = &input.values()[at * patches.columns..][..patches.columns];
            scatter(&self.inner, &mut patch, blinded, rows.signs[at]);
            window.fold_patch(&patch, row, &mut images);
        }
        Matrices::new(shape, images)
    }

    /// dX from dX~ `[m, k]`.
    pub fn unblind_input(&self, rows: &SignedPermutation, input: &Matrices<f32>) -> Result<Matrices<f32>, AccelError> {
        unblind(rows, &self.inner, input)
    }
}

/// P A Q^T for every matrix A of a batch.
pub fn blind(rows: &SignedPermutation, columns: &SignedPermutation, plain: &Matrices<f32>) -> Result<Matrices<f32>, AccelError> {
    map(
        rows,
        columns,
        plain,
        |out, values, row_sign| gather(columns, out, values, row_sign),
        |at, from| (at, from),
    )
}

/// A from P A Q^T: the inverse of [`blind`].
pub fn unblind(
    rows: &SignedPermutation,
    columns: &SignedPermutation,
    blinded: &Matrices<f32>,
) -> Result<Matrices<f32>, AccelError> {
    map(
        rows,
        columns,
        blinded,
        |out, values, row_sign| scatter(columns, out, values, row_sign),
        |at, from| (from, at),
    )
}

/// A row in the order of the columns.
fn gather(columns: &SignedPermutation, out: &mut [f32], values: &[f32], row_sign: u32) {
    for ((out, &from), sign) in out.iter_mut().zip(&columns.order).zip(&columns.signs) {
        *out = f32::from_bits(values[from as usize].to_bits() ^ sign ^ row_sign);
    }
}

/// The inverse of [`gather`].
fn scatter(columns: &SignedPermutation, out: &mut [f32], values: &[f32], row_sign: u32) {
    for ((value, &to), sign) in values.iter().zip(&columns.order).zip(&columns.signs) {
        out[to as usize] = f32::from_bits(value.to_bits() ^ sign ^ row_sign);
    }
}

/// Runs `line` on every row of the result and the row that it comes from; `pair` orders place and origin of a row as (result, operand).
fn map(
    rows: &SignedPermutation,
    columns: &SignedPermutation,
    operand: &Matrices<f32>,
    line: impl Fn(&mut [f32], &[f32], u32),
    pair: impl Fn(usize, usize) -> (usize, usize),
) -> Result<Matrices<f32>, AccelError> {
    let shape = operand.shape();
    expect("rows of the matrix", rows.len(), shape.rows)?;
    expect("columns of the matrix", columns.len(), shape.columns)?;
    let mut values = vec![0.0; shape.elements()];
    let size = shape.matrix_elements();
    for index in 0..shape.batch {
        let (out, values) = (&mut values[index * size..][..size], operand.matrix(index));
        for (at, (&from, &sign)) in rows.order.iter().zip(&rows.signs).enumerate() {
            let (to, from) = pair(at, from as usize);
            line(
                &mut out[to * shape.columns..][..shape.columns],
                &values[from * shape.columns..][..shape.columns],
                sign,
            );
        }
    }
    Matrices::new(shape, values)
}

#[cfg(test)]
mod tests;
