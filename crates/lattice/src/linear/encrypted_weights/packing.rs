//! Where numbers stand in the coefficients.

/// Blocks of one ring. Position of number (b, j) of a block of the matrix: b `input_step` + j `output_step`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packing {
    pub(super) degree: usize,
    /// Inputs of a block.
    pub(super) block_inputs: usize,
    /// Outputs of a block: nw.
    pub(super) block_outputs: usize,
    pub(super) input_step: usize,
    pub(super) output_step: usize,
}

impl Packing {
    /// W at b nw + j.
    pub(super) fn block(degree: usize, block_outputs: usize) -> Self {
        Self {
            degree,
            block_inputs: degree / block_outputs,
            block_outputs,
            input_step: block_outputs,
            output_step: 1,
        }
    }

    /// Where entry (b, j) of a block of the matrix stands.
    pub(super) fn weight_at(&self, b: usize, j: usize) -> usize {
        b * self.input_step + j * self.output_step
    }

    /// Where output j of a block stands, in a response and in a delta.
    pub(super) fn output_at(&self, j: usize) -> usize {
        j * self.output_step
    }
}
