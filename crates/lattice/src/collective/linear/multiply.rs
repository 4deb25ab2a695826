//! The same products in the clear: what each party computes of its share of the weights and an opened input.

use super::SecretLinear;
use crate::{LatticeError, linear::LinearShape, linear::fixed::check_size, parallel};

/// Nanoseconds of a product of two words.
const MULTIPLY: usize = 1;

impl SecretLinear {
    /// F x modulo 2^k in the clear, for words below 2^k: what a party computes of its share of the weights and an opened x.
    pub fn multiply(&self, weights: &[u64], x: &[u64]) -> Result<Vec<u64>, LatticeError> {
        check_size("weights", self.shape.weights(), weights.len())?;
        check_size("input", self.shape.inputs(), x.len())?;
        let mask = (1 << self.collective.settings.ring_bits) - 1;
        let outputs = match self.shape {
            LinearShape::Dense { outputs, .. } => dense(weights, x, outputs),
            LinearShape::Convolution {
                channels,
                image,
                kernel,
                stride,
                padding,
            } => {
                let outputs = self.shape.output_image();
                let cost = MULTIPLY * channels[0] * kernel[0] * kernel[1] * outputs[0] * outputs[1];
                let of_channel = |output: usize| {
                    let weights = weights.chunks_exact(kernel[0] * kernel[1]).skip(output * channels[0]);
                    let pictures = x.chunks_exact(image[0] * image[1]);
                    let mut sum = vec![0; outputs[0] * outputs[1]];
                    for (kernel_of, picture) in weights.zip(pictures) {
                        let operands = Correlation {
                            image,
                            kernel,
                            stride,
                            padding,
                            outputs,
                        };
                        operands.add(kernel_of, picture, &mut sum);
                    }
                    Ok(sum)
                };
                parallel::map(channels[1], cost, of_channel)?.concat()
            }
        };
        Ok(outputs.into_iter().map(|word| word & mask).collect())
    }
}

/// x W, wrapping.
fn dense(weights: &[u64], x: &[u64], outputs: usize) -> Vec<u64> {
    let mut sum = vec![0u64; outputs];
    for (row, &x) in weights.chunks_exact(outputs).zip(x) {
        let terms = sum.iter_mut().zip(row);
        terms.for_each(|(sum, &w)| *sum = sum.wrapping_add(w.wrapping_mul(x)));
    }
    sum
}

/// Sizes of a cross-correlation of one channel.
struct Correlation {
    image: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    outputs: [usize; 2],
}

impl Correlation {
    /// Adds the cross-correlation of one picture, wrapping.
    fn add(&self, kernel: &[u64], picture: &[u64], sum: &mut [u64]) {
        for (tap, &weight) in kernel.iter().enumerate() {
            let (dy, dx) = (tap / self.kernel[1], tap % self.kernel[1]);
            for (y, row) in sum.chunks_exact_mut(self.outputs[1]).enumerate() {
                let Some(line) = self.at(0, y, dy) else { continue };
                let line = &picture[line * self.image[1]..][..self.image[1]];
                for (x, sum) in row.iter_mut().enumerate() {
                    if let Some(column) = self.at(1, x, dx) {
                        *sum = sum.wrapping_add(weight.wrapping_mul(line[column]));
                    }
                }
            }
        }
    }

    /// The pixel under a tap, if it is not padding.
    fn at(&self, axis: usize, place: usize, tap: usize) -> Option<usize> {
        let pixel = (place * self.stride[axis] + tap).checked_sub(self.padding[axis])?;
        (pixel < self.image[axis]).then_some(pixel)
    }
}
