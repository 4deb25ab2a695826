//! Wanted coefficients of products term by term, against the products of the matrices.

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

/// A matrix from a linear congruential sequence.
fn matrix(count: usize, seed: u64) -> Vec<i64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
        (state >> 40) as i64 % 100 - 50
    };
    (0..count).map(|_| next()).collect()
}

/// Row-major a x b times b x c.
fn times(a: &[i64], b: &[i64], [rows, inner, columns]: [usize; 3]) -> Vec<i64> {
    let at = |i: usize, j: usize| (0..inner).map(|k| a[i * inner + k] * b[k * columns + j]).sum();
    pairs(rows, columns, at)
}

fn transposed(a: &[i64], [rows, columns]: [usize; 2]) -> Vec<i64> {
    pairs(columns, rows, |j, i| a[i * columns + j])
}

/// The product in blocks: for every response, the wanted coefficients of the sum over its terms.
fn by_blocks(
    [first, terms, second]: [usize; 3],
    left: impl Fn(usize, usize) -> Vec<i64>,
    right: impl Fn(usize, usize) -> Vec<i64>,
    targets: impl Fn(usize, usize) -> Vec<(usize, usize)>,
    count: usize,
) -> Vec<Option<i64>> {
    let mut result = vec![None; count];
    for (i, j) in pairs(first, second, |i, j| (i, j)) {
        let products = (0..terms).map(|t| negacyclic(&left(i, t), &right(t, j)));
        let sum = products
            .reduce(|a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect())
            .unwrap();
        for (coefficient, position) in targets(i, j) {
            assert!(result[position].replace(sum[coefficient]).is_none(), "{position} twice");
        }
    }
    result
}

proptest! {
    #[test]
    fn the_three_products_of_training_are_those_of_the_matrices(
        log2 in 3u32..8, samples in 1usize..6, block_inputs in 1usize..12, block_outputs in 1usize..12,
        rows in 1usize..12, inputs in 1usize..20, outputs in 1usize..20, fill: bool, seed: u64
    ) {
        // Often the blocks fill the ring to the last coefficient.
        let room = |taken: usize, wanted: usize| ((1usize << log2) / taken).clamp(1, if fill { usize::MAX } else { wanted });
        let samples = samples.min(1 << log2);
        let block_inputs = block_inputs.min(room(samples, block_inputs));
        let block_outputs = room(samples * block_inputs, block_outputs);
        let layout = Layout { degree: 1 << log2, inputs, outputs, samples, block_inputs, block_outputs };
        prop_assert!(layout.check(1 << log2).is_ok());
        let (x, w, d) = (matrix(rows * inputs, seed), matrix(inputs * outputs, seed ^ 1), matrix(rows * outputs, seed ^ 2));
        let (groups, input_blocks, output_blocks) = (layout.groups(rows), layout.input_blocks(), layout.output_blocks());
        let row_block = |g, q| layout.row_block(&x, rows, g, q);
        let delta_block = |g, r| layout.delta_block(&d, rows, g, r);
        let weight_block = |q, r| layout.weight_block(&w, q, r);

        let y = by_blocks([groups, input_blocks, output_blocks], row_block, weight_block, |g, r| layout.outputs_of(g, r, rows), rows * outputs);
        prop_assert_eq!(y, times(&x, &w, [rows, inputs, outputs]).into_iter().map(Some).collect::<Vec<_>>());

        let dw = by_blocks([input_blocks, groups, output_blocks], |q, g| row_block(g, q), delta_block, |q, r| layout.gradient_of(q, r), inputs * outputs);
        let exact = times(&transposed(&x, [rows, inputs]), &d, [inputs, rows, outputs]);
        prop_assert_eq!(dw, exact.into_iter().map(Some).collect::<Vec<_>>());

        let dx = by_blocks([groups, output_blocks, input_blocks], delta_block, |r, q| weight_block(q, r), |g, q| layout.input_gradient_of(g, q, rows), rows * inputs);
        let exact = times(&d, &transposed(&w, [inputs, outputs]), [rows, outputs, inputs]);
        prop_assert_eq!(dx, exact.into_iter().map(Some).collect::<Vec<_>>());
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
