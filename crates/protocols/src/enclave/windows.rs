//! Convolutions as products of matrices: the windows of the planes, one beside the other.

use cloven_nn::LinearShape;

/// A linear layer as a product x W of matrices: x has a row for each sample, or for each position of each sample's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Windows {
    shape: LinearShape,
}

impl Windows {
    pub(super) fn new(shape: LinearShape) -> Self {
        Self { shape }
    }

    /// Positions of a sample's output.
    fn positions(&self) -> usize {
        self.shape.output()[1..].iter().product()
    }

    /// Rows of x for so many samples.
    pub(super) fn rows(&self, samples: usize) -> usize {
        match self.shape {
            LinearShape::Dense { .. } => samples,
            LinearShape::Convolution { .. } => samples * self.positions(),
        }
    }

    /// Columns of x, and rows of W.
    pub(super) fn inner(&self) -> usize {
        self.shape.weight()[1..].iter().product()
    }

    /// Columns of W.
    pub(super) fn columns(&self) -> usize {
        self.shape.weight()[0]
    }

    /// x of samples laid out as the network has them.
    pub(super) fn spread(&self, samples: &[f32]) -> Vec<f32> {
        let LinearShape::Convolution { channels, image, .. } = self.shape else {
            return samples.to_vec();
        };
        let (inner, size) = (self.inner(), channels[0] * image[0] * image[1]);
        let mut rows = vec![0.0; self.rows(samples.len() / size) * inner];
        let each = rows
            .chunks_exact_mut(self.positions() * inner)
            .zip(samples.chunks_exact(size));
        each.for_each(|(rows, sample)| self.each(|at, pixel| rows[at] = sample[pixel]));
        rows
    }

    /// The other way, where a pixel is the sum of all places that it was spread to: gradients of x to those of samples.
    pub(super) fn gather(&self, rows: &[f32]) -> Vec<f32> {
        let LinearShape::Convolution { channels, image, .. } = self.shape else {
            return rows.to_vec();
        };
        let (inner, size) = (self.inner(), channels[0] * image[0] * image[1]);
        let of_sample = self.positions() * inner;
        let mut samples = vec![0.0; rows.len() / of_sample * size];
        let each = samples.chunks_exact_mut(size).zip(rows.chunks_exact(of_sample));
        each.for_each(|(sample, rows)| self.each(|at, pixel| sample[pixel] += rows[at]));
        samples
    }

    /// Outputs `[samples, channels, positions]` of the product's rows `[samples, positions, channels]`.
    pub(super) fn outputs(&self, product: &[f32]) -> Vec<f32> {
        transposed(product, self.outer(), self.columns())
    }

    /// The other way.
    pub(super) fn gradient_rows(&self, outputs: &[f32]) -> Vec<f32> {
        transposed(outputs, self.columns(), self.outer())
    }

    fn outer(&self) -> usize {
        match self.shape {
            LinearShape::Dense { .. } => 1,
            LinearShape::Convolution { .. } => self.positions(),
        }
    }

    /// W, of rows for inputs, of a weight with rows for outputs.
    pub(super) fn weight(&self, weight: &[f32]) -> Vec<f32> {
        transposed(weight, self.columns(), self.inner())
    }

    /// The other way.
    pub(super) fn weight_gradient(&self, gradient: &[f32]) -> Vec<f32> {
        transposed(gradient, self.inner(), self.columns())
    }

    /// Calls with every place of a sample's rows and the pixel that belongs there; places in the padding are left out.
    fn each(&self, mut visit: impl FnMut(usize, usize)) {
        let LinearShape::Convolution {
            channels,
            image,
            kernel,
            stride,
            padding,
        } = self.shape
        else {
            return;
        };
        let (output, inner) = (self.shape.output(), self.inner());
        let inside =
            |place: usize, tap: usize, length: usize| (place * stride + tap).checked_sub(padding).filter(|pixel| *pixel < length);
        for down in 0..output[1] {
            for right in 0..output[2] {
                let row = (down * output[2] + right) * inner;
                for channel in 0..channels[0] {
                    for tap in 0..kernel * kernel {
                        let line = inside(down, tap / kernel, image[0]);
                        let column = inside(right, tap % kernel, image[1]);
                        if let (Some(line), Some(column)) = (line, column) {
                            let pixel = (channel * image[0] + line) * image[1] + column;
                            visit(row + channel * kernel * kernel + tap, pixel);
                        }
                    }
                }
            }
        }
    }
}

/// Every block of rows x columns, the other way round.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for block in values.chunks_exact(rows * columns) {
        out.extend((0..columns).flat_map(|column| (0..rows).map(move |row| block[row * columns + column])));
    }
    out
}
