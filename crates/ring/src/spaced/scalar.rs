//! The reference kernel: 128-bit sums.

use super::Sums;
use crate::product::scalar::{radix, reduce};

/// Adds to every class of every sum the products of its slots.
pub(super) fn add(job: &Sums<'_>, wanted: &mut [u64]) {
    let (modulus, radix) = (job.modulus, radix(job.modulus));
    let sums = wanted.len() * job.spacing / job.left.first().map_or(1, |words| words.len());
    for (sum, wanted) in wanted.chunks_exact_mut(wanted.len() / sums.max(1)).enumerate() {
        let right = job.right(sum);
        for (class, value) in wanted.iter_mut().enumerate() {
            let slots = class * job.spacing..(class + 1) * job.spacing;
            // A product is below 2^100 and there are at most 2^12: the sum stays below 2^112.
            let pairs = job.left.iter().zip(right);
            let of_term = |(left, right): (&&[u64], &&[u64])| -> u128 {
                let slots = left[slots.clone()].iter().zip(&right[slots.clone()]);
                slots.map(|(&a, &b)| u128::from(a) * u128::from(b)).sum()
            };
            *value = modulus.add(*value, reduce(modulus, radix, pairs.map(of_term).sum()));
        }
    }
}
