//! Blinding by secret permutations (`blinding = "permute"`), as published in Tempo (arXiv 2401.11531), with signs instead of scales so that the matrices
//! are orthogonal: X~ = P1 X P2^T, W~ = P2 W P3^T, and a worker computes in f32 Y~ = X~ W~ = P1 Y P3^T. With G~ = P1 G P3^T it computes X~^T G~ = P2 dW P3^T and
//! G~ W~^T = P1 dX P2^T; it can update W~ itself, for a step with dW~ is the permuted step with dW, until [`LayerKeys::rekey`].
//!
//! **This is obfuscation, not encryption.** A worker sees all numbers up to order and sign: how many are zero, the sorted magnitudes, every norm and angle. Rows
//! of the same batch can be compared with one another. Who knows weights that training started from (a published pre-trained model) gets P2 and P3 from
//! W~, and with them every row of X. Keys that stay for many steps can be averaged out. Use [`crate::masked`] against anybody who is curious; this is
//! here for its price, and to be compared with.
//!
//! **Convolutions.** Where windows overlap, a matrix of windows has each pixel several times, and whoever looks for equal magnitudes finds which columns are one
//! channel and which rows are neighbours, in spite of P1 and P2 (a test does). So there is nothing to gain from permuting columns and rows of windows one by one: a
//! worker gets images, of which images and channels are permuted ([`LayerKeys::of_images`]), a kernel's size fewer numbers, and unfolds them. It sees how the pixels
//! of an image lie: of the first layer the picture, with colours exchanged. Windows that do not overlap are permuted as rows.
//!
//! Cost: no arithmetic, one pass over each matrix. Products differ from plain ones by the order of summation only.

use crate::{AccelError, Backend, Matrices, Shape, View, backend::vectorised, convolution::Window, error::expect};
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

    /// What undoes it.
    fn inverse(&self) -> Self {
        let mut inverse = Self {
            order: vec![0; self.len()],
            signs: vec![0; self.len()],
        };
        for (to, (&from, &sign)) in (0..).zip(self.order.iter().zip(&self.signs)) {
            (inverse.order[from as usize], inverse.signs[from as usize]) = (to, sign);
        }
        inverse
    }

    /// The same in each of `times` runs of its length.
    fn repeated(&self, times: usize) -> Result<Self, AccelError> {
        let len = self.len() as u32;
        Shape::matrix(times, self.len())?;
        let runs = 0..times as u32;
        Ok(Self {
            order: runs
                .flat_map(|run| self.order.iter().map(move |from| run * len + from))
                .collect(),
            signs: self.signs.repeat(times),
        })
    }

    /// Of runs of `size` elements, which stay as they are, where this one is of elements.
    fn in_runs(&self, size: usize) -> Result<Self, AccelError> {
        Shape::matrix(self.len(), size)?;
        let run = size as u32;
        Ok(Self {
            order: self.order.iter().flat_map(|from| from * run..(from + 1) * run).collect(),
            signs: self.signs.iter().flat_map(|sign| std::iter::repeat_n(*sign, size)).collect(),
        })
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

/// The keys of a layer W `[k, n]`: P2 and P3. Of the batch: P1, [`BatchKeys`].
pub struct LayerKeys {
    inner: SignedPermutation,
    columns: SignedPermutation,
    /// Of a convolution whose images a worker unfolds.
    images: Option<ImageKeys>,
}

/// Of images whose windows a worker makes: P2 has the same part for the channels at every element of the kernel.
struct ImageKeys {
    window: Window,
    channels: SignedPermutation,
}

/// P1 of one batch: the same for X, Y, G and dX of one step, another one for every step.
pub struct BatchKeys {
    /// Of rows of Y and G.
    rows: SignedPermutation,
    /// Of images, all pixels of one after the other: of X and dX. Elsewhere those have the rows of Y.
    pixels: Option<SignedPermutation>,
}

impl LayerKeys {
    /// For `k` inputs and `n` outputs.
    pub fn new(inputs: usize, outputs: usize, rng: &mut impl CryptoRng) -> Result<Self, AccelError> {
        Ok(Self {
            inner: SignedPermutation::random(inputs, rng)?,
            columns: SignedPermutation::random(outputs, rng)?,
            images: None,
        })
    }

    /// For a convolution with `n` outputs whose worker unfolds: X and dX are images `[images, height * width, channels]`, of which images and channels are permuted.
    pub fn of_images(window: Window, outputs: usize, rng: &mut impl CryptoRng) -> Result<Self, AccelError> {
        window.check()?;
        let channels = SignedPermutation::random(window.channels, rng)?;
        Ok(Self {
            inner: channels.repeated(window.kernel[0] * window.kernel[1])?,
            columns: SignedPermutation::random(outputs, rng)?,
            images: Some(ImageKeys { window, channels }),
        })
    }

    /// P1 for a batch of so many rows, or of so many images.
    pub fn batch(&self, count: usize, rng: &mut impl CryptoRng) -> Result<BatchKeys, AccelError> {
        let each = SignedPermutation::random(count, rng)?;
        let Some(ImageKeys { window, .. }) = &self.images else {
            return Ok(BatchKeys {
                rows: each,
                pixels: None,
            });
        };
        let ([height, width], [oh, ow]) = (window.image, window.output());
        Ok(BatchKeys {
            rows: each.in_runs(oh * ow)?,
            pixels: Some(each.in_runs(height * width)?),
        })
    }

    /// New keys for the same layer, and W~ under them from `weights`, W~ under the old ones.
    pub fn rekey(&mut self, weights: &Matrices<f32>, rng: &mut impl CryptoRng) -> Result<Matrices<f32>, AccelError> {
        let plain = self.unblind_weights(weights)?;
        *self = match &self.images {
            None => Self::new(self.inner.len(), self.columns.len(), rng)?,
            Some(images) => Self::of_images(images.window, self.columns.len(), rng)?,
        };
        self.blind_weights(&plain)
    }

    /// X~ of X `[m, k]`, or of images.
    pub fn blind_input<'a>(&self, batch: &BatchKeys, input: impl Into<View<'a, f32>>) -> Result<Matrices<f32>, AccelError> {
        self.of_input(batch, input.into(), Direction::Blind)
    }

    /// W~ of W `[k, n]`.
    pub fn blind_weights<'a>(&self, weights: impl Into<View<'a, f32>>) -> Result<Matrices<f32>, AccelError> {
        blind(&self.inner, &self.columns, weights)
    }

    /// G~ of G `[m, n]`.
    pub fn blind_gradient<'a>(&self, batch: &BatchKeys, gradient: impl Into<View<'a, f32>>) -> Result<Matrices<f32>, AccelError> {
        blind(&batch.rows, &self.columns, gradient)
    }

    /// Y from Y~ `[m, n]`.
    pub fn unblind_output(&self, batch: &BatchKeys, output: &Matrices<f32>) -> Result<Matrices<f32>, AccelError> {
        unblind(&batch.rows, &self.columns, output)
    }

    /// dW from dW~ `[k, n]`, or W from W~.
    pub fn unblind_weights(&self, weights: &Matrices<f32>) -> Result<Matrices<f32>, AccelError> {
        unblind(&self.inner, &self.columns, weights)
    }

    /// dX from dX~ `[m, k]`, or of images.
    pub fn unblind_input(&self, batch: &BatchKeys, input: &Matrices<f32>) -> Result<Matrices<f32>, AccelError> {
        self.of_input(batch, input.into(), Direction::Unblind)
    }

    fn of_input(&self, batch: &BatchKeys, input: View<'_, f32>, direction: Direction) -> Result<Matrices<f32>, AccelError> {
        let shape = input.shape();
        match (&self.images, &batch.pixels) {
            (Some(ImageKeys { window, channels }), Some(pixels)) => {
                window.unfolded(shape)?;
                let pixel_by_pixel = Shape::matrix(shape.batch * shape.rows, shape.columns)?;
                direction.of(pixels, channels, pixel_by_pixel, input)
            }
            _ => direction.of(&batch.rows, &self.inner, shape, input),
        }
    }
}

/// P A Q^T for every matrix A of a batch.
pub fn blind<'a>(
    rows: &SignedPermutation,
    columns: &SignedPermutation,
    plain: impl Into<View<'a, f32>>,
) -> Result<Matrices<f32>, AccelError> {
    let plain = plain.into();
    Direction::Blind.of(rows, columns, plain.shape(), plain)
}

/// A from P A Q^T: the inverse of [`blind`].
pub fn unblind(
    rows: &SignedPermutation,
    columns: &SignedPermutation,
    blinded: &Matrices<f32>,
) -> Result<Matrices<f32>, AccelError> {
    Direction::Unblind.of(rows, columns, blinded.shape(), blinded.into())
}

#[derive(Clone, Copy)]
enum Direction {
    Blind,
    Unblind,
}

impl Direction {
    /// P A Q^T or its inverse, of an operand seen as matrices of another shape with as many elements.
    fn of(
        self,
        rows: &SignedPermutation,
        columns: &SignedPermutation,
        seen: Shape,
        operand: View<'_, f32>,
    ) -> Result<Matrices<f32>, AccelError> {
        expect("rows of the matrix", rows.len(), seen.rows)?;
        expect("columns of the matrix", columns.len(), seen.columns)?;
        expect("elements", seen.elements(), operand.values().len())?;
        let inverse;
        let [rows, columns] = match self {
            Self::Blind => [rows, columns],
            Self::Unblind => {
                inverse = [rows.inverse(), columns.inverse()];
                inverse.each_ref()
            }
        };
        let mut values = Vec::with_capacity(seen.elements());
        let gather = match columns.len() {
            width if width <= SHORT => gather::<SHORT>,
            width if width <= LONG => gather::<LONG>,
            _ => gather::<{ Shape::MAX_ELEMENTS }>,
        };
        if seen.matrix_elements() > 0 {
            for matrix in operand.values().chunks(seen.matrix_elements()) {
                gather(Backend::best(), rows, columns, matrix, &mut values);
            }
        }
        Matrices::new(operand.shape(), values)
    }
}

/// Columns up to which a row is copied to where no index needs to be checked, and the same for long ones.
const SHORT: usize = 1 << 10;
const LONG: usize = 1 << 13;

vectorised! {
    /// Appends the rows of a matrix in the order of the one permutation, each in the order of the other. `N`: a power of two, no less than the columns, of which copies of a row are
    /// made up to [`LONG`].
    fn gather<const N: usize>(rows: &SignedPermutation, columns: &SignedPermutation, matrix: &[f32], out: &mut Vec<f32>) {
        let width = columns.order.len();
        let from = columns.order.iter().zip(&columns.signs);
        let mut copy = if N <= LONG { vec![0f32; N] } else { Vec::new() };
        for (&row, &row_sign) in rows.order.iter().zip(&rows.signs) {
            let values = &matrix[row as usize * width..][..width];
            let signed = |value: f32, sign: u32| f32::from_bits(value.to_bits() ^ sign ^ row_sign);
            match copy.first_chunk_mut::<N>() {
                Some(copy) => {
                    copy[..width].copy_from_slice(values);
                    out.extend(from.clone().map(|(from, sign)| signed(copy[*from as usize % N], *sign)));
                }
                None => out.extend(from.clone().map(|(from, sign)| signed(values[*from as usize], *sign))),
            }
        }
    }
}

#[cfg(test)]
mod tests;
