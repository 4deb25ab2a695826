//! Polynomials over several primes against per-residue arithmetic, on every backend.

#![allow(clippy::unwrap_used)]

use cloven_ring::{Backend, Coefficients, Domain, Evaluations, Poly, RingError, RnsBasis, ntt_primes, sample};
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
