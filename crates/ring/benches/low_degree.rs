//! The products of one batch on a 784 x 128 matrix in stride layout (60 rows, N = 2048 with blocks of 16 / B inputs, one 50-bit prime), one
//! thread: forward products and updates for B rows to a delta.
//!
//! `cargo bench -p cloven-ring --bench low_degree`

use cloven_ring::low_degree::{Argument, Factors, LowDegreeProduct, Shape};
use cloven_ring::{Backend, NttPlan, ntt_primes};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::time::Duration;

const DEGREE: usize = 2048;
const ROWS: usize = 60;
const INPUTS: usize = 784;

fn products(c: &mut Criterion) {
    let q = ntt_primes(50, DEGREE, 1).expect("there are 50-bit primes")[0];
    let word = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 15;
    for (name, argument) in [("forward", Argument::Inverse), ("update", Argument::Plain)] {
        let mut group = c.benchmark_group(format!("low degree/{name}"));
        group
            .sample_size(20)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(1));
        for samples in [1, 2, 4, 8, 16] {
            let blocks = INPUTS * samples / 16;
            let shape = match argument {
                Argument::Inverse => Shape {
                    outputs: ROWS,
                    terms: blocks,
                    coefficients: 16 / samples,
                },
                Argument::Plain => Shape {
                    outputs: blocks,
                    terms: ROWS.div_ceil(samples),
                    coefficients: 16,
                },
            };
            let inputs: Vec<u64> = (0..2 * shape.terms * DEGREE).map(|i| word(i) % q.value()).collect();
            let halves: Vec<&[u64]> = inputs.chunks_exact(DEGREE).collect();
            let inputs = halves.as_chunks::<2>().0;
            let factors = Factors::new(&q, shape, |i, t, c| word(i + 70 * t + 7000 * c) % q.value()).expect("sound");
            let mut outputs = vec![0; 2 * shape.outputs * DEGREE];
            for backend in Backend::available() {
                let plan = NttPlan::with_backend(DEGREE, q, backend).expect("the backend is available");
                let product = LowDegreeProduct::new(&plan).expect("long enough");
                group.bench_function(BenchmarkId::new(backend.name(), samples), |b| {
                    b.iter(|| {
                        let (mut halves, _) = outputs.as_chunks_mut::<{ 2 * DEGREE }>();
                        let mut pairs = Vec::with_capacity(shape.outputs);
                        while let Some((pair, rest)) = halves.split_first_mut() {
                            let (left, right) = pair.split_at_mut(DEGREE);
                            pairs.push([left, right]);
                            halves = rest;
                        }
                        product.add_assign(&factors, argument, 0, inputs, &mut pairs).expect("sound");
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
