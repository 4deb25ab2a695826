//! The same training in one process with nothing between the layers: the reference for `plain`.

use cloven_nn::{InputGradient as Wish, Loss, Network};

use crate::{Examples, ProtocolError, Schedule, Shuffle};

/// An unsplit network and its training data.
pub struct Unsplit<'a> {
    /// All layers.
    pub network: Network,
    /// The loss.
    pub loss: Loss,
    /// Training rows.
    pub train: &'a Examples,
    /// The job's schedule.
    pub schedule: Schedule,
    /// The order of the training rows.
    pub shuffle: Shuffle,
}

/// Trains for the whole schedule; returns the trained network and the mean loss of each epoch.
pub fn unsplit(mut me: Unsplit<'_>) -> Result<(Network, Vec<f64>), ProtocolError> {
    let rows = me.train.rows();
    let mut losses = Vec::new();
    let mut step = 0;
    for epoch in 1..=me.schedule.epochs {
        let mut total = 0.0;
        for batch in me.shuffle.order(epoch, rows).chunks(me.schedule.batch) {
            step += 1;
            total += me.train_batch(step, batch)? * batch.len() as f64;
        }
        losses.push(total / rows as f64);
    }
    Ok((me.network, losses))
}

impl Unsplit<'_> {
    /// One training batch as step `step` (from 1, never repeated: it keys the dropout masks); returns its mean loss.
    pub fn train_batch(&mut self, step: u64, rows: &[usize]) -> Result<f64, ProtocolError> {
        let (x, targets) = self.train.batch(rows);
        let z = self.network.forward_train(step, &x)?;
        let (loss, dz) = self.loss.value_and_gradient(&z, &targets)?;
        self.network.backward(&dz, Wish::NotWanted)?;
        self.network.update()?;
        Ok(loss)
    }
}
