//! One batch on an encrypted matrix (60 x 784 times 784 x 128, N=2048, one 50-bit prime), on one thread and on two.
//!
//! `cargo bench -p cloven-lattice --bench weights`

use std::{hint::black_box, time::Instant};

use cloven_lattice::{
    Parameters, RandomnessKey, SecretKey,
    linear::{Scales, WeightProduct},
};
use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rayon::{ThreadPool, ThreadPoolBuilder};

const ROWS: usize = 60;
const SHAPE: [usize; 2] = [784, 128];

fn weights(c: &mut Criterion) {
    let parameters = Parameters::new(11, &[50]).expect("inside the table");
    let secret = SecretKey::generate(&parameters, &mut ChaCha20Rng::from_seed([1; 32]));
    let key = RandomnessKey::new([2; 32]);
    let numbers = |count: usize| {
        (0..count)
            .map(|i| (i * 37 % 101) as f32 / 1010.0 - 0.05)
            .collect::<Vec<f32>>()
    };
    let scales = Scales {
        input: 5,
        weight: 39,
        response: 32,
    };
    let product = WeightProduct::new(&parameters, SHAPE, scales).expect("fits");
    let bytes = product
        .encrypt_weights(&numbers(SHAPE[0] * SHAPE[1]), &secret, &key, b"w")
        .expect("encrypts");
    let mut encrypted = product.receive_weights(&bytes).expect("decodes");
    let (x, delta) = (numbers(ROWS * SHAPE[0]), numbers(ROWS * SHAPE[1]));
    let rows = product.encode_rows(&x).expect("in range");
    // Zero, so that the matrix stays in range over all repetitions.
    let upload = product.encrypt_delta(&delta, 0.0, &secret, &key, b"d").expect("encrypts");
    let response = product.forward(&encrypted, &rows).expect("responds");

    for threads in [1, 2] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("starts");
        let mut group = c.benchmark_group(format!("60 x 784 x 128, {threads} threads"));
        group.bench_function("rows encoded", |b| {
            in_pool(b, &pool, || black_box(product.encode_rows(&x).expect("in range")))
        });
        group.bench_function("forward, compressed", |b| {
            in_pool(b, &pool, || black_box(product.forward(&encrypted, &rows).expect("responds")))
        });
        group.bench_function("key holder decrypts", |b| {
            in_pool(b, &pool, || {
                black_box(product.decrypt(&response, ROWS, &secret).expect("in range"))
            })
        });
        group.bench_function("key holder encrypts delta", |b| {
            in_pool(b, &pool, || {
                black_box(product.encrypt_delta(&delta, 0.0, &secret, &key, b"d").expect("encrypts"))
            })
        });
        group.bench_function("update, decoding included", |b| {
            in_pool(b, &pool, || product.update(&mut encrypted, &rows, &upload).expect("updates"))
        });
        group.finish();
    }
}

/// Times `work` on a thread of `pool`.
fn in_pool<T>(b: &mut Bencher<'_>, pool: &ThreadPool, mut work: impl FnMut() -> T + Send) {
    b.iter_custom(|times| {
        pool.install(|| {
            let start = Instant::now();
            (0..times).for_each(|_| drop(work()));
            start.elapsed()
        })
    });
}

criterion_group!(benches, weights);
criterion_main!(benches);
