//! Products in f32, for `permute` and `none`.

use crate::{AccelError, Kind, Matrices, parallel, shape::Lines};
use std::ops::Range;

/// Rows of one task. It does not depend on the number of threads, so results do not either.
pub(crate) const ROWS: usize = 240;

/// The products of a batch. Sums have the order of the `gemm` crate: the last bits differ between kinds of processor.
pub fn float_products(kind: Kind, left: &Matrices<f32>, right: &Matrices<f32>) -> Result<Matrices<f32>, AccelError> {
    let dimensions = kind.dimensions(left.shape(), right.shape())?;
    let mut values = vec![0.0; dimensions.product().elements()];
    if !values.is_empty() && dimensions.depth > 0 {
        let ranges = || {
            (0..dimensions.rows)
                .step_by(ROWS)
                .map(|first| first..dimensions.rows.min(first + ROWS))
        };
        let tasks: Vec<_> = (0..dimensions.batch)
            .flat_map(|index| ranges().map(move |rows| (index, rows)))
            .collect();
        let pieces = parallel::pieces(&mut values, tasks.iter().map(|(_, rows)| rows.len() * dimensions.columns));
        let cost = nanoseconds(ROWS.min(dimensions.rows), dimensions.depth, dimensions.columns);
        let tasks = tasks.into_iter().zip(pieces).collect();
        parallel::for_each(tasks, cost, |((index, rows), out)| {
            let factor = Lines::left(kind, left.shape(), left.values(), index);
            let right = Lines::right(kind, right.shape(), right.values(), index);
            multiply(factor, right, rows, Sum::New, out);
        });
    }
    Matrices::new(dimensions.product(), values)
}

/// Nanoseconds of a product in parts.
pub(crate) fn nanoseconds(rows: usize, depth: usize, columns: usize) -> usize {
    rows * depth * columns / 25
}

/// What becomes of what is there.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Sum {
    /// It is written over.
    New,
    /// It is added to.
    More,
}

/// Some rows of one product, of a depth of at least one.
pub(crate) fn multiply(left: Lines<f32>, right: Lines<f32>, rows: Range<usize>, sum: Sum, out: &mut [f32]) {
    let fits = |lines: &Lines<f32>| (lines.count - 1) * lines.across + (lines.depth - 1) * lines.along < lines.values.len();
    assert!(
        left.depth == right.depth && rows.end <= left.count && fits(&left) && fits(&right),
        "factors fit"
    );
    assert_eq!(out.len(), rows.len() * right.count, "the product has its rows");
    let first = &left.values[rows.start * left.across..];
    // SAFETY: the last element of either factor lies inside its slice, as was just checked, and `out` is as long as its strides say.
    unsafe {
        gemm::gemm(
            rows.len(),
            right.count,
            left.depth,
            out.as_mut_ptr(),
            1,
            right.count as isize,
            sum == Sum::More,
            first.as_ptr(),
            left.along as isize,
            left.across as isize,
            right.values.as_ptr(),
            right.across as isize,
            right.along as isize,
            if sum == Sum::More { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use proptest::prelude::*;

    fn numbers(shape: Shape, seed: u32) -> Matrices<f32> {
        let number = |i: usize| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed).wrapping_mul(40_503) as f32 / 2e9 - 1.0;
        Matrices::new(shape, (0..shape.elements()).map(number).collect()).unwrap()
    }

    proptest! {
        #[test]
        fn products_are_right(kind in 0usize..3, batch in 0usize..3, m in 0usize..20, k in 0usize..20, n in 0usize..20, many in any::<bool>()) {
            let (kind, m) = (Kind::ALL[kind], if many { m + ROWS } else { m });
            let [left, right] = match kind {
                Kind::Forward => [[m, k], [k, n]],
                Kind::WeightGradient => [[k, m], [k, n]],
                Kind::InputGradient => [[m, k], [n, k]],
            };
            let [left, right] = [left, right].map(|[r, c]| numbers(Shape::new(batch, r, c).unwrap(), 7));
            let product = float_products(kind, &left, &right).unwrap();
            for b in 0..batch {
                let (x, y) = (Lines::left(kind, left.shape(), left.values(), b), Lines::right(kind, right.shape(), right.values(), b));
                for i in 0..m {
                    for j in 0..n {
                        let exact: f64 = (0..k).map(|p| f64::from(x.get(i, p)) * f64::from(y.get(j, p))).sum();
                        prop_assert!((f64::from(product.matrix(b)[i * n + j]) - exact).abs() < 1e-5);
                    }
                }
            }
        }
    }
}
