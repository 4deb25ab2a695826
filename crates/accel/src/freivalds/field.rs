//! Integers modulo the prime 2^61 - 1, and vectors of them in limbs of 21 bits, which 32-bit multipliers take.

/// 2^61 - 1.
pub(crate) const P: u64 = (1 << 61) - 1;

/// Bits of a limb. A limb times a number below 2^31 is below 2^52: 2048 of them are summed in 64 bits.
const BITS: usize = 21;

/// Terms that are summed before they are reduced.
pub(crate) const TERMS: usize = 2048;

#[inline(always)]
pub(crate) fn add(x: u64, y: u64) -> u64 {
    let sum = x + y;
    if sum >= P { sum - P } else { sum }
}

#[inline]
pub(crate) fn multiply(x: u64, y: u64) -> u64 {
    multiply_add(0, x, y)
}

/// `sum + x y`.
#[inline]
pub(crate) fn multiply_add(sum: u64, x: u64, y: u64) -> u64 {
    // The product is below 2^122: its halves are below 2^61, and the three together below 2^63.
    let product = u128::from(x) * u128::from(y);
    let folded = sum + (product as u64 & P) + (product >> 61) as u64;
    let folded = (folded & P) + (folded >> 61);
    if folded >= P { folded - P } else { folded }
}

/// `total + 2^(21 limb) sum`, in operations that vectors have.
#[inline(always)]
pub(crate) fn add_limb(total: u64, limb: usize, sum: i64) -> u64 {
    // 2^61 is 1: the bits above it are added, and a product by a power of two is a rotation.
    let folded = (sum & P as i64) + (sum >> 61);
    let positive = if folded < 0 { folded + P as i64 } else { folded } as u64;
    let least = if positive >= P { positive - P } else { positive };
    add(total, (least << (BITS * limb) & P) | least >> (61 - BITS * limb))
}

/// A vector in limbs: `N` planes of numbers below 2^21.
pub(crate) struct Limbs<const N: usize>(pub(crate) [Vec<i32>; N]);

impl<const N: usize> Limbs<N> {
    /// The lowest `N` limbs of each element.
    pub(crate) fn new(elements: &[u64]) -> Self {
        let limb = |limb: usize| elements.iter().map(move |x| (x >> (BITS * limb) & ((1 << BITS) - 1)) as i32);
        Self(std::array::from_fn(|index| limb(index).collect()))
    }

    pub(crate) fn len(&self) -> usize {
        self.0[0].len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sums over limbs as one element.
    fn combine<const N: usize>(sums: [i64; N]) -> u64 {
        let limbs = sums.into_iter().enumerate();
        limbs.fold(0, |total, (limb, sum)| add_limb(total, limb, sum))
    }

    proptest! {
        #[test]
        fn arithmetic_is_modulo_the_prime(sums in any::<[i64; 3]>(), a in 0..P, b in 0..P) {
            prop_assert_eq!(u128::from(multiply(a, b)), u128::from(a) * u128::from(b) % u128::from(P));
            let expected = (u128::from(b) + u128::from(a) * u128::from(a)) % u128::from(P);
            prop_assert_eq!(u128::from(multiply_add(b, a, a)), expected);
            prop_assert_eq!(multiply_add(P - 1, P - 1, P - 1), 0);
            prop_assert_eq!(u128::from(add(a, b)), (u128::from(a) + u128::from(b)) % u128::from(P));
            let p = i128::from(P);
            let expected = sums.iter().enumerate().map(|(limb, sum)| i128::from(*sum) % p * (1i128 << (21 * limb)) % p).sum::<i128>();
            prop_assert_eq!(i128::from(combine(sums)), expected.rem_euclid(p));
            let limbs = Limbs::<3>::new(&[a]);
            prop_assert_eq!(combine(std::array::from_fn::<_, 3, _>(|limb| i64::from(limbs.0[limb][0]))), a);
        }
    }
}
