//! Linear products modulo 2^64, and so modulo any 2^k.

use crate::LinearShape;

impl LinearShape {
    /// The product of a weight (row-major as in [`LinearShape::weight`]) and a sample (flat), without bias, modulo 2^64: reduced, it is right
    /// modulo any 2^k, of values as of additive shares.
    ///
    /// The slices must have the sizes that the shape says, or values are missing in the sums.
    pub fn wrapping_product(self, weight: &[u64], sample: &[u64]) -> Vec<u64> {
        match self {
            Self::Dense { inputs, .. } => weight.chunks_exact(inputs).map(|row| dot(row, sample)).collect(),
            Self::Convolution { .. } => self.convolution(weight, sample),
        }
    }

    /// Adds the bias of each output channel to all of its values, modulo 2^64.
    pub fn wrapping_add_bias(self, output: &mut [u64], bias: &[u64]) {
        let positions: usize = self.output()[1..].iter().product();
        for (plane, bias) in output.chunks_exact_mut(positions).zip(bias) {
            plane.iter_mut().for_each(|value| *value = value.wrapping_add(*bias));
        }
    }

    /// For each weight, the plane of inputs moved to where the weight sees them is added to the outputs.
    fn convolution(self, weight: &[u64], sample: &[u64]) -> Vec<u64> {
        let Self::Convolution {
            channels, image, kernel, ..
        } = self
        else {
            return Vec::new();
        };
        let output = self.output();
        let (rows, columns) = (output[1], output[2]);
        let mut values = vec![0u64; channels[1] * rows * columns];
        let kernels = weight.chunks_exact(channels[0] * kernel * kernel);
        for (plane, kernels) in values.chunks_exact_mut(rows * columns).zip(kernels) {
            let inputs = sample.chunks_exact(image[0] * image[1]);
            for (input, kernel_values) in inputs.zip(kernels.chunks_exact(kernel * kernel)) {
                for (at, weight) in kernel_values.iter().enumerate() {
                    self.add_moved(plane, input, [at / kernel, at % kernel], *weight);
                }
            }
        }
        values
    }

    fn add_moved(self, plane: &mut [u64], input: &[u64], [down, right]: [usize; 2], weight: u64) {
        let Self::Convolution {
            image, stride, padding, ..
        } = self
        else {
            return;
        };
        let columns = self.output()[2];
        // Output positions whose input position `at * stride + offset - padding` lies on the plane.
        let seen = |offset: usize, length: usize, outputs: usize| {
            let first = padding.saturating_sub(offset).div_ceil(stride);
            let end = (length + padding).saturating_sub(offset).div_ceil(stride).min(outputs);
            first..end.max(first)
        };
        let across = seen(right, image[1], columns);
        if across.is_empty() {
            return;
        }
        for row in seen(down, image[0], self.output()[1]) {
            let line = &input[(row * stride + down - padding) * image[1]..][..image[1]];
            let from = &line[across.start * stride + right - padding..];
            let to = &mut plane[row * columns..][across.clone()];
            match stride {
                1 => to.iter_mut().zip(from).for_each(|(to, from)| add(to, *from, weight)),
                _ => to
                    .iter_mut()
                    .zip(from.iter().step_by(stride))
                    .for_each(|(to, from)| add(to, *from, weight)),
            }
        }
    }
}

fn add(to: &mut u64, value: u64, weight: u64) {
    *to = to.wrapping_add(value.wrapping_mul(weight));
}

fn dot(left: &[u64], right: &[u64]) -> u64 {
    let products = left.iter().zip(right).map(|(left, right)| left.wrapping_mul(*right));
    products.fold(0, u64::wrapping_add)
}
