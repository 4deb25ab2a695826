//! The samplers and the operations of a polynomial that an encryption is made of: N = 2048, one 50-bit prime, ChaCha20.

use cloven_ring::{Backend, Evaluations, Poly, RnsBasis, ntt_primes, sample};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::time::Duration;

fn polynomials(c: &mut Criterion) {
    let moduli = ntt_primes(50, 2048, 1).expect("there are 50-bit primes");
    let mut group = c.benchmark_group("poly/2048");
    group
        .sample_size(40)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1000));
    for backend in Backend::available() {
        let basis = RnsBasis::with_backend(2048, &moduli, backend).expect("the backend is available");
        let name = |what| BenchmarkId::new(what, backend.name());
        let seeded = |byte| ChaCha20Rng::from_seed([byte; 32]);
        let mut rng = seeded(7);
        let (mut small, mut a): (_, Poly<Evaluations>) = (Poly::zero(&basis), sample::uniform(&mut rng, &basis));
        let b = a.clone();
        group.bench_function(name("uniform from a seed"), |bench| {
            bench.iter(|| sample::uniform_into(&mut seeded(9), &mut a));
        });
        group.bench_function(name("gaussian"), |bench| {
            bench.iter(|| sample::gaussian_into(&mut rng, &mut small))
        });
        group.bench_function(name("ternary"), |bench| {
            bench.iter(|| sample::ternary_into(&mut rng, &mut small))
        });
        let mut sum = b.clone();
        group.bench_function(name("add"), |bench| bench.iter(|| sum.add_assign(&b)));
        group.bench_function(name("mul"), |bench| bench.iter(|| sum.mul_assign(&b)));
        group.bench_function(name("mul_add"), |bench| bench.iter(|| sum.mul_add_assign(&a, &b)));
    }
    group.finish();
}

criterion_group!(benches, polynomials);
criterion_main!(benches);
