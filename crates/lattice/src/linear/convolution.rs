//! How the products of a convolution are laid out in the coefficients of ring elements, without unfolding the picture.
//!
//! **One channel.** On each axis inputs, taps and outputs have places U, A and p with U = p + A (strides: see below), and R is the smallest
//! number with |U - A - p| < R for all of them. A picture is read row by row, at pitch R_w, as a sequence of R_h R_w numbers; a kernel the same way, backwards:
//!
//! ```text
//! x[U][V] at U R_w + V        w[A][B] at -(A R_w + B)        y[p][q] at p R_w + q
//! ```
//!
//! each shifted to start at 0. An input and a tap that meet at the place of an output have (U-A-p) R_w + (V-B-q) = 0; the last summand is smaller than R_w in
//! magnitude, so both are 0 and they belong to that output. For a kernel of 3 x 3 and padding 1 a picture of 32 x 32 takes 33 x 33: the padding of
//! one row is that of the next, and so it is with pictures. Samples follow one another at R_h R_w: whatever belongs to two samples is at least 1 off.
//!
//! **Channels.** A group is a stretch of M numbers of that sequence. A ciphertext of x holds it for kc input channels, one of W the kernels from kc input to nc
//! output channels, with kc nc M <= N; n, m and t are places in the stretch, t = n + m:
//!
//! ```text
//! X[g,q]:  x[c][n]    at  (kc-1-c) nc M + n
//! W[q,r]:  w[o][c][m] at  (c nc + o) M + m
//! y[o][t] of sum_q X[g,q] W[q,r]      at  ((kc-1) nc + o) M + t  =: Y
//! D[g,r]:  delta[o][t]                at  kc nc M - 1 - Y
//! (x^T delta)[o][c][m] of sum_g X D   at  kc nc M - 1 - (place of w[o][c][m])
//! (delta W^T)[c][n]    of sum_r D W   at  kc nc M - 1 - (place of x[c][n])
//! ```
//!
//! *No collision.* Take an input (c', n), a tap (c, o, m) and an output (o', t). What a term misses the wanted coefficient by is in all three products
//! (c - c') nc M + (o - o') M + (n + m - t), up to sign. With |n + m - t| < M that is smaller than kc nc M <= N in magnitude, so it is a multiple of N only if
//! it is 0, and then c = c', o = o' and n + m = t. All wanted places lie in 0..N, so that nothing wanted has wrapped.
//!
//! **Groups** are one of two kinds. With |n + m - t| < M to be shown:
//! * *whole samples*: M = S R_h R_w. Within a sample |n + m - t| < R_h R_w, and samples are R_h R_w apart. Needed where samples are drawn one by one.
//! * *overlapping stretches*, whatever the size of a picture: m <= K, a group's inputs are M numbers, its outputs and its delta the last M - K of
//!   them, and the next group is M - K further. n < M, m <= K <= t < M. Outputs and the gradient are complete; delta W^T of an input that stands in two
//!   groups comes in two parts, and the key holder adds them. Two pictures of 33 x 33 do not fit N = 2048; twenty of them take 11 groups instead of 20.
//!
//! **Strides.** With stride s, the s phases of rows (and of columns) are channels of their own with stride 1 and a kernel of 1/s: U = p + A in `line`. All that
//! meets nothing (inputs between the windows, taps that see only padding) has no place; its results are 0.

use super::LinearShape;
use crate::LatticeError;

mod line;
#[cfg(test)]
pub(super) mod tests;

use line::Line;

/// (place, position in the picture or the kernel), ascending in both.
type Table = Vec<(usize, usize)>;

/// How many numbers of the sequence a group holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stretch {
    /// So many samples.
    Samples(usize),
    /// M numbers, of which the first are the last of the group before.
    Overlapping(usize),
}

/// Block sizes of the products of one convolution in one ring.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConvolutionLayout {
    picture: Picture,
    degree: usize,
    /// kc: channels times phases.
    block_inputs: usize,
    /// nc.
    block_outputs: usize,
    /// M, and from one group to the next.
    length: usize,
    step: usize,
}

/// Where inputs, taps and outputs of one channel stand.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Picture {
    /// Input and output channels.
    channels: [usize; 2],
    /// Numbers in a channel of input, kernel and output.
    sizes: [usize; 3],
    /// Numbers of the sequence in a sample: R_h R_w.
    length: usize,
    /// The last place of a tap: K.
    reach: usize,
    /// By phase.
    inputs: Vec<Table>,
    taps: Vec<Table>,
    outputs: Table,
}

impl Picture {
    /// `None` if the shape is no convolution, or one of which nothing is to be computed.
    pub(super) fn new(shape: &LinearShape) -> Option<Self> {
        let LinearShape::Convolution {
            channels,
            image,
            kernel,
            stride,
            padding,
        } = *shape
        else {
            return None;
        };
        if !shape.is_reasonable() {
            return None;
        }
        let places = shape.output_image();
        let line = |axis: usize| Line::new(image[axis], kernel[axis], stride[axis], padding[axis], places[axis]);
        let (rows, columns) = (line(0)?, line(1)?);
        let (pitch, phases) = (columns.length(), columns.phases());
        let joined = |(down, row): (usize, usize), (right, column): (usize, usize)| (down * phases + right, row * pitch + column);
        let by_phase = |[height, width]: [usize; 2], place: &dyn Fn(usize, usize) -> Option<(usize, usize)>| {
            let mut tables = vec![Table::new(); rows.phases() * phases];
            for position in 0..height * width {
                if let Some((phase, place)) = place(position / width, position % width) {
                    tables[phase].push((place, position));
                }
            }
            tables
        };
        let inputs = by_phase(image, &|u, v| Some(joined(rows.input(u)?, columns.input(v)?)));
        let taps = by_phase(kernel, &|a, b| Some(joined(rows.tap(a)?, columns.tap(b)?)));
        let output = |p, q| Some(joined((0, rows.output(p)?), (0, columns.output(q)?)));
        let outputs = by_phase(places, &output).swap_remove(0);
        Some(Self {
            channels,
            sizes: [image, kernel, places].map(|[height, width]| height * width),
            length: rows.length() * pitch,
            reach: taps.iter().flatten().map(|tap| tap.0).max().unwrap_or(0),
            inputs,
            taps,
            outputs,
        })
    }

    /// Input channels times phases.
    pub(super) fn inputs(&self) -> usize {
        self.channels[0] * self.inputs.len()
    }

    /// Output channels.
    pub(super) fn outputs(&self) -> usize {
        self.channels[1]
    }

    /// Numbers of the sequence in a sample.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// By how much stretches overlap.
    pub(super) fn reach(&self) -> usize {
        self.reach
    }

    /// Channel and phase.
    fn split(&self, input: usize) -> (usize, usize) {
        (input / self.inputs.len(), input % self.inputs.len())
    }
}

impl ConvolutionLayout {
    /// Blocks of `kc` input channels (phases counted) and `nc` output channels, and groups of a kind.
    pub(super) fn new(
        picture: Picture,
        degree: usize,
        [block_inputs, block_outputs]: [usize; 2],
        stretch: Stretch,
    ) -> Result<Self, LatticeError> {
        let none = LatticeError::NoLayout {
            inputs: picture.channels[0].saturating_mul(picture.sizes[0]),
            outputs: picture.channels[1].saturating_mul(picture.sizes[2]),
            degree,
        };
        let (length, step) = match stretch {
            Stretch::Samples(samples) => (samples.saturating_mul(picture.length), samples.saturating_mul(picture.length)),
            Stretch::Overlapping(length) => (length, length.saturating_sub(picture.reach)),
        };
        let coefficients = [block_outputs, length].iter().fold(block_inputs, |a, b| a.saturating_mul(*b));
        match step > 0 && (1..=degree).contains(&coefficients) {
            true => Ok(Self {
                picture,
                degree,
                block_inputs,
                block_outputs,
                length,
                step,
            }),
            false => Err(none),
        }
    }

    /// kc and nc.
    pub(super) fn blocks(&self) -> [usize; 2] {
        [self.block_inputs, self.block_outputs]
    }

    /// In how many groups an input stands, in the mean: so many parts of its gradient are added.
    pub(super) fn parts(&self) -> f64 {
        self.length as f64 / self.step as f64
    }

    pub(super) fn groups(&self, rows: usize) -> usize {
        (rows * self.picture.length).div_ceil(self.step)
    }

    pub(super) fn input_blocks(&self) -> usize {
        self.picture.inputs().div_ceil(self.block_inputs)
    }

    pub(super) fn output_blocks(&self) -> usize {
        self.picture.outputs().div_ceil(self.block_outputs)
    }

    /// Output channels in block `r`.
    pub(super) fn width(&self, r: usize) -> usize {
        self.block_outputs.min(self.picture.outputs() - r * self.block_outputs)
    }

    /// Outputs of one channel in group `g`.
    pub(super) fn outputs_in(&self, g: usize, rows: usize) -> usize {
        self.count(&self.picture.outputs, self.own(g, rows))
    }

    /// Taps of one output channel in block `q`.
    pub(super) fn taps_in(&self, q: usize) -> usize {
        let phases = self.members(q).map(|(_, input)| self.picture.split(input).1);
        phases.map(|phase| self.picture.taps[phase].len()).sum()
    }

    /// Inputs of all channels of block `q` in group `g`, for every q.
    pub(super) fn inputs_in(&self, g: usize, rows: usize) -> Vec<usize> {
        let tables = self.picture.inputs.iter();
        let by_phase: Vec<usize> = tables.map(|table| self.count(table, self.all(g, rows))).collect();
        let phase = |(_, input): (usize, usize)| self.picture.split(input).1;
        let block = |q| self.members(q).map(|member| by_phase[phase(member)]).sum();
        (0..self.input_blocks()).map(block).collect()
    }

    /// (coefficient, position in the result) of what outputs has in response (g, r), in order.
    pub(super) fn outputs_of(&self, g: usize, r: usize, rows: usize) -> Vec<(usize, usize)> {
        let mut targets = Vec::with_capacity(self.width(r) * self.outputs_in(g, rows));
        self.each_output(g, r, rows, |at, position| targets.push((at, position)));
        targets
    }

    /// The same of the gradient in response (q, r).
    pub(super) fn gradient_of(&self, q: usize, r: usize) -> Vec<(usize, usize)> {
        let mut targets = Vec::new();
        self.each_weight(q, r, |at, position| targets.push((self.reversed(at), position)));
        targets
    }

    /// The same of the gradient of the input in response (g, q).
    pub(super) fn input_gradient_of(&self, g: usize, q: usize, rows: usize) -> Vec<(usize, usize)> {
        let mut targets = Vec::new();
        self.each_input(g, q, rows, |at, position| targets.push((self.reversed(at), position)));
        targets
    }

    /// The coefficients of X[g,q].
    pub(super) fn row_block(&self, integers: &[i64], rows: usize, g: usize, q: usize) -> Vec<i64> {
        let mut coefficients = vec![0; self.degree];
        self.each_input(g, q, rows, |at, position| coefficients[at] = integers[position]);
        coefficients
    }

    /// The coefficients of W[q,r].
    pub(super) fn weight_block(&self, integers: &[i64], q: usize, r: usize) -> Vec<i64> {
        let mut coefficients = vec![0; self.degree];
        self.each_weight(q, r, |at, position| coefficients[at] = integers[position]);
        coefficients
    }

    /// The coefficients of D[g,r].
    pub(super) fn delta_block(&self, integers: &[i64], rows: usize, g: usize, r: usize) -> Vec<i64> {
        let mut coefficients = vec![0; self.degree];
        self.each_output(g, r, rows, |at, position| {
            coefficients[self.reversed(at)] = integers[position]
        });
        coefficients
    }

    /// Calls `take` with exponent and position of every input of block (g, q).
    fn each_input(&self, g: usize, q: usize, rows: usize, mut take: impl FnMut(usize, usize)) {
        let ([channels, _], [size, ..]) = (self.picture.channels, self.picture.sizes);
        for (c, input) in self.members(q) {
            let (channel, phase) = self.picture.split(input);
            let base = (self.block_inputs - 1 - c) * self.block_outputs * self.length;
            self.each(
                &self.picture.inputs[phase],
                g,
                self.all(g, rows),
                |sample, place, position| {
                    take(base + place, (sample * channels + channel) * size + position);
                },
            );
        }
    }

    /// The same for every tap of block (q, r).
    fn each_weight(&self, q: usize, r: usize, mut take: impl FnMut(usize, usize)) {
        let ([channels, _], [_, size, _]) = (self.picture.channels, self.picture.sizes);
        for (c, input) in self.members(q) {
            let (channel, phase) = self.picture.split(input);
            for o in 0..self.width(r) {
                let base = (c * self.block_outputs + o) * self.length;
                let first = ((r * self.block_outputs + o) * channels + channel) * size;
                let taps = self.picture.taps[phase].iter();
                taps.for_each(|&(place, position)| take(base + place, first + position));
            }
        }
    }

    /// The same for every output of block (g, r).
    fn each_output(&self, g: usize, r: usize, rows: usize, mut take: impl FnMut(usize, usize)) {
        let ([_, channels], [.., size]) = (self.picture.channels, self.picture.sizes);
        for o in 0..self.width(r) {
            let channel = r * self.block_outputs + o;
            let base = ((self.block_inputs - 1) * self.block_outputs + o) * self.length;
            self.each(&self.picture.outputs, g, self.own(g, rows), |sample, place, position| {
                take(base + place, (sample * channels + channel) * size + position);
            });
        }
    }

    /// (index in the block, channel) of the input channels of block `q`.
    fn members(&self, q: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let first = q * self.block_inputs;
        (first..self.picture.inputs().min(first + self.block_inputs)).map(move |input| (input - first, input))
    }

    /// Calls `take` with sample, place in group `g` and position, for all of a table that stand in a part of the sequence.
    fn each(&self, table: &Table, g: usize, part: [usize; 2], mut take: impl FnMut(usize, usize, usize)) {
        // The sequence starts at place M - step of the first group.
        let first = g * self.step;
        for (sample, entries) in self.samples(table, part) {
            let start = sample * self.picture.length + self.length - self.step;
            entries
                .iter()
                .for_each(|&(place, position)| take(sample, start + place - first, position));
        }
    }

    fn count(&self, table: &Table, part: [usize; 2]) -> usize {
        self.samples(table, part).map(|(_, entries)| entries.len()).sum()
    }

    /// Every sample that reaches into a part of the sequence, and its entries there.
    fn samples<'a>(
        &self,
        table: &'a Table,
        [start, end]: [usize; 2],
    ) -> impl Iterator<Item = (usize, &'a [(usize, usize)])> + use<'a> {
        let length = self.picture.length;
        (start / length..end.div_ceil(length)).map(move |sample| {
            let before = |bound: usize| table.partition_point(|entry| sample * length + entry.0 < bound);
            (sample, &table[before(start)..before(end)])
        })
    }

    /// The part of the sequence whose outputs and delta group `g` has.
    fn own(&self, g: usize, rows: usize) -> [usize; 2] {
        let end = rows * self.picture.length;
        [end.min(g * self.step), end.min((g + 1) * self.step)]
    }

    /// The part whose inputs it has.
    fn all(&self, g: usize, rows: usize) -> [usize; 2] {
        let [start, end] = self.own(g, rows);
        [start.saturating_sub(self.length - self.step), end]
    }

    /// Where what is multiplied by an operand at `exponent` gathers.
    fn reversed(&self, exponent: usize) -> usize {
        self.block_inputs * self.block_outputs * self.length - 1 - exponent
    }
}
