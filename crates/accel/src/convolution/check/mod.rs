//! Freivalds checks of the products of a convolution, without unfolding.

mod floats;
mod integers;

pub use floats::check_floats;
pub use integers::{check_input_gradient, check_output, check_weight_gradient};

use super::Window;
use crate::{
    AccelError, Shape,
    error::expect,
    freivalds::{COEFFICIENT_OPERATIONS, INNER_OPERATIONS},
};

fn verdict(right: bool) -> Result<(), AccelError> {
    match right {
        true => Ok(()),
        false => Err(AccelError::WrongProduct { index: 0 }),
    }
}

/// Sizes of a convolution whose images, weights and outputs fit together.
struct Sizes {
    images: usize,
    /// Rows of patches.
    places: usize,
    /// Columns of patches.
    depth: usize,
    outputs: usize,
}

impl Sizes {
    /// Of images (X or dX), weights (W or dW) and outputs (Y or G).
    fn new(window: &Window, [images, weights, outputs]: [Shape; 3]) -> Result<Self, AccelError> {
        let (count, columns) = (images.batch, outputs.columns);
        let patches = window.unfolded(images)?;
        for (what, batch) in [("matrices of weights", weights.batch), ("matrices of outputs", outputs.batch)] {
            expect(what, 1, batch)?;
        }
        expect("rows of weights", patches.columns, weights.rows)?;
        expect("columns of weights", columns, weights.columns)?;
        expect("rows of outputs", patches.rows, outputs.rows)?;
        Ok(Self {
            images: count,
            places: patches.rows,
            depth: patches.columns,
            outputs: columns,
        })
    }
}

impl Window {
    /// Operations of the three checks of one step: passes over images, gradients and weights, and multiplications modulo the prime, each counted as 12.
    pub fn check_operations(&self, images: usize, outputs: usize) -> u64 {
        let ([h, w], [kh, kw], [oh, ow], c) = (self.image, self.kernel, self.output(), self.channels);
        let (x, g, weights) = (images * h * w * c, images * oh * ow * outputs, kh * kw * c * outputs);
        let short = 3 * x + 2 * g + weights;
        let long = g + 2 * weights;
        let output = h * ow * kw * c + oh * kh * kw * c + oh * ow * outputs;
        let weight_gradient = images * (h * ow * kw + oh * kh * ow);
        let input_gradient = oh * ow * kw * outputs + oh * kh * kw * outputs + h * w * c + kh * kw * outputs;
        let field = output + weight_gradient + input_gradient;
        COEFFICIENT_OPERATIONS * short as u64 + INNER_OPERATIONS * long as u64 + 12 * field as u64
    }

    /// Operations of [`check_floats`] in two rounds for the three products of one step: for a pixel or gradient an operation for each element of the kernel and round, and
    /// one for its square.
    pub fn float_check_operations(&self, images: usize, outputs: usize) -> u64 {
        let ([h, w], [kh, kw], [oh, ow], c) = (self.image, self.kernel, self.output(), self.channels);
        let (pixels, places, kernel) = (images * h * w, images * oh * ow, kh * kw);
        let (x, g, weights) = (pixels * c, places * outputs, kernel * c * outputs);
        let spread = (2 * kernel + 1) * (2 * x + g);
        let folded = 3 * (2 * kernel) * places;
        (spread + folded + 3 * (g + g + x + 3 * weights)) as u64
    }
}
