//! Products of polynomials in the clear against direct sums.

use proptest::prelude::*;

use super::*;
use crate::testing::{convolution, shapes, slow, words};

const BITS: u32 = 20;

/// All outputs, by way of polynomials modulo X^N + 1.
fn by_polynomials(layout: &LayerLayout, weights: &[u64], batch: &[u64]) -> Vec<Option<u64>> {
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
    let Ok(layout) = LayerLayout::new(shape, degree, batch, together, ciphertexts) else {
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
        let layout = LayerLayout::new(shape, 8192, batch, batch, ciphertexts).unwrap();
        (layout.ciphertexts(), layout.responses())
    };
    assert_eq!(of(1, usize::MAX), (4, 1));
    assert_eq!(of(8, usize::MAX), (26, 1));
    // Three inputs to a response.
    assert_eq!(of(8, 12), (10, 3));
    // Less than one input needs.
    assert_eq!(of(8, 3), (4, 8));
}

#[test]
fn the_cheapest_layout_is_the_cheapest_of_all_that_fit() {
    for (shape, degree) in [
        (convolution([16, 16], 12, 5, 1, 0), 8192),
        (convolution([3, 30], 10, 3, 2, 1), 1024),
        (LinearShape::Dense { inputs: 60, outputs: 50 }, 256),
        (LinearShape::Dense { inputs: 1, outputs: 7 }, 64),
    ] {
        for [up, down] in [[120, 44], [1, 1], [1, 10]] {
            let cost = |layout: &LayerLayout| layout.blocks() * up + layout.responses() * down;
            let best = LayerLayout::cheapest(shape, degree, cost).unwrap();
            let one = LayerLayout::smallest(shape, degree, 1).unwrap();
            let mut least = usize::MAX;
            for together in 1..=one.channels {
                for slots in (1..=one.pieces()).filter(|slots| one.spacing * together * slots <= degree) {
                    least = least.min(cost(&LayerLayout {
                        together,
                        slots,
                        ..one.clone()
                    }));
                }
            }
            assert_eq!(cost(&best), least, "{shape:?} {up} {down}");
            let weights = words(shape.weights(), BITS, 1);
            let input = words(shape.inputs(), BITS, 2);
            let expected: Vec<Option<u64>> = slow(shape, &weights, &input, BITS).into_iter().map(Some).collect();
            assert_eq!(by_polynomials(&best, &weights, &input), expected, "{best:?}");
        }
    }
}
