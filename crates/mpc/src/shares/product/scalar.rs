//! Plain loops.

use super::Left;

pub(super) fn multiply(left: Left, (right, columns): (&[u64], usize), out: &mut [u64]) {
    for row in 0..left.count {
        for depth in 0..left.depth {
            let factor = left.words[row * left.across + depth * left.along];
            for column in 0..columns {
                let product = factor.wrapping_mul(right[depth * columns + column]);
                out[row * columns + column] = out[row * columns + column].wrapping_add(product);
            }
        }
    }
}
