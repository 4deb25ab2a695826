//! Bringing features to mean 0 and standard deviation 1.

use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

use crate::error::DataError;

#[cfg(test)]
#[path = "standardise_tests.rs"]
mod tests;

/// Mean and standard deviation per feature, fitted on train rows and applied to everything that follows, predictions included.
///
/// A feature is an element of flat samples (`[rows, features]`) and a channel, the first dimension, of others
/// (`[rows, channels, ...]`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standardiser {
    /// Mean of each feature.
    pub mean: Vec<f64>,
    /// Standard deviation of each feature, divided by the number of values; 1 for a constant feature.
    pub std: Vec<f64>,
}

impl Standardiser {
    /// Fits on samples of shape `[rows, features, ...]`, in 64-bit arithmetic.
    pub fn fit(x: &ArrayD<f32>) -> Standardiser {
        let (features, run) = (features(x), run_length(x));
        let ordered = x.as_standard_layout();
        // An array in standard layout is one slice; the default is never taken, here and in `apply`.
        let runs = || ordered.as_slice().unwrap_or_default().chunks_exact(run).enumerate();
        let mut moments = vec![Moments::default(); features];
        runs().for_each(|(position, run)| moments[position % features].first_pass(run));
        moments.iter_mut().for_each(Moments::finish_mean);
        runs().for_each(|(position, run)| moments[position % features].second_pass(run));
        Standardiser {
            mean: moments.iter().map(|moments| moments.mean).collect(),
            std: moments.iter().map(Moments::std).collect(),
        }
    }

    /// Replaces every value by (value - mean) / std, in place.
    ///
    /// # Errors
    ///
    /// When the samples have another number of features or channels than those of the fit.
    pub fn apply(&self, x: &mut ArrayD<f32>) -> Result<(), DataError> {
        let (expected, actual) = (self.mean.len(), features(x));
        if expected != actual || self.std.len() != expected {
            return Err(DataError::StandardiserWidth { expected, actual });
        }
        if !x.is_standard_layout() {
            *x = x.as_standard_layout().into_owned();
        }
        let run = run_length(x);
        for (position, values) in x.as_slice_mut().unwrap_or_default().chunks_exact_mut(run).enumerate() {
            let (mean, std) = (self.mean[position % expected], self.std[position % expected]);
            values
                .iter_mut()
                .for_each(|value| *value = ((f64::from(*value) - mean) / std) as f32);
        }
        Ok(())
    }
}

/// Mean and deviation of the values of one feature, in two passes over them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moments {
    count: u64,
    sum: f64,
    pub(crate) mean: f64,
    squares: f64,
    min: f32,
    max: f32,
}

impl Default for Moments {
    fn default() -> Self {
        Moments {
            count: 0,
            sum: 0.0,
            mean: 0.0,
            squares: 0.0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
        }
    }
}

impl Moments {
    pub(crate) fn of(values: &[f32]) -> Self {
        let mut moments = Moments::default();
        moments.first_pass(values);
        moments.finish_mean();
        moments.second_pass(values);
        moments
    }

    fn first_pass(&mut self, values: &[f32]) {
        self.count += values.len() as u64;
        for &value in values {
            self.sum += f64::from(value);
            self.min = self.min.min(value);
            self.max = self.max.max(value);
        }
    }

    fn finish_mean(&mut self) {
        // Of a constant feature the value itself, so that rounding of the sum leaves no residue.
        self.mean = if self.min == self.max {
            self.min.into()
        } else {
            self.sum / self.count.max(1) as f64
        };
    }

    fn second_pass(&mut self, values: &[f32]) {
        self.squares += values
            .iter()
            .map(|&value| (f64::from(value) - self.mean).powi(2))
            .sum::<f64>();
    }

    /// The standard deviation; 1 of a constant feature.
    pub(crate) fn std(&self) -> f64 {
        let std = (self.squares / self.count.max(1) as f64).sqrt();
        if self.min < self.max && std > 0.0 { std } else { 1.0 }
    }
}

fn features(x: &ArrayD<f32>) -> usize {
    x.shape().get(1).copied().unwrap_or(1)
}

/// How many neighbouring values in row-major order belong to one feature.
fn run_length(x: &ArrayD<f32>) -> usize {
    x.shape().iter().skip(2).product::<usize>().max(1)
}
