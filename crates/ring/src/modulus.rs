//! Z_q for one odd prime q below 2^50: scalar arithmetic on reduced words.

use crate::RingError;
use crate::primes::is_prime;

/// An odd prime below 2^50, with what its arithmetic needs.
///
/// Every operation takes residues in `0..q` and returns one (checked in debug builds). None branches on a residue,
/// except where its documentation says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Modulus {
    q: u64,
    /// floor(2^(2n) / q), n the bit length of q: Barrett's constant, below 2^(n+1).
    barrett: u64,
    bits: u32,
}

impl Modulus {
    /// Exclusive bound of every modulus: a residue fits a 52-bit multiplier lane with two bits to spare, and an f64.
    pub const BOUND: u64 = 1 << 50;

    /// Checks that `q` is an odd prime below 2^50.
    pub fn new(q: u64) -> Result<Self, RingError> {
        if q >= Self::BOUND || q.is_multiple_of(2) || !is_prime(q) {
            return Err(RingError::Modulus { actual: q });
        }
        let bits = u64::BITS - q.leading_zeros();
        let barrett = ((1u128 << (2 * bits)) / u128::from(q)) as u64;
        Ok(Self { q, barrett, bits })
    }

    /// The prime.
    pub fn value(&self) -> u64 {
        self.q
    }

    /// Bit length of the prime.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// `a + b`.
    #[inline]
    pub fn add(&self, a: u64, b: u64) -> u64 {
        debug_assert!(a < self.q && b < self.q);
        self.fold(a + b)
    }

    /// `a - b`.
    #[inline]
    pub fn sub(&self, a: u64, b: u64) -> u64 {
        debug_assert!(a < self.q && b < self.q);
        self.fold(a + self.q - b)
    }

    /// `-a`.
    #[inline]
    pub fn neg(&self, a: u64) -> u64 {
        self.sub(0, a)
    }

    /// `a * b`.
    #[inline]
    pub fn mul(&self, a: u64, b: u64) -> u64 {
        debug_assert!(a < self.q && b < self.q);
        // Barrett: the estimate of the quotient is short by at most 2, so the remainder is below 3q.
        let x = u128::from(a) * u128::from(b);
        let head = (x >> (self.bits - 1)) as u64;
        let quotient = ((u128::from(head) * u128::from(self.barrett)) >> (self.bits + 1)) as u64;
        self.fold(self.fold((x as u64).wrapping_sub(quotient.wrapping_mul(self.q))))
    }

    /// `base^exponent`. The time depends on the exponent.
    pub fn pow(&self, base: u64, mut exponent: u64) -> u64 {
        let (mut result, mut square) = (1, base);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = self.mul(result, square);
            }
            square = self.mul(square, square);
            exponent >>= 1;
        }
        result
    }

    /// The inverse of `a`, or `None` for zero.
    pub fn inv(&self, a: u64) -> Option<u64> {
        (a != 0).then(|| self.pow(a, self.q - 2))
    }

    /// Any word modulo q.
    pub fn reduce(&self, a: u64) -> u64 {
        a % self.q
    }

    /// The representative of `a` in `-(q-1)/2 ..= (q-1)/2`.
    #[inline]
    pub fn centred(&self, a: u64) -> i64 {
        debug_assert!(a < self.q);
        let above_half = (((self.q >> 1) as i64 - a as i64) >> 63) as u64;
        a.wrapping_sub(self.q & above_half) as i64
    }

    /// The residue of any signed word. Constant time for `|a| < q`, the case of samples and messages.
    #[inline]
    pub fn from_signed(&self, a: i64) -> u64 {
        let q = self.q as i64;
        let small = if -q < a && a < q { a } else { a % q };
        (small + (q & (small >> 63))) as u64
    }

    /// `a` in `0..2q` to `0..q`, without a branch.
    #[inline]
    pub(crate) fn fold(&self, a: u64) -> u64 {
        a.min(a.wrapping_sub(self.q))
    }
}
