//! What the layouts have in common: blocks of operands, and what is wanted of responses.

use super::Kind;
use crate::linear::{LinearShape, convolution::ConvolutionLayout, layout::Layout};

/// Which exponent holds what.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Packing {
    /// A matrix.
    Dense(Layout),
    /// Pictures and kernels.
    Convolution(LinearShape, Box<ConvolutionLayout>),
}

impl Packing {
    pub(super) fn shape(&self) -> LinearShape {
        match self {
            Self::Dense(layout) => LinearShape::Dense {
                inputs: layout.inputs,
                outputs: layout.outputs,
            },
            Self::Convolution(shape, _) => *shape,
        }
    }

    pub(super) fn groups(&self, rows: usize) -> usize {
        match self {
            Self::Dense(layout) => layout.groups(rows),
            Self::Convolution(_, layout) => layout.groups(rows),
        }
    }

    pub(super) fn input_blocks(&self) -> usize {
        match self {
            Self::Dense(layout) => layout.input_blocks(),
            Self::Convolution(_, layout) => layout.input_blocks(),
        }
    }

    pub(super) fn output_blocks(&self) -> usize {
        match self {
            Self::Dense(layout) => layout.output_blocks(),
            Self::Convolution(_, layout) => layout.output_blocks(),
        }
    }

    /// Inputs and outputs (channels) in a block.
    pub(super) fn blocks(&self) -> [usize; 2] {
        match self {
            Self::Dense(layout) => [layout.block_inputs, layout.block_outputs],
            Self::Convolution(_, layout) => layout.blocks(),
        }
    }

    /// Responses by their two indexes: the first slowest.
    pub(super) fn responses(&self, kind: Kind) -> [usize; 2] {
        match kind {
            Kind::Outputs { rows } => [self.groups(rows), self.output_blocks()],
            Kind::Gradient => [self.input_blocks(), self.output_blocks()],
            Kind::InputGradient { rows } => [self.groups(rows), self.input_blocks()],
        }
    }

    /// In how many responses a result stands, in the mean.
    pub(super) fn parts(&self, kind: Kind) -> f64 {
        match (self, kind) {
            (Self::Convolution(_, layout), Kind::InputGradient { .. }) => layout.parts(),
            _ => 1.0,
        }
    }

    /// Wanted coefficients of every response, by its two indexes.
    pub(super) fn wanted(&self, kind: Kind) -> Vec<Vec<usize>> {
        let [first, second] = self.responses(kind);
        (0..first).map(|i| self.wanted_of(kind, i, second)).collect()
    }

    /// (coefficient, position in the result) of all that is wanted of a response, in order.
    pub(super) fn targets(&self, kind: Kind, i: usize, j: usize) -> Vec<(usize, usize)> {
        match (self, kind) {
            (Self::Dense(layout), Kind::Outputs { rows }) => layout.outputs_of(i, j, rows),
            (Self::Dense(layout), Kind::Gradient) => layout.gradient_of(i, j),
            (Self::Dense(layout), Kind::InputGradient { rows }) => layout.input_gradient_of(i, j, rows),
            (Self::Convolution(_, layout), Kind::Outputs { rows }) => layout.outputs_of(i, j, rows),
            (Self::Convolution(_, layout), Kind::Gradient) => layout.gradient_of(i, j),
            (Self::Convolution(_, layout), Kind::InputGradient { rows }) => layout.input_gradient_of(i, j, rows),
        }
    }

    pub(super) fn row_block(&self, integers: &[i64], rows: usize, g: usize, q: usize) -> Vec<i64> {
        match self {
            Self::Dense(layout) => layout.row_block(integers, rows, g, q),
            Self::Convolution(_, layout) => layout.row_block(integers, rows, g, q),
        }
    }

    pub(super) fn weight_block(&self, integers: &[i64], q: usize, r: usize) -> Vec<i64> {
        match self {
            Self::Dense(layout) => layout.weight_block(integers, q, r),
            Self::Convolution(_, layout) => layout.weight_block(integers, q, r),
        }
    }

    pub(super) fn delta_block(&self, integers: &[i64], rows: usize, g: usize, r: usize) -> Vec<i64> {
        match self {
            Self::Dense(layout) => layout.delta_block(integers, rows, g, r),
            Self::Convolution(_, layout) => layout.delta_block(integers, rows, g, r),
        }
    }

    fn wanted_of(&self, kind: Kind, i: usize, second: usize) -> Vec<usize> {
        let by_width = |each: usize, width: &dyn Fn(usize) -> usize| (0..second).map(|j| each * width(j)).collect();
        match (self, kind) {
            (Self::Dense(layout), Kind::Outputs { rows }) => by_width(layout.samples_in(i, rows), &|r| layout.width(r)),
            (Self::Dense(layout), Kind::Gradient) => by_width(layout.depth(i), &|r| layout.width(r)),
            (Self::Dense(layout), Kind::InputGradient { rows }) => by_width(layout.samples_in(i, rows), &|q| layout.depth(q)),
            (Self::Convolution(_, layout), Kind::Outputs { rows }) => by_width(layout.outputs_in(i, rows), &|r| layout.width(r)),
            (Self::Convolution(_, layout), Kind::Gradient) => by_width(layout.taps_in(i), &|r| layout.width(r)),
            (Self::Convolution(_, layout), Kind::InputGradient { rows }) => layout.inputs_in(i, rows),
        }
    }
}
