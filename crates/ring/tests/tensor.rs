//! Sums of products of pairs against the four products one by one, on every backend.

#![allow(clippy::unwrap_used)]

use cloven_ring::{Backend, Evaluations, Poly, RingError, RnsBasis, TensorSum, ntt_primes};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

fn basis(degree: usize, bits: u32, primes: usize, backend: Backend) -> RnsBasis {
    RnsBasis::with_backend(degree, &ntt_primes(bits, degree, primes).unwrap(), backend).unwrap()
}

/// Random residues, or often the smallest and the largest.
fn poly(basis: &RnsBasis, extreme: bool, rng: &mut ChaCha20Rng) -> Poly<Evaluations> {
    let mut poly = Poly::zero(basis);
    for (prime, q) in basis.moduli().iter().enumerate() {
        for residue in poly.residues_mut(prime) {
            let uniform = rng.next_u64() % q.value();
            *residue = match extreme {
                true => [0, q.value() - 1, q.value() - 1, uniform][rng.next_u64() as usize % 4],
                false => uniform,
            };
        }
    }
    poly
}

fn one_by_one(basis: &RnsBasis, pairs: &[[Poly<Evaluations>; 4]]) -> [Poly<Evaluations>; 3] {
    let mut components = [(); 3].map(|()| Poly::zero(basis));
    for [a0, a1, b0, b1] in pairs {
        components[0].mul_add_assign(a0, b0).unwrap();
        components[1].mul_add_assign(a0, b1).unwrap();
        components[1].mul_add_assign(a1, b0).unwrap();
        components[2].mul_add_assign(a1, b1).unwrap();
    }
    components
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_shape(log2_degree in 3u32..9, bits in 20u32..=50, primes in 1usize..3, calls in proptest::collection::vec(0usize..20, 1..4), extreme: bool, with_the_last: bool, seed: u64) {
        for backend in Backend::available() {
            let basis = basis(1 << log2_degree, bits, primes, backend);
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let terms: Vec<[Poly<Evaluations>; 4]> = (0..calls.iter().sum()).map(|_| [(); 4].map(|()| poly(&basis, extreme, &mut rng))).collect();
            let mut sum = TensorSum::zero(&basis);
            let mut rest = terms.as_slice();
            let mut last = (Vec::new(), Vec::new());
            for (call, count) in calls.iter().enumerate() {
                let (now, later) = rest.split_at(*count);
                rest = later;
                let left: Vec<_> = now.iter().map(|[a0, a1, ..]| [a0, a1]).collect();
                let right: Vec<_> = now.iter().map(|[.., b0, b1]| [b0, b1]).collect();
                match with_the_last && call + 1 == calls.len() {
                    true => last = (left, right),
                    false => sum.add_products(&left, &right).unwrap(),
                }
            }
            let components = match with_the_last {
                true => sum.into_components_with(&last.0, &last.1).unwrap(),
                false => sum.into_components(),
            };
            prop_assert!(components == one_by_one(&basis, &terms), "{backend:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn several_products_are_added_as_one_by_one(log2_degree in 1u32..9, bits in 20u32..=50, primes in 1usize..3, count in 0usize..9, extreme: bool, seed: u64) {
        for backend in Backend::available() {
            let basis = basis(1 << log2_degree, bits, primes, backend);
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let terms: Vec<[Poly<Evaluations>; 2]> = (0..count).map(|_| [(); 2].map(|()| poly(&basis, extreme, &mut rng))).collect();
            let mut sum = poly(&basis, extreme, &mut rng);
            let mut expected = sum.clone();
            terms.iter().for_each(|[a, b]| expected.mul_add_assign(a, b).unwrap());
            sum.add_products(terms.iter().map(|[a, b]| [a, b])).unwrap();
            prop_assert!(sum == expected, "{backend:?}");
        }
    }
}

#[test]
fn more_products_than_are_summed_without_a_reduction() {
    for backend in Backend::available() {
        let basis = basis(16, 50, 1, backend);
        let mut largest = Poly::zero(&basis);
        largest.residues_mut(0).fill(basis.moduli()[0].value() - 1);
        let (mut sum, mut expected) = (largest.clone(), largest.clone());
        (0..5000).for_each(|_| expected.mul_add_assign(&largest, &largest).unwrap());
        sum.add_products((0..5000).map(|_| [&largest; 2])).unwrap();
        assert!(sum == expected, "{backend:?}");
    }
}

#[test]
fn more_terms_than_are_summed_without_a_reduction() {
    for backend in Backend::available() {
        let basis = basis(64, 50, 1, backend);
        let mut largest = Poly::zero(&basis);
        largest.residues_mut(0).fill(basis.moduli()[0].value() - 1);
        let mut sum = TensorSum::zero(&basis);
        for count in [511, 1, 1, 600, 1024, 3000] {
            sum.add_products(&vec![[&largest; 2]; count], &vec![[&largest; 2]; count])
                .unwrap();
        }
        let components = sum.into_components();
        // (-1)(-1) each.
        for (component, expected) in components.iter().zip([5137, 2 * 5137, 5137]) {
            assert!(component.residues(0).iter().all(|&r| r == expected), "{backend:?}");
        }
    }
}

#[test]
fn the_last_terms_may_fill_the_sums() {
    for backend in Backend::available() {
        let basis = basis(64, 50, 1, backend);
        let mut largest = Poly::zero(&basis);
        largest.residues_mut(0).fill(basis.moduli()[0].value() - 1);
        for (before, last) in [(504, 8), (505, 8), (511, 2), (0, 512), (0, 513), (1, 1100)] {
            let mut sum = TensorSum::zero(&basis);
            sum.add_products(&vec![[&largest; 2]; before], &vec![[&largest; 2]; before])
                .unwrap();
            let (left, right) = (vec![[&largest; 2]; last], vec![[&largest; 2]; last]);
            let [c0, c1, c2] = sum.into_components_with(&left, &right).unwrap();
            let all = (before + last) as u64;
            for (component, expected) in [(c0, all), (c1, 2 * all), (c2, all)] {
                assert!(
                    component.residues(0).iter().all(|&r| r == expected),
                    "{backend:?} {before} {last}"
                );
            }
        }
    }
}

#[test]
fn other_bases_and_lonely_factors_are_refused() {
    let (here, there) = (basis(64, 50, 1, Backend::detect()), basis(64, 40, 1, Backend::detect()));
    let (a, b) = (Poly::zero(&here), Poly::zero(&there));
    let mut sum = TensorSum::zero(&here);
    assert!(matches!(
        sum.add_products(&[[&a; 2]], &[]),
        Err(RingError::Length {
            expected: 1,
            actual: 0,
            ..
        })
    ));
    assert!(matches!(
        sum.add_products(&[[&a; 2]], &[[&a, &b]]),
        Err(RingError::BasisMismatch { .. })
    ));
    assert!(matches!(
        TensorSum::zero(&here).into_components_with(&[[&a; 2]], &[[&a, &b]]),
        Err(RingError::BasisMismatch { .. })
    ));
    assert!(sum.into_components().iter().all(|c| *c == Poly::zero(&here)));
}
