//! Numbers, shapes and direct sums for the tests.

use proptest::prelude::*;
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::linear::LinearShape;

/// Integers below 2^bits in magnitude from a linear congruential sequence.
pub(crate) fn integers(count: usize, bits: u32, seed: u64) -> Vec<i64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state as i64) >> (63 - bits)
    };
    (0..count).map(|_| next()).collect()
}

/// Uniform words below 2^bits.
pub(crate) fn words(count: usize, bits: u32, seed: u64) -> Vec<u64> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.next_u64() >> (64 - bits)).collect()
}

/// Root of the mean square, and the largest magnitude.
pub(crate) fn spread(values: &[f64]) -> (f64, f64) {
    let squares: f64 = values.iter().map(|v| v * v).sum();
    (
        (squares / values.len() as f64).sqrt(),
        values.iter().fold(0.0, |most, v| v.abs().max(most)),
    )
}

pub(crate) fn convolution(channels: [usize; 2], image: usize, kernel: usize, stride: usize, padding: usize) -> LinearShape {
    LinearShape::Convolution {
        channels,
        image: [image; 2],
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 2],
    }
}

/// F r, term by term, modulo 2^bits.
pub(crate) fn slow(shape: LinearShape, weights: &[u64], x: &[u64], bits: u32) -> Vec<u64> {
    let mask = (1u64 << bits) - 1;
    match shape {
        LinearShape::Dense { inputs, outputs } => (0..outputs)
            .map(|o| {
                let terms = (0..inputs).map(|i| weights[i * outputs + o].wrapping_mul(x[i]));
                terms.fold(0, u64::wrapping_add) & mask
            })
            .collect(),
        LinearShape::Convolution {
            channels,
            image,
            kernel,
            stride,
            padding,
        } => {
            let out = [0, 1].map(|a| (image[a] + 2 * padding[a] - kernel[a]) / stride[a] + 1);
            let mut y = Vec::new();
            for o in 0..channels[1] {
                for (r, c) in (0..out[0]).flat_map(|r| (0..out[1]).map(move |c| (r, c))) {
                    let mut sum = 0u64;
                    for i in 0..channels[0] {
                        for (dy, dx) in (0..kernel[0]).flat_map(|dy| (0..kernel[1]).map(move |dx| (dy, dx))) {
                            let (row, column) = (
                                (r * stride[0] + dy) as i64 - padding[0] as i64,
                                (c * stride[1] + dx) as i64 - padding[1] as i64,
                            );
                            if (0..image[0] as i64).contains(&row) && (0..image[1] as i64).contains(&column) {
                                let w = weights[((o * channels[0] + i) * kernel[0] + dy) * kernel[1] + dx];
                                let pixel = x[(i * image[0] + row as usize) * image[1] + column as usize];
                                sum = sum.wrapping_add(w.wrapping_mul(pixel));
                            }
                        }
                    }
                    y.push(sum & mask);
                }
            }
            y
        }
    }
}

pub(crate) fn shapes() -> impl Strategy<Value = LinearShape> {
    let dense = (1usize..400, 1usize..200).prop_map(|(inputs, outputs)| LinearShape::Dense { inputs, outputs });
    let pairs = || [1usize..4, 1..4];
    let convolution = (
        [1usize..4, 1..20],
        [1usize..14, 1..14],
        [1usize..6, 1..6],
        pairs(),
        [0usize..3, 0..3],
    );
    let convolution = convolution.prop_map(|(channels, image, kernel, stride, padding)| LinearShape::Convolution {
        channels,
        image,
        kernel: [0, 1].map(|axis| kernel[axis].min(image[axis] + 2 * padding[axis])),
        stride,
        padding,
    });
    prop_oneof![dense, convolution]
}
