//! The check of a decoded product, exact modulo 2^61 - 1.

use super::field::{self, Limbs, TERMS};
use crate::{
    AccelError, Backend, Kind,
    backend::vectorised,
    masked::{Decoded, Quantised},
    parallel,
    shape::Lines,
};
use rand::CryptoRng;
use std::ops::Range;

/// Columns that are added up at a time: their sums stay in the first cache.
const BLOCK: usize = 1024;

/// Rows whose sums are reduced together.
const LINES: usize = 256;

/// Bits of a random coefficient: two limbs.
const COEFFICIENT_BITS: u32 = 42;

/// That every product of a batch is exactly the product of its operands' integers. A wrong one passes with a probability of at most 2^-42; a right one
/// always passes. Draw `rng` afresh after the answers came: who knows the coefficients can lie.
pub fn check_integers(
    kind: Kind,
    left: &Quantised,
    right: &Quantised,
    product: &Decoded,
    rng: &mut impl CryptoRng,
) -> Result<(), AccelError> {
    // Operands are at most 2^20 and sums at most 2^17 deep: a difference of integers is below 2^61 and vanishes modulo the prime only if it is 0.
    let (left, right, product) = (left.integers(), right.integers(), product.integers());
    let (dimensions, orientation) = super::orient(kind, left.shape(), right.shape(), product.shape())?;
    let coefficients = coefficients(orientation.coefficients(&dimensions), rng);
    let coefficients = Limbs::<2>::new(&coefficients);
    for index in 0..dimensions.batch {
        let factors = [
            Lines::left(kind, left.shape(), left.values(), index),
            Lines::right(kind, right.shape(), right.values(), index),
        ];
        let (factors, product) = orientation.apply(factors, Lines::rows(product.shape(), product.values(), index));
        if !agrees(factors, product, &coefficients) {
            return Err(AccelError::WrongProduct { index });
        }
    }
    Ok(())
}

/// Random coefficients below 2^42.
pub(crate) fn coefficients(count: usize, rng: &mut impl CryptoRng) -> Vec<u64> {
    (0..count).map(|_| rng.next_u64() >> (64 - COEFFICIENT_BITS)).collect()
}

fn agrees([left, right]: [Lines<i32>; 2], product: Lines<i32>, coefficients: &Limbs<2>) -> bool {
    let inner = times(right.transposed(), coefficients);
    times(left, &Limbs::<3>::new(&inner)) == times(product, coefficients)
}

/// Every line times a vector of its depth.
pub(crate) fn times<const N: usize>(lines: Lines<i32>, vector: &Limbs<N>) -> Vec<u64> {
    debug_assert_eq!(lines.depth, vector.len());
    let backend = Backend::best();
    match lines.along {
        1 => parallel::map_parts(lines.count, LINES, lines.depth / 4, |part| {
            dots(
                backend,
                &lines.values[part.start * lines.across..],
                lines.across,
                part.len(),
                vector,
            )
        })
        .concat(),
        _ => {
            let parts = parallel::map_parts(lines.depth, TERMS, lines.count / 4, |part| {
                let rows = &lines.values[part.start * lines.along..part.end * lines.along];
                let factors = vector.0.each_ref().map(|limb| &limb[part.clone()]);
                let blocks = (0..lines.count)
                    .step_by(BLOCK)
                    .map(|first| first..lines.count.min(first + BLOCK));
                blocks
                    .flat_map(|columns| sum_of_rows(backend, rows, lines.along, columns, factors))
                    .collect::<Vec<_>>()
            });
            let zero = vec![0; lines.count];
            parts.into_iter().fold(zero, |sums, part| {
                sums.into_iter().zip(part).map(|(x, y)| field::add(x, y)).collect()
            })
        }
    }
}

vectorised! {
    /// So many rows, at a distance from each other, times a vector.
    fn dots<const N: usize>(values: &[i32], across: usize, count: usize, vector: &Limbs<N>) -> Vec<u64> {
        let mut totals = vec![0; count];
        let mut sums = [[0i64; LINES]; N];
        for first in (0..vector.len()).step_by(TERMS) {
            let depth = first..vector.len().min(first + TERMS);
            let limbs = vector.0.each_ref().map(|limb| &limb[depth.clone()]);
            for line in 0..count {
                let row = &values[line * across..][depth.clone()];
                for (sums, sum) in sums.iter_mut().zip(dot(row, limbs)) {
                    sums[line] = sum;
                }
            }
            // All lines at once: what one sum takes is as much as dozens of terms.
            for (limb, sums) in sums.iter().enumerate() {
                totals.iter_mut().zip(sums).for_each(|(total, sum)| *total = field::add_limb(*total, limb, *sum));
            }
        }
        totals
    }
}

/// Products of a row with every limb.
#[inline(always)]
fn dot<const N: usize>(row: &[i32], limbs: [&[i32]; N]) -> [i64; N] {
    limbs.map(|limb| {
        let pairs = row.iter().zip(limb);
        pairs.map(|(value, limb)| i64::from(*value) * i64::from(*limb)).sum()
    })
}

vectorised! {
    /// Some columns of at most [`TERMS`] rows, each times its factor, added up. Four rows at a time.
    fn sum_of_rows<const N: usize>(rows: &[i32], width: usize, columns: Range<usize>, factors: [&[i32]; N]) -> Vec<u64> {
        let mut sums: [Vec<i64>; N] = std::array::from_fn(|_| vec![0; columns.len()]);
        for (block, rows) in rows.chunks(4 * width).enumerate() {
            let row = |row: usize| rows.get(row * width..).and_then(|rows| rows.get(columns.clone()));
            for (sums, factors) in sums.iter_mut().zip(&factors) {
                let factors = &factors[4 * block..];
                if let (Some(a), Some(b), Some(c), Some(d)) = (row(0), row(1), row(2), row(3)) {
                    add_four_rows([a, b, c, d], factors, sums);
                } else {
                    (0..4).map_while(row).zip(factors).for_each(|(values, factor)| add_row(values, *factor, sums));
                }
            }
        }
        let mut totals = vec![0; columns.len()];
        for (limb, sums) in sums.iter().enumerate() {
            totals.iter_mut().zip(sums).for_each(|(total, sum)| *total = field::add_limb(*total, limb, *sum));
        }
        totals
    }
}

#[inline(always)]
fn add_four_rows([a, b, c, d]: [&[i32]; 4], factors: &[i32], sums: &mut [i64]) {
    let [f, g, h, i] = [0, 1, 2, 3].map(|row| i64::from(factors[row]));
    for (sum, (((a, b), c), d)) in sums.iter_mut().zip(a.iter().zip(b).zip(c).zip(d)) {
        *sum += i64::from(*a) * f + i64::from(*b) * g + i64::from(*c) * h + i64::from(*d) * i;
    }
}

#[inline(always)]
fn add_row(values: &[i32], factor: i32, sums: &mut [i64]) {
    let products = values.iter().map(|value| i64::from(*value) * i64::from(factor));
    sums.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
}
