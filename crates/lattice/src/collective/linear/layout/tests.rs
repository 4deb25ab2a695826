//! Products of polynomials in the clear against direct sums.

use proptest::prelude::*;

use super::*;
use crate::collective::tests::{
    linear::{convolution, shapes, slow},
    words,
};

const BITS: u32 = 20;

/// All outputs, by way of polynomials modulo X^N + 1.
fn by_polynomials(layout: &Layout, weights: &[u64], batch: &[u64]) -> Vec<Option<u64>> {
    let mask = (1 << BITS) - 1;
    let mut outputs = vec![None; layout.batch * layout.shape.outputs()];
    for response in 0..layout.responses() {
        let (group, channels) = (response / layout.outputs(), response % layout.outputs());
        let mut product = vec![0u64; layout.degree];
        for block in 0..layout.blocks() {
            for (at, w) in layout.weights(weights, block, channels, BITS) {
                for (place, x) in layout.factor(batch, group, block, BITS) {
                    let term = w.wrapping_mul(x);
                    match at + place {
                        sum if sum < layout.degree => product[sum] = product[sum].wrapping_add(term),
                        sum => product[sum - layout.degree] = product[sum - layout.degree].wrapping_sub(term),
                    }
                }
            }
        }
        for (at, output) in layout.wanted(response) {
            assert_eq!(outputs[output].replace(product[at] & mask), None);
        }
    }
    outputs
}

fn check(shape: LinearShape, degree: usize, batch: usize, together: usize, ciphertexts: usize, seed: u64) {
    let Ok(layout) = Layout::new(shape, degree, batch, together, ciphertexts) else {
        return;
    };
    assert!(layout.inputs <= together);
    let weights = words(shape.weights(), BITS, seed);
    let inputs = words(batch * shape.inputs(), BITS, seed + 1);
    let expected = inputs
        .chunks_exact(shape.inputs())
        .flat_map(|input| slow(shape, &weights, input, BITS));
    let expected: Vec<Option<u64>> = expected.map(Some).collect();
    assert_eq!(by_polynomials(&layout, &weights, &inputs), expected, "{layout:?}");
}

proptest! {
    #[test]
    fn outputs_are_direct_sums(
        shape in shapes(), log2_degree in 5u32..10, batch in 1usize..6, together in 1usize..6, ciphertexts in 1usize..200, seed in any::<u32>()
    ) {
        if shape.inputs() * shape.outputs() * batch < 200_000 {
            check(shape, 1 << log2_degree, batch, together, ciphertexts, seed.into());
        }
    }
}

/// Taps of one phase reach beyond the pixels of another.
#[test]
fn phases_of_different_reach_keep_apart() {
    let shape = LinearShape::Convolution {
        channels: [2, 1],
        image: [1, 10],
        kernel: [1, 3],
        stride: [1, 3],
        padding: [0, 1],
    };
    check(shape, 8192, 3, 3, usize::MAX, 1);
    check(convolution([3, 5], 12, 4, 3, 2), 2048, 2, 2, usize::MAX, 2);
}

#[test]
fn a_batch_shares_responses_as_far_as_memory_allows() {
    let shape = LinearShape::Dense {
        inputs: 256,
        outputs: 100,
    };
    let of = |batch, ciphertexts| {
        let layout = Layout::new(shape, 8192, batch, batch, ciphertexts).unwrap();
        (layout.ciphertexts(), layout.responses())
    };
    assert_eq!(of(1, usize::MAX), (4, 1));
    assert_eq!(of(8, usize::MAX), (26, 1));
    // Three inputs to a response.
    assert_eq!(of(8, 12), (10, 3));
    // Less than one input needs.
    assert_eq!(of(8, 3), (4, 8));
}
