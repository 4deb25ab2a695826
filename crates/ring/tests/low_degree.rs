//! Every backend against products of whole polynomials, over shapes that fill no register block; automorphisms against coefficients.

#![allow(clippy::unwrap_used)]

use cloven_ring::low_degree::{Argument, Factors, LANES, LowDegreeProduct, Shape};
use cloven_ring::{Automorphism, Backend, Coefficients, Modulus, NttPlan, Poly, RingError, RnsBasis, ntt_primes};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Random words among which 0 and q - 1 are common, or nothing but q - 1.
fn words(q: &Modulus, count: usize, seed: u64, largest: bool) -> Vec<u64> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut word = || [0, q.value() - 1, rng.next_u64() % q.value()][rng.next_u64() as usize % 3];
    (0..count).map(|_| if largest { q.value() - 1 } else { word() }).collect()
}

struct Case {
    plan: NttPlan,
    shape: Shape,
    argument: Argument,
    /// `[output][term][coefficient]`.
    factors: Vec<u64>,
    inputs: Vec<[Vec<u64>; 2]>,
    former: Vec<[Vec<u64>; 2]>,
}

impl Case {
    fn new(log2_degree: u32, bits: u32, shape: Shape, argument: Argument, seed: u64, largest: bool) -> Self {
        let degree = 1 << log2_degree;
        let q = ntt_primes(bits, degree, 1).unwrap()[0];
        let pair = |seed| [0, 1].map(|half| words(&q, degree, seed + half, largest));
        Self {
            plan: NttPlan::with_backend(degree, q, Backend::Scalar).unwrap(),
            shape,
            argument,
            factors: words(&q, shape.outputs * shape.terms * shape.coefficients, seed, largest),
            inputs: (0..shape.terms).map(|t| pair(seed + 10 + 2 * t as u64)).collect(),
            former: (0..shape.outputs).map(|i| pair(!seed - 2 * i as u64 - 2)).collect(),
        }
    }

    fn factor(&self, output: usize, term: usize, coefficient: usize) -> u64 {
        self.factors[(output * self.shape.terms + term) * self.shape.coefficients + coefficient]
    }

    /// By whole transforms.
    fn expected(&self) -> Vec<[Vec<u64>; 2]> {
        let (q, degree) = (self.plan.modulus(), self.plan.degree());
        let mut outputs = self.former.clone();
        for (i, output) in outputs.iter_mut().enumerate() {
            for (t, input) in self.inputs.iter().enumerate() {
                let mut factor = vec![0; degree];
                for c in 0..self.shape.coefficients {
                    match self.argument {
                        Argument::Inverse if c > 0 => factor[degree - c] = q.neg(self.factor(i, t, c)),
                        _ => factor[c] = self.factor(i, t, c),
                    }
                }
                self.plan.forward(&mut factor);
                for (output, input) in output.iter_mut().zip(input) {
                    let pairs = output.iter_mut().zip(factor.iter().zip(input));
                    pairs.for_each(|(sum, (&f, &x))| *sum = q.add(*sum, q.mul(f, x)));
                }
            }
        }
        outputs
    }

    /// In two calls where there are more outputs than lanes.
    fn run(&self, backend: Backend) -> Vec<[Vec<u64>; 2]> {
        let plan = NttPlan::with_backend(self.plan.degree(), *self.plan.modulus(), backend).unwrap();
        let product = LowDegreeProduct::new(&plan).unwrap();
        let factors = Factors::new(plan.modulus(), self.shape, |i, t, c| self.factor(i, t, c)).unwrap();
        let inputs: Vec<[&[u64]; 2]> = self.inputs.iter().map(|pair| pair.each_ref().map(Vec::as_slice)).collect();
        let mut outputs = self.former.clone();
        for (index, outputs) in outputs.chunks_mut(2 * LANES).enumerate() {
            let mut outputs: Vec<_> = outputs
                .iter_mut()
                .map(|pair| pair.each_mut().map(Vec::as_mut_slice))
                .collect();
            product
                .add_assign(&factors, self.argument, 2 * LANES * index, &inputs, &mut outputs)
                .unwrap();
        }
        outputs
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn every_backend_gives_the_products_of_whole_polynomials(
        log2_degree in 4u32..8, bits in 12u32..51, outputs in 1usize..20, terms in 1usize..5, log2 in 0u32..8, inverse: bool, seed: u64
    ) {
        let shape = Shape { outputs, terms, coefficients: 1 << log2.min(log2_degree) };
        let argument = if inverse { Argument::Inverse } else { Argument::Plain };
        let case = Case::new(log2_degree, bits, shape, argument, seed, false);
        let expected = case.expected();
        for backend in Backend::available() {
            prop_assert!(case.run(backend) == expected, "{:?}", backend);
        }
    }

    #[test]
    fn automorphisms_move_coefficients(log2_degree in 1u32..8, exponent in any::<u16>(), seed: u64) {
        let (degree, exponent) = (1usize << log2_degree, usize::from(exponent) | 1);
        let basis = RnsBasis::new(degree, &ntt_primes(40, degree, 2).unwrap()).unwrap();
        let coefficients: Vec<i64> = (0..degree).map(|i| (seed >> (i % 50)) as i64 & 0xfff).collect();
        let mut moved = vec![0; degree];
        for (i, c) in coefficients.iter().enumerate() {
            let at = i * exponent % (2 * degree);
            moved[at % degree] = if at < degree { *c } else { -c };
        }
        let poly = |c: &[i64]| Poly::<Coefficients>::from_signed(&basis, c).unwrap().into_evaluations();
        let automorphism = Automorphism::new(degree, exponent).unwrap();
        prop_assert!(poly(&coefficients).image(&automorphism).unwrap() == poly(&moved));
    }
}

#[test]
fn the_largest_sums_fit() {
    // More terms than one unreduced sum takes, of the largest residues.
    let shape = Shape {
        outputs: 2,
        terms: 4100,
        coefficients: 2,
    };
    let case = Case::new(4, 50, shape, Argument::Inverse, 1, true);
    let expected = case.expected();
    for backend in Backend::available() {
        assert!(case.run(backend) == expected, "{backend:?}");
    }
}

#[test]
fn refusals() {
    let q = ntt_primes(50, 64, 2).unwrap();
    let plan = NttPlan::new(64, q[0]).unwrap();
    let product = LowDegreeProduct::new(&plan).unwrap();
    assert!(LowDegreeProduct::new(&plan.subring(8).unwrap()).is_err());
    let shape = |outputs, terms, coefficients| Shape {
        outputs,
        terms,
        coefficients,
    };
    let make = |shape| Factors::new(&q[0], shape, |_, _, _| 1);
    for bad in [shape(0, 1, 1), shape(1, 0, 1), shape(1, 1, 0), shape(1, 1, 3)] {
        assert!(matches!(make(bad), Err(RingError::Shape { .. })), "{bad:?}");
    }
    let unreduced = Factors::new(&q[0], shape(1, 1, 1), |_, _, _| q[0].value());
    assert!(matches!(unreduced, Err(RingError::Residue { .. })));
    let (input, mut output, short) = (vec![0; 64], vec![0; 64], vec![0; 63]);
    let mut run = |factors: &Factors, first, inputs: &[[&[u64]; 2]]| {
        let (left, right) = output.split_at_mut(32);
        let mut whole = [left.to_vec().repeat(2), right.to_vec().repeat(2)];
        let mut outputs = [whole.each_mut().map(Vec::as_mut_slice)];
        product.add_assign(factors, Argument::Plain, first, inputs, &mut outputs)
    };
    let good = make(shape(9, 1, 4)).unwrap();
    assert_eq!(run(&good, 8, &[[&input, &input]]), Ok(()));
    for first in [4, 16] {
        assert!(matches!(run(&good, first, &[[&input, &input]]), Err(RingError::Shape { .. })));
    }
    assert!(matches!(run(&good, 0, &[[&input, &short]]), Err(RingError::Length { .. })));
    assert!(matches!(run(&good, 0, &[]), Err(RingError::Length { .. })));
    let long = make(shape(9, 1, 128)).unwrap();
    assert!(matches!(run(&long, 0, &[[&input, &input]]), Err(RingError::Shape { .. })));
    let other = Factors::new(&q[1], shape(9, 1, 4), |_, _, _| 1).unwrap();
    assert!(matches!(run(&other, 0, &[[&input, &input]]), Err(RingError::Shape { .. })));
    assert!(Automorphism::new(64, 2).is_err());
    assert!(Automorphism::new(48, 3).is_err());
}
