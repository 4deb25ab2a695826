//! Labelled rows in memory.

use cloven_nn::BatchTargets;
use ndarray::{ArrayD, Axis};

/// Labelled rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    /// Inputs, `[rows, sample shape...]`.
    pub x: ArrayD<f32>,
    /// One target per row.
    pub targets: BatchTargets,
}

impl Examples {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.x.len_of(Axis(0))
    }

    /// The given rows, in the given order.
    pub fn batch(&self, rows: &[usize]) -> (ArrayD<f32>, BatchTargets) {
        (self.x.select(Axis(0), rows), self.targets.select(rows))
    }
}

/// A named subset of the test rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subset {
    /// Its name.
    pub name: String,
    /// Row numbers in the test set.
    pub rows: Vec<usize>,
}
