//! What can be read, and with what error.
//!
//! In A B = (a + e_a)(b + e_b) a coefficient of e_a b sums e_a times *all* coefficients of b: what counts is the norm of all that stands in the ciphertexts
//! of a response, whichever results they belong to.

use super::{EncryptedProduct, Kind};
use crate::encryption::exact_variance;

/// Euclidean norms of an operand that decide about the error of a result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperandNorms {
    /// Of all that stands in the blocks that the result's response is computed from. For x W and delta W^T: the row's whole group (of its output block, for
    /// W and delta: the columns that share it; of its input block, for W and x: the rows that share it). For x^T delta: an input block of all rows, an
    /// output block of all delta. Of a convolution, the same with channels for columns, and a kernel's numbers for a column's.
    pub blocks: f64,
    /// Of the row or column of which the result is the inner product; of a convolution, of the numbers that the result is the sum of products of.
    pub line: f64,
}

impl EncryptedProduct {
    /// The largest output that is surely read right; beyond twice of it a result wraps.
    pub fn output_bound(&self) -> f64 {
        self.bound(Kind::Outputs { rows: 0 })
    }

    /// The same for x^T delta.
    pub fn gradient_bound(&self) -> f64 {
        self.bound(Kind::Gradient)
    }

    /// The same for delta W^T.
    pub fn input_gradient_bound(&self) -> f64 {
        self.bound(Kind::InputGradient { rows: 0 })
    }

    /// Standard deviation of the error of an output: noise of each operand times the other, noise times noise, rounding of the operands,
    /// relinearisation, and the response's rounding.
    pub fn output_deviation(&self, rows: OperandNorms, weights: OperandNorms) -> f64 {
        let terms = self.packing.input_blocks();
        let scales = [self.scales.input, self.scales.weight];
        self.deviation(Kind::Outputs { rows: 0 }, scales, terms, [rows, weights])
    }

    /// The same of an entry of x^T delta, for batches of so many rows.
    pub fn gradient_deviation(&self, batch: usize, rows: OperandNorms, delta: OperandNorms) -> f64 {
        let terms = self.packing.groups(batch);
        let scales = [self.scales.input, self.scales.delta];
        self.deviation(Kind::Gradient, scales, terms, [rows, delta])
    }

    /// The same of an entry of delta W^T, in the mean: of a convolution an entry may be the sum of two responses.
    pub fn input_gradient_deviation(&self, delta: OperandNorms, weights: OperandNorms) -> f64 {
        let terms = self.packing.output_blocks();
        let scales = [self.scales.delta, self.scales.weight];
        self.deviation(Kind::InputGradient { rows: 0 }, scales, terms, [delta, weights])
    }

    pub(super) fn bound(&self, kind: Kind) -> f64 {
        2f64.powf(self.parameters.log2_modulus() - 2.0) * self.step(kind)
    }

    /// One integer of the product in units of the results.
    pub(super) fn step(&self, kind: Kind) -> f64 {
        unit(self.scale(kind))
    }

    fn deviation(&self, kind: Kind, scales: [u32; 2], terms: usize, [left, right]: [OperandNorms; 2]) -> f64 {
        let [a, b] = scales.map(unit);
        let fresh = exact_variance();
        let crossed = |a_norm: f64, b_norm: f64| (b_norm * a).powi(2) + (a_norm * b).powi(2);
        let noise = fresh * crossed(left.blocks, right.blocks);
        let squared = (fresh * a * b).powi(2) * (terms * self.parameters.degree()) as f64;
        let rounded = crossed(left.line, right.line) / 12.0;
        // Every part of a result has the noise of a response; the rounding of operands is shared among them.
        let of_response = noise + squared + (a * b).powi(2) * self.answer_variance();
        (self.packing.parts(kind) * of_response + rounded).sqrt()
    }
}

/// 2^-bits.
fn unit(bits: u32) -> f64 {
    2f64.powi(-(bits as i32))
}
