//! Wanted coefficients of products term by term, against direct convolution and its gradients.

use proptest::prelude::*;

use super::*;

impl ConvolutionLayout {
    /// The share of the channels that a full block holds.
    pub(in crate::linear) fn shares(&self) -> [f64; 2] {
        let share = |block: usize, whole: usize| block.min(whole) as f64 / whole as f64;
        [
            share(self.block_inputs, self.picture.inputs()),
            share(self.block_outputs, self.picture.outputs()),
        ]
    }

    /// The share of a batch's inputs, and of its outputs, that a full group holds.
    pub(in crate::linear) fn group_shares(&self, rows: usize) -> [f64; 2] {
        [self.length, self.step]
            .map(|numbers| numbers as f64 / (rows * self.picture.length) as f64)
            .map(|share| share.min(1.0))
    }
}

/// Every (input, weight, output) position that a direct convolution of `rows` samples multiplies and adds.
pub(in crate::linear) fn terms(shape: &LinearShape, rows: usize) -> Vec<[usize; 3]> {
    let LinearShape::Convolution {
        channels: [inputs, outputs],
        image,
        kernel,
        stride,
        padding,
    } = *shape
    else {
        panic!("a convolution");
    };
    let places = [0, 1].map(|axis| (image[axis] + 2 * padding[axis] - kernel[axis]) / stride[axis] + 1);
    let mut all = Vec::new();
    for (i, o, c) in (0..rows).flat_map(|i| (0..outputs).flat_map(move |o| (0..inputs).map(move |c| (i, o, c)))) {
        for (p, q) in (0..places[0]).flat_map(|p| (0..places[1]).map(move |q| (p, q))) {
            for (a, b) in (0..kernel[0]).flat_map(|a| (0..kernel[1]).map(move |b| (a, b))) {
                let at = [p * stride[0] + a, q * stride[1] + b];
                if (0..2).all(|axis| (padding[axis]..padding[axis] + image[axis]).contains(&at[axis])) {
                    let [u, v] = [at[0] - padding[0], at[1] - padding[1]];
                    all.push([
                        ((i * inputs + c) * image[0] + u) * image[1] + v,
                        ((o * inputs + c) * kernel[0] + a) * kernel[1] + b,
                        ((i * outputs + o) * places[0] + p) * places[1] + q,
                    ]);
                }
            }
        }
    }
    all
}

/// Product in Z[X]/(X^N + 1), term by term.
fn negacyclic(a: &[i64], b: &[i64]) -> Vec<i64> {
    let n = a.len();
    let mut out = vec![0; n];
    for (i, x) in a.iter().enumerate().filter(|(_, x)| **x != 0) {
        for (j, y) in b.iter().enumerate() {
            match i + j < n {
                true => out[i + j] += x * y,
                false => out[i + j - n] -= x * y,
            }
        }
    }
    out
}

/// For every response, the wanted coefficients of the sum over its terms; and how many are wanted of each.
fn by_blocks(
    [first, terms, second]: [usize; 3],
    left: impl Fn(usize, usize) -> Vec<i64>,
    right: impl Fn(usize, usize) -> Vec<i64>,
    targets: impl Fn(usize, usize) -> Vec<(usize, usize)>,
    count: usize,
) -> (Vec<i64>, Vec<usize>) {
    let (mut result, mut wanted) = (vec![0; count], Vec::new());
    for (i, j) in (0..first).flat_map(|i| (0..second).map(move |j| (i, j))) {
        let mut sum = vec![0; left(i, 0).len()];
        for t in 0..terms {
            let product = negacyclic(&left(i, t), &right(t, j));
            sum.iter_mut().zip(product).for_each(|(sum, p)| *sum += p);
        }
        let targets = targets(i, j);
        targets.iter().for_each(|&(at, position)| result[position] += sum[at]);
        wanted.push(targets.len());
    }
    (result, wanted)
}

fn numbers(count: usize, mut state: u64) -> Vec<i64> {
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
        (state >> 40) as i64 % 100 - 50
    };
    (0..count).map(|_| next()).collect()
}

/// All three products of one layout.
fn check(layout: &ConvolutionLayout, shape: &LinearShape, rows: usize, seed: u64) {
    let (inputs, outputs, weights) = (rows * shape.inputs(), rows * shape.outputs(), shape.weights());
    let (x, w, d) = (numbers(inputs, seed), numbers(weights, seed ^ 1), numbers(outputs, seed ^ 2));
    let (mut y, mut dw, mut dx) = (vec![0; outputs], vec![0; weights], vec![0; inputs]);
    for [input, weight, output] in terms(shape, rows) {
        y[output] += x[input] * w[weight];
        dw[weight] += x[input] * d[output];
        dx[input] += d[output] * w[weight];
    }
    let [g, q, r] = [layout.groups(rows), layout.input_blocks(), layout.output_blocks()];
    let row = |g, q| layout.row_block(&x, rows, g, q);
    let weight = |q, r| layout.weight_block(&w, q, r);
    let delta = |g, r| layout.delta_block(&d, rows, g, r);
    let (got, wanted) = by_blocks([g, q, r], row, weight, |g, r| layout.outputs_of(g, r, rows), outputs);
    assert_eq!(got, y, "outputs");
    let counts = (0..g).flat_map(|g| (0..r).map(move |r| layout.outputs_in(g, rows) * layout.width(r)));
    assert!(counts.eq(wanted));
    let (got, wanted) = by_blocks([q, g, r], |q, g| row(g, q), delta, |q, r| layout.gradient_of(q, r), weights);
    assert_eq!(got, dw, "gradient");
    let counts = (0..q).flat_map(|q| (0..r).map(move |r| layout.taps_in(q) * layout.width(r)));
    assert!(counts.eq(wanted));
    let targets = |g, q| layout.input_gradient_of(g, q, rows);
    let (got, wanted) = by_blocks([g, r, q], delta, |r, q| weight(q, r), targets, inputs);
    assert_eq!(got, dx, "gradient of the input");
    assert!((0..g).flat_map(|g| layout.inputs_in(g, rows)).eq(wanted));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_three_products_are_those_of_direct_convolution(
        channels in [1usize..5, 1usize..5], image in [1usize..8, 1usize..8], kernel in [1usize..5, 1usize..5],
        stride in [1usize..4, 1usize..4], padding in [0usize..4, 0usize..4], rows in 1usize..5,
        blocks in [1usize..5, 1usize..5], samples in 1usize..4, length in 0usize..40, seed: u64
    ) {
        let shape = LinearShape::Convolution { channels, image, kernel, stride, padding };
        let Some(picture) = Picture::new(&shape) else {
            // A kernel larger than the picture, or one that sees nothing of it.
            prop_assert!(shape.outputs() == 0 || terms(&shape, 1).is_empty());
            return Ok(());
        };
        for stretch in [Stretch::Samples(samples), Stretch::Overlapping(picture.reach() + 1 + length)] {
            let length = match stretch { Stretch::Samples(samples) => samples * picture.length(), Stretch::Overlapping(length) => length };
            // Just as many blocks as needed: often the ring is full to the last coefficient.
            for degree in [blocks[0] * blocks[1] * length, (blocks[0] * blocks[1] * length).next_power_of_two()] {
                let layout = ConvolutionLayout::new(picture.clone(), degree, blocks, stretch).unwrap();
                check(&layout, &shape, rows, seed);
            }
        }
        let full = ConvolutionLayout::new(picture.clone(), 4 * picture.length() - 1, [2, 2], Stretch::Samples(1));
        let refused = matches!(full, Err(LatticeError::NoLayout { .. }));
        prop_assert!(refused);
    }
}

#[test]
fn a_picture_takes_the_padding_once() {
    let shape = |image, kernel, stride, padding| LinearShape::Convolution {
        channels: [1, 1],
        image: [image; 2],
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 2],
    };
    let length = |shape| Picture::new(&shape).map(|picture| (picture.length(), picture.inputs()));
    assert_eq!(length(shape(32, 3, 1, 1)), Some((33 * 33, 1)));
    assert_eq!(length(shape(32, 3, 2, 1)), Some((17 * 17, 4)));
    // What lies between the windows is left out.
    assert_eq!(length(shape(32, 1, 2, 0)), Some((16 * 16, 1)));
    assert_eq!(length(shape(2, 5, 1, 1)), None);
    assert_eq!(length(shape(4, 3, 0, 1)), None);
    assert_eq!(length(shape(1 << 13, 3, 1, 1)), None);
    assert_eq!(length(shape(usize::MAX, 3, 1, usize::MAX)), None);
}
