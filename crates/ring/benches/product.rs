//! The modular matrix product of the linear core for one batch of MNIST: 784 x 128 weights in 49 blocks, batch 60,
//! N = 2048 with 16 classes, one 50-bit prime, both components of the ciphertexts, one thread. And sums of 49 products of two ciphertexts.

use cloven_ring::product::{Classes, MatrixProduct, Scalars, Shape};
use cloven_ring::{Backend, Evaluations, Modulus, Poly, RnsBasis, TensorSum, ntt_primes};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::time::Duration;

const DEGREE: usize = 2048;
const FORWARD: Shape = Shape {
    outputs: 60,
    terms: 49,
    classes: 16,
};
const UPDATE: Shape = Shape {
    outputs: 49,
    terms: 60,
    classes: 16,
};

fn products(c: &mut Criterion) {
    let q = ntt_primes(50, DEGREE, 1).expect("there are 50-bit primes")[0];
    let values = words(&q, FORWARD.outputs * FORWARD.terms * FORWARD.classes);
    let (wide, narrow) = (words(&q, 2 * FORWARD.outputs * DEGREE), words(&q, 2 * FORWARD.terms * DEGREE));
    for (name, shape) in [("forward", FORWARD), ("update", UPDATE)] {
        let mut group = c.benchmark_group(format!("product/{name}"));
        group
            .sample_size(40)
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(3));
        let (inputs, outputs) = if name == "forward" {
            (&narrow, &wide)
        } else {
            (&wide, &narrow)
        };
        let inputs: Vec<&[u64]> = inputs.chunks_exact(DEGREE).collect();
        let mut outputs = outputs.clone();
        for backend in Backend::available() {
            let product = MatrixProduct::with_backend(backend).expect("the backend is available");
            group.bench_function(BenchmarkId::from_parameter(backend.name()), |b| {
                b.iter(|| both_components(&product, &q, shape, &values, &inputs, &mut outputs));
            });
        }
        group.finish();
    }
}

/// Packs the scalars and runs the product for c0 and for c1.
fn both_components(product: &MatrixProduct, q: &Modulus, shape: Shape, values: &[u64], inputs: &[&[u64]], out: &mut [u64]) {
    let forward = shape == FORWARD;
    let scalars = match forward {
        true => Scalars::by_output(q, shape, Classes::Mirrored, values),
        false => Scalars::by_term(q, shape, Classes::Natural, values),
    };
    let scalars = scalars.expect("the shape is sound");
    let mut out: Vec<&mut [u64]> = out.chunks_exact_mut(DEGREE).collect();
    for (inputs, out) in inputs.chunks_exact(shape.terms).zip(out.chunks_exact_mut(shape.outputs)) {
        let done = if forward {
            product.assign(&scalars, inputs, out)
        } else {
            product.add_assign(&scalars, inputs, out)
        };
        done.expect("the operands have the shape");
    }
}

fn words(q: &Modulus, count: usize) -> Vec<u64> {
    (1..=count as u64).map(|i| q.pow(3, i)).collect()
}

fn tensor(c: &mut Criterion) {
    let moduli = ntt_primes(50, DEGREE, 1).expect("there are 50-bit primes");
    let mut group = c.benchmark_group("product/49 tensors");
    group
        .sample_size(40)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    for backend in Backend::available() {
        let basis = RnsBasis::with_backend(DEGREE, &moduli, backend).expect("the backend is available");
        let poly = |residues: &[u64]| Poly::<Evaluations>::from_residues(&basis, residues).expect("reduced");
        let polys: Vec<Poly<Evaluations>> = words(&moduli[0], 4 * 49 * DEGREE).chunks(DEGREE).map(poly).collect();
        let pairs: Vec<[&Poly<Evaluations>; 2]> = polys.as_chunks().0.iter().map(|[a, b]| [a, b]).collect();
        group.bench_function(BenchmarkId::from_parameter(backend.name()), |b| {
            b.iter(|| {
                let mut sum = TensorSum::zero(&basis);
                sum.add_products(&pairs[..49], &pairs[49..]).expect("one basis");
                sum.into_components()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, products, tensor);
criterion_main!(benches);
