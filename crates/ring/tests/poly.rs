//! Polynomials over several primes against per-residue arithmetic, on every backend.

#![allow(clippy::unwrap_used)]

use cloven_ring::{Backend, BlockConstant, Coefficients, Domain, Evaluations, Poly, RingError, RnsBasis, ntt_primes, sample};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zeroize::Zeroize;

fn basis(degree: usize, primes: usize, backend: Backend) -> RnsBasis {
    RnsBasis::with_backend(degree, &ntt_primes(50, degree, primes).unwrap(), backend).unwrap()
}

fn all_residues<D: Domain>(poly: &Poly<D>) -> Vec<u64> {
    (0..poly.basis().moduli().len())
        .flat_map(|i| poly.residues(i).to_vec())
        .collect()
}

/// Uniform residues with many 0 and q - 1 among them.
fn extreme<D: Domain>(basis: &RnsBasis, seed: u64) -> Poly<D> {
    let mut poly: Poly<D> = sample::uniform(&mut ChaCha20Rng::seed_from_u64(seed), basis);
    for (i, q) in basis.moduli().iter().enumerate() {
        for r in poly.residues_mut(i) {
            *r = [*r, 0, q.value() - 1][*r as usize % 3];
        }
    }
    poly
}

proptest! {
    #[test]
    fn operations_are_those_of_the_residues(log_degree in 1u32..8, primes in 1usize..4, seed: u64) {
        for backend in Backend::available() {
            let basis = basis(1 << log_degree, primes, backend);
            let [a, b, c]: [Poly<Evaluations>; 3] = [1, 2, 3].map(|i| extreme(&basis, seed ^ i));
            let factors: Vec<u64> = (0..primes).map(|i| b.residues(i)[0]).collect();
            let expect = |poly: Poly<Evaluations>, op: &dyn Fn(usize, usize) -> u64| {
                for i in 0..primes {
                    let expected: Vec<u64> = (0..basis.degree()).map(|j| op(i, j)).collect();
                    assert_eq!(poly.residues(i), expected, "{backend:?}");
                }
            };
            let q = basis.moduli();
            let changed = |change: &dyn Fn(&mut Poly<Evaluations>)| { let mut p = a.clone(); change(&mut p); p };
            let at = |p: &Poly<Evaluations>, i: usize, j: usize| p.residues(i)[j];
            expect(changed(&|p| p.add_assign(&b).unwrap()), &|i, j| q[i].add(at(&a, i, j), at(&b, i, j)));
            expect(changed(&|p| p.sub_assign(&b).unwrap()), &|i, j| q[i].sub(at(&a, i, j), at(&b, i, j)));
            expect(changed(&|p| p.neg_assign()), &|i, j| q[i].neg(at(&a, i, j)));
            expect(changed(&|p| p.mul_assign(&b).unwrap()), &|i, j| q[i].mul(at(&a, i, j), at(&b, i, j)));
            expect(changed(&|p| b.mul_into(&c, p).unwrap()), &|i, j| q[i].mul(at(&b, i, j), at(&c, i, j)));
            expect(changed(&|p| p.scale_assign(&factors).unwrap()), &|i, j| q[i].mul(at(&a, i, j), factors[i]));
            let sum = |i: usize, j| q[i].add(at(&a, i, j), q[i].mul(at(&b, i, j), at(&c, i, j)));
            expect(changed(&|p| p.mul_add_assign(&b, &c).unwrap()), &sum);
            prop_assert_eq!(&a.clone().into_coefficients().into_evaluations(), &a);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn block_products_are_those_of_all_slots(log_degree in 1u32..8, log_width in 0u32..8, primes in 1usize..4, terms in 0usize..20, seed: u64) {
        for backend in Backend::available() {
            let basis = basis(1 << log_degree, primes, backend);
            let width = 1 << log_width.min(log_degree);
            let polys: Vec<Poly<Evaluations>> = (0..2 * terms as u64).map(|i| extreme(&basis, seed ^ i)).collect();
            let (lefts, rights) = polys.split_at(terms);
            let mut expected = Poly::zero(&basis);
            let mut blocks = Vec::new();
            for (left, right) in lefts.iter().zip(rights) {
                // The first slot of each block, all over it.
                let words: Vec<u64> = all_residues(left).into_iter().step_by(width).collect();
                let all: Vec<u64> = words.iter().flat_map(|&word| vec![word; width]).collect();
                expected.mul_add_assign(&Poly::from_residues(&basis, &all).unwrap(), right).unwrap();
                blocks.push(BlockConstant::new(&basis, width, words).unwrap());
            }
            let pairs: Vec<_> = blocks.iter().zip(rights).collect();
            prop_assert!(Poly::sum_of_block_products(&basis, &pairs).unwrap() == expected);
        }
    }
}

#[test]
fn block_products_have_any_number_of_terms_and_one_basis() {
    for backend in Backend::available() {
        let basis = basis(16, 2, backend);
        let largest: Vec<u64> = basis.moduli().iter().flat_map(|q| [q.value() - 1; 2]).collect();
        let all: Vec<u64> = basis.moduli().iter().flat_map(|q| [q.value() - 1; 16]).collect();
        let (block, poly) = (
            BlockConstant::new(&basis, 8, largest.clone()).unwrap(),
            Poly::<Evaluations>::from_residues(&basis, &all).unwrap(),
        );
        // (-1) (-1), so many times.
        let sum = Poly::sum_of_block_products(&basis, &[(&block, &poly); 5000]).unwrap();
        assert!(all_residues(&sum).iter().all(|&residue| residue == 5000));
        let other = self::basis(16, 1, backend);
        let mismatch = Poly::sum_of_block_products(&other, &[(&block, &poly)]);
        assert!(matches!(mismatch, Err(RingError::BasisMismatch { .. })));
        assert!(matches!(
            BlockConstant::new(&basis, 3, largest.clone()),
            Err(RingError::Shape { .. })
        ));
        assert!(matches!(
            BlockConstant::new(&basis, 4, largest.clone()),
            Err(RingError::Length { .. })
        ));
        let wrong = [&largest[..3], &[basis.moduli()[1].value()]].concat();
        assert!(matches!(BlockConstant::new(&basis, 8, wrong), Err(RingError::Residue { .. })));
    }
}

#[test]
fn small_coefficients_come_back_from_a_product() {
    let basis = basis(64, 2, Backend::detect());
    let (mut a, mut b) = ([0; 64], [0; 64]);
    (a[63], a[0], b[1], b[2]) = (5, -7, -3, 2);
    let mut product = Poly::from_signed(&basis, &a).unwrap().into_evaluations();
    product
        .mul_assign(&Poly::from_signed(&basis, &b).unwrap().into_evaluations())
        .unwrap();
    let product = product.into_coefficients();
    for (i, q) in basis.moduli().iter().enumerate() {
        // (5 X^63 - 7)(-3 X + 2 X^2) = 15 + 21 X - 10 X - 14 X^2
        let found: Vec<i64> = product.residues(i).iter().map(|&r| q.centred(r)).collect();
        assert_eq!(found[..3], [15, 11, -14]);
        assert!(found[3..].iter().all(|&c| c == 0));
    }
}

#[test]
fn residues_survive_a_round_trip_and_bad_ones_are_refused() {
    let basis = basis(32, 2, Backend::detect());
    let poly: Poly<Coefficients> = extreme(&basis, 1);
    let mut residues = all_residues(&poly);
    assert_eq!(Poly::<Coefficients>::from_residues(&basis, &residues).unwrap(), poly);
    assert_eq!(
        Poly::<Coefficients>::from_residues(&basis, &residues[..63]).unwrap_err(),
        RingError::Length {
            what: "residues",
            expected: 64,
            actual: 63
        }
    );
    let q = basis.moduli()[1].value();
    residues[40] = q;
    assert_eq!(
        Poly::<Coefficients>::from_residues(&basis, &residues).unwrap_err(),
        RingError::Residue {
            index: 8,
            modulus: q,
            actual: q
        }
    );
    assert!(matches!(
        Poly::from_signed(&basis, &[0; 31]).unwrap_err(),
        RingError::Length { actual: 31, .. }
    ));
}

#[test]
fn polynomials_of_different_bases_do_not_meet() {
    let (one, two) = (basis(32, 1, Backend::detect()), basis(32, 2, Backend::detect()));
    let mut a = Poly::<Evaluations>::zero(&one);
    let b = Poly::<Evaluations>::zero(&two);
    let refused = |result: Result<(), RingError>| assert!(matches!(result.unwrap_err(), RingError::BasisMismatch { .. }));
    refused(a.add_assign(&b));
    refused(a.sub_assign(&b));
    refused(a.mul_assign(&b));
    refused(a.clone().mul_into(&b, &mut a));
    refused(a.mul_add_assign(&b, &b));
    // The first primes of a longer basis.
    let wider = Poly::from_residues(&two, &[5; 64]).unwrap();
    let mut product = Poly::from_residues(&one, &[3; 32]).unwrap();
    product.mul_assign_by_wider(&wider).unwrap();
    assert_eq!(all_residues::<Evaluations>(&product), [15; 32]);
    product.mul_assign_by_wider(&product.clone()).unwrap();
    assert_eq!(all_residues(&product), [225; 32]);
    refused(wider.clone().mul_assign_by_wider(&product));
    refused(product.mul_assign_by_wider(&Poly::zero(&basis(64, 2, Backend::detect()))));
    // The same degree and primes built twice, for another backend: the same basis.
    a.add_assign(&Poly::zero(&basis(32, 1, Backend::Scalar))).unwrap();
}

#[test]
fn a_basis_has_distinct_primes_that_fit_the_degree() {
    let q = ntt_primes(50, 32, 2).unwrap();
    assert_eq!(RnsBasis::new(32, &[]).unwrap_err(), RingError::NoPrimes);
    let repeated = RnsBasis::new(32, &[q[0], q[1], q[0]]).unwrap_err();
    assert_eq!(repeated, RingError::RepeatedPrime { actual: q[0].value() });
    assert!(matches!(
        RnsBasis::new(48, &q).unwrap_err(),
        RingError::Degree { actual: 48, .. }
    ));
    assert!(matches!(
        RnsBasis::new(32768, &q).unwrap_err(),
        RingError::NoRoot { order: 65536, .. }
    ));
}

#[test]
fn a_secret_is_not_shown_and_can_be_wiped() {
    let basis = basis(32, 1, Backend::detect());
    let mut secret: Poly<Coefficients> = extreme(&basis, 2);
    let shown = format!("{secret:?}");
    assert_eq!(
        shown,
        format!("Poly(coefficients, N=32 primes=[{}])", basis.moduli()[0].value())
    );
    secret.zeroize();
    assert_eq!(secret, Poly::zero(&basis));
    assert!(matches!(
        secret.scale_assign(&[]).unwrap_err(),
        RingError::Length { what: "factors", .. }
    ));
    assert!(matches!(
        secret.scale_assign(&[u64::MAX]).unwrap_err(),
        RingError::Residue { .. }
    ));
}

proptest! {
    #[test]
    fn multiples_of_integers_are_those_of_wide_arithmetic(
        mut integers in proptest::collection::vec(any::<i64>(), 0..40), factor in any::<u64>(), bits in 10u32..=50,
    ) {
        integers.extend([0, 1, -1, i64::MAX, i64::MIN]);
        for backend in Backend::available() {
            let basis = RnsBasis::with_backend(16, &ntt_primes(bits, 16, 1).unwrap(), backend).unwrap();
            let q = basis.moduli()[0].value();
            for factor in [factor % q, 0, 1, q - 1] {
                let mut residues = vec![0; integers.len()];
                basis.multiples_of(0, factor, &integers, &mut residues).unwrap();
                for (&residue, &integer) in residues.iter().zip(&integers) {
                    prop_assert_eq!(i128::from(residue), (i128::from(integer) * i128::from(factor)).rem_euclid(q.into()));
                }
            }
            let short = basis.multiples_of(0, 1, &integers, &mut [0; 2]);
            prop_assert_eq!(short.unwrap_err().to_string(), format!("residues of integers: expected {} words, got 2", integers.len()));
        }
    }
}
