//! Where numbers stand in the coefficients of the two layouts.

use crate::merging;

/// Positions: number (b, j) of a block of the matrix at b `input_step` + j `output_step`; see `encrypted_weights` and `stride`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packing {
    pub(super) degree: usize,
    /// Inputs of a block: kw, or kb.
    pub(super) block_inputs: usize,
    /// Outputs of a block: nw.
    pub(super) block_outputs: usize,
    input_step: usize,
    output_step: usize,
    /// Rows to a delta: B.
    pub(super) samples: usize,
    /// Rows to a response.
    pub(super) merged: usize,
}

impl Packing {
    /// Block layout: W at b nw + j.
    pub(super) fn block(degree: usize, block_outputs: usize) -> Self {
        Self {
            degree,
            block_inputs: degree / block_outputs,
            block_outputs,
            input_step: block_outputs,
            output_step: 1,
            samples: 1,
            merged: 1,
        }
    }

    /// Stride layout: W at b + kw j.
    pub(super) fn stride(degree: usize, block_outputs: usize, samples: usize) -> Self {
        let stride = degree / block_outputs;
        Self {
            degree,
            block_inputs: stride / samples,
            block_outputs,
            input_step: 1,
            output_step: stride,
            samples,
            merged: stride,
        }
    }

    /// Where entry (b, j) of a block of the matrix stands.
    pub(super) fn weight_at(&self, b: usize, j: usize) -> usize {
        b * self.input_step + j * self.output_step
    }

    /// Where delta j of sample i of a group stands, and whether its sign changes: kw j - kb i.
    pub(super) fn delta_at(&self, i: usize, j: usize) -> (usize, bool) {
        let (up, down) = (j * self.output_step, i * self.block_inputs);
        match up.checked_sub(down) {
            Some(at) => (at, false),
            None => (self.degree + up - down, true),
        }
    }

    /// Where output j of row i of a response stands.
    pub(super) fn output_at(&self, i: usize, j: usize) -> usize {
        merging::offset(i, self.merged) + j * self.output_step
    }
}
