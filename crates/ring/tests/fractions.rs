//! Fractions of the modulus against long division, on every backend.

#![allow(clippy::unwrap_used)]

use cloven_ring::{Backend, Coefficients, FractionLimbs, LIMB, Modulus, Poly, RingError, RnsBasis, ntt_primes};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn limbs_are_those_of_the_sum_of_quotients(log2_degree in 1u32..7, bits in proptest::collection::vec(20u32..=50, 1..6), extreme: bool, first in 0usize..9, seed: u64) {
        let degree = 1 << log2_degree;
        let mut primes: Vec<Modulus> = bits.iter().enumerate().map(|(i, &bits)| ntt_primes(bits, degree, i + 1).unwrap()[i]).collect();
        primes.sort_unstable_by_key(Modulus::value);
        primes.dedup();
        let first = first.min(degree);
        for backend in Backend::available() {
            let basis = RnsBasis::with_backend(degree, &primes, backend).unwrap();
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let mut y: Poly<Coefficients> = Poly::zero(&basis);
            for (prime, q) in basis.moduli().iter().enumerate() {
                for residue in y.residues_mut(prime) {
                    *residue = if extreme { q.value() - 1 } else { rng.next_u64() % q.value() };
                }
            }
            let (mut low, mut high) = (vec![0; degree - first], vec![0; degree - first]);
            FractionLimbs::new(&basis).read(&y, first, &mut low, &mut high).unwrap();
            for (index, (low, high)) in (first..).zip(low.into_iter().zip(high)) {
                // sum_i floor(2^104 y_i / q_i) modulo 2^104, which lacks less than a unit a prime.
                let quotients = primes.iter().enumerate().map(|(prime, q)| divided(y.residues(prime)[index], q.value()));
                let slow: u128 = quotients.sum();
                let fast = u128::from(high) << LIMB | u128::from(low);
                let ahead = fast.wrapping_sub(slow) << 24;
                prop_assert!(low >> LIMB == 0 && high >> LIMB == 0);
                prop_assert!((-(3i128 << 24)..(primes.len() as i128) << 24).contains(&(ahead as i128)), "{backend:?}: {fast} and {slow}");
            }
        }
    }
}

/// floor(2^104 y / q), bit by bit.
fn divided(y: u64, q: u64) -> u128 {
    let (mut rest, mut quotient) = (u128::from(y), 0u128);
    for _ in 0..2 * LIMB {
        rest *= 2;
        quotient = quotient << 1 | u128::from(rest >= u128::from(q));
        rest -= if rest >= u128::from(q) { u128::from(q) } else { 0 };
    }
    quotient
}

#[test]
fn other_bases_and_other_lengths_are_refused() {
    let [basis, other] = [1, 2].map(|primes| RnsBasis::new(16, &ntt_primes(40, 16, primes).unwrap()).unwrap());
    let (limbs, y) = (FractionLimbs::new(&basis), Poly::<Coefficients>::zero(&basis));
    let read = |y: &_, first, sizes: [usize; 2]| limbs.read(y, first, &mut vec![0; sizes[0]], &mut vec![0; sizes[1]]);
    assert!(read(&y, 0, [16, 16]).is_ok() && read(&y, 16, [0, 0]).is_ok());
    assert!(matches!(
        read(&Poly::zero(&other), 0, [16, 16]),
        Err(RingError::BasisMismatch { .. })
    ));
    for (first, sizes) in [(0, [16, 15]), (1, [16, 16]), (usize::MAX, [1, 1])] {
        assert!(matches!(read(&y, first, sizes), Err(RingError::Length { .. })));
    }
}
