//! One batch of 60 rows on an encrypted 785 x 128 matrix (N = 2048, one 50-bit prime) in stride layout, for 1 to 16 rows to a delta, beside block
//! layout: megabytes for 10,000 rows, and milliseconds, the least of several runs, on one thread.
//!
//! `cargo bench -p cloven-lattice --bench strided`; a number after `--` is the number of threads.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use cloven_lattice::{
    Parameters, RandomnessKey, SecretKey,
    linear::{Scales, WeightProduct},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const ROWS: usize = 60;
const SHAPE: [usize; 2] = [785, 128];
const SCALES: Scales = Scales {
    input: 5,
    weight: 39,
    response: 32,
};

fn main() {
    let threads = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("starts");
    println!("{ROWS} rows, {SHAPE:?}, {threads} threads");
    println!("layout      up MB  down MB  keys kB  matrix MB  encode  forward  update  decrypt  delta");
    let parameters = Parameters::new(11, &[50]).expect("inside the table");
    pool.install(|| {
        measure("block", &WeightProduct::new(&parameters, SHAPE, SCALES).expect("fits"));
        for samples in [1, 2, 4, 8, 16] {
            let product = WeightProduct::strided(&parameters, SHAPE, samples, SCALES).expect("fits");
            measure(&format!("stride {samples:2}"), &product);
        }
    });
}

fn measure(name: &str, product: &WeightProduct) {
    let secret = SecretKey::generate(
        &Parameters::new(11, &[50]).expect("inside the table"),
        &mut ChaCha20Rng::from_seed([1; 32]),
    );
    let key = RandomnessKey::new([2; 32]);
    let numbers = |count: usize| {
        (0..count)
            .map(|i| (i * 37 % 101) as f32 / 1010.0 - 0.05)
            .collect::<Vec<f32>>()
    };
    let bytes = product
        .encrypt_weights(&numbers(SHAPE[0] * SHAPE[1]), &secret, &key, b"w")
        .expect("encrypts");
    let mut weights = product.receive_weights(&bytes).expect("decodes");
    let keys = product.merge_keys(&secret, &key, b"k").expect("encrypts");
    product.receive_merge_keys(&mut weights, &keys).expect("decodes");
    let (x, delta) = (numbers(ROWS * SHAPE[0]), numbers(ROWS * SHAPE[1]));
    let rows = product.encode_rows(&x).expect("in range");
    // Zero, so that the matrix stays in range over all repetitions.
    let upload = product.encrypt_delta(&delta, 0.0, &secret, &key, b"d").expect("encrypts");
    let response = product.forward(&weights, &rows).expect("responds");
    let megabytes = |bytes: usize| (bytes * 10_000) as f64 / ROWS as f64 / 1e6;
    println!(
        "{name:10} {:6.1} {:8.1} {:8.0} {:10.1} {:7.2} {:8.2} {:7.2} {:8.2} {:6.2}",
        megabytes(upload.len()),
        megabytes(response.len()),
        keys.len() as f64 / 1e3,
        product.input_blocks() as f64 * product.output_blocks() as f64 * 32_768.0 / 1e6,
        least(|| drop(product.encode_rows(&x).expect("in range"))),
        least(|| drop(product.forward(&weights, &rows).expect("responds"))),
        least(|| product.update(&mut weights, &rows, &upload).expect("updates")),
        least(|| drop(product.decrypt(&response, ROWS, &secret).expect("in range"))),
        least(|| drop(product.encrypt_delta(&delta, 0.0, &secret, &key, b"d").expect("encrypts"))),
    );
}

/// Milliseconds of the fastest of the runs of a second.
fn least(mut work: impl FnMut()) -> f64 {
    let end = Instant::now() + Duration::from_secs(1);
    let mut best = f64::INFINITY;
    while Instant::now() < end {
        let start = Instant::now();
        black_box(&mut work)();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best * 1e3
}
