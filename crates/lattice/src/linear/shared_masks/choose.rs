//! Block sizes by what they cost both parties.

use super::{FactorScales, SharedProduct};
use crate::{LatticeError, Parameters, linear::Layout};

/// What a pair of blocks of rows and columns costs both parties beyond its bytes: a transform and a product or two on each side, about 8 us, in bytes of a link of
/// 2 Gbit/s.
const PAIR: usize = 2_000;

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
                let room = (degree / (samples * block_inputs)).min(outputs);
                if room == 0 {
                    continue;
                }
                let layout = Layout {
                    degree,
                    inputs,
                    outputs,
                    samples,
                    block_inputs,
                    block_outputs: outputs.div_ceil(outputs.div_ceil(room)),
                };
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
        let [rows, _, columns] = self.blocks();
        // Without a walk over all answers.
        let wanted = self.rows * self.layout.outputs * self.scales.response as usize / 8;
        let answer = self.block_len() + (rows + columns) * self.whole_len() + wanted;
        self.left_len() + self.right_len() + answer + rows * columns * PAIR
    }
}

/// The smallest sizes, up to `most`, of every number of blocks of `whole`.
fn sizes(most: usize, whole: usize) -> impl Iterator<Item = usize> {
    (1..=most).filter(move |&size| size == whole.div_ceil(whole.div_ceil(size)))
}
