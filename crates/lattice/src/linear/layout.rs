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
//! This is block packing of the linear core with the encrypted operand on the left, generalised to block sizes that are no powers of two
//! and to several samples a ciphertext.

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

    /// The wanted coefficients of response (g, r), in order.
    pub(crate) fn wanted(&self, g: usize, r: usize, rows: usize) -> impl Iterator<Item = usize> + use<> {
        let (layout, width) = (*self, self.width(r));
        (0..self.samples_in(g, rows)).flat_map(move |i| (0..width).map(move |j| layout.output_at(i, j)))
    }

    /// (group, output block) of every response, in order.
    pub(super) fn responses(&self, rows: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let blocks = self.output_blocks();
        (0..self.groups(rows)).flat_map(move |g| (0..blocks).map(move |r| (g, r)))
    }

    /// The coefficients of X[g,q], for `rows` rows of integers.
    pub(super) fn row_block(&self, integers: &[i64], rows: usize, g: usize, q: usize) -> Vec<i64> {
        let mut coefficients = vec![0; self.degree];
        let first = q * self.block_inputs;
        for i in 0..self.samples_in(g, rows) {
            let row = &integers[(g * self.samples + i) * self.inputs..][..self.inputs];
            for (c, value) in row[first..].iter().take(self.block_inputs).enumerate() {
                coefficients[self.input_at(i, c)] = *value;
            }
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

    fn stride(&self) -> usize {
        self.block_inputs * self.block_outputs
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Product in Z[X]/(X^N + 1), term by term.
    fn negacyclic(a: &[i64], b: &[i64]) -> Vec<i64> {
        let n = a.len();
        let mut out = vec![0; n];
        for (i, x) in a.iter().enumerate() {
            for (j, y) in b.iter().enumerate() {
                match i + j < n {
                    true => out[i + j] += x * y,
                    false => out[i + j - n] -= x * y,
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn wanted_coefficients_are_the_matrix_product(
            rows in 1usize..7, inputs in 1usize..20, outputs in 1usize..9, log2 in 3u32..8, seed in any::<u64>()
        ) {
            let degree = 1 << log2;
            let layout = Layout::choose(degree, [rows, inputs, outputs], 3, 2).unwrap();
            let mut state = seed;
            let mut next = || { state = state.wrapping_mul(6364136223846793005).wrapping_add(1); (state >> 40) as i64 % 100 - 50 };
            let x: Vec<i64> = (0..rows * inputs).map(|_| next()).collect();
            let w: Vec<i64> = (0..inputs * outputs).map(|_| next()).collect();
            for g in 0..layout.groups(rows) {
                for r in 0..layout.output_blocks() {
                    let mut sum = vec![0; degree];
                    for q in 0..layout.input_blocks() {
                        let (mut xp, mut wp) = (vec![0; degree], vec![0; degree]);
                        for c in (0..layout.block_inputs).filter(|c| q * layout.block_inputs + c < inputs) {
                            let k = q * layout.block_inputs + c;
                            for i in 0..layout.samples_in(g, rows) {
                                xp[layout.input_at(i, c)] = x[(g * layout.samples + i) * inputs + k];
                            }
                            for j in 0..layout.width(r) {
                                wp[layout.weight_at(c, j)] = w[k * outputs + r * layout.block_outputs + j];
                            }
                        }
                        sum.iter_mut().zip(negacyclic(&xp, &wp)).for_each(|(s, p)| *s += p);
                    }
                    let mut wanted = layout.wanted(g, r, rows);
                    for i in 0..layout.samples_in(g, rows) {
                        for j in 0..layout.width(r) {
                            let (row, column) = (g * layout.samples + i, r * layout.block_outputs + j);
                            let y: i64 = (0..inputs).map(|k| x[row * inputs + k] * w[k * outputs + column]).sum();
                            prop_assert_eq!(sum[wanted.next().unwrap()], y);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_published_layer_takes_one_upload_and_three_responses() {
        let forward = Layout::choose(2048, [4, 256, 5], 11_500, 6_900).unwrap();
        assert_eq!((forward.samples, forward.input_blocks(), forward.output_blocks()), (4, 1, 3));
        let backward = Layout::choose(2048, [4, 5, 256], 11_500, 6_900).unwrap();
        assert_eq!(
            (backward.samples, backward.input_blocks(), backward.output_blocks()),
            (4, 1, 3)
        );
    }
}
