//! Encryption, decryption and one forward of the published layer (4 x 256 times 256 x 5), one thread.
//!
//! `cargo bench -p cloven-lattice --bench linear`

use std::hint::black_box;

use cloven_lattice::{
    Parameters, RandomnessKey, SecretKey, Upload,
    linear::{Product, Scales},
};
use cloven_ring::Poly;
use criterion::{Criterion, criterion_group, criterion_main};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const ROWS: usize = 4;

fn linear(c: &mut Criterion) {
    let parameters = Parameters::new(11, &[50]).expect("inside the table");
    let secret = SecretKey::generate(&parameters, &mut ChaCha20Rng::from_seed([1; 32]));
    let key = RandomnessKey::new([2; 32]);
    let numbers = |count: usize| (0..count).map(|i| (i * 37 % 101) as f32 / 101.0 - 0.5).collect::<Vec<f32>>();

    let plaintext = Poly::from_signed(parameters.basis(), &vec![12345; parameters.degree()]).expect("as long as the degree");
    let mut bytes = Vec::new();
    let mut round = 0u64;
    c.bench_function("encrypt one ciphertext, N=2048", |b| {
        b.iter(|| {
            round += 1;
            black_box(secret.encrypt(&plaintext, &key, &round.to_le_bytes()).expect("encrypts"))
        })
    });
    secret
        .encrypt(&plaintext, &key, b"x")
        .expect("encrypts")
        .encode(&parameters, &mut bytes);
    let ciphertext = Upload::decode(&parameters, &bytes).expect("decodes");
    c.bench_function("decrypt one ciphertext, N=2048", |b| {
        b.iter(|| black_box(secret.decrypt(&ciphertext).expect("decrypts")))
    });
    c.bench_function("encode one upload", |b| {
        let upload = secret.encrypt(&plaintext, &key, b"y").expect("encrypts");
        b.iter(|| {
            bytes.clear();
            upload.encode(&parameters, &mut bytes);
            black_box(bytes.len())
        })
    });
    c.bench_function("decode and expand one upload", |b| {
        b.iter(|| black_box(Upload::decode(&parameters, &bytes).expect("decodes")))
    });

    let scales = Scales {
        input: 21,
        weight: 19,
        response: 29,
    };
    let product = Product::new(&parameters, [ROWS, 256, 5], scales).expect("fits");
    let (x, w) = (numbers(ROWS * 256), numbers(256 * 5));
    let weights = product.weights(&w, &numbers(5)).expect("in range");
    let seal = |round: &mut u64| {
        *round += 1;
        product.encrypt(&x, &secret, &key, &round.to_le_bytes()).expect("encrypts")
    };
    let upload = seal(&mut round);
    let response = product.respond(&weights, &upload, ROWS).expect("responds");
    c.bench_function("layer 4 x 256 x 5: client encrypts", |b| {
        b.iter(|| black_box(seal(&mut round)))
    });
    c.bench_function("layer 4 x 256 x 5: server", |b| {
        b.iter(|| black_box(product.respond(&weights, &upload, ROWS).expect("responds")))
    });
    c.bench_function("layer 4 x 256 x 5: client decrypts", |b| {
        b.iter(|| black_box(product.decrypt(&response, ROWS, &secret).expect("decrypts")))
    });
    c.bench_function("layer 4 x 256 x 5: all", |b| {
        b.iter(|| {
            let upload = seal(&mut round);
            let response = product.respond(&weights, &upload, ROWS).expect("responds");
            black_box(product.decrypt(&response, ROWS, &secret).expect("decrypts"))
        })
    });
}

criterion_group!(benches, linear);
criterion_main!(benches);
