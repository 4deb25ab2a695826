//! The reference kernel: 128-bit sums.

use super::{TILE, Tile};
use crate::Modulus;

pub(super) fn run(tile: Tile<'_>, outputs: &mut [&mut [u64]]) {
    let radix = radix(tile.modulus);
    let count = outputs.len();
    for (i, output) in outputs.iter_mut().enumerate() {
        // A product is below 2^100 and there are at most 2^12: the sum stays below 2^112.
        let mut sums = [0u128; TILE];
        for (factors, words) in tile.factors.chunks_exact(count).zip(tile.panel) {
            for (sum, &word) in sums.iter_mut().zip(words) {
                *sum += u128::from(factors[i]) * u128::from(word);
            }
        }
        tile.write(&sums.map(|sum| reduce(tile.modulus, radix, sum)), output);
    }
}

/// 2^50 and 2^100 modulo q.
pub(crate) fn radix(modulus: &Modulus) -> [u64; 2] {
    [50, 100].map(|bits| modulus.pow(2 % modulus.value(), bits))
}

/// A sum below 2^112 from its digits to base 2^50; `radix` holds 2^50 and 2^100 modulo q.
pub(crate) fn reduce(modulus: &Modulus, radix: [u64; 2], sum: u128) -> u64 {
    let digit = |shift: u32| modulus.reduce((sum >> shift) as u64 & ((1 << 50) - 1));
    let middle = modulus.add(digit(0), modulus.mul(digit(50), radix[0]));
    modulus.add(middle, modulus.mul(digit(100), radix[1]))
}
