//! Layers with weights in the clear on an encrypted input modulo 2^32: every step for one thread and for two, and the bytes each way.
//!
//! `cargo bench -p cloven-lattice --bench private_input`; one layer with `-- '800 x 500'`

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use cloven_lattice::{
    LatticeError, PublicKey, RandomnessKey, SecretKey,
    linear::{LinearShape, MaskedResponse, PreparedWeights, PrivateInputLinear},
};
use criterion::{Criterion, criterion_group, criterion_main};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const RING_BITS: u32 = 32;
const WEIGHT_BITS: u32 = 20;
/// Outputs of a job: a hundred thousand images through a layer of ten thousand outputs.
const REVEALED: u64 = 1 << 30;

const fn convolution(channels: [usize; 2], image: usize) -> LinearShape {
    LinearShape::Convolution {
        channels,
        image: [image; 2],
        kernel: [5; 2],
        stride: [1; 2],
        padding: [0; 2],
    }
}

const fn dense(inputs: usize, outputs: usize) -> LinearShape {
    LinearShape::Dense { inputs, outputs }
}

const LAYERS: [(&str, LinearShape); 6] = [
    ("convolution 1 to 16 on 28 x 28", convolution([1, 16], 28)),
    ("convolution 16 to 16 on 12 x 12", convolution([16, 16], 12)),
    ("dense 256 x 100", dense(256, 100)),
    ("dense 100 x 10", dense(100, 10)),
    ("convolution 20 to 50 on 12 x 12", convolution([20, 50], 12)),
    ("dense 800 x 500", dense(800, 500)),
];

/// Both parties in the middle of an inference.
struct Job {
    layer: PrivateInputLinear,
    secret: SecretKey,
    public: PublicKey,
    key: RandomnessKey,
    plain: Vec<u64>,
    input: Vec<u64>,
    weights: PreparedWeights,
    upload: Vec<u8>,
    answer: Vec<u8>,
}

impl Job {
    fn new(layer: PrivateInputLinear) -> Result<Self, LatticeError> {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let secret = SecretKey::generate(layer.parameters(), &mut rng);
        let key = RandomnessKey::new([2; 32]);
        let mask = (1 << RING_BITS) - 1;
        let signed = |word: u64| ((word as i64) >> (64 - WEIGHT_BITS)) as u64 & mask;
        let plain: Vec<u64> = (0..layer.shape().weights()).map(|_| signed(rng.next_u64())).collect();
        let input: Vec<u64> = (0..layer.shape().inputs()).map(|_| rng.next_u64() & mask).collect();
        let mut job = Self {
            public: PublicKey::generate(&secret, &key, b"p")?,
            weights: layer.prepare(&plain)?,
            upload: layer.encrypt(&input, &secret, &key, b"x")?,
            answer: Vec::new(),
            layer,
            secret,
            key,
            plain,
            input,
        };
        job.answer = job.respond(b"w")?.response;
        job.layer.decrypt(&job.answer, &job.secret)?;
        Ok(job)
    }

    fn encrypt(&self, context: &[u8]) -> Result<Vec<u8>, LatticeError> {
        self.layer.encrypt(&self.input, &self.secret, &self.key, context)
    }

    fn respond(&self, context: &[u8]) -> Result<MaskedResponse, LatticeError> {
        self.layer
            .respond(&self.weights, &self.upload, &self.public, &self.key, context)
    }
}

fn layers(c: &mut Criterion) {
    let shapes = LAYERS.map(|(_, shape)| shape);
    let layers = PrivateInputLinear::for_shapes(&shapes, RING_BITS, WEIGHT_BITS, REVEALED).expect("fits");
    for (layer, (name, _)) in layers.into_iter().zip(LAYERS) {
        let job = Job::new(layer).expect("works");
        println!(
            "{name}: up {} ciphertexts, {} bytes; down {}, {}; prepared {} bytes; N = {}, log2(q) = {:.1}",
            job.layer.uploads(),
            job.upload.len(),
            job.layer.responses(),
            job.answer.len(),
            job.weights.memory(),
            job.layer.parameters().degree(),
            job.layer.parameters().log2_modulus(),
        );
        for threads in [1, 2] {
            steps(c, &job, &format!("{name}, {threads} threads"), threads);
        }
    }
}

fn steps(c: &mut Criterion, job: &Job, name: &str, threads: usize) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let round = AtomicU64::new(0);
    let next = || round.fetch_add(1, Ordering::Relaxed).to_le_bytes();
    let prepare = || drop(black_box(job.layer.prepare(&job.plain).expect("prepares")));
    let encrypt = || drop(black_box(job.encrypt(&next()).expect("encrypts")));
    let respond = || drop(black_box(job.respond(&next()).expect("responds")));
    let decrypt = || drop(black_box(job.layer.decrypt(&job.answer, &job.secret).expect("decrypts")));
    let multiply = || drop(black_box(job.layer.multiply(&job.plain, &job.input).expect("multiplies")));
    let mut group = c.benchmark_group(name);
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    group.bench_function("prepare", |b| b.iter(|| pool.install(prepare)));
    group.bench_function("encrypt", |b| b.iter(|| pool.install(encrypt)));
    group.bench_function("respond", |b| b.iter(|| pool.install(respond)));
    group.bench_function("decrypt", |b| b.iter(|| pool.install(decrypt)));
    group.bench_function("multiply in the clear", |b| b.iter(|| pool.install(multiply)));
    group.finish();
}

criterion_group!(benches, layers);
criterion_main!(benches);
