//! The error of an output, from the rows that updated the matrix.
//!
//! An update adds sum_i e_i xbwd[i,q] to block q, and a forward product multiplies by xfwd': the two correlate. In
//! sum_q xfwd'[q] xbwd[i,q] the coefficient of X^(-nw d) is R_i(d) - R_i(d-kw), with the wrap's sign, where
//!
//! ```text
//! R_i(d) = sum_q sum_b x'[q,b] x[i][q,b-d]
//! Var    = sigma^2 sum_i sum_{d<kw} (R_i(d) - R_i(d-kw))^2
//! ```

use cloven_ring::sample::SIGMA;

use super::WeightProduct;
use crate::{LatticeError, linear::fixed::rows_of};

impl WeightProduct {
    /// Standard deviation of the error of an output of the row `sample`, after one update with each of `batches` (row-major): noise of the
    /// matrix and of every delta, and the response's rounding. Not the rounding of x, W and delta to their scales, nor flooding.
    pub fn error_deviation(&self, sample: &[f32], batches: &[&[f32]]) -> Result<f64, LatticeError> {
        let sample = self.scaled(sample)?;
        let mut sum: f64 = sample.iter().flatten().map(|x| x * x).sum();
        for batch in batches {
            for row in self.scaled(batch)? {
                sum += self.correlation(&sample[0], &row);
            }
        }
        let unit = 2f64.powi(-((self.scales.input + self.scales.weight) as i32));
        Ok(unit * (SIGMA * SIGMA * sum + self.compression.variance()).sqrt())
    }

    /// sum_{d<kw} (R(d) - R(d-kw))^2 of two rows of integers.
    fn correlation(&self, sample: &[f64], row: &[f64]) -> f64 {
        let kw = self.block_inputs();
        let mut shifted = vec![0.0; kw];
        for (sample, row) in sample.chunks(kw).zip(row.chunks(kw)) {
            for (b, x) in sample.iter().enumerate() {
                for (b_row, y) in row.iter().enumerate() {
                    // d = b - b_row, or d - kw if that is negative.
                    match b.checked_sub(b_row) {
                        Some(d) => shifted[d] += x * y,
                        None => shifted[b + kw - b_row] -= x * y,
                    }
                }
            }
        }
        shifted.iter().map(|r| r * r).sum()
    }

    /// Rows in the integers of their scale.
    fn scaled(&self, rows: &[f32]) -> Result<Vec<Vec<f64>>, LatticeError> {
        rows_of("rows", rows, self.inputs)?;
        let factor = 2f64.powi(self.scales.input as i32);
        let round = |row: &[f32]| row.iter().map(|x| (f64::from(*x) * factor).round()).collect();
        Ok(rows.chunks(self.inputs).map(round).collect())
    }
}
