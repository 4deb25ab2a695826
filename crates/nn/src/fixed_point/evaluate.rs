//! The evaluation in the clear, value for value what a protocol computes.

use super::{Ending, LinearWeights, Operation, Ring, Step, Structure};

/// Why a branch is always there.
const FORKED: &str = "a checked structure has a fork before each turn and join";

/// The words that come out of those of one sample. `watch` is told the number of each step and the words before it; after the last step it is
/// told the words before the ending. The structure is a checked one with these weights, and the sample fits it.
pub(super) fn run(
    structure: &Structure,
    weights: &[LinearWeights],
    ring: Ring,
    sample: Vec<u64>,
    mut watch: impl FnMut(usize, &[u64]),
) -> Vec<u64> {
    let (mut values, mut waiting, mut weights) = (sample, Vec::new(), weights.iter());
    for (number, step) in structure.steps.iter().enumerate() {
        watch(number, &values);
        values = match step {
            Step::Linear { shape, .. } => {
                let LinearWeights { weight, bias } = weights.next().expect("a model has weights for each product");
                let mut output = shape.wrapping_product(bytemuck::cast_slice(weight), &values);
                shape.wrapping_add_bias(&mut output, bytemuck::cast_slice(bias));
                output
            }
            Step::SumPool { window, multiplier, .. } => {
                let sums = window.sums(&values).into_iter();
                sums.map(|sum| sum.wrapping_mul(*multiplier as u64)).collect()
            }
            Step::Offset { value } => values.iter().map(|v| v.wrapping_add(*value as u64)).collect(),
            Step::NonLinear {
                operation, truncation, ..
            } => non_linear(*operation, *truncation, ring, &values),
            Step::Fork => {
                waiting.push(values.clone());
                values
            }
            Step::Turn => std::mem::replace(waiting.last_mut().expect(FORKED), values),
            Step::Join {
                body_shift,
                shortcut_shift,
            } => {
                let body: Vec<u64> = waiting.pop().expect(FORKED);
                let both = body.iter().zip(&values);
                both.map(|(body, shortcut)| (body << body_shift).wrapping_add(shortcut << shortcut_shift))
                    .collect()
            }
        };
        values.iter_mut().for_each(|value| *value = ring.reduce(*value));
    }
    watch(structure.steps.len(), &values);
    match structure.ending {
        Ending::Scores => values,
        Ending::ArgMax => vec![first_largest(ring, &values) as u64],
    }
}

/// The operation on signed values, then the floor of the division by 2^truncation.
fn non_linear(operation: Operation, truncation: u32, ring: Ring, values: &[u64]) -> Vec<u64> {
    let signed = || values.iter().map(|value| ring.signed(*value));
    let values: Vec<i64> = match operation {
        Operation::Truncate => signed().collect(),
        Operation::Relu => signed().map(|value| value.max(0)).collect(),
        Operation::MaxPool(window) => window.largest(ring, values, i64::MIN),
        Operation::MaxPoolRelu(window) => window.largest(ring, values, 0),
    };
    values.into_iter().map(|value| ring.word(value >> truncation)).collect()
}

/// Position of the largest signed value, of equals the first.
fn first_largest(ring: Ring, values: &[u64]) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if ring.signed(*value) > ring.signed(values[best]) {
            best = at;
        }
    }
    best
}
