//! The modular matrix product of the linear core for one batch of MNIST: 784 x 128 weights in 49 blocks, batch 60, N = 2048 with 16
//! classes, one 50-bit prime, both components of the ciphertexts, one thread.

use cloven_ring::{
    Backend, Modulus, RingError, ntt_primes,
    product::{Classes, MatrixProduct, Scalars, Shape},
};

use crate::{multiply_add, row::Row, timing::medians};

const PART: &str = "product";
const DEGREE: usize = 2048;
const OUTPUTS: usize = 60;
const TERMS: usize = 49;
const CLASSES: usize = 16;
const TARGET_MS: f64 = 2.4;
/// Of eight lanes: two to a multiply-accumulate, for both polynomials.
const INSTRUCTIONS: f64 = (2 * 2 * OUTPUTS * TERMS * DEGREE / 8) as f64;

/// Milliseconds of the forward and the update product, and each as a multiple of what its multiply-adds alone take.
pub fn rows(rounds: usize) -> Result<Vec<Row>, RingError> {
    let q = ntt_primes(50, DEGREE, 1)?[0];
    let values = words(&q, OUTPUTS * TERMS * CLASSES);
    let wide = words(&q, 2 * OUTPUTS * DEGREE);
    let narrow = words(&q, 2 * TERMS * DEGREE);
    let kernel = MatrixProduct::new();
    let (mut y, mut w) = (wide.clone(), narrow.clone());
    let mut forward = || {
        let shape = shape(OUTPUTS, TERMS);
        let scalars = Scalars::by_output(&q, shape, Classes::Mirrored, &values).expect("the shape is sound");
        each_component(shape, &narrow, &mut y, |x, y| kernel.assign(&scalars, x, y));
    };
    let mut update = || {
        let shape = shape(TERMS, OUTPUTS);
        let scalars = Scalars::by_term(&q, shape, Classes::Natural, &values).expect("the shape is sound");
        each_component(shape, &wide, &mut w, |x, w| kernel.add_assign(&scalars, x, w));
    };
    let (seconds, floor) = match multiply_add::work() {
        Some(mut rate) => {
            let [forward, update, rate] = medians(rounds, [&mut forward, &mut update, &mut rate]);
            ([forward, update], Some(rate / multiply_add::INSTRUCTIONS * INSTRUCTIONS))
        }
        None => (medians(rounds, [&mut forward, &mut update]), None),
    };
    let named = ["forward", "update"].into_iter().zip(seconds);
    Ok(named.flat_map(|(name, seconds)| both(name, seconds, floor)).collect())
}

fn both(name: &str, seconds: f64, floor: Option<f64>) -> [Row; 2] {
    let what = format!("matrix product 60 x 49 x 128, {name}");
    let multiple = format!("the same over its IFMA instructions alone, {name}");
    let multiple = match floor {
        Some(floor) => Row::new(PART, multiple, seconds / floor, "").detail(format!(
            "{:.2} M instructions at {:.2} G/s: {:.3} ms",
            INSTRUCTIONS / 1e6,
            INSTRUCTIONS / floor / 1e9,
            floor * 1e3
        )),
        None => Row::not_measured(PART, multiple, "", "this machine has no AVX-512 IFMA"),
    };
    let backend = Backend::detect().name();
    [
        Row::new(PART, what, seconds * 1e3, "ms").at_most(TARGET_MS).detail(backend),
        multiple,
    ]
}

/// Runs a product for c0 and for c1.
fn each_component(
    shape: Shape,
    inputs: &[u64],
    outputs: &mut [u64],
    mut product: impl FnMut(&[&[u64]], &mut [&mut [u64]]) -> Result<(), RingError>,
) {
    let inputs: Vec<&[u64]> = inputs.chunks_exact(DEGREE).collect();
    let mut outputs: Vec<&mut [u64]> = outputs.chunks_exact_mut(DEGREE).collect();
    let components = inputs.chunks_exact(shape.terms).zip(outputs.chunks_exact_mut(shape.outputs));
    components.for_each(|(inputs, outputs)| product(inputs, outputs).expect("the operands have the shape"));
}

fn shape(outputs: usize, terms: usize) -> Shape {
    Shape {
        outputs,
        terms,
        classes: CLASSES,
    }
}

fn words(q: &Modulus, count: usize) -> Vec<u64> {
    (1..=count as u64).map(|i| q.pow(3, i)).collect()
}
