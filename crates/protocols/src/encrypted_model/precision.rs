//! How exact the encrypted layer is: planned before a run, counted during it.

use ndarray::{ArrayD, Axis};

use super::layer::LayerEncryption;
use crate::{ProtocolError, Task};

/// Noise in Enc(W) grows with every update; before it could make an output's error larger than is accepted, W is encrypted anew.
#[derive(Debug, Clone)]
pub(super) struct Precision {
    encryption: LayerEncryption,
    /// Largest error accepted, in units of the output.
    accepted: f64,
    /// Largest norm of a sample.
    row: f64,
    /// Sum of the squared norms of the samples of all updates since W was encrypted.
    energy: f64,
    /// No batch adds more to it.
    most: f64,
}

impl Precision {
    /// Refuses a training in which W would have to be encrypted anew after less than one batch.
    pub(super) fn plan(encryption: &LayerEncryption, accepted: f64, task: &Task<'_>) -> Result<Self, ProtocolError> {
        let squares = |x: &ArrayD<f32>| x.outer_iter().map(|row| square(row.iter())).fold(0.0, f64::max);
        let row = squares(&task.train.x).max(squares(&task.test.x)).sqrt();
        let batch = task.schedule.batch.min(task.train.x.len_of(Axis(0)));
        let planned = Self {
            encryption: encryption.clone(),
            accepted,
            row,
            energy: 0.0,
            most: batch as f64 * squares(&task.train.x),
        };
        let actual = planned.bound(planned.most);
        match actual <= accepted {
            true => Ok(planned),
            false => Err(ProtocolError::Precision { accepted, actual }),
        }
    }

    /// Counts a batch; says whether W must be encrypted anew before the next.
    pub(super) fn after(&mut self, x: &ArrayD<f32>) -> bool {
        self.energy += square(x.iter());
        self.bound(self.energy + self.most) > self.accepted
    }

    pub(super) fn energy(&self) -> f64 {
        self.energy
    }

    pub(super) fn set_energy(&mut self, energy: f64) {
        self.energy = energy;
    }

    fn bound(&self, energy: f64) -> f64 {
        self.encryption.error_bound(self.row, energy)
    }
}

fn square<'a>(numbers: impl Iterator<Item = &'a f32>) -> f64 {
    numbers.map(|x| f64::from(*x).powi(2)).sum()
}
