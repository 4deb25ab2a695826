//! Which rows are seen when.

use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::Position;

/// The amount and order of work, from the shared job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Training epochs.
    pub epochs: u32,
    /// Rows in a training batch; the last batch of an epoch may be smaller.
    pub batch: usize,
    /// Rows in an evaluation batch.
    pub evaluation_batch: usize,
    /// The test rows are evaluated after every so many epochs, and always after the last. 0: only after the last.
    pub evaluate_every: u32,
    /// Parties keep checkpoints after every so many batches and after every epoch. 0: none.
    pub checkpoint_every: u32,
}

impl Schedule {
    /// Batches in an epoch over `rows` rows.
    pub fn batches(&self, rows: usize) -> usize {
        rows.div_ceil(self.batch)
    }

    /// Whether the test rows are evaluated after `epoch` (from 1).
    pub fn evaluates_after(&self, epoch: u32) -> bool {
        epoch == self.epochs || (self.evaluate_every > 0 && epoch.is_multiple_of(self.evaluate_every))
    }

    /// Where a training ends: after the last epoch.
    pub fn end(&self) -> Position {
        Position::of_epoch(self.epochs + 1)
    }

    /// Whether a checkpoint is kept after `batch` (from 1) of the `batches` of an epoch; the end of the epoch has its own.
    pub(crate) fn keeps_after(&self, batch: usize, batches: usize) -> bool {
        self.checkpoint_every > 0 && batch < batches && batch.is_multiple_of(self.checkpoint_every as usize)
    }

    /// Rounds on a client's link before a position: one for each batch of training and evaluation, for the end of the epoch and for settling
    /// its checkpoint.
    pub(crate) fn rounds_before(&self, position: Position, train_rows: usize, test_rows: usize) -> u64 {
        let of_epoch = |epoch| {
            let evaluation = if self.evaluates_after(epoch) {
                self.evaluation_sizes(test_rows).count()
            } else {
                0
            };
            let settling = usize::from(self.checkpoint_every > 0);
            (self.batches(train_rows) + 1 + evaluation + settling) as u64
        };
        (1..position.epoch).map(of_epoch).sum::<u64>() + u64::from(position.batch)
    }

    /// Sizes of the training batches of one epoch.
    pub fn training_sizes(&self, rows: usize) -> impl Iterator<Item = usize> + use<> {
        sizes(rows, self.batch)
    }

    /// Sizes of the evaluation batches.
    pub fn evaluation_sizes(&self, rows: usize) -> impl Iterator<Item = usize> + use<> {
        sizes(rows, self.evaluation_batch)
    }
}

/// Sizes of the batches of `rows` rows in order; the last may be smaller.
pub(crate) fn sizes(rows: usize, batch: usize) -> impl Iterator<Item = usize> {
    (0..rows.div_ceil(batch)).map(move |i| batch.min(rows - i * batch))
}

/// The order of the training rows: a fresh uniform permutation per epoch, from the job's public seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shuffle {
    /// The job's seed.
    pub seed: u64,
}

impl Shuffle {
    /// The order of `rows` rows in `epoch`: Fisher-Yates on ChaCha20 keyed by (seed, epoch), the same on every machine.
    pub fn order(&self, epoch: u32, rows: usize) -> Vec<usize> {
        let mut context = self.seed.to_le_bytes().to_vec();
        context.extend_from_slice(&epoch.to_le_bytes());
        let mut rng = ChaCha20Rng::from_seed(blake3::derive_key("cloven v1 order of training rows", &context));
        let mut order: Vec<usize> = (0..rows).collect();
        for i in (1..rows).rev() {
            order.swap(i, below(&mut rng, i as u64 + 1) as usize);
        }
        order
    }
}

/// A uniform number below `bound`, by rejection.
fn below(rng: &mut impl Rng, bound: u64) -> u64 {
    let limit = u64::MAX - u64::MAX % bound;
    loop {
        let value = rng.next_u64();
        if value < limit {
            return value % bound;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_permutation_that_depends_on_seed_and_epoch() {
        let first = Shuffle { seed: 1 }.order(1, 100);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(first, Shuffle { seed: 1 }.order(1, 100));
        assert_ne!(first, Shuffle { seed: 1 }.order(2, 100));
        assert_ne!(first, Shuffle { seed: 2 }.order(1, 100));
    }

    #[test]
    fn the_last_batch_and_the_last_epoch_are_never_dropped() {
        let schedule = Schedule {
            epochs: 5,
            batch: 4,
            evaluation_batch: 100,
            evaluate_every: 2,
            checkpoint_every: 0,
        };
        assert_eq!(schedule.training_sizes(10).collect::<Vec<_>>(), [4, 4, 2]);
        assert_eq!(
            (1..=5).filter(|&e| schedule.evaluates_after(e)).collect::<Vec<_>>(),
            [2, 4, 5]
        );
        let last_only = Schedule {
            evaluate_every: 0,
            ..schedule
        };
        assert_eq!((1..=5).filter(|&e| last_only.evaluates_after(e)).collect::<Vec<_>>(), [5]);
    }
}
