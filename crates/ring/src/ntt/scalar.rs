//! The reference kernel: Cooley-Tukey and Gentleman-Sande butterflies with Harvey's lazy reduction and Shoup's
//! multiplication by a constant, one word at a time.

use super::roots::Roots;
use crate::Modulus;

/// A constant factor and floor(w * 2^64 / q) (Shoup).
#[derive(Clone, Copy, Debug)]
struct Twiddle {
    w: u64,
    quotient: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Tables {
    modulus: Modulus,
    forward: Vec<Twiddle>,
    inverse: Vec<Twiddle>,
    /// 1/N, and the last inverse twiddle times 1/N.
    scale: [Twiddle; 2],
}

impl Tables {
    pub(super) fn new(modulus: &Modulus, roots: &Roots) -> Self {
        let twiddle = |&w: &u64| Twiddle {
            w,
            quotient: ((u128::from(w) << 64) / u128::from(modulus.value())) as u64,
        };
        let scale = [roots.degree_inverse, modulus.mul(roots.degree_inverse, roots.inverse[1])];
        Self {
            modulus: *modulus,
            forward: roots.forward.iter().map(twiddle).collect(),
            inverse: roots.inverse.iter().map(twiddle).collect(),
            scale: scale.each_ref().map(twiddle),
        }
    }

    pub(super) fn forward(&self, values: &mut [u64]) {
        let (q, n) = (self.modulus.value(), values.len());
        let mut groups = 1;
        while groups < n {
            let half = n / (2 * groups);
            for (group, t) in values.chunks_exact_mut(2 * half).zip(&self.forward[groups..]) {
                let (left, right) = group.split_at_mut(half);
                for (x, y) in left.iter_mut().zip(right) {
                    // In [0, 4q) on entry and exit; x is brought below 2q first.
                    let (a, b) = (fold(*x, 2 * q), t.mul(*y, q));
                    (*x, *y) = (a + b, a + 2 * q - b);
                }
            }
            groups *= 2;
        }
        values.iter_mut().for_each(|v| *v = fold(fold(*v, 2 * q), q));
    }

    pub(super) fn inverse(&self, values: &mut [u64]) {
        let (q, n) = (self.modulus.value(), values.len());
        let mut groups = n / 2;
        while groups > 1 {
            let half = n / (2 * groups);
            for (group, t) in values.chunks_exact_mut(2 * half).zip(&self.inverse[groups..]) {
                let (left, right) = group.split_at_mut(half);
                for (x, y) in left.iter_mut().zip(right) {
                    // In [0, 2q) on entry and exit.
                    let (a, b) = (*x, *y);
                    (*x, *y) = (fold(a + b, 2 * q), t.mul(a + 2 * q - b, q));
                }
            }
            groups /= 2;
        }
        let (left, right) = values.split_at_mut(n / 2);
        for (x, y) in left.iter_mut().zip(right) {
            let (a, b) = (*x, *y);
            *x = fold(self.scale[0].mul(a + b, q), q);
            *y = fold(self.scale[1].mul(a + 2 * q - b, q), q);
        }
    }
}

impl Twiddle {
    /// `w * x` modulo q in `0..2q`, for any word `x`.
    #[inline]
    fn mul(self, x: u64, q: u64) -> u64 {
        let estimate = ((u128::from(x) * u128::from(self.quotient)) >> 64) as u64;
        self.w.wrapping_mul(x).wrapping_sub(estimate.wrapping_mul(q))
    }
}

/// `a` in `0..2 * bound` to `0..bound`, without a branch.
#[inline]
fn fold(a: u64, bound: u64) -> u64 {
    a.min(a.wrapping_sub(bound))
}
