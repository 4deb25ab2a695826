//! Block sizes by bytes.

use super::{EncryptedProduct, TrainingScales, packing::Packing};
use crate::{
    LatticeError, Parameters,
    linear::{
        Layout, LinearShape,
        convolution::{ConvolutionLayout, Picture, Stretch},
    },
};

/// A stored byte is read that many times as fast as one is sent: 2 GB/s from a disk, 1 Gbit/s from a peer.
const STORED: usize = 16;

/// Where the rows of an [`EncryptedProduct`] come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowSource {
    /// Uploaded once and drawn at random: one a group. delta W^T is not asked for.
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
    /// The products of a layer in the layout that costs least in bytes for batches of `rows` rows. A convolution on stored rows needs a
    /// picture's channel to fit the ring; else it is [`LatticeError::NoLayout`].
    pub fn for_training(
        parameters: &Parameters,
        rows: usize,
        shape: LinearShape,
        from: RowSource,
        scales: TrainingScales,
    ) -> Result<Self, LatticeError> {
        let degree = parameters.degree();
        let (inputs, outputs) = (shape.inputs(), shape.outputs());
        let none = LatticeError::NoLayout { inputs, outputs, degree };
        if let LinearShape::Dense { inputs, outputs } = shape {
            let layout = Layout::for_training(parameters, [rows, inputs, outputs], from, scales)?;
            return Self::new(parameters, layout, scales);
        }
        let (picture, rows) = (Picture::new(&shape).ok_or(none.clone())?, rows.max(1));
        let mut best: Option<(usize, Self)> = None;
        for block_inputs in sizes(picture.inputs().min(degree), picture.inputs()) {
            for block_outputs in sizes((degree / block_inputs).min(picture.outputs()), picture.outputs()) {
                let room = degree / (block_inputs * block_outputs);
                for stretch in stretches(&picture, room, rows, from) {
                    let layout = ConvolutionLayout::new(picture.clone(), degree, [block_inputs, block_outputs], stretch)?;
                    let product = Self::packed(parameters, Packing::Convolution(shape, Box::new(layout)), scales)?;
                    // The operands alone are counted at once.
                    let least = best.as_ref().map_or(usize::MAX, |(least, _)| *least);
                    if product.operands_len(rows, from) < least {
                        let cost = product.cost(rows, from);
                        best = if cost < least { Some((cost, product)) } else { best };
                    }
                }
            }
        }
        best.map(|(_, product)| product).ok_or(none)
    }

    /// Bytes that a batch of `rows` rows sends: operands, and the answers to them.
    pub fn batch_len(&self, rows: usize, from: RowSource) -> usize {
        let both = self.operands_len(rows, from) + self.outputs_len(rows) + self.gradient_len();
        match from {
            RowSource::Stored => both,
            RowSource::Sent => both + self.input_gradient_len(rows),
        }
    }

    fn operands_len(&self, rows: usize, from: RowSource) -> usize {
        let both = self.weights_len() + self.delta_len(rows);
        match from {
            RowSource::Stored => both,
            RowSource::Sent => both + self.rows_len(rows),
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

/// The groups to consider where a channel has `room`: as many whole samples as fit, and overlapping ones, unless they are read twice and more.
fn stretches(picture: &Picture, room: usize, rows: usize, from: RowSource) -> Vec<Stretch> {
    let most = if from == RowSource::Stored { 1 } else { rows };
    let samples = (room / picture.length()).min(most);
    let whole = (samples > 0).then(|| Stretch::Samples(rows.div_ceil(rows.div_ceil(samples)).min(most)));
    let overlapping = (from == RowSource::Sent && room >= 2 * picture.reach()).then_some(Stretch::Overlapping(room));
    whole.into_iter().chain(overlapping).collect()
}

/// The smallest sizes, up to `most`, of every number of blocks of `whole`.
fn sizes(most: usize, whole: usize) -> impl Iterator<Item = usize> {
    (1..=most).filter(move |&size| size == whole.div_ceil(whole.div_ceil(size)))
}
