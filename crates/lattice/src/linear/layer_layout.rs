//! Where a layer's weights, inputs and outputs stand in polynomials. One of weights and inputs is encrypted, the other a plaintext: which, does not matter here.
//!
//! A convolution of stride s is s x s convolutions of stride one, added up: tap d and padding p meet the pixels s (y + t) + f of *phase* f, where d - p = s t + f. With
//! rows of S coefficients and a spacing of D from one output channel to the next,
//!
//! ```text
//! weight of channel o, tap (t, t'), slot b        D o + B b         - (S t + t')
//! pixel (i, j) of slot b, of input h                  - B b + g B h + (S i + j)
//! output (y, x) of channel o, of input h          D o       + g B h + (S y + x)
//! ```
//!
//! A slot is one phase of one input channel; g of them share a ciphertext, with B = D times the output channels that do; of a batch of inputs, H share a
//! polynomial, and H B g <= N. S is so wide that a product from another row or column never lands on an output, D so wide that none from another channel does, other
//! slots are multiples of B away, and less than g of them. A dense layer is the convolution of pictures of one pixel: S = D = 1. (X^-e = -X^(N-e).)
//!
//! With P pieces and C output channels there are ceil(P / g) polynomials of an input, ceil(C / channels that share one) responses of each group of H inputs, and
//! the product of both is the number of polynomials of weights. What is best depends on which of them travel:
//!
//! - [`LayerLayout::new`] is for encrypted weights, which travel once. Output channels and inputs share ciphertexts so that the fewest responses come back; then slots,
//!   which save ciphertexts of weights. H inputs to a polynomial leave fewer slots, so that weights may take H times the memory: more than is allowed is
//!   not taken.
//! - [`LayerLayout::cheapest`] is for one encrypted input, where polynomials of the input travel one way and responses the other.

mod axis;

use axis::{Axis, Phase};

use crate::{
    LatticeError,
    linear::{LinearShape, shares::shares},
};

/// A layer in polynomials of degree N.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerLayout {
    shape: LinearShape,
    degree: usize,
    axes: [Axis; 2],
    /// S.
    row: usize,
    /// D.
    spacing: usize,
    /// Output channels of all, and of one response.
    channels: usize,
    together: usize,
    /// Inputs of the batch, and H.
    batch: usize,
    pub(crate) inputs: usize,
    /// g.
    slots: usize,
}

impl LayerLayout {
    /// For a batch of inputs of which at most `together` share a polynomial, with at most so many ciphertexts of weights if it can be.
    pub(crate) fn new(
        shape: LinearShape,
        degree: usize,
        batch: usize,
        together: usize,
        ciphertexts: usize,
    ) -> Result<Self, LatticeError> {
        let layout = Self::smallest(shape, degree, batch)?;
        // One input by itself may need more than is allowed.
        let alone = layout.best(1, usize::MAX).ok_or(no_layout(shape, degree))?;
        let allowed = ciphertexts.max(alone.ciphertexts());
        Ok(layout.best(together, allowed).unwrap_or(alone))
    }

    /// The layout of least cost for one input.
    pub(crate) fn cheapest<Cost: Ord>(
        shape: LinearShape,
        degree: usize,
        cost: impl Fn(&Self) -> Cost,
    ) -> Result<Self, LatticeError> {
        let layout = Self::smallest(shape, degree, 1)?;
        let fitting = shares(layout.channels).filter_map(|together| layout.with(together, 1));
        fitting.min_by_key(cost).ok_or(no_layout(shape, degree))
    }

    /// One of everything to a polynomial, which need not fit.
    fn smallest(shape: LinearShape, degree: usize, batch: usize) -> Result<Self, LatticeError> {
        if !shape.is_reasonable() {
            return Err(no_layout(shape, degree));
        }
        if let LinearShape::Convolution { image, kernel, .. } = shape
            && image.iter().chain(&kernel).any(|&size| size > degree)
        {
            return Err(no_layout(shape, degree));
        }
        let (channels, axes) = match shape {
            LinearShape::Dense { outputs, .. } => (outputs, [0, 1].map(|_| Axis::new(1, 1, 1, 0))),
            LinearShape::Convolution {
                channels,
                image,
                kernel,
                stride,
                padding,
            } => {
                let axis = |axis| Axis::new(image[axis], kernel[axis], stride[axis], padding[axis]);
                (channels[1], [0, 1].map(axis))
            }
        };
        let row = axes[1].row();
        let spacing = spacing(&axes, row);
        Ok(Self {
            shape,
            degree,
            axes,
            row,
            spacing,
            channels,
            together: 1,
            batch,
            inputs: 1,
            slots: 1,
        })
    }

    /// The fewest responses with at most so many inputs to a polynomial and ciphertexts of weights, and the fewest of those.
    fn best(&self, inputs: usize, ciphertexts: usize) -> Option<Self> {
        let fitting = shares(self.channels).flat_map(|channels| {
            let inputs = shares(self.batch).filter(|&count| count <= inputs);
            inputs.filter_map(move |inputs| self.with(channels, inputs))
        });
        let allowed = fitting.filter(|layout| layout.ciphertexts() <= ciphertexts);
        allowed.min_by_key(|layout| (layout.responses(), layout.ciphertexts()))
    }

    /// With so many output channels and inputs to a ciphertext, and as many slots as fit.
    fn with(&self, together: usize, inputs: usize) -> Option<Self> {
        let room = self.degree / (self.spacing * together).checked_mul(inputs)?;
        // A kernel may meet nothing but padding.
        let pieces = self.pieces().max(1);
        let slots = pieces.div_ceil(pieces.div_ceil(room.max(1)));
        (room > 0).then(|| Self {
            together,
            inputs,
            slots,
            ..self.clone()
        })
    }

    /// Ciphertexts that come back: for every group of inputs, those of the groups of output channels.
    pub(crate) fn responses(&self) -> usize {
        self.groups() * self.outputs()
    }

    /// Ciphertexts of weights.
    pub(crate) fn ciphertexts(&self) -> usize {
        self.blocks() * self.outputs()
    }

    /// Weights that one output depends on, and those of all output channels of a response.
    pub(crate) fn terms(&self) -> [usize; 2] {
        let inner = self.shape.weights() / self.channels;
        [inner, inner * self.together]
    }

    /// Groups of inputs.
    pub(crate) fn groups(&self) -> usize {
        self.batch.div_ceil(self.inputs)
    }

    /// Groups of output channels.
    pub(crate) fn outputs(&self) -> usize {
        self.channels.div_ceil(self.together)
    }

    /// Polynomials of a group of inputs; none where no output meets a pixel.
    pub(crate) fn blocks(&self) -> usize {
        self.pieces().div_ceil(self.slots)
    }

    /// Positions and values of the weights of a block and a group of output channels, from all weights modulo 2^`bits`.
    pub(crate) fn weights(&self, weights: &[u64], block: usize, outputs: usize, bits: u32) -> Vec<(usize, u64)> {
        let mut placed = Vec::new();
        for (slot, (channel, rows, columns)) in self.block(block) {
            for (index, output) in self.channels_of(outputs).enumerate() {
                let start = self.spacing * (index + slot * self.together);
                for &(dy, ty) in &rows.taps {
                    for &(dx, tx) in &columns.taps {
                        let value = weights[self.weight_at(channel, output, dy, dx)];
                        let at = start as isize - (self.row as isize * ty + tx);
                        placed.push(self.place(at, value, bits));
                    }
                }
            }
        }
        placed
    }

    /// Positions and values of a block of a group of inputs, from the whole batch modulo 2^`bits`.
    pub(crate) fn factor(&self, batch: &[u64], group: usize, block: usize, bits: u32) -> Vec<(usize, u64)> {
        let width = match self.shape {
            LinearShape::Dense { .. } => 1,
            LinearShape::Convolution { image, .. } => image[1],
        };
        let pixels = self.shape.inputs() / self.input_channels();
        let inputs = batch.chunks_exact(self.shape.inputs()).skip(group * self.inputs);
        let mut placed = Vec::new();
        for (index, input) in inputs.take(self.inputs).enumerate() {
            for (slot, (channel, rows, columns)) in self.block(block) {
                let start = self.start(0, index) as isize - (self.spacing * self.together * slot) as isize;
                for i in 0..rows.pixels {
                    let line = channel * pixels + (i * self.axes[0].stride + rows.first) * width;
                    for j in 0..columns.pixels {
                        let value = input[line + j * self.axes[1].stride + columns.first];
                        placed.push(self.place(start + (self.row * i + j) as isize, value, bits));
                    }
                }
            }
        }
        placed
    }

    /// Coefficients of a response that are outputs, and which of the batch's (batch x outputs, row-major).
    pub(crate) fn wanted(&self, response: usize) -> Vec<(usize, usize)> {
        let (group, outputs) = (response / self.outputs(), response % self.outputs());
        let [height, width] = [self.axes[0].outputs, self.axes[1].outputs];
        let mut wanted = Vec::new();
        for index in 0..self.inputs.min(self.batch - group * self.inputs) {
            let row = (group * self.inputs + index) * self.channels;
            for (local, channel) in self.channels_of(outputs).enumerate() {
                let (from, to) = (self.start(local, index), (row + channel) * height * width);
                let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
                wanted.extend(pixels.map(|(y, x)| (from + self.row * y + x, to + y * width + x)));
            }
        }
        wanted
    }

    /// The first coefficient of an output channel, counted in its group, of an input, counted in its group.
    fn start(&self, channel: usize, input: usize) -> usize {
        self.spacing * (channel + input * self.slots * self.together)
    }

    /// Numbers that tell this layout from others.
    pub(crate) fn numbers(&self) -> [u64; 8] {
        [
            self.shape.inputs(),
            self.shape.outputs(),
            self.row,
            self.spacing,
            self.together,
            self.batch,
            self.inputs,
            self.slots,
        ]
        .map(|number| number as u64)
    }

    /// Numbers that tell it from every other, of the same sizes too: shape, ring degree and layout.
    pub(crate) fn all_numbers(&self) -> Vec<u64> {
        let mut numbers = vec![self.degree as u64];
        numbers.extend(self.shape.numbers());
        numbers.extend(self.numbers());
        numbers
    }

    /// Output channels of a group.
    fn channels_of(&self, outputs: usize) -> std::ops::Range<usize> {
        let first = outputs * self.together;
        first..self.channels.min(first + self.together)
    }

    fn input_channels(&self) -> usize {
        match self.shape {
            LinearShape::Dense { inputs, .. } => inputs,
            LinearShape::Convolution { channels, .. } => channels[0],
        }
    }

    /// Phases of all input channels.
    fn pieces(&self) -> usize {
        self.input_channels() * self.axes[0].phases.len() * self.axes[1].phases.len()
    }

    /// The pieces of a block: slot, input channel, and its phases of rows and of columns.
    fn block(&self, block: usize) -> impl Iterator<Item = (usize, (usize, &Phase, &Phase))> {
        let first = block * self.slots;
        let [rows, columns] = [0, 1].map(|axis| &self.axes[axis].phases);
        let piece = move |index: usize| {
            let (rest, column) = (index / columns.len(), index % columns.len());
            (rest / rows.len(), &rows[rest % rows.len()], &columns[column])
        };
        (first..self.pieces().min(first + self.slots)).map(piece).enumerate()
    }

    fn weight_at(&self, channel: usize, output: usize, dy: usize, dx: usize) -> usize {
        match self.shape {
            LinearShape::Dense { outputs, .. } => channel * outputs + output,
            LinearShape::Convolution { channels, kernel, .. } => {
                ((output * channels[0] + channel) * kernel[0] + dy) * kernel[1] + dx
            }
        }
    }

    /// The coefficient of X^`exponent`, for an exponent from -N to N - 1.
    fn place(&self, exponent: isize, value: u64, bits: u32) -> (usize, u64) {
        match usize::try_from(exponent) {
            Ok(at) => (at, value),
            Err(_) => (
                self.degree - exponent.unsigned_abs(),
                value.wrapping_neg() & ((1 << bits) - 1),
            ),
        }
    }
}

fn no_layout(shape: LinearShape, degree: usize) -> LatticeError {
    LatticeError::NoLayout {
        inputs: shape.inputs(),
        outputs: shape.outputs(),
        degree,
    }
}

/// D: the outputs of a channel and, once, the products on either side of them.
fn spacing(axes: &[Axis; 2], row: usize) -> usize {
    let row = row as isize;
    let [first, last] = [0, 1].map(|end| row * axes[0].reach()[end] + axes[1].reach()[end]);
    let end = row * (axes[0].outputs as isize - 1) + axes[1].outputs as isize;
    (end + (-first).max(last + 1 - end).max(0)).unsigned_abs()
}

#[cfg(test)]
mod tests;
