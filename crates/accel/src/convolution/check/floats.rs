//! The check of products in f32: coefficients meet a pixel, or a gradient, once for all elements of the kernel.

use super::{Sizes, Window};
use crate::{
    AccelError, Backend, Kind, Matrices,
    backend::vectorised,
    freivalds::float::{Sums, coefficients, times},
    parallel,
    shape::Lines,
};
use rand::CryptoRng;
use std::ops::Range;

/// Rounds of a check.
const ROUNDS: usize = 2;

/// Numbers that are added up side by side.
const LANES: usize = 8;

/// Sums of a line that are formed at a time, where it has so many: those of a kernel of 3 x 3.
const TILE: usize = 3 * LANES;

/// That Y is U(X) W, dW is U(X)^T G, or dX is U^T(G W^T), up to rounding, in two rounds; images in the place of X and dX.
///
/// What is tolerated, and what that lets pass, is as for [`crate::freivalds::check_floats`] of the same matrices: for a line of Y the norm of its patch times that of W, for a column of
/// dW that of the column of G times that of U(X), for a pixel of dX that of all gradients which it is a sum of times that of W.
pub fn check_floats(
    window: &Window,
    kind: Kind,
    left: &Matrices<f32>,
    right: &Matrices<f32>,
    product: &Matrices<f32>,
    rng: &mut impl CryptoRng,
) -> Result<(), AccelError> {
    let check = match kind {
        Kind::Forward => output_agrees,
        Kind::WeightGradient => weight_gradient_agrees,
        Kind::InputGradient => input_gradient_agrees,
    };
    let [images, weights, outputs] = match kind {
        Kind::Forward => [left, right, product],
        Kind::WeightGradient => [left, product, right],
        Kind::InputGradient => [product, right, left],
    };
    let sizes = Sizes::new(window, [images.shape(), weights.shape(), outputs.shape()])?;
    let count = match kind {
        Kind::Forward => sizes.outputs,
        Kind::WeightGradient => sizes.depth,
        Kind::InputGradient => window.channels,
    };
    let random: [Vec<f64>; ROUNDS] = std::array::from_fn(|_| coefficients(count, rng));
    let operands = [images, weights, outputs].map(Matrices::values);
    super::verdict(check(window, &sizes, operands, random.each_ref().map(Vec::as_slice)))
}

/// Y r = U(X) (W r).
fn output_agrees(window: &Window, sizes: &Sizes, [images, weights, outputs]: [&[f32]; 3], random: [&[f64]; ROUNDS]) -> bool {
    let inner = times(Lines::matrix(weights, sizes.depth, sizes.outputs), random);
    let expected = window.patches_times(images, inner.vectors());
    let actual = times(Lines::matrix(outputs, sizes.places, sizes.outputs), random);
    actual.agree(&expected, sizes.depth, inner.norm())
}

/// r^T dW = (U(X) r)^T G.
fn weight_gradient_agrees(
    window: &Window,
    sizes: &Sizes,
    [images, weights, outputs]: [&[f32]; 3],
    random: [&[f64]; ROUNDS],
) -> bool {
    let inner = window.patches_times(images, random);
    let expected = times(
        Lines::matrix(outputs, sizes.places, sizes.outputs).transposed(),
        inner.vectors(),
    );
    let actual = times(Lines::matrix(weights, sizes.depth, sizes.outputs).transposed(), random);
    actual.agree(&expected, sizes.places, inner.norm())
}

/// dX r = U^T(G W^T) r: for each element of the kernel, gradients times the weights of its channels times r.
fn input_gradient_agrees(
    window: &Window,
    sizes: &Sizes,
    [images, weights, outputs]: [&[f32]; 3],
    random: [&[f64]; ROUNDS],
) -> bool {
    let elements = weights.chunks((window.channels * sizes.outputs).max(1));
    let elements: Vec<Sums<ROUNDS>> = elements
        .map(|weights| times(Lines::matrix(weights, window.channels, sizes.outputs).transposed(), random))
        .collect();
    let norm = elements.iter().map(Sums::norm).sum();
    let factors = Factors::new(sizes.outputs, elements.iter().map(|sums| sums.vectors()));
    let expected = window.images_of_sums(outputs, sizes.outputs, &factors);
    let pixels = images.len() / window.channels;
    let actual = times(Lines::matrix(images, pixels, window.channels), random);
    actual.agree(&expected, sizes.outputs * window.overlap(), norm)
}

/// What each number of a line is multiplied by: for every element of the kernel and round a factor, side by side.
struct Factors {
    values: Vec<f64>,
    /// Factors of one number: a multiple of [`LANES`].
    width: usize,
}

impl Factors {
    /// For lines of `depth` numbers; `elements` of the kernel, each with a vector for every round.
    fn new<'a>(depth: usize, elements: impl ExactSizeIterator<Item = [&'a [f64]; ROUNDS]>) -> Self {
        let width = (elements.len() * ROUNDS).next_multiple_of(LANES);
        let mut values = vec![0.0; depth * width];
        for (element, rounds) in elements.enumerate() {
            for (round, vector) in rounds.into_iter().enumerate() {
                let at = element * ROUNDS + round;
                vector
                    .iter()
                    .enumerate()
                    .for_each(|(number, factor)| values[number * width + at] = *factor);
            }
        }
        Self { values, width }
    }

    /// Sums of every line, `width` of them, and its sum of squares.
    fn apply(&self, lines: &[f32], depth: usize) -> (Vec<f64>, Vec<f64>) {
        let count = lines.len() / depth.max(1);
        let (mut sums, mut squares) = (vec![0.0; count * self.width], vec![0.0; count]);
        let multiply = if self.width.is_multiple_of(TILE) {
            multiply::<TILE>
        } else {
            multiply::<LANES>
        };
        multiply(Backend::best(), lines, depth, &self.values, &mut sums, &mut squares);
        (sums, squares)
    }
}

impl Window {
    /// U(X) times vectors, and the squares of its rows.
    fn patches_times(&self, images: &[f32], vectors: [&[f64]; ROUNDS]) -> Sums<ROUNDS> {
        let elements = (0..self.kernel[0] * self.kernel[1]).map(|element| {
            let channels = element * self.channels..(element + 1) * self.channels;
            vectors.map(|vector| &vector[channels.clone()])
        });
        let factors = Factors::new(self.channels, elements);
        let (pixels, [oh, ow]) = (self.image[0] * self.image[1], self.output());
        self.each_image(images, pixels * self.channels, oh * ow, |image, to| {
            let (sums, squares) = factors.apply(image, self.channels);
            self.each_pair(|place, element, pixel| to.add(place, &sums[pixel * factors.width..], element, squares[pixel]));
        })
    }

    /// U^T of gradients times factors, and for every pixel the sum of the squares of all gradients that it is a sum of.
    fn images_of_sums(&self, gradients: &[f32], outputs: usize, factors: &Factors) -> Sums<ROUNDS> {
        let (pixels, [oh, ow]) = (self.image[0] * self.image[1], self.output());
        self.each_image(gradients, oh * ow * outputs, pixels, |image, to| {
            let (sums, squares) = factors.apply(image, outputs);
            self.each_pair(|place, element, pixel| to.add(pixel, &sums[place * factors.width..], element, squares[place]));
        })
    }

    /// `sum` for each image of so many values, which gives it `lines` sums.
    fn each_image(
        &self,
        values: &[f32],
        size: usize,
        lines: usize,
        sum: impl Fn(&[f32], &mut Sums<ROUNDS>) + Sync + Send,
    ) -> Sums<ROUNDS> {
        let count = values.len().checked_div(size).unwrap_or(0);
        let images = parallel::map_parts(count, 1, 2 * size, |image: Range<usize>| {
            let mut sums = Sums::zeros(lines);
            sum(&values[image.start * size..image.end * size], &mut sums);
            sums
        });
        let mut all = Sums::zeros(count * lines);
        for (image, sums) in images.into_iter().enumerate() {
            let to = all.rounds.iter_mut().chain([&mut all.squares]);
            let from = sums.rounds.into_iter().chain([sums.squares]);
            to.zip(from)
                .for_each(|(to, from)| to[image * lines..][..lines].copy_from_slice(&from));
        }
        all
    }

    /// Every place of the kernel and element of it, and the pixel that they meet, wherever that is inside.
    fn each_pair(&self, mut pair: impl FnMut(usize, usize, usize)) {
        let ([_, width], [_, kw], [_, ow]) = (self.image, self.kernel, self.output());
        let columns: Vec<_> = self.pairs(1).collect();
        for [i, ki, y] in self.pairs(0) {
            for &[j, kj, x] in &columns {
                pair(i * ow + j, ki * kw + kj, y * width + x);
            }
        }
    }
}

impl Sums<ROUNDS> {
    /// Adds the sums of an element of the kernel.
    fn add(&mut self, line: usize, sums: &[f64], element: usize, squares: f64) {
        for (round, to) in self.rounds.iter_mut().enumerate() {
            to[line] += sums[element * ROUNDS + round];
        }
        self.squares[line] += squares;
    }
}

vectorised! {
    /// Lines times a matrix of factors with few columns, and their sums of squares.
    fn multiply<const T: usize>(lines: &[f32], depth: usize, factors: &[f64], sums: &mut [f64], squares: &mut [f64]) {
        let width = sums.len() / squares.len().max(1);
        let tiles = lines.chunks(4 * depth.max(1)).zip(sums.chunks_mut(4 * width)).zip(squares.chunks_mut(4));
        for ((lines, sums), squares) in tiles {
            let line = |line: usize| &lines[(line * depth).min(lines.len() - depth)..][..depth];
            let four = [line(0), line(1), line(2), line(3)];
            for (square, line) in squares.iter_mut().zip(four) {
                let mut sums = [0f64; LANES];
                let (groups, rest) = line.as_chunks::<LANES>();
                for group in groups {
                    for lane in 0..LANES {
                        sums[lane] += f64::from(group[lane]) * f64::from(group[lane]);
                    }
                }
                let rest: f64 = rest.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
                *square = sums.iter().sum::<f64>() + rest;
            }
            for first in (0..width).step_by(T) {
                let mut tile = [[0f64; T]; 4];
                for number in 0..depth {
                    let factors = &factors[number * width + first..][..T];
                    for (sums, line) in tile.iter_mut().zip(four) {
                        let value = f64::from(line[number]);
                        for lane in 0..T {
                            sums[lane] += value * factors[lane];
                        }
                    }
                }
                for (sums, tile) in sums.chunks_mut(width).zip(tile) {
                    sums[first..first + T].copy_from_slice(&tile);
                }
            }
        }
    }
}
