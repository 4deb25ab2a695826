//! Block sizes by what they cost both parties.

use super::{FactorScales, SharedProduct, spacing};
use crate::{LatticeError, Parameters, linear::Layout};

/// What a block costs both parties beyond its bytes, in bytes of a link of 2 Gbit/s: 16 us of encrypting and reading.
const BLOCK: usize = 4_000;
/// What a pair of blocks of rows and columns does, 0.6 us for its results and 0.3 us for each product.
const PAIR: usize = 150;
const PRODUCT: usize = 75;

impl SharedProduct {
    /// The product of m x k with k x n in the layout that costs least.
    pub fn choose(
        parameters: &Parameters,
        [rows, inputs, outputs]: [usize; 3],
        scales: FactorScales,
    ) -> Result<Self, LatticeError> {
        let degree = parameters.degree();
        let none = LatticeError::NoLayout { inputs, outputs, degree };
        let rows = rows.max(1);
        let mut best: Option<(usize, Self)> = None;
        for samples in sizes(rows.min(degree), rows) {
            for block_inputs in sizes(inputs.min(degree / samples), inputs) {
                let mut layout = Layout {
                    degree,
                    inputs,
                    outputs,
                    samples,
                    block_inputs,
                    block_outputs: 1,
                };
                let spacing = spacing(&layout);
                let room = (degree / (samples * spacing)).min(outputs);
                if room == 0 || spacing > degree / 2 {
                    continue;
                }
                layout.block_outputs = outputs.div_ceil(outputs.div_ceil(room));
                let product = Self::new(parameters, rows, layout, scales)?;
                let cost = product.cost();
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    best = Some((cost, product));
                }
            }
        }
        best.map(|(_, product)| product).ok_or(none)
    }

    fn cost(&self) -> usize {
        let [rows, terms, columns] = self.blocks();
        let blocks = (rows + columns) * terms;
        // Without a walk over all answers.
        let answer = self.rows * self.layout.outputs * self.scales.response as usize / 8;
        blocks * (self.block_len() + BLOCK) + rows * columns * (PAIR + terms * PRODUCT) + answer
    }
}

/// The smallest sizes, up to `most`, of every number of blocks of `whole`.
fn sizes(most: usize, whole: usize) -> impl Iterator<Item = usize> {
    (1..=most).filter(move |&size| size == whole.div_ceil(whole.div_ceil(size)))
}
