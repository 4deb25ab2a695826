//! The error of an output of [`Product`], and the noise that a hidden response must drown.
//!
//! A coefficient of e W sums e times *all* coefficients of a block of W, whichever output it belongs to: what counts is the norm of the
//! block's columns together, not that of the output's own.

use super::product::Product;
use crate::{
    Flooding,
    encryption::{fresh_mean, fresh_variance},
    public::noise_variance,
};

/// The noise is bounded by this many deviations: exceeded with probability below 2^-100.
pub(crate) const DEVIATIONS: f64 = 12.0;

/// Euclidean norms that decide about the error of an output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norms {
    /// Of the row of x.
    pub row: f64,
    /// Of the output's column of W.
    pub column: f64,
    /// Of all columns that share a block with it ([`super::Layout::block_outputs`] of them).
    pub block: f64,
}

impl Product {
    /// Standard deviation of the error of one output: fresh noise times W, rounding of W and x, and the response's rounding, whose part
    /// from c1 is multiplied by the secret.
    pub fn error_deviation(&self, norms: Norms) -> f64 {
        let unit = |bits: u32| 2f64.powi(-(bits as i32));
        let fresh = fresh_variance(&self.parameters) * (norms.block * unit(self.scales.input)).powi(2);
        let rounded = (norms.row * unit(self.scales.weight)).powi(2) + (norms.column * unit(self.scales.input)).powi(2);
        (fresh + rounded / 12.0 + self.scales.step().powi(2) * self.compression.variance()).sqrt()
    }

    /// The same of a hidden response.
    pub fn hidden_error_deviation(&self, norms: Norms, flooding: &Flooding) -> f64 {
        let added = flooding.deviation().powi(2) + noise_variance(&self.parameters);
        (self.error_deviation(norms).powi(2) + self.scales.step().powi(2) * added).sqrt()
    }

    /// Bound on the noise of a response's coefficients, in integers, for a matrix whose widest block has at most the norm `block`
    /// ([`Norms::block`]): what [`crate::Secrecy::noise_bound`] asks for. To be computed from what the receiver may know of the matrix, such as a
    /// bound on its entries: the flooding's width shows it.
    pub fn noise_bound(&self, block: f64) -> f64 {
        self.noise_of(block * 2f64.powi(self.scales.weight as i32))
    }

    /// Outputs of magnitude `output` in integers: what [`crate::Secrecy::message_bound`] asks for.
    pub fn message_bound(&self, output: f64) -> f64 {
        output / self.scales.step()
    }

    /// [`Product::noise_bound`] for a norm in integers.
    pub(super) fn noise_of(&self, norm: f64) -> f64 {
        let (layout, parameters) = (&self.layout, &self.parameters);
        // The mean of dropped bits adds up over the coefficients of a block: |sum W| <= norm sqrt(number).
        let terms = layout.input_blocks() * layout.block_inputs * layout.block_outputs;
        norm * (DEVIATIONS * fresh_variance(parameters).sqrt() + fresh_mean(parameters) * (terms as f64).sqrt())
    }
}
