//! How a matrix product is laid out in the coefficients of ring elements.
//!
//! With rows x (b x k) and a matrix W (k x n), choose S samples a ciphertext, kw inputs and nw outputs a block, S kw nw <= N:
//!
//! ```text
//! X[g,q](X) = sum_{i<S} sum_{c<kw}  x[gS+i][q kw+c]   X^(i kw nw + nw (kw-1-c))
//! W[q,r](X) = sum_{c<kw} sum_{j<nw} W[q kw+c][r nw+j] X^(nw c + j)
//! coefficient i kw nw + nw (kw-1) + j  of  sum_q X[g,q] W[q,r]  =  y[gS+i][r nw+j]
//! ```
//!
//! The exponent of a product term is i' kw nw + nw (kw-1-c'+c) + j'. Within a sample (i' = i) it meets the wanted one only for c' = c and
//! j' = j, because |j'-j| < nw. For another sample it would need nw (c-c') + j'-j = (i-i') kw nw, whose left side is smaller than kw nw in
//! magnitude. Terms that pass N wrap (with sign) to exponents below nw (kw-1), where nothing is wanted. All other coefficients hold cross
//! terms and are never sent.
//!
//! The two other products of training come from the same operands and one more, delta (b x n) with its coefficients reversed:
//!
//! ```text
//! D[g,r](X) = sum_{i<S} sum_{j<nw}  delta[gS+i][r nw+j]   X^((S-1-i) kw nw + nw-1-j)
//! coefficient S kw nw - 1 - (nw c + j)         of  sum_g X[g,q] D[g,r]  =  (x^T delta)[q kw+c][r nw+j]
//! coefficient (S-1-i) kw nw + nw (c+1) - 1     of  sum_r D[g,r] W[q,r]  =  (delta W^T)[gS+i][q kw+c]
//! ```
//!
//! A term of X D has exponent (S-1+i'-i) kw nw + e with e = nw (kw-1-c) + nw-1-j in 0..kw nw. For i' = i that is W's layout read backwards,
//! and the samples of a group add up. For i' > i it is S kw nw or more, up to (2S-1) kw nw: past N it wraps to below (S-1) kw nw, since
//! N >= S kw nw. For i' < i it is below (S-1) kw nw. All these miss the wanted (S-1) kw nw..S kw nw.
//!
//! A term of D W has exponent (S-1-i') kw nw + nw c' + nw-1 + (j'-j). It meets the wanted one only if nw (c'-c) + j'-j = (i'-i) kw nw + m N
//! for an integer m. The left side is smaller than kw nw in magnitude; the right side is zero, or at least kw nw, as |i'-i| kw nw <= N - kw nw. So i' = i,
//! and c' = c and j' = j since |j'-j| < nw.
//!
//! This is block packing of the linear core with the encrypted operand on the left, generalised to block sizes that are no powers of two
//! and to several samples a ciphertext.

use cloven_ring::Runs;

use crate::LatticeError;

/// Block sizes of one matrix product in one ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Ring degree N.
    pub degree: usize,
    /// Columns of x and rows of W: k.
    pub inputs: usize,
    /// Columns of W: n.
    pub outputs: usize,
    /// Samples in a ciphertext: S.
    pub samples: usize,
    /// Inputs in a block: kw.
    pub block_inputs: usize,
    /// Outputs in a block: nw.
    pub block_outputs: usize,
}

impl Layout {
    /// The layout for batches of `rows` that costs least, when an encrypted operand and a response cost `upload` and `response` bytes.
    pub fn choose(
        degree: usize,
        [rows, inputs, outputs]: [usize; 3],
        upload: usize,
        response: usize,
    ) -> Result<Self, LatticeError> {
        let mut best: Option<(usize, Self)> = None;
        for samples in 1..=rows.clamp(1, degree) {
            for blocks in 1..=inputs {
                let block_inputs = inputs.div_ceil(blocks);
                let room = degree / (samples * block_inputs);
                if room == 0 || outputs == 0 {
                    continue;
                }
                // As few blocks as fit, of equal width.
                let block_outputs = outputs.div_ceil(outputs.div_ceil(room.min(outputs)));
                let layout = Self {
                    degree,
                    inputs,
                    outputs,
                    samples,
                    block_inputs,
                    block_outputs,
                };
                let each = layout.input_blocks() * upload + layout.output_blocks() * response;
                let cost = layout.groups(rows.max(1)) * each;
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, layout));
                }
                if layout.groups(rows.max(1)) * layout.input_blocks() * upload > best.map_or(cost, |(least, _)| least) {
                    break;
                }
            }
        }
        best.map(|(_, layout)| layout)
            .ok_or(LatticeError::NoLayout { inputs, outputs, degree })
    }

    /// Refuses block sizes that do not fit the ring.
    pub(super) fn check(&self, degree: usize) -> Result<(), LatticeError> {
        let blocks = self.block_inputs.checked_mul(self.block_outputs);
        let coefficients = blocks.and_then(|blocks| blocks.checked_mul(self.samples));
        let fits = coefficients.is_some_and(|coefficients| (1..=degree).contains(&coefficients));
        match fits && self.degree == degree && self.inputs > 0 && self.outputs > 0 {
            true => Ok(()),
            false => Err(LatticeError::NoLayout {
                inputs: self.inputs,
                outputs: self.outputs,
                degree,
            }),
        }
    }

    /// Ciphertexts that hold one block of inputs of `rows` samples: ceil(rows / S).
    pub fn groups(&self, rows: usize) -> usize {
        rows.div_ceil(self.samples)
    }

    /// Blocks of inputs: ceil(k / kw).
    pub fn input_blocks(&self) -> usize {
        self.inputs.div_ceil(self.block_inputs)
    }

    /// Blocks of outputs: ceil(n / nw).
    pub fn output_blocks(&self) -> usize {
        self.outputs.div_ceil(self.block_outputs)
    }

    /// Outputs in block `r`; the last may be narrower.
    pub fn width(&self, r: usize) -> usize {
        self.block_outputs.min(self.outputs - r * self.block_outputs)
    }

    /// Samples in group `g` of a batch of `rows`.
    pub fn samples_in(&self, g: usize, rows: usize) -> usize {
        self.samples.min(rows - g * self.samples)
    }

    /// Where input `c` of a block stands for sample `i` of a group.
    pub(crate) fn input_at(&self, i: usize, c: usize) -> usize {
        i * self.stride() + self.block_outputs * (self.block_inputs - 1 - c)
    }

    /// Where input `c` and output `j` of a block stand in W's polynomial.
    pub(crate) fn weight_at(&self, c: usize, j: usize) -> usize {
        self.block_outputs * c + j
    }

    /// Where output `j` of a block stands for sample `i` of a group.
    pub(crate) fn output_at(&self, i: usize, j: usize) -> usize {
        i * self.stride() + self.block_outputs * (self.block_inputs - 1) + j
    }

    /// Inputs in block `q`; the last may have fewer.
    pub(super) fn depth(&self, q: usize) -> usize {
        self.block_inputs.min(self.inputs - q * self.block_inputs)
    }

    /// Where output `j` of a block stands for sample `i` in delta's polynomial.
    pub(crate) fn delta_at(&self, i: usize, j: usize) -> usize {
        (self.samples - 1 - i) * self.stride() + self.block_outputs - 1 - j
    }

    /// Where x^T delta has input `c` and output `j` of a block.
    pub(crate) fn gradient_at(&self, c: usize, j: usize) -> usize {
        self.samples * self.stride() - 1 - self.weight_at(c, j)
    }

    /// Where delta W^T has input `c` of a block for sample `i`.
    pub(crate) fn input_gradient_at(&self, i: usize, c: usize) -> usize {
        (self.samples - 1 - i) * self.stride() + self.block_outputs * (c + 1) - 1
    }

    /// (coefficient, position in the row-major matrix) of what x W has in response (g, r), in order.
    pub(super) fn outputs_of(&self, g: usize, r: usize, rows: usize) -> Vec<(usize, usize)> {
        let position = |i: usize, j: usize| (g * self.samples + i) * self.outputs + r * self.block_outputs + j;
        let of = |i, j| (self.output_at(i, j), position(i, j));
        pairs(self.samples_in(g, rows), self.width(r), of)
    }

    /// The same of x^T delta in response (q, r).
    pub(super) fn gradient_of(&self, q: usize, r: usize) -> Vec<(usize, usize)> {
        let position = |c: usize, j: usize| (q * self.block_inputs + c) * self.outputs + r * self.block_outputs + j;
        let of = |c, j| (self.gradient_at(c, j), position(c, j));
        pairs(self.depth(q), self.width(r), of)
    }

    /// The same of delta W^T in response (g, q).
    pub(super) fn input_gradient_of(&self, g: usize, q: usize, rows: usize) -> Vec<(usize, usize)> {
        let position = |i: usize, c: usize| (g * self.samples + i) * self.inputs + q * self.block_inputs + c;
        let of = |i, c| (self.input_gradient_at(i, c), position(i, c));
        pairs(self.samples_in(g, rows), self.depth(q), of)
    }

    /// The wanted coefficients of response (g, r), in order.
    pub(crate) fn wanted(&self, g: usize, r: usize, rows: usize) -> impl Iterator<Item = usize> + use<> {
        let (layout, width) = (*self, self.width(r));
        (0..self.samples_in(g, rows)).flat_map(move |i| (0..width).map(move |j| layout.output_at(i, j)))
    }

    /// The coefficients that have results: every wanted one is among them. Where samples are not a power of two apart, all.
    pub(super) fn runs(&self) -> Result<Runs, LatticeError> {
        let stride = self.stride();
        match stride.is_power_of_two() {
            true => Ok(Runs::new(stride, self.output_at(0, 0)..stride)?),
            false => Ok(Runs::all()),
        }
    }

    /// (group, output block) of every response, in order.
    pub(super) fn responses(&self, rows: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let blocks = self.output_blocks();
        (0..self.groups(rows)).flat_map(move |g| (0..blocks).map(move |r| (g, r)))
    }

    /// The coefficients of X[g,q], for `rows` rows of integers.
    pub(super) fn row_block(&self, integers: &[i64], rows: usize, g: usize, q: usize) -> Vec<i64> {
        self.spaced_row_block(integers, rows, g, q, 1)
    }

    /// The same at every `spacing`-th exponent, a divisor of nw and of N: all others are zero.
    pub(super) fn spaced_row_block(&self, integers: &[i64], rows: usize, g: usize, q: usize, spacing: usize) -> Vec<i64> {
        let mut coefficients = vec![0; self.degree / spacing];
        let (first, step) = (q * self.block_inputs, self.block_outputs / spacing);
        for i in 0..self.samples_in(g, rows) {
            let row = &integers[(g * self.samples + i) * self.inputs..][first..self.inputs];
            let row = &row[..row.len().min(self.block_inputs)];
            // From the last to the first.
            let start = self.input_at(i, row.len() - 1) / spacing;
            let places = coefficients[start..].iter_mut().step_by(step);
            places.zip(row.iter().rev()).for_each(|(place, value)| *place = *value);
        }
        coefficients
    }

    /// The coefficients of W[q,r], for a matrix of integers.
    pub(super) fn weight_block(&self, integers: &[i64], q: usize, r: usize) -> Vec<i64> {
        let mut coefficients = vec![0; self.degree];
        let rows = integers.chunks(self.outputs).skip(q * self.block_inputs);
        for (c, row) in rows.take(self.block_inputs).enumerate() {
            let values = &row[r * self.block_outputs..][..self.width(r)];
            coefficients[self.weight_at(c, 0)..][..values.len()].copy_from_slice(values);
        }
        coefficients
    }

    /// The coefficients of D[g,r], for `rows` rows of integers.
    pub(super) fn delta_block(&self, integers: &[i64], rows: usize, g: usize, r: usize) -> Vec<i64> {
        let mut coefficients = vec![0; self.degree];
        for i in 0..self.samples_in(g, rows) {
            let row = &integers[(g * self.samples + i) * self.outputs..][..self.outputs];
            for (j, value) in row[r * self.block_outputs..].iter().take(self.width(r)).enumerate() {
                coefficients[self.delta_at(i, j)] = *value;
            }
        }
        coefficients
    }

    fn stride(&self) -> usize {
        self.block_inputs * self.block_outputs
    }
}

/// `of` all pairs of numbers below the two bounds, in order.
fn pairs<T>(first: usize, second: usize, of: impl Fn(usize, usize) -> T) -> Vec<T> {
    let mut all = Vec::with_capacity(first * second);
    (0..first).for_each(|a| all.extend((0..second).map(|b| of(a, b))));
    all
}

#[cfg(test)]
mod tests;
