//! Exact products of signed bytes, and of [`Residues`]: one walk over tiles, an implementation of a tile for each kind of vector.
//!
//! Sums are of 32 bits. They wrap on the way (the offset that VNNI needs takes them out of range for a while) and are right in the end as long as the true
//! sum fits: 125 * 125 * [`MAX_DEPTH`] does.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod pack;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vnni;

use crate::{
    AccelError, Backend, Dimensions, Kind, Matrices, PRIMES, Residues, backend::Instructions, error::at_most, parallel,
    residues::reduce, shape::Lines,
};
use std::ops::Range;

/// Terms of a sum of products of centred residues, which are at most 125 in magnitude, that surely fit 32 bits.
pub const MAX_DEPTH: usize = (i32::MAX / (125 * 125)) as usize;

/// The products of a batch modulo each of the four primes, on the fastest backend.
pub fn residue_products(kind: Kind, left: &Residues, right: &Residues) -> Result<Residues, AccelError> {
    residue_products_on(Backend::best(), kind, left, right)
}

/// [`residue_products`] on a backend of choice.
pub fn residue_products_on(backend: Backend, kind: Kind, left: &Residues, right: &Residues) -> Result<Residues, AccelError> {
    let dimensions = kind.dimensions(left.shape(), right.shape())?;
    at_most("terms of a sum", MAX_DEPTH, dimensions.depth)?;
    let shape = dimensions.product();
    let mut values = vec![0; PRIMES.len() * shape.elements()];
    let walk = Walk::new(dimensions);
    let tasks = walk.tasks(PRIMES.len(), &mut values);
    parallel::for_each(tasks, walk.nanoseconds(), |task| {
        let mut sums = vec![0; task.out.len()];
        let factor = Lines::left(kind, left.shape(), left.plane(task.plane), task.index);
        multiply(
            backend,
            factor,
            Lines::right(kind, right.shape(), right.plane(task.plane), task.index),
            task.rows,
            &mut sums,
        );
        reduce(backend, task.plane, &sums, task.out);
    });
    Ok(Residues::from_centred(shape, values))
}

/// The products of a batch of signed bytes as they are. Sums wrap beyond 32 bits.
pub fn byte_products(
    backend: Backend,
    kind: Kind,
    left: &Matrices<i8>,
    right: &Matrices<i8>,
) -> Result<Matrices<i32>, AccelError> {
    let dimensions = kind.dimensions(left.shape(), right.shape())?;
    let mut values = vec![0; dimensions.product().elements()];
    let walk = Walk::new(dimensions);
    parallel::for_each(walk.tasks(1, &mut values), walk.nanoseconds(), |task| {
        let factor = Lines::left(kind, left.shape(), left.values(), task.index);
        multiply(
            backend,
            factor,
            Lines::right(kind, right.shape(), right.values(), task.index),
            task.rows,
            task.out,
        );
    });
    Matrices::new(dimensions.product(), values)
}

/// How the rows of products are cut into tasks.
pub(crate) struct Walk {
    dimensions: Dimensions,
    rows: usize,
}

/// Some rows of one product.
pub(crate) struct Task<'a, T> {
    pub(crate) plane: usize,
    pub(crate) index: usize,
    pub(crate) rows: Range<usize>,
    pub(crate) out: &'a mut [T],
}

impl Walk {
    /// Sums of one task, which stay in the second cache.
    const SUMS: usize = 32 << 10;

    pub(crate) fn new(dimensions: Dimensions) -> Self {
        // Every task packs the right factor again: not too few rows, and a multiple of the tiles of all backends.
        let rows = (Self::SUMS / dimensions.columns.max(1)).clamp(192, 4080) / 12 * 12;
        Self { dimensions, rows }
    }

    pub(crate) fn tasks<'a, T>(&self, planes: usize, out: &'a mut [T]) -> Vec<Task<'a, T>> {
        let Dimensions {
            batch, rows, columns, ..
        } = self.dimensions;
        if out.is_empty() {
            return Vec::new();
        }
        let ranges = || (0..rows).step_by(self.rows).map(|first| first..rows.min(first + self.rows));
        let all = (0..planes).flat_map(|plane| (0..batch).map(move |index| (plane, index)));
        let all: Vec<_> = all
            .flat_map(|(plane, index)| ranges().map(move |rows| (plane, index, rows)))
            .collect();
        let pieces = parallel::pieces(out, all.iter().map(|(.., rows)| rows.len() * columns));
        let named = all.into_iter().zip(pieces);
        named
            .map(|((plane, index, rows), out)| Task { plane, index, rows, out })
            .collect()
    }

    /// The most rows of a task.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Of one task.
    pub(crate) fn nanoseconds(&self) -> usize {
        let Dimensions {
            rows, depth, columns, ..
        } = self.dimensions;
        self.rows.min(rows) * depth.max(1) * columns / 100
    }
}

/// Some rows of one product, added to `out`, which has as many columns as `right` has lines.
pub(crate) fn multiply(backend: Backend, left: Lines<i8>, right: Lines<i8>, rows: Range<usize>, out: &mut [i32]) {
    match backend.0 {
        Instructions::Scalar => scalar::multiply(left, right, rows, out),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => avx2::multiply(left, right, rows, out),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512Vnni => vnni::multiply(left, right, rows, out),
    }
}

/// Depth that a panel covers: of the right factor it stays in the first cache, with a block of the left.
#[cfg(target_arch = "x86_64")]
const PANEL: usize = 768;

/// Walks over tiles of `R` rows and `L` columns; `tile` adds up one of them over a panel's depth, and gives `surplus` of its rows too much.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn tiled<A: Copy, B: Copy, const R: usize, const L: usize, const G: usize>(
    left: Lines<i8>,
    right: Lines<i8>,
    rows: Range<usize>,
    out: &mut [i32],
    (map_left, map_right): (impl Fn(i8) -> A + Copy, impl Fn(i8) -> B + Copy),
    surplus: impl Fn(&[[[A; G]; R]]) -> [i32; R],
    tile: impl Fn(&[[[A; G]; R]], &[[[B; G]; L]], usize, &mut [[i32; L]; R]),
) {
    let groups = PANEL.min(left.depth).div_ceil(G);
    let blocks = rows.len().div_ceil(R);
    let mut packed = vec![[[map_left(0); G]; R]; blocks * groups];
    let mut surpluses = vec![[0; R]; blocks];
    let mut panel = vec![[[map_right(0); G]; L]; groups];
    for first in (0..left.depth).step_by(PANEL) {
        let depth = first..left.depth.min(first + PANEL);
        let groups = depth.len().div_ceil(G);
        let part = left.up_to(rows.end);
        for ((block, packed), surpluses) in packed.chunks_mut(groups).enumerate().zip(&mut surpluses) {
            pack::pack(&part, rows.start + block * R, depth.clone(), map_left, packed);
            *surpluses = surplus(packed);
        }
        for column in (0..right.count).step_by(L) {
            let width = L.min(right.count - column);
            pack::pack(&right, column, depth.clone(), map_right, &mut panel[..groups]);
            for ((packed, out), surplus) in packed.chunks(groups).zip(out.chunks_mut(R * right.count)).zip(&surpluses) {
                let mut sums = surplus.map(|surplus| [-surplus; L]);
                tile(packed, &panel[..groups], width, &mut sums);
                for (out, sums) in out.chunks_mut(right.count).zip(&sums) {
                    let out = &mut out[column..][..width];
                    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = out.wrapping_add(*sum));
                }
            }
        }
    }
}
