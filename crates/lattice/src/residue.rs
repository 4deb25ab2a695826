//! Words to residues in constant time, and the scale-invariant encoding.

use cloven_ring::Modulus;

/// Reduces words modulo one prime.
#[derive(Debug, Clone)]
pub(crate) struct WordReducer {
    modulus: Modulus,
    /// floor((2^64 - 1) / q).
    reciprocal: u64,
    /// 2^64 modulo q.
    wrap: u64,
    /// -2^-64 modulo q.
    minus_inverse: u64,
}

impl WordReducer {
    pub(crate) fn new(modulus: &Modulus) -> Self {
        let wrap = modulus.add(modulus.reduce(u64::MAX), 1 % modulus.value());
        Self {
            modulus: *modulus,
            reciprocal: u64::MAX / modulus.value(),
            wrap,
            minus_inverse: minus_inverse(modulus),
        }
    }

    /// The residue of a word. The estimate of the quotient is short by at most 1.
    fn reduce(&self, word: u64) -> u64 {
        let quotient = ((u128::from(word) * u128::from(self.reciprocal)) >> 64) as u64;
        let rest = word.wrapping_sub(quotient.wrapping_mul(self.modulus.value()));
        rest.min(rest.wrapping_sub(self.modulus.value()))
    }

    /// The residue of a signed word: that of the word of the same bits, less 2^64 where it is negative.
    pub(crate) fn signed(&self, integer: i64) -> u64 {
        let negative = (integer >> 63) as u64;
        self.modulus.sub(self.reduce(integer as u64), self.wrap & negative)
    }

    /// round(q m / 2^64) modulo this prime of q, where `low` is q m modulo 2^64: with r the centred `low`, (q m - r) / 2^64 is the integer, and q m
    /// vanishes.
    pub(crate) fn scaled(&self, low: u64) -> u64 {
        self.modulus.mul(self.signed(low as i64), self.minus_inverse)
    }

    /// round(q m / 2^128) modulo this prime of q, where `low` is q m modulo 2^128.
    pub(crate) fn scaled_wide(&self, low: u128) -> u64 {
        // 2^-128 (high 2^64 + low), with high signed.
        let (high, low) = (self.signed((low >> 64) as i64), self.reduce(low as u64));
        let joined = self.modulus.add(self.modulus.mul(high, self.wrap), low);
        let minus = self.modulus.mul(joined, self.minus_inverse);
        self.modulus.neg(self.modulus.mul(minus, self.minus_inverse))
    }
}

/// -2^-64 modulo an odd prime.
pub(crate) fn minus_inverse(modulus: &Modulus) -> u64 {
    let wrap = modulus.add(modulus.reduce(u64::MAX), 1 % modulus.value());
    // It is not zero.
    modulus.neg(modulus.inv(wrap).unwrap_or_default())
}

/// The product of all primes modulo 2^128.
pub(crate) fn low_wide(moduli: &[Modulus]) -> u128 {
    moduli.iter().fold(1, |product, m| product.wrapping_mul(m.value().into()))
}

/// The product of all primes modulo 2^64.
pub(crate) fn low_word(moduli: &[Modulus]) -> u64 {
    moduli.iter().fold(1, |product, m| product.wrapping_mul(m.value()))
}

#[cfg(test)]
mod tests {
    use cloven_ring::ntt_primes;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn residues_are_those_of_wide_arithmetic(word in any::<u64>(), bits in 20u32..=50) {
            for modulus in ntt_primes(bits, 8192, 1).unwrap() {
                let reducer = WordReducer::new(&modulus);
                let q = i128::from(modulus.value());
                for word in [word, 0, 1, u64::MAX, 1 << 63, (1 << 63) - 1] {
                    prop_assert_eq!(i128::from(reducer.reduce(word)), i128::from(word) % q);
                    prop_assert_eq!(i128::from(reducer.signed(word as i64)), i128::from(word as i64).rem_euclid(q));
                }
            }
        }

        #[test]
        fn a_scaled_fraction_is_rounded_to_the_nearest(word in any::<u128>()) {
            // One prime: q m in two words.
            let modulus = ntt_primes(50, 8192, 1).unwrap()[0];
            let q = u128::from(modulus.value());
            for word in [word, 0, 1, u128::MAX, u128::MAX - 1, 1 << 127] {
                let (high, low) = (q * (word >> 64), q * (word & u128::from(u64::MAX)));
                // q m / 2^64, without the low word of `low`.
                let floor = high + (low >> 64);
                let rounded = (floor + (1 << 63)) >> 64;
                let got = WordReducer::new(&modulus).scaled_wide(low_wide(&[modulus]).wrapping_mul(word));
                prop_assert_eq!(u128::from(got), rounded % q);
            }
        }

        #[test]
        fn a_scaled_word_is_rounded_to_the_nearest(word in any::<u64>()) {
            // Two primes, so that q m fits.
            let moduli = ntt_primes(30, 8192, 2).unwrap();
            let q: u128 = moduli.iter().map(|m| u128::from(m.value())).product();
            for word in [word, 0, 1, u64::MAX, 1 << 63] {
                let rounded = (q * u128::from(word) + (1 << 63)) >> 64;
                let low = low_word(&moduli).wrapping_mul(word);
                for modulus in &moduli {
                    let got = WordReducer::new(modulus).scaled(low);
                    // A tie goes up in one way and down in the other.
                    let other = if low == 1 << 63 { rounded - 1 } else { rounded };
                    let of = |value: u128| (value % u128::from(modulus.value())) as u64;
                    prop_assert!(got == of(rounded) || got == of(other));
                }
            }
        }
    }
}
