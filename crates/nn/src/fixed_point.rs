//! Models in fixed point: integers modulo 2^k that a secure computation can follow exactly.
//!
//! A [`FixedModel`] is a straight line of [`Step`]s: products with secret weights, sums, and at few places something non-linear, where values also
//! lose the bits that a product added. [`FixedModel::evaluate`] computes in the clear what a protocol computes on shares, bit for bit.
//!
//! **Scales.** A number x is held as the integer nearest to x 2^f; weights too, so that a product is at scale 2f. A bias is rounded at the scale
//! of its output. Batch normalisation goes into the product before it.
//!
//! **Rounding.** A truncation by t bits is the floor of the signed value divided by 2^t. Before it comes 2^(t-1), in the bias of the product before
//! it where there is one, else as [`Step::Offset`]: so the result is rounded to the nearest, and the circuit is a plain floor.
//!
//! **Range.** Values outside -2^(k-1)..2^(k-1) wrap around and are lost. [`FixedModel::ranges`] measures on samples how much room there is; maxima
//! compare by subtraction and need at least one bit of it.
//!
//! ```
//! use cloven_nn::fixed_point::{Ending, FixedModel};
//! use cloven_nn::{LayerSpec, ModelSpec, Network};
//! use ndarray::ArrayD;
//!
//! # fn main() -> Result<(), cloven_nn::ModelError> {
//! let dense = |outputs| LayerSpec::Dense { outputs, bias: true };
//! let model = ModelSpec { input: vec![4], layers: vec![dense(8), LayerSpec::Relu {}, dense(3)] };
//! let network = Network::new(&model, 0..3, 7)?;
//! let fixed = FixedModel::convert(&model, &network.parameters(), 32, 12, Ending::Scores)?;
//!
//! let x = ArrayD::from_elem(vec![1, 4], 0.5);
//! let scores = fixed.scores(&fixed.evaluate(&fixed.quantise(&x)?[0])?)?;
//! for (fixed, float) in scores.iter().zip(&network.forward(&x)?) {
//!     assert!((fixed - float).abs() < 0.01);
//! }
//! # Ok(())
//! # }
//! ```

mod check;
mod convert;
mod evaluate;
mod file;
mod layers;
mod product;
mod ranges;
mod report;
mod ring;
mod share;
mod split;
mod structure;
#[cfg(test)]
mod tests;
mod window;

use ndarray::{ArrayD, Axis};
use rayon::prelude::*;

pub use self::ranges::StepRange;
pub use self::report::ConversionReport;
pub use self::ring::Ring;
pub use self::share::{Holder, MAX_SERVERS, MIN_SERVERS, ModelShare};
pub use self::structure::{Ending, Operation, Step, Structure};
pub use self::window::Window;
use crate::ModelError;

/// A trained model in fixed point, with its weights in the clear: the provider's own. It has no `Debug`.
pub struct FixedModel {
    structure: Structure,
    weights: Vec<LinearWeights>,
}

/// Weight and bias of one product, in the order of the products.
struct LinearWeights {
    /// At scale f; row-major as in [`crate::LinearShape::weight`].
    weight: Vec<i64>,
    /// One number for each output channel, at the output's scale, with the half for rounding.
    bias: Vec<i64>,
}

impl FixedModel {
    /// The steps and their shapes: what all servers know.
    pub fn structure(&self) -> &Structure {
        &self.structure
    }

    /// The weight (at scale f, row-major as in [`crate::LinearShape::weight`]) and the bias (one number for each output channel, at the output's
    /// scale, with the half for rounding) of each product, in the order of [`Structure::linear`].
    pub fn weights(&self) -> impl Iterator<Item = (&[i64], &[i64])> {
        self.weights.iter().map(|linear| (&linear.weight[..], &linear.bias[..]))
    }

    /// Rows of a batch `[batch, sample...]` as integers at scale f, rounded to the nearest.
    ///
    /// # Errors
    /// [`ModelError::Shape`] for another shape, [`ModelError::FixedPoint`] for a number that is not finite or does not fit the ring.
    pub fn quantise(&self, x: &ArrayD<f32>) -> Result<Vec<Vec<i64>>, ModelError> {
        let structure = &self.structure;
        if x.ndim() == 0 || x.shape()[1..] != structure.input {
            return Err(ModelError::Shape {
                what: "input",
                expected: format!("batch x {:?}", structure.input),
                actual: x.shape().to_vec(),
            });
        }
        let row = |row: ndarray::ArrayViewD<'_, f32>| {
            let scale = structure.input_scale.unwrap_or(structure.fraction_bits);
            let value = |x: &f32| quantised("input", f64::from(*x), scale, structure.ring_bits);
            row.iter().map(value).collect()
        };
        x.axis_iter(Axis(0)).map(row).collect()
    }

    /// The output for one sample of integers at scale f (flat), each reduced modulo 2^k first: signed scores at the
    /// [`Structure::output_scale`], or one position ([`Ending::ArgMax`]). Computed modulo 2^k throughout, exactly as a protocol does.
    ///
    /// # Errors
    /// [`ModelError::Shape`] for another number of values.
    pub fn evaluate(&self, sample: &[i64]) -> Result<Vec<i64>, ModelError> {
        let ring = self.structure.ring()?;
        self.check_sample(sample)?;
        let words = sample.iter().map(|value| ring.word(*value)).collect();
        let output = evaluate::run(&self.structure, &self.weights, ring, words, |_, _| ());
        Ok(output.into_iter().map(|word| ring.signed(word)).collect())
    }

    /// [`FixedModel::evaluate`] for many samples, on all cores.
    ///
    /// # Errors
    /// As [`FixedModel::evaluate`].
    pub fn evaluate_many(&self, samples: &[Vec<i64>]) -> Result<Vec<Vec<i64>>, ModelError> {
        samples.par_iter().map(|sample| self.evaluate(sample)).collect()
    }

    /// Scores as numbers: divided by 2 to the [`Structure::output_scale`].
    ///
    /// # Errors
    /// Never for what [`FixedModel::evaluate`] gave with [`Ending::Scores`].
    pub fn scores(&self, output: &[i64]) -> Result<Vec<f32>, ModelError> {
        let unit = 0.5f64.powi(self.structure.output_scale()? as i32);
        Ok(output.iter().map(|value| (*value as f64 * unit) as f32).collect())
    }

    /// The same model with another ending.
    ///
    /// # Errors
    /// [`ModelError::FixedPoint`] for the position of the largest of one score.
    pub fn with_ending(mut self, ending: Ending) -> Result<Self, ModelError> {
        self.structure.ending = ending;
        self.structure.check()?;
        Ok(self)
    }

    fn check_sample(&self, sample: &[i64]) -> Result<(), ModelError> {
        let values: usize = self.structure.input.iter().product();
        match sample.len() == values {
            true => Ok(()),
            false => Err(ModelError::Shape {
                what: "sample",
                expected: format!("[{values}]"),
                actual: vec![sample.len()],
            }),
        }
    }
}

/// The integer nearest to `x 2^scale`.
fn quantised(what: &str, x: f64, scale: u32, ring_bits: u32) -> Result<i64, ModelError> {
    let (value, limit) = ((x * 2f64.powi(scale as i32)).round(), 2f64.powi(ring_bits as i32 - 1));
    match value.abs() < limit {
        true => Ok(value as i64),
        false => Err(fixed_error(
            what,
            format!("a magnitude below {}", limit * 0.5f64.powi(scale as i32)),
            x,
        )),
    }
}

fn fixed_error(what: impl Into<String>, expected: impl Into<String>, actual: impl ToString) -> ModelError {
    ModelError::FixedPoint {
        what: what.into(),
        expected: expected.into(),
        actual: actual.to_string(),
    }
}
