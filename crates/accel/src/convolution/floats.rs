//! Products of a convolution in f32 without the matrix of its patches, as [`super::fused`] has them of residues.

use super::{Window, parts};
use crate::{
    AccelError, Kind, Matrices,
    float::{ROWS, Sum, multiply, nanoseconds},
    parallel,
    shape::Lines,
};

/// Patches that are unfolded at a time where they are the depth of a product.
const PATCHES: usize = 512;

impl Window {
    /// U(X) W, or U(X)^T G: `kind` applied to [`Self::unfold`] of the images and `right`.
    pub fn unfolded_floats(
        &self,
        kind: Kind,
        images: &Matrices<f32>,
        right: &Matrices<f32>,
    ) -> Result<Matrices<f32>, AccelError> {
        let patches = self.unfolded(images.shape())?;
        let dimensions = kind.dimensions(patches, right.shape())?;
        let shape = dimensions.product();
        let mut values = vec![0.0; shape.elements()];
        if values.is_empty() || dimensions.depth == 0 {
            return Matrices::new(shape, values);
        }
        let rows: Vec<_> = parts(dimensions.rows, ROWS).collect();
        let pieces = parallel::pieces(&mut values, rows.iter().map(|rows| rows.len() * dimensions.columns));
        let tasks = rows.into_iter().zip(pieces).collect();
        let cost = nanoseconds(ROWS.min(dimensions.rows), dimensions.depth, dimensions.columns);
        parallel::for_each_with(tasks, cost, Vec::new, |scratch, (rows, out)| {
            let factor = Lines::right(kind, right.shape(), right.values(), 0);
            // Of U(X)^T the rows are columns of patches, and all patches are met one part after the other.
            let (blocks, sum) = match kind {
                Kind::WeightGradient => (
                    parts(dimensions.depth, PATCHES).map(|depth| (depth, rows.clone())).collect(),
                    Sum::More,
                ),
                _ => (vec![(rows.clone(), 0..dimensions.depth)], Sum::New),
            };
            for (rows, columns) in blocks {
                scratch.clear();
                scratch.resize(rows.len() * columns.len(), 0.0);
                self.unfold_block(images.values(), rows.clone(), columns.clone(), scratch);
                let block = Lines::matrix(scratch, rows.len(), columns.len());
                let (left, right) = match kind {
                    Kind::WeightGradient => (block.transposed(), factor.at_depths(rows)),
                    _ => (block, factor),
                };
                multiply(left, right, 0..left.count, sum, out);
            }
        });
        Matrices::new(shape, values)
    }

    /// U^T(G W^T): [`Self::fold`] of a product of this kind or another.
    pub fn folded_floats(
        &self,
        kind: Kind,
        gradient: &Matrices<f32>,
        weights: &Matrices<f32>,
    ) -> Result<Matrices<f32>, AccelError> {
        let dimensions = kind.dimensions(gradient.shape(), weights.shape())?;
        let shape = self.folded(dimensions.product())?;
        let mut values = vec![0.0; shape.elements()];
        if values.is_empty() || dimensions.depth == 0 {
            return Matrices::new(shape, values);
        }
        let [oh, ow] = self.output();
        let (places, images) = (oh * ow, ROWS.div_ceil(oh * ow));
        let ranges: Vec<_> = parts(shape.batch, images).collect();
        let pieces = parallel::pieces(
            &mut values,
            ranges.iter().map(|images| images.len() * shape.matrix_elements()),
        );
        let tasks = ranges.into_iter().zip(pieces).collect();
        let cost = nanoseconds(images * places, dimensions.depth, dimensions.columns);
        parallel::for_each_with(tasks, cost, Vec::new, |scratch, (images, out)| {
            let left = Lines::left(kind, gradient.shape(), gradient.values(), 0);
            let right = Lines::right(kind, weights.shape(), weights.values(), 0);
            let first = images.start * places;
            for rows in parts(images.len() * places, ROWS) {
                scratch.clear();
                scratch.resize(rows.len() * right.count, 0.0);
                multiply(left, right, first + rows.start..first + rows.end, Sum::New, scratch);
                self.each_run(rows, 0..right.count, |pixels, patch| {
                    let pairs = out[pixels].iter_mut().zip(&scratch[patch]);
                    pairs.for_each(|(pixel, value)| *pixel += value);
                });
            }
        });
        Matrices::new(shape, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Shape, float_products};
    use proptest::prelude::*;

    fn numbers(shape: Shape, seed: u32) -> Matrices<f32> {
        let number = |i: usize| (i as u32 ^ seed).wrapping_mul(2_654_435_761) as i32 as f32 / 2f32.powi(31);
        Matrices::new(shape, (0..shape.elements()).map(number).collect()).unwrap()
    }

    fn close(actual: &Matrices<f32>, expected: &Matrices<f32>) -> bool {
        let largest = expected.values().iter().fold(1e-6f32, |largest, v| largest.max(v.abs()));
        let mut pairs = actual.values().iter().zip(expected.values());
        actual.shape() == expected.shape() && pairs.all(|(a, e)| (a - e).abs() <= 1e-5 * largest)
    }

    fn check(window: &Window, count: usize, outputs: usize, seed: u32) {
        let patches = window.patches(count).unwrap();
        let x = numbers(window.images(count).unwrap(), seed);
        let w = numbers(Shape::matrix(patches.columns, outputs).unwrap(), !seed);
        let g = numbers(Shape::matrix(patches.rows, outputs).unwrap(), seed ^ 0x5555);
        let unfolded = window.unfold(&x).unwrap();
        for (kind, right) in [(Kind::Forward, &w), (Kind::WeightGradient, &g)] {
            let expected = float_products(kind, &unfolded, right).unwrap();
            assert!(
                close(&window.unfolded_floats(kind, &x, right).unwrap(), &expected),
                "{kind:?} of {window}"
            );
        }
        let folded = window.fold(&float_products(Kind::InputGradient, &g, &w).unwrap()).unwrap();
        assert!(
            close(&window.folded_floats(Kind::InputGradient, &g, &w).unwrap(), &folded),
            "{window}"
        );
    }

    #[test]
    fn tasks_of_several_images_and_parts_of_one_give_the_products() {
        let square = |channels, side, kernel, stride, padding| Window {
            channels,
            image: [side; 2],
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
        };
        for (window, count, outputs) in [
            (square(3, 4, 3, 1, 1), 40, 5),
            (square(2, 30, 3, 2, 1), 5, 33),
            (square(40, 6, 5, 1, 2), 2, 7),
            (square(5, 33, 1, 1, 0), 2, 3),
            (square(1, 3, 3, 1, 0), 0, 4),
        ] {
            check(&window, count, outputs, 77);
        }
    }

    #[test]
    fn operands_that_do_not_fit_are_refused() {
        let window = Window {
            channels: 2,
            image: [4, 4],
            kernel: [3, 3],
            stride: [1, 1],
            padding: [1, 1],
        };
        let (x, w) = (
            numbers(window.images(2).unwrap(), 1),
            numbers(Shape::matrix(18, 3).unwrap(), 2),
        );
        let g = numbers(Shape::matrix(32, 3).unwrap(), 3);
        assert!(window.unfolded_floats(Kind::Forward, &x, &g).is_err());
        assert!(window.unfolded_floats(Kind::WeightGradient, &x, &w).is_err());
        assert!(window.unfolded_floats(Kind::Forward, &w, &w).is_err());
        assert!(window.folded_floats(Kind::InputGradient, &g, &g).is_err());
    }

    proptest! {
        #[test]
        fn products_are_those_of_the_patches(
            channels in 1usize..5, image in [1usize..9, 1usize..9], kernel in [1usize..4, 1usize..4], stride in [1usize..4, 1usize..4],
            padding in [0usize..3, 0usize..3], count in 0usize..4, outputs in 0usize..40, seed in any::<u32>(),
        ) {
            let window = Window { channels, image, kernel, stride, padding };
            prop_assume!(window.check().is_ok());
            check(&window, count, outputs, seed);
        }
    }
}
