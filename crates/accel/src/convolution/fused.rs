//! Products of a convolution at a worker without the matrix of its patches, which is as many times larger than the images as a kernel has elements: each task unfolds the
//! patches that it multiplies, and folds those that it has computed, in a scratch that stays in the second cache.

use super::{Window, parts};
use crate::{
    AccelError, Backend, Kind, PRIMES, Residues,
    backend::vectorised,
    error::at_most,
    integer::{MAX_DEPTH, Walk, multiply},
    parallel, residue_products_on,
    residues::reduce,
    shape::Lines,
};
use std::ops::Range;

/// Patches that are unfolded at a time where they are the depth of a product: so many the tiles take at a time.
const PATCHES: usize = 768;

impl Window {
    /// U(X) W, or U(X)^T G, of residues: `kind` applied to [`Self::unfold_residues`] of the images and `right`.
    pub fn unfolded_products(&self, kind: Kind, images: &Residues, right: &Residues) -> Result<Residues, AccelError> {
        self.unfolded_products_on(Backend::best(), kind, images, right)
    }

    /// [`Self::unfolded_products`] on a backend of choice.
    pub fn unfolded_products_on(
        &self,
        backend: Backend,
        kind: Kind,
        images: &Residues,
        right: &Residues,
    ) -> Result<Residues, AccelError> {
        let patches = self.unfolded(images.shape())?;
        let dimensions = kind.dimensions(patches, right.shape())?;
        at_most("terms of a sum", MAX_DEPTH, dimensions.depth)?;
        let shape = dimensions.product();
        let mut values = vec![0; PRIMES.len() * shape.elements()];
        let walk = Walk::new(dimensions);
        parallel::for_each_with(
            walk.tasks(PRIMES.len(), &mut values),
            walk.nanoseconds(),
            Scratch::default,
            |scratch, task| {
                let sums = cleared(&mut scratch.sums, task.out.len());
                let images = images.plane(task.plane);
                let factor = Lines::right(kind, right.shape(), right.plane(task.plane), task.index);
                // Of U(X)^T the rows are columns of patches, and all patches are met one part after the other.
                let blocks = match kind {
                    Kind::WeightGradient => parts(dimensions.depth, PATCHES)
                        .map(|depth| (depth, task.rows.clone()))
                        .collect(),
                    _ => vec![(task.rows.clone(), 0..dimensions.depth)],
                };
                for (rows, columns) in blocks {
                    let block = cleared(&mut scratch.patches, rows.len() * columns.len());
                    self.unfold_block(images, rows.clone(), columns.clone(), block);
                    let block = Lines::matrix(block, rows.len(), columns.len());
                    let (left, right) = match kind {
                        Kind::WeightGradient => (block.transposed(), factor.at_depths(rows)),
                        _ => (block, factor),
                    };
                    multiply(backend, left, right, 0..left.count, sums);
                }
                reduce(backend, task.plane, sums, task.out);
            },
        );
        Ok(Residues::from_centred(shape, values))
    }

    /// U^T(G W^T) of residues: [`Self::fold_residues`] of a product, of this kind or another.
    pub fn folded_products(&self, kind: Kind, gradient: &Residues, weights: &Residues) -> Result<Residues, AccelError> {
        self.folded_products_on(Backend::best(), kind, gradient, weights)
    }

    /// [`Self::folded_products`] on a backend of choice.
    pub fn folded_products_on(
        &self,
        backend: Backend,
        kind: Kind,
        gradient: &Residues,
        weights: &Residues,
    ) -> Result<Residues, AccelError> {
        let dimensions = kind.dimensions(gradient.shape(), weights.shape())?;
        let shape = self.folded(dimensions.product())?;
        // Sums of a pixel over all patches that it is in are reduced once, where they fit 32 bits.
        if self.overlap().saturating_mul(dimensions.depth) > MAX_DEPTH {
            return self.fold_residues(&residue_products_on(backend, kind, gradient, weights)?);
        }
        let mut values = vec![0; PRIMES.len() * shape.elements()];
        let [oh, ow] = self.output();
        let (places, walk) = (oh * ow, Walk::new(dimensions));
        // Whole images, with no fewer patches than any task of a product has rows.
        let images = walk.rows().div_ceil(places);
        let ranges = parts(shape.batch, images).collect::<Vec<_>>();
        let planes = (0..PRIMES.len()).flat_map(|plane| ranges.iter().map(move |images| (plane, images.clone())));
        let planes: Vec<_> = planes.collect();
        let pieces = parallel::pieces(
            &mut values,
            planes.iter().map(|(_, images)| images.len() * shape.matrix_elements()),
        );
        let tasks = planes.into_iter().zip(pieces).collect();
        let nanoseconds = (images * places * dimensions.depth * dimensions.columns) / 100;
        parallel::for_each_with(tasks, nanoseconds, Scratch::default, |scratch, ((plane, images), out)| {
            let (left, right) = (gradient.plane(plane), weights.plane(plane));
            let left = Lines::left(kind, gradient.shape(), left, 0);
            let right = Lines::right(kind, weights.shape(), right, 0);
            let pixels = cleared(&mut scratch.pixels, out.len());
            let first = images.start * places;
            for rows in parts(images.len() * places, walk.rows()) {
                let sums = cleared(&mut scratch.sums, rows.len() * right.count);
                multiply(backend, left, right, first + rows.start..first + rows.end, sums);
                self.each_run(rows, 0..right.count, |pixel, patch| {
                    add(backend, &sums[patch], &mut pixels[pixel]);
                });
            }
            reduce(backend, plane, pixels, out);
        });
        Ok(Residues::from_centred(shape, values))
    }

    /// Some columns of some patches; `out` is zero.
    pub(crate) fn unfold_block<T: Copy>(&self, images: &[T], rows: Range<usize>, columns: Range<usize>, out: &mut [T]) {
        self.each_run(rows, columns, |pixels, patch| out[patch].copy_from_slice(&images[pixels]));
    }
}

vectorised! {
    /// Adds sums to others.
    fn add(sums: &[i32], to: &mut [i32]) {
        to.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum);
    }
}

/// What a thread's tasks use one after the other.
#[derive(Default)]
struct Scratch {
    patches: Vec<i8>,
    sums: Vec<i32>,
    pixels: Vec<i32>,
}

/// So many zeros.
fn cleared<T: Copy + Default>(scratch: &mut Vec<T>, len: usize) -> &mut [T] {
    scratch.clear();
    scratch.resize(len, T::default());
    scratch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use proptest::prelude::*;

    fn residues(shape: Shape, seed: u32) -> Residues {
        let integer = |i: usize| (i as u32 ^ seed).wrapping_mul(2_654_435_761) as i32;
        Residues::of_integers(shape, &(0..shape.elements()).map(integer).collect::<Vec<_>>()).unwrap()
    }

    fn check(window: &Window, count: usize, outputs: usize, seed: u32) {
        let patches = window.patches(count).unwrap();
        let x = residues(window.images(count).unwrap(), seed);
        let w = residues(Shape::matrix(patches.columns, outputs).unwrap(), !seed);
        let g = residues(Shape::matrix(patches.rows, outputs).unwrap(), seed ^ 0x5555);
        for backend in Backend::available() {
            let unfolded = window.unfold_residues(&x).unwrap();
            for (kind, right) in [(Kind::Forward, &w), (Kind::WeightGradient, &g)] {
                let expected = residue_products_on(backend, kind, &unfolded, right).unwrap();
                let actual = window.unfolded_products_on(backend, kind, &x, right).unwrap();
                assert!(actual == expected, "{kind:?} of {window} on {}", backend.name());
            }
            let product = residue_products_on(backend, Kind::InputGradient, &g, &w).unwrap();
            let actual = window.folded_products_on(backend, Kind::InputGradient, &g, &w).unwrap();
            assert!(
                actual == window.fold_residues(&product).unwrap(),
                "{window} on {}",
                backend.name()
            );
        }
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
        // Patches of less than a task's rows, of several tasks, of several parts of the depth; a kernel of one; steps beyond the kernel.
        for (window, count, outputs) in [
            (square(3, 4, 3, 1, 1), 30, 5),
            (square(2, 30, 3, 2, 1), 5, 33),
            (square(40, 6, 5, 1, 2), 2, 7),
            (square(5, 33, 1, 1, 0), 2, 3),
            (square(3, 9, 2, 4, 0), 4, 65),
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
        let x = residues(window.images(2).unwrap(), 1);
        let w = residues(Shape::matrix(18, 3).unwrap(), 2);
        let g = residues(Shape::matrix(32, 3).unwrap(), 3);
        assert!(window.unfolded_products(Kind::Forward, &x, &g).is_err());
        assert!(window.unfolded_products(Kind::WeightGradient, &x, &w).is_err());
        assert!(window.unfolded_products(Kind::Forward, &w, &w).is_err());
        assert!(window.folded_products(Kind::InputGradient, &g, &g).is_err());
        assert!(
            window
                .folded_products(Kind::InputGradient, &residues(Shape::matrix(31, 3).unwrap(), 3), &w)
                .is_err()
        );
    }

    #[test]
    fn sums_beyond_32_bits_are_reduced_before_they_are_folded() {
        let window = Window {
            channels: 1,
            image: [3, 3],
            kernel: [3, 3],
            stride: [1, 1],
            padding: [1, 1],
        };
        // The largest residues: nine sums of 15,271 of them are beyond 32 bits.
        let largest = |rows| {
            let shape = Shape::matrix(rows, MAX_DEPTH / 9 + 1).unwrap();
            let planes = PRIMES.iter().flat_map(|p| vec![(p / 2) as i8; shape.elements()]);
            Residues::new(shape, planes.collect()).unwrap()
        };
        let (g, w) = (largest(9), largest(9));
        let product = residue_products_on(Backend::best(), Kind::InputGradient, &g, &w).unwrap();
        assert!(window.folded_products(Kind::InputGradient, &g, &w).unwrap() == window.fold_residues(&product).unwrap());
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
