//! Products over Z_2^64 on one core. Elements are multiply-adds: n k m of them in `[n, k]` times `[k, m]`.
//!
//! `cargo bench -p cloven-mpc --bench shares`

use cloven_mpc::shares::{Backend, Matrix};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::time::Duration;

fn products(c: &mut Criterion) {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let mut random = |rows, columns| Matrix::random(rows, columns, rng).expect("a small shape");
    for (rows, depth, columns) in [(1024, 12, 8), (1024, 42, 40), (1024, 784, 128)] {
        let (data, weights, delta) = (random(rows, depth), random(depth, columns), random(rows, columns));
        let mut group = c.benchmark_group(format!("product/{rows} x {depth} x {columns}"));
        group
            .throughput(Throughput::Elements((rows * depth * columns) as u64))
            .sample_size(10)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1));
        for backend in Backend::available() {
            group.bench_function(backend.name(), |b| {
                b.iter(|| data.times_on(backend, &weights).expect("shapes fit"))
            });
            group.bench_function(format!("{} transposed", backend.name()), |b| {
                b.iter(|| data.transposed_times_on(backend, &delta).expect("shapes fit"))
            });
        }
        group.finish();
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
