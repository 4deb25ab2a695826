//! Every backend against a 128-bit oracle, over shapes that fill no register block.

#![allow(clippy::unwrap_used)]

use cloven_ring::product::{Classes, MatrixProduct, Scalars, Shape};
use cloven_ring::{Backend, Modulus, NttPlan, RingError, ntt_primes};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

#[derive(Clone, Debug)]
struct Case {
    q: Modulus,
    shape: Shape,
    slots: usize,
    scalars: Vec<u64>,
    inputs: Vec<Vec<u64>>,
    former: Vec<Vec<u64>>,
}

/// How the words of a case are drawn.
#[derive(Clone, Copy, Debug)]
enum Fill {
    Random,
    Largest,
    Extremes,
}

fn case(q: Modulus, shape: Shape, width: usize, fill: Fill, seed: u64) -> Case {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut word = || match fill {
        Fill::Random => rng.next_u64() % q.value(),
        Fill::Largest => q.value() - 1,
        Fill::Extremes => [0, q.value() - 1, rng.next_u64() % q.value()][rng.next_u64() as usize % 3],
    };
    let slots = width * shape.classes;
    let mut polynomials = |count| {
        (0..count)
            .map(|_| (0..slots).map(|_| word()).collect())
            .collect::<Vec<Vec<u64>>>()
    };
    let (inputs, former) = (polynomials(shape.terms), polynomials(shape.outputs));
    let scalars = (0..shape.outputs * shape.terms * shape.classes).map(|_| word()).collect();
    Case {
        q,
        shape,
        slots,
        scalars,
        inputs,
        former,
    }
}

impl Case {
    /// `scalar(output, term, class)` into the array is the layout under test.
    fn expected(&self, add: bool, scalar: impl Fn(usize, usize, usize) -> usize) -> Vec<Vec<u64>> {
        let width = self.slots / self.shape.classes;
        let one = |i: usize, slot: usize| {
            let former = if add { u128::from(self.former[i][slot]) } else { 0 };
            let sum = (0..self.shape.terms).fold(former, |sum, t| {
                sum + u128::from(self.scalars[scalar(i, t, slot / width)]) * u128::from(self.inputs[t][slot])
            });
            (sum % u128::from(self.q.value())) as u64
        };
        (0..self.shape.outputs)
            .map(|i| (0..self.slots).map(|slot| one(i, slot)).collect())
            .collect()
    }

    fn run(&self, backend: Backend, scalars: &Scalars, add: bool) -> Vec<Vec<u64>> {
        let product = MatrixProduct::with_backend(backend).unwrap();
        let mut outputs = self.former.clone();
        let inputs: Vec<&[u64]> = self.inputs.iter().map(Vec::as_slice).collect();
        let mut slices: Vec<&mut [u64]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        match add {
            true => product.add_assign(scalars, &inputs, &mut slices).unwrap(),
            false => product.assign(scalars, &inputs, &mut slices).unwrap(),
        }
        outputs
    }

    fn check(&self) {
        let Shape { outputs, terms, classes } = self.shape;
        let by_output = |i, t, c| (i * terms + t) * classes + classes - 1 - c;
        let by_term = |i, t, c| (t * outputs + i) * classes + c;
        let forward = Scalars::by_output(&self.q, self.shape, Classes::Mirrored, &self.scalars).unwrap();
        let update = Scalars::by_term(&self.q, self.shape, Classes::Natural, &self.scalars).unwrap();
        for add in [false, true] {
            let (first, second) = (self.expected(add, by_output), self.expected(add, by_term));
            for backend in Backend::available() {
                assert_eq!(self.run(backend, &forward, add), first, "{backend:?} {:?}", self.shape);
                assert_eq!(self.run(backend, &update, add), second, "{backend:?} {:?}", self.shape);
            }
        }
    }
}

#[test]
fn the_shape_of_the_linear_core() {
    let q = ntt_primes(50, 2048, 1).unwrap()[0];
    case(
        q,
        Shape {
            outputs: 60,
            terms: 49,
            classes: 16,
        },
        128,
        Fill::Random,
        1,
    )
    .check();
}

#[test]
fn as_many_of_the_largest_terms_as_the_accumulators_hold() {
    for bits in [13, 37, 50] {
        let q = ntt_primes(bits, 16, 1).unwrap()[0];
        for fill in [Fill::Largest, Fill::Random] {
            case(
                q,
                Shape {
                    outputs: 2,
                    terms: 4096,
                    classes: 2,
                },
                8,
                fill,
                2,
            )
            .check();
        }
    }
}

#[test]
fn it_is_the_product_of_the_polynomials() {
    // y = W * x(X^-nw) in the ring, one sample and one block.
    let (degree, classes) = (256, 8);
    let q = ntt_primes(50, degree, 1).unwrap()[0];
    let plan = NttPlan::new(degree, q).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let x: Vec<u64> = (0..classes).map(|_| rng.next_u64() % q.value()).collect();
    let mut weights: Vec<u64> = (0..degree).map(|_| rng.next_u64() % q.value()).collect();
    plan.forward(&mut weights);

    let mut constants = x.clone();
    plan.subring(classes).unwrap().forward(&mut constants);
    let shape = Shape {
        outputs: 1,
        terms: 1,
        classes,
    };
    let scalars = Scalars::by_output(&q, shape, Classes::Mirrored, &constants).unwrap();
    let mut y = vec![0; degree];
    MatrixProduct::new().assign(&scalars, &[&weights], &mut [&mut y]).unwrap();

    let mut factor = vec![0; degree];
    for (b, &value) in x.iter().enumerate() {
        factor[(degree - b * degree / classes) % degree] = if b == 0 { value } else { q.neg(value) };
    }
    plan.forward(&mut factor);
    let expected: Vec<u64> = weights.iter().zip(&factor).map(|(&w, &f)| q.mul(w, f)).collect();
    assert_eq!(y, expected);
}

#[test]
fn refusals() {
    let q = ntt_primes(50, 16, 1).unwrap()[0];
    let shape = Shape {
        outputs: 2,
        terms: 3,
        classes: 4,
    };
    let pack = |shape, values: &[u64]| Scalars::by_output(&q, shape, Classes::Natural, values);
    let length = |what, expected, actual| RingError::Length { what, expected, actual };
    assert_eq!(pack(shape, &[0; 23]).unwrap_err(), length("scalars of a product", 24, 23));
    let mut values = [0; 24];
    values[7] = q.value();
    let residue = RingError::Residue {
        index: 7,
        modulus: q.value(),
        actual: q.value(),
    };
    assert_eq!(pack(shape, &values).unwrap_err(), residue);
    let long = Shape {
        outputs: 1,
        terms: 4097,
        classes: 1,
    };
    assert_eq!(
        pack(long, &[0; 4097]).unwrap_err(),
        RingError::TooManyTerms { max: 4096, actual: 4097 }
    );
    assert!(matches!(
        pack(Shape { outputs: 0, ..shape }, &[]).unwrap_err(),
        RingError::Shape { .. }
    ));

    let scalars = pack(shape, &[1; 24]).unwrap();
    let (product, input) = (MatrixProduct::new(), [0; 16].as_slice());
    let (mut one, mut two, mut short) = ([0; 16], [0; 16], [0; 12]);
    let result = product.assign(&scalars, &[input; 2], &mut [&mut one, &mut two]);
    assert_eq!(result.unwrap_err(), length("inputs of a product", 3, 2));
    let result = product.assign(&scalars, &[input; 3], &mut [&mut one, &mut short]);
    assert_eq!(result.unwrap_err(), length("an output of a product", 16, 12));
    let result = product.assign(&scalars, &[&input[..14]; 3], &mut [&mut one, &mut two]);
    assert!(matches!(result.unwrap_err(), RingError::Shape { actual: 14, .. }));
}

proptest! {
    #[test]
    fn every_shape(
        (outputs, terms, classes, width) in (1usize..15, 1usize..20, 1usize..5, 1usize..40),
        bits in 6u32..51,
        fill in prop_oneof![Just(Fill::Random), Just(Fill::Largest), Just(Fill::Extremes)],
        seed: u64,
    ) {
        let q = ntt_primes(bits, 2, 1).unwrap()[0];
        case(q, Shape { outputs, terms, classes }, width, fill, seed).check();
    }
}
