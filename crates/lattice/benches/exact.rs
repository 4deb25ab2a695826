//! Exact products modulo 2^64 for batches of vertical training, forward and backward, at 20 and 64 bits: every step for one thread and for two, and the
//! bytes each way.
//!
//! `cargo bench -p cloven-lattice --bench exact`; one shape with `-- '1024 x 12'`

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use cloven_lattice::{
    LatticeError, PublicKey, RandomnessKey, SecretKey,
    linear::{ExactPlaintext, ExactProduct, ExactResponse, Masking},
};
use criterion::{Criterion, criterion_group, criterion_main};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// Results of a job: eight columns, 8,192 batches of 1,024 rows.
const REVEALED: u64 = 1 << 26;

/// Both parties in the middle of a batch.
struct Job {
    product: ExactProduct,
    secret: SecretKey,
    public: PublicKey,
    key: RandomnessKey,
    plain: Vec<i64>,
    w: Vec<u64>,
    x: ExactPlaintext,
    upload: Vec<u8>,
    answer: Vec<u8>,
}

impl Job {
    fn new(product: ExactProduct, bits: u32) -> Result<Self, LatticeError> {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let secret = SecretKey::generate(product.parameters(), &mut rng);
        let key = RandomnessKey::new([2; 32]);
        let [rows, inner, columns] = product.shape();
        let plain: Vec<i64> = (0..rows * inner).map(|_| rng.next_u64() as i64 >> (64 - bits)).collect();
        let w: Vec<u64> = (0..inner * columns).map(|_| rng.next_u64()).collect();
        let mut upload = Vec::new();
        product.encrypt(&w, &secret, &key, b"w", &mut upload)?;
        let mut job = Self {
            public: PublicKey::generate(&secret, &key, b"p")?,
            x: product.prepare(&plain)?,
            upload,
            answer: Vec::new(),
            product,
            secret,
            key,
            plain,
            w,
        };
        job.answer = job.respond(b"x")?.message;
        job.product.decrypt(&job.answer, &job.secret)?;
        Ok(job)
    }

    fn respond(&self, context: &[u8]) -> Result<ExactResponse, LatticeError> {
        let masking = Masking {
            receiver: &self.public,
            key: &self.key,
            context,
        };
        self.product.respond(&self.x, &self.upload, &masking)
    }

    fn encrypt(&self, context: &[u8]) -> Result<Vec<u8>, LatticeError> {
        let mut upload = Vec::new();
        self.product.encrypt(&self.w, &self.secret, &self.key, context, &mut upload)?;
        Ok(upload)
    }
}

fn exact(c: &mut Criterion) {
    for (bits, shapes) in [
        (20, [[1024, 12, 8], [12, 1024, 8], [1024, 42, 40], [42, 1024, 40]].as_slice()),
        (64, &[[1024, 12, 8], [12, 1024, 8]]),
    ] {
        let products = ExactProduct::for_shapes(shapes, bits, REVEALED).expect("fits");
        for product in products {
            let job = Job::new(product, bits).expect("works");
            let [rows, inner, columns] = job.product.shape();
            let name = format!("{rows} x {inner} x {columns}, {bits} bits");
            println!(
                "{name}: up {} ciphertexts, {} bytes; down {}, {}; prepared {} bytes; {}",
                job.product.uploads(),
                job.upload.len(),
                job.product.responses(),
                job.answer.len(),
                job.x.memory(),
                job.product.parameters().log2_modulus(),
            );
            for threads in [1, 2] {
                steps(c, &job, &format!("{name}, {threads} threads"), threads);
            }
        }
    }
}

fn steps(c: &mut Criterion, job: &Job, name: &str, threads: usize) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let round = AtomicU64::new(0);
    let next = || round.fetch_add(1, Ordering::Relaxed).to_le_bytes();
    let prepare = || drop(black_box(job.product.prepare(&job.plain).expect("prepares")));
    let encrypt = || drop(black_box(job.encrypt(&next()).expect("encrypts")));
    let respond = || drop(black_box(job.respond(&next()).expect("responds")));
    let decrypt = || drop(black_box(job.product.decrypt(&job.answer, &job.secret).expect("decrypts")));
    let all = || {
        encrypt();
        respond();
        decrypt();
    };
    let mut group = c.benchmark_group(name);
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    group.bench_function("prepare", |b| b.iter(|| pool.install(prepare)));
    group.bench_function("encrypt", |b| b.iter(|| pool.install(encrypt)));
    group.bench_function("respond", |b| b.iter(|| pool.install(respond)));
    group.bench_function("decrypt", |b| b.iter(|| pool.install(decrypt)));
    group.bench_function("all but prepare", |b| b.iter(|| pool.install(all)));
    group.finish();
}

criterion_group!(benches, exact);
criterion_main!(benches);
