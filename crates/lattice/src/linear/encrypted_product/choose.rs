//! Block sizes by bytes.

use super::{EncryptedProduct, TrainingScales};
use crate::{LatticeError, Parameters, linear::Layout};

/// A stored byte is read that many times as fast as one is sent: 2 GB/s from a disk, 1 Gbit/s from a peer.
const STORED: usize = 16;

/// Where the rows of an [`EncryptedProduct`] come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowSource {
    /// Uploaded once and drawn at random: one a ciphertext. delta W^T is not asked for.
    Stored,
    /// Sent with every batch, as the layers after the first do.
    Sent,
}

impl Layout {
    /// The layout for batches of `rows` rows that costs least in bytes a batch.
    pub fn for_training(
        parameters: &Parameters,
        [rows, inputs, outputs]: [usize; 3],
        from: RowSource,
        scales: TrainingScales,
    ) -> Result<Self, LatticeError> {
        let degree = parameters.degree();
        let none = LatticeError::NoLayout { inputs, outputs, degree };
        let most_samples = if from == RowSource::Stored { 1 } else { rows.clamp(1, degree) };
        let mut best: Option<(usize, Self)> = None;
        for samples in sizes(most_samples, rows.max(1)) {
            for block_inputs in sizes(inputs.min(degree / samples), inputs) {
                let room = (degree / (samples * block_inputs)).min(outputs);
                if room == 0 {
                    continue;
                }
                let layout = Self {
                    degree,
                    inputs,
                    outputs,
                    samples,
                    block_inputs,
                    block_outputs: outputs.div_ceil(outputs.div_ceil(room)),
                };
                let cost = EncryptedProduct::new(parameters, layout, scales)?.cost(rows.max(1), from);
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, layout));
                }
            }
        }
        best.map(|(_, layout)| layout).ok_or(none)
    }
}

impl EncryptedProduct {
    /// Bytes that a batch of `rows` rows sends: operands, and the answers to them.
    pub fn batch_len(&self, rows: usize, from: RowSource) -> usize {
        let both = self.weights_len() + self.delta_len(rows) + self.outputs_len(rows) + self.gradient_len();
        match from {
            RowSource::Stored => both,
            RowSource::Sent => both + self.rows_len(rows) + self.input_gradient_len(rows),
        }
    }

    fn cost(&self, rows: usize, from: RowSource) -> usize {
        let stored = if from == RowSource::Stored {
            self.rows_len(rows) / STORED
        } else {
            0
        };
        self.batch_len(rows, from) + stored
    }
}

/// The smallest sizes, up to `most`, of every number of blocks of `whole`.
fn sizes(most: usize, whole: usize) -> impl Iterator<Item = usize> {
    (1..=most).filter(move |&size| size == whole.div_ceil(whole.div_ceil(size)))
}
