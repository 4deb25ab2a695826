//! The error of an output, from the rows that updated the matrix.
//!
//! An update adds sum_i e_i xbwd[i,q] to block q, and a forward product multiplies by xfwd': the two correlate. In
//! sum_q xfwd'[q] xbwd[i,q] the coefficient of X^(-nw d) is R_i(d) - R_i(d-kw), with the wrap's sign, where
//!
//! ```text
//! R_i(d) = sum_q sum_b x'[q,b] x[i][q,b-d]
//! Var    = sigma^2 sum_i sum_{d<kw} (R_i(d) - R_i(d-kw))^2
//! ```
//!
//! In stride layout xfwd' has the exponents -kb .. 0, and what multiplies the noise of group g's delta is Z[g,q], with 0 .. kw: no wrap, and
//!
//! ```text
//! R_g(d) = sum_q sum_b x'[q,b] Z[g,q][d+b]          Var = sigma^2 sum_g sum_{-kb < d < kw} R_g(d)^2
//! ```
//!
//! and merging adds its own ([`crate::merging`]).
//!
//! For a bound that needs no rows (and with kb for kw, Z[g] for x[i]): a block's product has at most the norm |x'[q]| |x[i,q]|_1 <= sqrt(kw) |x'[q]| |x[i,q]|, and their sum over q at most
//! sqrt(kw) |x'| |x[i]|. So Var <= sigma^2 |x'|^2 (1 + kw sum_i |x[i]|^2), the matrix's own noise included.

use cloven_ring::sample::SIGMA;

use super::{Kernel, WeightProduct};
use crate::{
    LatticeError,
    linear::{fixed::rows_of, noise::DEVIATIONS},
    merging,
};

impl WeightProduct {
    /// Standard deviation of the error of an output of the row `sample`, after one update with each of `batches` (row-major): noise of the
    /// matrix and of every delta, of merging
    /// (of as many rows as are merged), and the response's rounding. Not the rounding of x, W and delta to their scales, nor flooding.
    pub fn error_deviation(&self, sample: &[f32], batches: &[&[f32]]) -> Result<f64, LatticeError> {
        let sample = self.scaled(sample)?;
        let mut sum: f64 = sample.iter().flatten().map(|x| x * x).sum();
        for batch in batches {
            let rows = self.scaled(batch)?;
            sum += match &self.kernel {
                Kernel::Block(_) => rows.iter().map(|row| self.correlation(&sample[0], row)).sum::<f64>(),
                Kernel::Stride(_) => {
                    let groups = rows.chunks(self.samples());
                    groups.map(|group| self.group_correlation(&sample[0], group)).sum()
                }
            };
        }
        let noise = SIGMA * SIGMA * sum + self.merging_variance() + self.compression.variance();
        Ok(self.scales.step() * noise.sqrt())
    }

    /// Bound on the noise of a response's coefficients, in integers, after updates with `updates` rows in all, where every row has at most the
    /// norm `row`: what [`crate::Secrecy::noise_bound`] asks for. To be computed from what the receiver may know of the rows: the flooding's
    /// width shows it.
    pub fn noise_bound(&self, row: f64, updates: u64) -> f64 {
        let square = (row * 2f64.powi(self.scales.input as i32)).powi(2);
        self.noise_of(square, square * updates as f64)
    }

    /// Outputs of magnitude `output` in integers: what [`crate::Secrecy::message_bound`] asks for.
    pub fn message_bound(&self, output: f64) -> f64 {
        output / self.scales.step()
    }

    /// [`WeightProduct::noise_bound`] for a row's squared norm and the sum of those of all updates, in integers.
    pub(super) fn noise_of(&self, square: f64, energy: f64) -> f64 {
        let product = SIGMA * SIGMA * square * (1.0 + self.block_inputs() as f64 * energy);
        DEVIATIONS * (product + self.merging_variance()).sqrt()
    }

    /// Variance of the noise of merging as many responses as are merged.
    pub(super) fn merging_variance(&self) -> f64 {
        merging::noise_variance(&self.parameters, self.merged_rows())
    }

    /// sum_d R(d)^2 of a row and a group of rows of integers.
    fn group_correlation(&self, sample: &[f64], group: &[Vec<f64>]) -> f64 {
        let kb = self.block_inputs();
        // R(d) at d + kb - 1.
        let mut shifted = vec![0.0; self.merged_rows() + kb - 1];
        for (i, row) in group.iter().enumerate() {
            for (sample, row) in sample.chunks(kb).zip(row.chunks(kb)) {
                for (b, x) in sample.iter().enumerate() {
                    let products = row.iter().enumerate().map(|(c, z)| (i * kb + c + kb - 1 - b, x * z));
                    products.for_each(|(at, product)| shifted[at] += product);
                }
            }
        }
        shifted.iter().map(|r| r * r).sum()
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
