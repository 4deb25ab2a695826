//! Every backend against the scalar one, the scalar one against schoolbook products.

#![allow(clippy::unwrap_used)]

use cloven_ring::{Backend, Modulus, NttPlan, RingError, Runs, ntt_primes};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const DEGREES: [usize; 15] = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768];

/// The sizes of primes worth a try at a degree: the smallest that exist, some between and the largest allowed.
fn primes(degree: usize) -> Vec<Modulus> {
    let fewest = (2 * degree).ilog2() + 3;
    [fewest.max(6), 30, 36, 49, 50]
        .iter()
        .filter_map(|&bits| ntt_primes(bits, degree, 1).ok())
        .map(|p| p[0])
        .collect()
}

fn random(degree: usize, q: &Modulus, seed: u64) -> Vec<u64> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    (0..degree).map(|_| rng.next_u64() % q.value()).collect()
}

/// Random words among which 0 and q - 1 are common.
fn extreme(degree: usize, q: &Modulus, seed: u64) -> Vec<u64> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let word = |r: u64| [0, q.value() - 1, r % q.value()][(r >> 60) as usize % 3];
    (0..degree).map(|_| word(rng.next_u64())).collect()
}

fn schoolbook(a: &[u64], b: &[u64], q: &Modulus) -> Vec<u64> {
    let n = a.len();
    let mut c = vec![0; n];
    for (i, &x) in a.iter().enumerate() {
        for (j, &y) in b.iter().enumerate() {
            let xy = (u128::from(x) * u128::from(y) % u128::from(q.value())) as u64;
            let k = (i + j) % n;
            c[k] = if i + j < n { q.add(c[k], xy) } else { q.sub(c[k], xy) };
        }
    }
    c
}

fn transformed(plan: &NttPlan, values: &[u64]) -> Vec<u64> {
    let mut out = values.to_vec();
    plan.forward(&mut out);
    out
}

fn slotwise(a: &[u64], b: &[u64], q: &Modulus) -> Vec<u64> {
    a.iter().zip(b).map(|(&a, &b)| q.mul(a, b)).collect()
}

#[test]
fn every_backend_equals_the_scalar_one_and_inverts() {
    for degree in DEGREES {
        for q in primes(degree) {
            let scalar = NttPlan::with_backend(degree, q, Backend::Scalar).unwrap();
            for backend in Backend::available() {
                let plan = NttPlan::with_backend(degree, q, backend).unwrap();
                let constant = |v| vec![v; degree];
                let inputs = [
                    random(degree, &q, 1),
                    extreme(degree, &q, 2),
                    constant(0),
                    constant(q.value() - 1),
                ];
                for input in inputs {
                    let out = transformed(&plan, &input);
                    assert_eq!(out, transformed(&scalar, &input), "{backend:?} N={degree} q={}", q.value());
                    let mut back = out;
                    plan.inverse(&mut back);
                    assert_eq!(back, input, "{backend:?} N={degree} q={}", q.value());
                }
            }
        }
    }
}

#[test]
fn inverse_of_arbitrary_evaluations_equals_the_scalar_one() {
    for degree in DEGREES {
        for q in primes(degree) {
            let input = extreme(degree, &q, 3);
            let mut expected = input.clone();
            NttPlan::with_backend(degree, q, Backend::Scalar)
                .unwrap()
                .inverse(&mut expected);
            for backend in Backend::available() {
                let mut out = input.clone();
                NttPlan::with_backend(degree, q, backend).unwrap().inverse(&mut out);
                assert_eq!(out, expected, "{backend:?} N={degree} q={}", q.value());
            }
        }
    }
}

#[test]
fn slots_are_the_documented_evaluations() {
    for degree in [2, 8, 16, 64] {
        let q = ntt_primes(50, degree, 1).unwrap()[0];
        let plan = NttPlan::new(degree, q).unwrap();
        let input = random(degree, &q, 4);
        let out = transformed(&plan, &input);
        for (j, &value) in out.iter().enumerate() {
            let reversed = j.reverse_bits() >> (usize::BITS - degree.ilog2());
            let point = q.pow(plan.root(), 2 * reversed as u64 + 1);
            let horner = input.iter().rev().fold(0, |sum, &c| q.add(q.mul(sum, point), c));
            assert_eq!(value, horner);
        }
    }
}

#[test]
fn the_subring_has_constant_blocks_given_by_the_short_transform() {
    for (degree, classes) in [(2048, 16), (2048, 32), (1024, 2), (64, 64), (4096, 8)] {
        for backend in Backend::available() {
            let width = degree / classes;
            let q = ntt_primes(50, degree, 1).unwrap()[0];
            let plan = NttPlan::with_backend(degree, q, backend).unwrap();
            let coefficients = random(classes, &q, 5);
            let constants = transformed(&plan.subring(classes).unwrap(), &coefficients);
            let (mut upward, mut downward) = (vec![0; degree], vec![0; degree]);
            for (b, &c) in coefficients.iter().enumerate() {
                upward[b * width] = c;
                // X^-t = -X^(N-t)
                downward[(degree - b * width) % degree] = if b == 0 { c } else { q.neg(c) };
            }
            let (upward, downward) = (transformed(&plan, &upward), transformed(&plan, &downward));
            for class in 0..classes {
                let block = class * width..(class + 1) * width;
                assert!(upward[block.clone()].iter().all(|&v| v == constants[class]));
                assert!(downward[block].iter().all(|&v| v == constants[classes - 1 - class]));
            }
        }
    }
}

#[test]
fn refusals() {
    let q = ntt_primes(50, 2048, 1).unwrap()[0];
    assert_eq!(
        NttPlan::new(24, q).unwrap_err(),
        RingError::Degree {
            min: 2,
            max: 32768,
            actual: 24
        }
    );
    assert_eq!(
        NttPlan::new(65536, q).unwrap_err(),
        RingError::Degree {
            min: 2,
            max: 32768,
            actual: 65536
        }
    );
    let small = Modulus::new(97).unwrap();
    assert_eq!(
        NttPlan::new(32, small).unwrap_err(),
        RingError::NoRoot {
            modulus: 97,
            order: 64,
            actual: 33
        }
    );
    let plan = NttPlan::new(2048, q).unwrap();
    assert_eq!(
        plan.subring(4096).unwrap_err(),
        RingError::Degree {
            min: 2,
            max: 2048,
            actual: 4096
        }
    );
}

proptest! {
    #[test]
    fn products_equal_schoolbook(log_degree in 1u32..9, bits in 12u32..51, seed: u64, hard: bool) {
        let degree = 1 << log_degree;
        let Ok(found) = ntt_primes(bits, degree, 1) else { return Ok(()) };
        let q = found[0];
        let make = if hard { extreme } else { random };
        let (a, b) = (make(degree, &q, seed), make(degree, &q, !seed));
        let expected = schoolbook(&a, &b, &q);
        for backend in Backend::available() {
            let plan = NttPlan::with_backend(degree, q, backend).unwrap();
            let mut product = slotwise(&transformed(&plan, &a), &transformed(&plan, &b), &q);
            plan.inverse(&mut product);
            prop_assert_eq!(&product, &expected);
        }
    }
}

#[test]
fn some_coefficients_are_those_of_the_whole_inverse() {
    for degree in DEGREES {
        let q = primes(degree)[0];
        let strides = (0..=degree.ilog2()).map(|log| 1 << log);
        for stride in strides {
            let runs = [
                0..stride,
                0..1,
                stride - 1..stride,
                stride / 4 * 3..stride,
                stride / 3..stride / 2,
                0..0,
            ];
            for run in runs {
                let input = extreme(degree, &q, stride as u64);
                let mut expected = input.clone();
                NttPlan::with_backend(degree, q, Backend::Scalar)
                    .unwrap()
                    .inverse(&mut expected);
                let others = expected.iter_mut().enumerate().filter(|(k, _)| !run.contains(&(k % stride)));
                others.for_each(|(_, coefficient)| *coefficient = 0);
                for backend in Backend::available() {
                    let mut out = input.clone();
                    let plan = NttPlan::with_backend(degree, q, backend).unwrap();
                    plan.inverse_runs(&mut out, &Runs::new(stride, run.clone()).unwrap());
                    assert_eq!(out, expected, "{backend:?} N={degree} stride {stride} run {run:?}");
                }
            }
        }
    }
    assert_eq!(Runs::new(1, 0..1).unwrap(), Runs::all());
    #[allow(clippy::reversed_empty_ranges)]
    let reversed = 5..3;
    for (stride, run) in [(12, 0..3), (8, 0..9), (1 << 20, 0..1), (8, reversed)] {
        assert!(Runs::new(stride, run.clone()).is_err(), "{stride} {run:?}");
    }
}
