//! The transforms of every backend beside tfhe-ntt and concrete-ntt: same degree, same 50-bit prime, same input, one
//! thread. All leave residues in 0..q in bit-reversed order; the inverse of the two others leaves out the factor 1/N.

use cloven_ring::{Backend, NttPlan, ntt_primes};
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main, measurement::WallTime};
use std::time::Duration;

/// On a cache line of its own, as the polynomials of the crate are.
#[repr(align(64))]
struct Words([u64; 16384]);

fn degrees(c: &mut Criterion) {
    for degree in [2048, 4096, 8192, 16384] {
        let modulus = ntt_primes(50, degree, 1).expect("there are 50-bit primes for every degree of the bench")[0];
        let input: Vec<u64> = (1..=degree as u64).map(|i| modulus.pow(3, i)).collect();

        let mut group = c.benchmark_group(format!("forward/{degree}"));
        settle(&mut group);
        for backend in Backend::available() {
            let plan = NttPlan::with_backend(degree, modulus, backend).expect("the backend is available");
            time(&mut group, backend.name(), &input, |words| plan.forward(words));
        }
        let tfhe = tfhe_ntt::prime64::Plan::try_new(degree, modulus.value()).expect("an NTT prime");
        time(&mut group, "tfhe-ntt", &input, |words| tfhe.fwd(words));
        let concrete = concrete_ntt::prime64::Plan::try_new(degree, modulus.value()).expect("an NTT prime");
        time(&mut group, "concrete-ntt", &input, |words| concrete.fwd(words));
        group.finish();

        let mut group = c.benchmark_group(format!("inverse/{degree}"));
        settle(&mut group);
        for backend in Backend::available() {
            let plan = NttPlan::with_backend(degree, modulus, backend).expect("the backend is available");
            time(&mut group, backend.name(), &input, |words| plan.inverse(words));
        }
        time(&mut group, "tfhe-ntt", &input, |words| tfhe.inv(words));
        time(&mut group, "concrete-ntt", &input, |words| concrete.inv(words));
        group.finish();
    }
}

/// The transform of length 16 that a (sample, block) of the linear core needs.
fn subring(c: &mut Criterion) {
    let modulus = ntt_primes(50, 2048, 1).expect("there are 50-bit primes")[0];
    let mut group = c.benchmark_group("subring/16");
    settle(&mut group);
    for backend in Backend::available() {
        let plan = NttPlan::with_backend(2048, modulus, backend)
            .and_then(|plan| plan.subring(16))
            .expect("16 divides 2048");
        let input: Vec<u64> = (1..=16).map(|i| modulus.pow(3, i)).collect();
        time(&mut group, backend.name(), &input, |words| plan.forward(words));
    }
    group.finish();
}

fn settle(group: &mut BenchmarkGroup<'_, WallTime>) {
    group
        .sample_size(40)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1200));
}

/// Transforms the same words over and over: every output is a valid input.
fn time(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, input: &[u64], mut transform: impl FnMut(&mut [u64])) {
    let mut words = Box::new(Words([0; 16384]));
    let words = &mut words.0[..input.len()];
    words.copy_from_slice(input);
    group.bench_function(BenchmarkId::from_parameter(name), |b| b.iter(|| transform(words)));
}

criterion_group!(benches, degrees, subring);
criterion_main!(benches);
