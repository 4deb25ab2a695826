//! Encrypted rows times an encrypted matrix, and its update (4 x 784 times 784 x 128, N=4096, two 50-bit primes), one thread.
//!
//! `cargo bench -p cloven-lattice --bench encrypted_product`

use std::hint::black_box;

use cloven_lattice::{
    MirrorKey, Parameters, RandomnessKey, SecretKey,
    linear::{EncryptedProduct, Layout, Scales},
};
use criterion::{Criterion, criterion_group, criterion_main};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const ROWS: usize = 4;

fn encrypted_product(c: &mut Criterion) {
    let parameters = Parameters::new(12, &[50, 50]).expect("inside the table");
    let secret = SecretKey::generate(&parameters, &mut ChaCha20Rng::from_seed([1; 32]));
    let key = RandomnessKey::new([2; 32]);
    let numbers = |count: usize| {
        (0..count)
            .map(|i| (i * 37 % 101) as f32 / 1010.0 - 0.05)
            .collect::<Vec<f32>>()
    };
    let layout = Layout {
        degree: 4096,
        inputs: 784,
        outputs: 128,
        samples: 1,
        block_inputs: 32,
        block_outputs: 128,
    };
    let scales = Scales {
        input: 24,
        weight: 60,
        response: 46,
    };
    let product = EncryptedProduct::with_layout(&parameters, layout, scales).expect("fits");
    let x = numbers(ROWS * 784);
    let rows = product.encrypt_rows(&x, &secret, &key, b"x").expect("encrypts");
    let weights = product
        .encrypt_weights(&numbers(784 * 128), &secret, &key, b"w")
        .expect("encrypts");
    let mut weights = product.receive_weights(&weights).expect("decodes");
    let groups = product.receive_rows(&rows, ROWS).expect("decodes");
    let batch: Vec<_> = groups.iter().collect();
    let response = product.respond(&weights, &batch).expect("responds");
    println!("{} bytes of rows, {} of responses", rows.len(), response.len());

    c.bench_function("encrypted 4 x 784 x 128: rows encrypted", |b| {
        b.iter(|| black_box(product.encrypt_rows(&x, &secret, &key, b"x").expect("encrypts")))
    });
    c.bench_function("encrypted 4 x 784 x 128: rows decoded", |b| {
        b.iter(|| black_box(product.receive_rows(&rows, ROWS).expect("decodes").len()))
    });
    c.bench_function("encrypted 4 x 784 x 128: server", |b| {
        b.iter(|| black_box(product.respond(&weights, &batch).expect("responds")))
    });
    c.bench_function("encrypted 4 x 784 x 128: key holder decrypts", |b| {
        b.iter(|| black_box(product.decrypt(&response, ROWS, &secret).expect("in range")))
    });
    let mirror = MirrorKey::generate(&secret, &key, b"m").expect("encrypts");
    // Zero, so that the matrix stays in range over all repetitions.
    let delta = product
        .encrypt_delta(&numbers(ROWS * 128), 0.0, &secret, &key, b"d")
        .expect("encrypts");
    c.bench_function("encrypted 4 x 784 x 128: update", |b| {
        b.iter(|| product.update(&mut weights, &batch, &delta, &mirror).expect("updates"))
    });
}

criterion_group!(benches, encrypted_product);
criterion_main!(benches);
