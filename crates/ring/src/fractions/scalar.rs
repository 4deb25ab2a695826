//! The reference loop; the vector kernel also ends on it.

use super::{LIMB, Term};

const MASK: u64 = (1 << LIMB) - 1;

/// `low` and `high` begin at residue `skipped` of every term.
pub(super) fn read(terms: &[Term<'_>], low: &mut [u64], high: &mut [u64], skipped: usize) {
    for (index, (low, high)) in (skipped..).zip(low.iter_mut().zip(high)) {
        let mut sums = [0u64; 3];
        for term in terms {
            let [first, second, third] = term.factor.map(|limb| u128::from(term.residues[index]) * u128::from(limb));
            let halves = |product: u128| [product as u64 & MASK, (product >> LIMB) as u64];
            sums[0] += halves(first)[0];
            sums[1] += halves(first)[1] + halves(second)[0];
            sums[2] += halves(second)[1] + halves(third)[0];
        }
        sums[1] += sums[0] >> LIMB;
        sums[2] += sums[1] >> LIMB;
        (*low, *high) = (sums[1] & MASK, sums[2] & MASK);
    }
}
