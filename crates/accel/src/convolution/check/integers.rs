//! Checks of what [`crate::masked::decode`] gave: random coefficients that factor over images, channels, rows and columns turn the large unfolded operands into passes over
//! images.
//!
//! Such coefficients make the difference of a wrong product a polynomial of degree 4 at most in independent coefficients below 2^42: it vanishes with a
//! probability of at most 4/2^42 = 2^-40.

use super::{Sizes, Window, verdict};
use crate::{
    AccelError,
    freivalds::{
        coefficients,
        field::{Limbs, multiply, multiply_add},
        integer::times,
    },
    masked::{Decoded, Quantised},
    shape::Lines,
};
use rand::CryptoRng;

/// That Y `[1, images * oh * ow, outputs]` is U(X) W.
pub fn check_output(
    window: &Window,
    images: &Quantised,
    weights: &Quantised,
    output: &Decoded,
    rng: &mut impl CryptoRng,
) -> Result<(), AccelError> {
    let (images, weights, output) = (images.integers(), weights.integers(), output.integers());
    let sizes = Sizes::new(window, [images.shape(), weights.shape(), output.shape()])?;
    let [oh, ow] = window.output();
    let [image, row, column] = [sizes.images, oh, ow].map(|count| coefficients(count, rng));
    // The coefficients of a place of the kernel and an image are a product; every image first, then the places.
    let along = times(grouped(images.values(), sizes.images).transposed(), &Limbs::<2>::new(&image));
    let inner = window.correlate(&along, &row, &column);
    let expected = times(grouped(weights.values(), sizes.depth).transposed(), &Limbs::<3>::new(&inner));
    let along = times(grouped(output.values(), sizes.images).transposed(), &Limbs::<2>::new(&image));
    let mut actual = vec![0; sizes.outputs];
    for (index, values) in along.chunks(sizes.outputs.max(1)).enumerate() {
        let factor = multiply(row[index / ow], column[index % ow]);
        actual
            .iter_mut()
            .zip(values)
            .for_each(|(sum, value)| *sum = multiply_add(*sum, factor, *value));
    }
    verdict(actual == expected)
}

/// That dW `[1, kh * kw * channels, outputs]` is U(X)^T G.
pub fn check_weight_gradient(
    window: &Window,
    images: &Quantised,
    gradient: &Quantised,
    weight_gradient: &Decoded,
    rng: &mut impl CryptoRng,
) -> Result<(), AccelError> {
    let (images, gradient, product) = (images.integers(), gradient.integers(), weight_gradient.integers());
    let sizes = Sizes::new(window, [images.shape(), product.shape(), gradient.shape()])?;
    let [channel, row, column] = [window.channels, window.kernel[0], window.kernel[1]].map(|count| coefficients(count, rng));
    let pixels = window.image[0] * window.image[1];
    let along = times(grouped(images.values(), sizes.images * pixels), &Limbs::<2>::new(&channel));
    let places: Vec<u64> = along
        .chunks(pixels)
        .flat_map(|image| window.filter(image, &row, &column))
        .collect();
    let expected = times(
        grouped(gradient.values(), sizes.places).transposed(),
        &Limbs::<3>::new(&places),
    );
    let kernel = row.iter().flat_map(|row| column.iter().map(|column| multiply(*row, *column)));
    let whole: Vec<u64> = kernel
        .flat_map(|place| channel.iter().map(move |c| multiply(*c, place)))
        .collect();
    let actual = times(grouped(product.values(), sizes.depth).transposed(), &Limbs::<3>::new(&whole));
    verdict(actual == expected)
}

/// That dX `[images, height * width, channels]` is U^T(G W^T).
pub fn check_input_gradient(
    window: &Window,
    gradient: &Quantised,
    weights: &Quantised,
    input_gradient: &Decoded,
    rng: &mut impl CryptoRng,
) -> Result<(), AccelError> {
    let (gradient, weights, product) = (gradient.integers(), weights.integers(), input_gradient.integers());
    let sizes = Sizes::new(window, [product.shape(), weights.shape(), gradient.shape()])?;
    let [image, channel, row, column] =
        [sizes.images, window.channels, window.image[0], window.image[1]].map(|count| coefficients(count, rng));
    let (images, channels) = (Limbs::<2>::new(&image), Limbs::<2>::new(&channel));
    // <t, U^T(G W^T)> = <U(t), G W^T>: for each place of the kernel, gradients of all images times weights of all channels.
    let gradients = times(grouped(gradient.values(), sizes.images).transposed(), &images);
    let elements = weights.values().chunks((window.channels * sizes.outputs).max(1));
    let weights: Vec<u64> = elements
        .flat_map(|values| times(grouped(values, window.channels).transposed(), &channels))
        .collect();
    let expected = dot(&window.spread(&gradients, sizes.outputs, &row, &column), &weights);
    let pixels = times(grouped(product.values(), sizes.images).transposed(), &images);
    let mut actual = 0;
    for (index, pixel) in pixels.chunks(window.channels).enumerate() {
        let [y, x] = [index / window.image[1], index % window.image[1]];
        actual = multiply_add(actual, multiply(row[y], column[x]), dot(pixel, &channel));
    }
    verdict(actual == expected)
}

fn dot(left: &[u64], right: &[u64]) -> u64 {
    left.iter().zip(right).fold(0, |sum, (x, y)| multiply_add(sum, *x, *y))
}

/// Values as so many lines.
fn grouped(values: &[i32], lines: usize) -> Lines<'_, i32> {
    let depth = values.len().checked_div(lines).unwrap_or(0);
    Lines {
        values,
        count: lines,
        depth,
        across: depth,
        along: 1,
    }
}

impl Window {
    /// For every element of the kernel and channel, the sum over positions (i, j) of row_i column_j times the pixel there.
    fn correlate(&self, pixels: &[u64], row: &[u64], column: &[u64]) -> Vec<u64> {
        let ([_, width], [kh, kw], channels) = (self.image, self.kernel, self.channels);
        let mut lines = vec![0; self.image[0] * kw * channels];
        let columns: Vec<_> = self.pairs(1).collect();
        for (pixels, line) in pixels.chunks(width * channels).zip(lines.chunks_mut(kw * channels)) {
            for &[j, kj, x] in &columns {
                add_multiple(
                    &mut line[kj * channels..][..channels],
                    column[j],
                    &pixels[x * channels..][..channels],
                );
            }
        }
        let mut out = vec![0; kh * kw * channels];
        for [i, ki, y] in self.pairs(0) {
            add_multiple(
                &mut out[ki * kw * channels..][..kw * channels],
                row[i],
                &lines[y * kw * channels..][..kw * channels],
            );
        }
        out
    }

    /// For every position of the kernel, the sum over its elements of row_ki column_kj times the pixel there.
    fn filter(&self, pixels: &[u64], row: &[u64], column: &[u64]) -> Vec<u64> {
        let [height, width] = self.image;
        let [oh, ow] = self.output();
        let mut lines = vec![0; height * ow];
        let columns: Vec<_> = self.pairs(1).collect();
        for (pixels, line) in pixels.chunks(width).zip(lines.chunks_mut(ow)) {
            for &[j, kj, x] in &columns {
                line[j] = multiply_add(line[j], column[kj], pixels[x]);
            }
        }
        let mut out = vec![0; oh * ow];
        for [i, ki, y] in self.pairs(0) {
            for (out, line) in out[i * ow..][..ow].iter_mut().zip(&lines[y * ow..][..ow]) {
                *out = multiply_add(*out, row[ki], *line);
            }
        }
        out
    }

    /// For every element of the kernel and output, the sum over positions of the gradient there times row and column of the pixel that the element meets.
    fn spread(&self, gradients: &[u64], outputs: usize, row: &[u64], column: &[u64]) -> Vec<u64> {
        let ([_, ow], [kh, kw]) = (self.output(), self.kernel);
        let mut out = vec![0; kh * kw * outputs];
        let columns: Vec<_> = self.pairs(1).collect();
        let mut last = usize::MAX;
        let mut lines = vec![0; kw * outputs];
        for [i, ki, y] in self.pairs(0) {
            if i != last {
                last = i;
                lines.fill(0);
                for &[j, kj, x] in &columns {
                    let gradients = &gradients[(i * ow + j) * outputs..][..outputs];
                    add_multiple(&mut lines[kj * outputs..][..outputs], column[x], gradients);
                }
            }
            add_multiple(&mut out[ki * kw * outputs..][..kw * outputs], row[y], &lines);
        }
        out
    }
}

fn add_multiple(out: &mut [u64], factor: u64, values: &[u64]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out = multiply_add(*out, factor, *value);
    }
}
