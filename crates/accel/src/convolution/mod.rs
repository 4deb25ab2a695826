//! Convolutions as matrix products: images unfolded into rows of patches, and folded back.
//!
//! Both are linear, so a worker does them on shares: the enclave shares and decodes images, which a kernel of 3 x 3 makes nine times as large. With U
//! for unfolding, X for the images, W `[kh kw channels, outputs]`: Y = U(X) W, dW = U(X)^T G, dX = U^T(G W^T), [`Window::fold`] being U^T. So it is with permutations
//! of images and channels ([`crate::permuted`]).

mod check;
mod floats;
mod fused;
#[cfg(test)]
mod tests;

pub use check::{check_floats, check_input_gradient, check_output, check_weight_gradient};

use crate::{
    AccelError, Backend, Kind, Matrices, Residues, Shape,
    backend::vectorised,
    error::expect,
    masked::{Norms, PRODUCT_BITS, Quantised, fixed_point::overflow, product_bits},
    residues::{map_planes, reduce},
};
use std::ops::{AddAssign, Range};

/// The geometry of a two-dimensional convolution. Channels stand side by side everywhere: images are `[images, height * width, channels]`, patches
/// `[1, images * oh * ow, kh * kw * channels]`, weights `[kh * kw * channels, outputs]`. A product Y has the values of the images of the next layer then, and a
/// row of a patch is one run of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Channels of an image.
    pub channels: usize,
    /// Height and width of an image.
    pub image: [usize; 2],
    /// Height and width of a patch.
    pub kernel: [usize; 2],
    /// Steps between patches, down and across; at least 1.
    pub stride: [usize; 2],
    /// Zeros around an image, above and below, left and right.
    pub padding: [usize; 2],
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            channels,
            image: [h, w],
            kernel: [kh, kw],
            stride: [down, across],
            padding: [rows, columns],
        } = self;
        write!(
            f,
            "{channels} x {h} x {w}, kernel {kh} x {kw}, stride {down} x {across}, padding {rows} x {columns}"
        )
    }
}

impl Window {
    /// The largest size of anything in a window.
    pub const MAX: usize = 1 << 14;

    /// Sizes within their caps: kernel and stride at least 1, padding smaller than the kernel, which is no larger than the padded image.
    pub fn check(&self) -> Result<(), AccelError> {
        let sides = 0..2;
        let sizes = [self.image, self.kernel, self.stride, self.padding].concat();
        let fits = sizes.iter().chain([&self.channels]).all(|size| *size <= Self::MAX)
            && self.channels >= 1
            && sides.into_iter().all(|side| {
                self.image[side] >= 1
                    && self.kernel[side] >= 1
                    && self.stride[side] >= 1
                    && self.padding[side] < self.kernel[side]
                    && self.kernel[side] <= self.image[side] + 2 * self.padding[side]
            });
        match fits {
            true => Ok(()),
            false => Err(AccelError::Window { actual: *self }),
        }
    }

    /// Height and width of the output: places of the kernel.
    pub fn output(&self) -> [usize; 2] {
        [0, 1].map(|side| (self.image[side] + 2 * self.padding[side] - self.kernel[side]) / self.stride[side] + 1)
    }

    /// The norms of U(X). A column is as long as a channel of all images, at those pixels that one element of the kernel meets: of a stride of two every other
    /// one; at the borders that is an upper bound.
    pub fn norms(&self, images: &Matrices<f32>) -> Result<Norms, AccelError> {
        self.unfolded(images.shape())?;
        let plain = Norms::of(images)?;
        let backend = Backend::best();
        // By remainders of rows and columns modulo the strides.
        let [down, across] = self.stride;
        let (mut row, mut channels) = (0f64, vec![0f64; down * across * self.channels]);
        let class = |y: usize, x: usize| (y % down * across + x % across) * self.channels;
        for image in images.values().chunks(self.image[0] * self.image[1] * self.channels) {
            let pixels = image.chunks(self.channels).enumerate();
            let energy: Vec<f64> = pixels
                .map(|(at, pixel)| {
                    let first = class(at / self.image[1], at % self.image[1]);
                    squares(backend, pixel, &mut channels[first..first + self.channels])
                })
                .collect();
            row = self.energies(&energy).into_iter().fold(row, f64::max);
        }
        let met = |side: usize, element: usize| (element + self.padding[side] * (self.stride[side] - 1)) % self.stride[side];
        let elements = (0..self.kernel[0]).flat_map(|i| (0..self.kernel[1]).map(move |j| (i, j)));
        let columns = elements.flat_map(|(i, j)| {
            let first = class(met(0, i), met(1, j));
            &channels[first..first + self.channels]
        });
        let column = columns.copied().fold(0.0, f64::max).sqrt();
        Ok(Norms {
            largest: plain.largest,
            row: row.sqrt(),
            column,
        })
    }

    /// Bits that folding may add to G W^T: the scale of G is to be so much lower than its product alone allows.
    pub fn overlap_bits(&self) -> u32 {
        self.overlap().next_power_of_two().ilog2()
    }

    /// The most patches that a pixel is in.
    pub fn overlap(&self) -> usize {
        let overlap = |side: usize| self.kernel[side].div_ceil(self.stride[side]);
        overlap(0) * overlap(1)
    }

    /// The exponent of a product of the convolution, as [`product_exponent`](crate::masked::product_exponent) gives it of matrices; images with
    /// [`Self::norms`] in the place of U(X).
    pub fn exponent(&self, kind: Kind, left: &Quantised, right: &Quantised) -> Result<i32, AccelError> {
        let (shapes, room) = match kind {
            Kind::InputGradient => (
                [left.integers().shape(), right.integers().shape()],
                (self.overlap() as f64).log2(),
            ),
            _ => ([self.unfolded(left.integers().shape())?, right.integers().shape()], 0.0),
        };
        let depth = kind.dimensions(shapes[0], shapes[1])?.depth;
        let bits = product_bits(kind, depth, (left.norms(), left.scale()), (right.norms(), right.scale())) + room;
        match bits <= f64::from(PRODUCT_BITS) {
            true => Ok(left.scale().exponent() + right.scale().exponent()),
            false => Err(overflow(left.scale(), right.scale(), bits)),
        }
    }

    /// Shape of so many images.
    pub fn images(&self, count: usize) -> Result<Shape, AccelError> {
        self.check()?;
        Shape::new(count, self.image[0] * self.image[1], self.channels)
    }

    /// Shape of the patches of so many images.
    pub fn patches(&self, count: usize) -> Result<Shape, AccelError> {
        self.check()?;
        let [oh, ow] = self.output();
        // Each product is below 2^42.
        let rows = count.saturating_mul(oh * ow);
        Shape::matrix(rows, self.channels * self.kernel[0] * self.kernel[1])
    }

    /// U: the patches of images.
    pub fn unfold<T: Copy + Default>(&self, images: &Matrices<T>) -> Result<Matrices<T>, AccelError> {
        let shape = self.unfolded(images.shape())?;
        let mut values = vec![T::default(); shape.elements()];
        self.unfold_values(images.values(), &mut values);
        Matrices::new(shape, values)
    }

    /// U of a share.
    pub fn unfold_residues(&self, images: &Residues) -> Result<Residues, AccelError> {
        let shape = self.unfolded(images.shape())?;
        map_planes(images, shape, |_, images, out| {
            self.unfold_values(images, out);
            Ok(())
        })
    }

    /// U^T: every patch added where it came from.
    pub fn fold<T: Copy + Default + AddAssign>(&self, patches: &Matrices<T>) -> Result<Matrices<T>, AccelError> {
        let shape = self.folded(patches.shape())?;
        let mut values = vec![T::default(); shape.elements()];
        self.fold_values(patches.values(), &mut values, |out, value| *out += value);
        Matrices::new(shape, values)
    }

    /// U^T of a product of shares.
    pub fn fold_residues(&self, patches: &Residues) -> Result<Residues, AccelError> {
        let shape = self.folded(patches.shape())?;
        let mut sums = vec![0i32; shape.elements()];
        map_planes(patches, shape, |prime, patches, out| {
            // At most 2^28 bytes are added.
            sums.fill(0);
            self.fold_values(patches, &mut sums, |sum, value: i8| *sum = sum.wrapping_add(i32::from(value)));
            reduce(Backend::best(), prime, &sums, out);
            Ok(())
        })
    }

    /// Of one side: position of the kernel, element of it, and the index in the image that they meet, wherever that is inside.
    fn pairs(&self, side: usize) -> impl Iterator<Item = [usize; 3]> + use<> {
        let (stride, padding, size) = (self.stride[side], self.padding[side], self.image[side]);
        let (kernel, output) = (self.kernel[side], self.output()[side]);
        let all = (0..output).flat_map(move |place| (0..kernel).map(move |element| (place, element)));
        all.filter_map(move |(place, element)| {
            let index = (place * stride + element).checked_sub(padding)?;
            (index < size).then_some([place, element, index])
        })
    }

    /// Sums over patches of one number a pixel.
    fn energies(&self, pixels: &[f64]) -> Vec<f64> {
        let [oh, ow] = self.output();
        let width = self.image[1];
        let mut lines = vec![0.0; self.image[0] * ow];
        for (pixels, line) in pixels.chunks(width).zip(lines.chunks_mut(ow)) {
            self.pairs(1).for_each(|[j, _, x]| line[j] += pixels[x]);
        }
        let mut out = vec![0.0; oh * ow];
        for [i, _, y] in self.pairs(0) {
            out[i * ow..][..ow]
                .iter_mut()
                .zip(&lines[y * ow..][..ow])
                .for_each(|(out, line)| *out += line);
        }
        out
    }

    /// Shape of the patches of images of a shape.
    pub(crate) fn unfolded(&self, images: Shape) -> Result<Shape, AccelError> {
        let expected = self.images(images.batch)?;
        expect("pixels of the images", expected.rows, images.rows)?;
        expect("channels of the images", expected.columns, images.columns)?;
        self.patches(images.batch)
    }

    /// Shape of the images of patches of a shape.
    pub(crate) fn folded(&self, patches: Shape) -> Result<Shape, AccelError> {
        self.check()?;
        let [oh, ow] = self.output();
        let count = patches.rows / (oh * ow);
        let expected = self.patches(count)?;
        expect("batches of patches", expected.batch, patches.batch)?;
        expect("rows of patches", expected.rows, patches.rows)?;
        expect("columns of patches", expected.columns, patches.columns)?;
        self.images(count)
    }

    fn unfold_values<T: Copy>(&self, images: &[T], out: &mut [T]) {
        let columns = self.patch();
        self.each_run(0..out.len() / columns, 0..columns, |pixels, patch| {
            out[patch].copy_from_slice(&images[pixels]);
        });
    }

    fn fold_values<T: Copy, S>(&self, patches: &[T], out: &mut [S], add: impl Fn(&mut S, T)) {
        let columns = self.patch();
        self.each_run(0..patches.len() / columns, 0..columns, |pixels, patch| {
            out[pixels]
                .iter_mut()
                .zip(&patches[patch])
                .for_each(|(out, value)| add(out, *value));
        });
    }

    /// Elements of a patch.
    fn patch(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.channels
    }

    /// Calls `run` with values of images and of a block of patches, some columns of some rows, that are the same, at most one row of one patch at a time.
    #[inline(always)]
    fn each_run(&self, rows: Range<usize>, columns: Range<usize>, mut run: impl FnMut(Range<usize>, Range<usize>)) {
        let ([height, width], [kh, kw], [oh, ow]) = (self.image, self.kernel, self.output());
        let line = kw * self.channels;
        for (number, row) in rows.enumerate() {
            let (image, i, j) = (row / (oh * ow), row / ow % oh, row % ow);
            // Columns of the patch that lie inside the image.
            let left = j * self.stride[1];
            let first = self.padding[1].saturating_sub(left) * self.channels;
            let end = kw.min((width + self.padding[1]).saturating_sub(left)) * self.channels;
            for ki in 0..kh {
                let down = i * self.stride[0] + ki;
                if down < self.padding[0] || down >= height + self.padding[0] {
                    continue;
                }
                let first = (ki * line + first).max(columns.start);
                let end = (ki * line + end).min(columns.end);
                if first < end {
                    let above = (image * height + down - self.padding[0]) * width;
                    let pixel = (above + left) * self.channels + (first - ki * line) - self.padding[1] * self.channels;
                    let element = number * columns.len() + first - columns.start;
                    run(pixel..pixel + end - first, element..element + end - first);
                }
            }
        }
    }
}

/// `0..count` in parts of `size`, which is not 0; the last may be shorter.
fn parts(count: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(size).map(move |first| first..count.min(first + size))
}

vectorised! {
    /// Adds the squares of values to those of others; their sum.
    fn squares(values: &[f32], energy: &mut [f64]) -> f64 {
        let mut sums = [0f64; 8];
        let (groups, rest) = values.as_chunks::<8>();
        let (energies, rest_energies) = energy.as_chunks_mut::<8>();
        for (group, energy) in groups.iter().zip(energies) {
            for lane in 0..8 {
                let square = f64::from(group[lane]) * f64::from(group[lane]);
                energy[lane] += square;
                sums[lane] += square;
            }
        }
        for (value, energy) in rest.iter().zip(rest_energies) {
            let square = f64::from(*value) * f64::from(*value);
            *energy += square;
            sums[0] += square;
        }
        sums.iter().sum()
    }
}
