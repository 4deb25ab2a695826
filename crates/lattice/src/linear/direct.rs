//! Products in the clear modulo 2^k.

use super::LinearShape;
use crate::{LatticeError, linear::fixed::check_size, parallel};

/// Nanoseconds of a product of two words.
const MULTIPLY: usize = 1;

/// F x modulo 2^`ring_bits`, weights and x as [`LinearShape`] says.
pub(crate) fn direct(shape: LinearShape, ring_bits: u32, weights: &[u64], x: &[u64]) -> Result<Vec<u64>, LatticeError> {
    check_size("weights", shape.weights(), weights.len())?;
    check_size("input", shape.inputs(), x.len())?;
    let outputs = match shape {
        LinearShape::Dense { outputs, .. } => dense(weights, x, outputs),
        LinearShape::Convolution {
            channels,
            image,
            kernel,
            stride,
            padding,
        } => {
            let operands = Correlation {
                image,
                kernel,
                stride,
                padding,
                outputs: shape.output_image(),
            };
            operands.all(channels, weights, x)?
        }
    };
    let mask = (1 << ring_bits) - 1;
    Ok(outputs.into_iter().map(|word| word & mask).collect())
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
    /// All output channels.
    fn all(&self, channels: [usize; 2], weights: &[u64], x: &[u64]) -> Result<Vec<u64>, LatticeError> {
        let (taps, places) = (self.kernel[0] * self.kernel[1], self.outputs[0] * self.outputs[1]);
        let of_channel = |output: usize| {
            let kernels = weights.chunks_exact(taps).skip(output * channels[0]);
            let pictures = x.chunks_exact(self.image[0] * self.image[1]);
            let mut sum = vec![0; places];
            kernels
                .zip(pictures)
                .for_each(|(kernel, picture)| self.add(kernel, picture, &mut sum));
            Ok(sum)
        };
        Ok(parallel::map(channels[1], MULTIPLY * channels[0] * taps * places, of_channel)?.concat())
    }

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
