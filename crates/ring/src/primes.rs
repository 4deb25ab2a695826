//! Primes that split X^N + 1 completely.

use crate::{Modulus, RingError};

/// Smallest and largest bit size [`ntt_primes`] searches.
const BITS: std::ops::RangeInclusive<u32> = 4..=50;

/// The `count` largest primes below `2^bits` that are 1 modulo `2 * degree`, largest first, all distinct.
///
/// `bits` is 4 to 50 and `degree` a power of two; the list depends on the three arguments only, so two parties that name
/// them name the same primes.
pub fn ntt_primes(bits: u32, degree: usize, count: usize) -> Result<Vec<Modulus>, RingError> {
    if !BITS.contains(&bits) {
        return Err(RingError::PrimeBits {
            min: *BITS.start(),
            max: *BITS.end(),
            actual: bits,
        });
    }
    let largest = 1 << 40;
    if !degree.is_power_of_two() || degree > largest {
        return Err(RingError::Degree {
            min: 1,
            max: largest,
            actual: degree,
        });
    }
    let order = 2 * degree as u64;
    // 2^bits is a multiple of the order (or below it: then nothing is found), so 2^bits + 1 - order is 1 modulo the order.
    let candidates = (1..=(1u64 << bits) / order).map(|i| (1u64 << bits) - i * order + 1);
    let found: Vec<Modulus> = candidates.filter_map(|c| Modulus::new(c).ok()).take(count).collect();
    if found.len() < count {
        return Err(RingError::TooFewPrimes {
            expected: count,
            actual: found.len(),
            bits,
            degree,
        });
    }
    Ok(found)
}

/// Miller-Rabin with the first twelve primes as witnesses: deterministic for every 64-bit number (Sorenson and Webster).
pub(crate) fn is_prime(n: u64) -> bool {
    const WITNESSES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    if n < 2 {
        return false;
    }
    if let Some(p) = WITNESSES.iter().find(|p| n.is_multiple_of(**p)) {
        return n == *p;
    }
    let twos = (n - 1).trailing_zeros();
    WITNESSES.iter().all(|&base| passes(n, base, twos))
}

/// Whether `n` passes the test for one witness; `2^twos` is the power of two in `n - 1`.
fn passes(n: u64, base: u64, twos: u32) -> bool {
    let mul = |a: u64, b: u64| (u128::from(a) * u128::from(b) % u128::from(n)) as u64;
    let mut x = 1;
    for bit in (0..u64::BITS).rev() {
        x = mul(x, x);
        if ((n - 1) >> twos) >> bit & 1 == 1 {
            x = mul(x, base);
        }
    }
    if x == 1 || x == n - 1 {
        return true;
    }
    (1..twos).any(|_| {
        x = mul(x, x);
        x == n - 1
    })
}
