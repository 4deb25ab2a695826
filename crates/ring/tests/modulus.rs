//! Scalar arithmetic and primes against 128-bit integers and trial division.

#![allow(clippy::unwrap_used)]

use cloven_ring::{Modulus, RingError, ntt_primes};
use proptest::prelude::*;

fn prime() -> impl Strategy<Value = Modulus> {
    (4u32..51, 0usize..3).prop_filter_map("no such prime", |(bits, index)| {
        ntt_primes(bits, 2, index + 1).ok().and_then(|found| found.last().copied())
    })
}

#[test]
fn construction_takes_odd_primes_below_the_bound_only() {
    for refused in [0, 1, 2, 9, 15, 561, 3_215_031_751, (1 << 50) - 29, (1 << 50) + 55, u64::MAX] {
        assert_eq!(Modulus::new(refused).unwrap_err(), RingError::Modulus { actual: refused });
    }
    for accepted in [3, 5, 7, 37, 41, 12_289, (1 << 31) - 1, (1 << 50) - 27] {
        assert_eq!(Modulus::new(accepted).unwrap().value(), accepted);
    }
    let by_division = |n: u64| n > 2 && (2..n).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
    for n in 0..5000 {
        assert_eq!(Modulus::new(n).is_ok(), by_division(n), "{n}");
    }
}

#[test]
fn the_primes_are_the_largest_and_in_order() {
    let value = |q: &Modulus| q.value();
    let found: Vec<u64> = ntt_primes(50, 2048, 3).unwrap().iter().map(value).collect();
    assert_eq!(found, [1_125_899_906_826_241, 1_125_899_906_732_033, 1_125_899_906_629_633]);
    assert_eq!(ntt_primes(14, 2048, 1).unwrap()[0].value(), 12_289);
    let expected: Vec<u64> = (0..1024).rev().filter(|n| n % 32 == 1 && Modulus::new(*n).is_ok()).collect();
    let found: Vec<u64> = ntt_primes(10, 16, expected.len()).unwrap().iter().map(value).collect();
    assert_eq!(found, expected);
    let more = ntt_primes(10, 16, expected.len() + 1).unwrap_err();
    assert!(matches!(
        more,
        RingError::TooFewPrimes {
            bits: 10,
            degree: 16,
            ..
        }
    ));
    assert_eq!(
        ntt_primes(51, 16, 1).unwrap_err(),
        RingError::PrimeBits {
            min: 4,
            max: 50,
            actual: 51
        }
    );
    assert!(matches!(
        ntt_primes(50, 17, 1).unwrap_err(),
        RingError::Degree { actual: 17, .. }
    ));
}

proptest! {
    #[test]
    fn arithmetic_is_that_of_big_integers(q in prime(), a: u64, b: u64, extreme in 0u8..4) {
        let n = q.value();
        let (a, b) = match extreme {
            0 => (n - 1, n - 1),
            1 => (0, b % n),
            _ => (a % n, b % n),
        };
        let wide = |x: u128| (x % u128::from(n)) as u64;
        prop_assert_eq!(q.mul(a, b), wide(u128::from(a) * u128::from(b)));
        prop_assert_eq!(q.add(a, b), wide(u128::from(a) + u128::from(b)));
        prop_assert_eq!(q.sub(a, b), wide(u128::from(a) + u128::from(n) - u128::from(b)));
        prop_assert_eq!(q.add(a, q.neg(a)), 0);
        match q.inv(a) {
            Some(inverse) => prop_assert_eq!(q.mul(a, inverse), 1),
            None => prop_assert_eq!(a, 0),
        }
    }

    #[test]
    fn signed_representatives(q in prime(), a: u64, signed: i64) {
        let (a, half) = (a % q.value(), (q.value() / 2) as i64);
        let centred = q.centred(a);
        prop_assert!((-half..=half).contains(&centred));
        prop_assert_eq!(q.from_signed(centred), a);
        prop_assert_eq!(i128::from(q.from_signed(signed)), i128::from(signed).rem_euclid(i128::from(q.value())));
        prop_assert_eq!(q.centred(q.value() / 2), half);
        prop_assert_eq!(q.centred(q.value() / 2 + 1), -half);
    }
}
