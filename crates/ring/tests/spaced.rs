//! Every backend against the whole product, over spacings and numbers of terms that fill no register block.

#![allow(clippy::unwrap_used)]

use cloven_ring::{Backend, Coefficients, Evaluations, Poly, RingError, RnsBasis, SpacedProduct, ntt_primes};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

fn polynomials(basis: &RnsBasis, count: usize, largest: bool, seed: u64) -> Vec<Poly<Evaluations>> {
    let (mut rng, q) = (ChaCha20Rng::seed_from_u64(seed), basis.moduli()[0].value());
    let mut word = || if largest { q - 1 } else { rng.next_u64() % q };
    let mut one = || (0..basis.degree()).map(|_| word()).collect::<Vec<u64>>();
    (0..count).map(|_| Poly::from_residues(basis, &one()).unwrap()).collect()
}

/// Every D-th coefficient of sum_t left_t right_t, from the whole product.
fn expected(left: &[Poly<Evaluations>], right: &[Poly<Evaluations>], spacing: usize) -> Vec<u64> {
    let mut sum = Poly::zero(left[0].basis());
    for (a, b) in left.iter().zip(right) {
        let mut product = a.clone();
        product.mul_assign(b).unwrap();
        sum.add_assign(&product).unwrap();
    }
    let sum: Poly<Coefficients> = sum.into_coefficients();
    sum.residues(0).iter().copied().step_by(spacing).collect()
}

fn words(polynomials: &[Poly<Evaluations>]) -> Vec<&[u64]> {
    polynomials.iter().map(|poly| poly.residues(0)).collect()
}

fn check(backend: Backend, [degree, spacing, terms, sums]: [usize; 4], bits: u32, largest: bool, seed: u64) {
    let basis = RnsBasis::with_backend(degree, &ntt_primes(bits, degree, 1).unwrap(), backend).unwrap();
    let product = SpacedProduct::new(&basis.plans()[0], spacing).unwrap();
    assert_eq!([product.spacing(), product.wanted()], [spacing, degree / spacing]);
    let left = polynomials(&basis, terms, largest, seed);
    let rights = polynomials(&basis, terms * sums, largest, seed ^ 1);
    // What stood there before is of no account.
    let mut wanted = vec![7; sums * degree / spacing];
    product.coefficients(&words(&left), &words(&rights), &mut wanted).unwrap();
    for (wanted, right) in wanted.chunks(degree / spacing).zip(rights.chunks(terms)) {
        assert_eq!(
            wanted,
            expected(&left, right, spacing),
            "{backend:?} {degree} {spacing} {terms}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_coefficients_are_those_of_the_product(
        log2_spacing in 3usize..8,
        log2_wanted in 1usize..5,
        terms in 1usize..6,
        sums in 1usize..7,
        bits in prop::sample::select(vec![30u32, 49, 50]),
        seed: u64,
    ) {
        let spacing = 1 << log2_spacing;
        for backend in Backend::available() {
            check(backend, [spacing << log2_wanted, spacing, terms, sums], bits, false, seed);
        }
    }
}

#[test]
fn sums_longer_than_a_word_holds_are_reduced_in_between() {
    for backend in Backend::available() {
        // 40 x 256 products, of the largest residues: 4,096 of them are the most at once.
        check(backend, [2048, 256, 40, 5], 50, true, 0);
        check(backend, [8192, 4096, 3, 2], 50, true, 0);
        check(backend, [32768, 4096, 2, 1], 50, false, 1);
    }
}

#[test]
fn wrong_shapes_are_refused() {
    let basis = RnsBasis::new(64, &ntt_primes(50, 64, 1).unwrap()).unwrap();
    for spacing in [0, 1, 4, 12, 64, 128] {
        let error = SpacedProduct::new(&basis.plans()[0], spacing).unwrap_err();
        assert!(
            matches!(error, RingError::Shape { actual, .. } if actual == spacing),
            "{error}"
        );
    }
    let product = SpacedProduct::new(&basis.plans()[0], 16).unwrap();
    let (words, short) = (vec![1; 64], vec![1; 63]);
    let length = |left: &[&[u64]], rights: &[&[u64]], wanted: usize| {
        let error = product.coefficients(left, rights, &mut vec![0; wanted]).unwrap_err();
        assert!(matches!(error, RingError::Length { .. }), "{error}");
    };
    length(&[&words], &[&words], 3);
    length(&[&words], &[&words], 8);
    length(&[&words, &words], &[&words], 4);
    length(&[&short], &[&words], 4);
    length(&[&words], &[&short], 4);
    // Without terms, the sum is zero.
    let mut wanted = vec![5; 8];
    product.coefficients(&[], &[], &mut wanted).unwrap();
    assert_eq!(wanted, vec![0; 8]);
}
