//! Linear layers of known models under a collective key, for three servers and k = 32: bytes of every message, one input at a time and eight; memory; what
//! transforms and products of a response cost by count, beside its time; and every step for one thread and for two.
//!
//! `cargo bench -p cloven-lattice --bench collective`; the tables alone with `-- none`, one layer with `-- 'LeNet dense 800'`

use std::{
    hint::black_box,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cloven_lattice::{
    LatticeError, PublicKey,
    collective::{Collective, CollectiveSettings, CommonReference, Compressed, EncryptedLayer, PartySecret, SecretLinear},
    linear::LinearShape,
};
use cloven_ring::{Evaluations, Poly};
use criterion::{Criterion, criterion_group, criterion_main};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const PARTIES: usize = 3;
const RING_BITS: u32 = 32;

type Model = (&'static str, Vec<(&'static str, LinearShape)>);

fn models() -> Vec<Model> {
    let convolution = |channels, image, kernel, stride, padding| LinearShape::Convolution {
        channels,
        image: [image; 2],
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 2],
    };
    let dense = |inputs, outputs| LinearShape::Dense { inputs, outputs };
    vec![
        (
            "MiniONN",
            vec![
                ("conv 1-16", convolution([1, 16], 28, 5, 1, 0)),
                ("conv 16-16", convolution([16, 16], 12, 5, 1, 0)),
                ("dense 256-100", dense(256, 100)),
                ("dense 100-10", dense(100, 10)),
            ],
        ),
        (
            "LeNet",
            vec![
                ("conv 1-20", convolution([1, 20], 28, 5, 1, 0)),
                ("conv 20-50", convolution([20, 50], 12, 5, 1, 0)),
                ("dense 800-500", dense(800, 500)),
                ("dense 500-10", dense(500, 10)),
            ],
        ),
        (
            "ResNet-20 layers",
            vec![
                ("conv 3-16 on 32", convolution([3, 16], 32, 3, 1, 1)),
                ("conv 16-16 on 32", convolution([16, 16], 32, 3, 1, 1)),
                ("conv 16-32 stride 2", convolution([16, 32], 32, 3, 2, 1)),
                ("conv 1x1 16-32 stride 2", convolution([16, 32], 32, 1, 2, 0)),
                ("conv 32-32 on 16", convolution([32, 32], 16, 3, 1, 1)),
                ("conv 32-64 stride 2", convolution([32, 64], 16, 3, 2, 1)),
                ("conv 64-64 on 8", convolution([64, 64], 8, 3, 1, 1)),
                ("dense 64-10", dense(64, 10)),
            ],
        ),
    ]
}

/// Three parties in the middle of an inference.
struct Job {
    linear: SecretLinear,
    secrets: Vec<PartySecret>,
    reference: CommonReference,
    public: PublicKey,
    weights: Vec<u64>,
    input: Vec<u64>,
    share: Vec<u8>,
    layer: EncryptedLayer,
    responses: Vec<Vec<u8>>,
    sums: Vec<Compressed>,
    query: Vec<u8>,
    answers: Vec<Vec<u8>>,
}

impl Job {
    fn new(collective: &Collective, shape: LinearShape) -> Result<Self, LatticeError> {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let linear = collective.linear(shape)?;
        let secrets: Vec<PartySecret> = (0..PARTIES)
            .map(|party| PartySecret::new(collective, &[party as u8; 32]))
            .collect();
        let reference = CommonReference::new([7; 32]);
        let shares: Result<Vec<Vec<u8>>, LatticeError> = secrets
            .iter()
            .map(|secret| collective.public_key_share(secret, &reference, b"key"))
            .collect();
        let public = collective.public_key(&reference, b"key", &shares?)?;
        let mut words = |count: usize| -> Vec<u64> { (0..count).map(|_| rng.next_u64() >> (64 - RING_BITS)).collect() };
        let (weights, input) = (words(shape.weights()), words(shape.inputs()));
        // The sum of one party's share three times: what it encrypts does not matter here.
        let mut loader = linear.loader(&reference, b"layer");
        let mut share = Vec::new();
        for index in 0..linear.ciphertexts() {
            share = linear.share(index, &weights, &secrets[0], &reference, b"layer")?;
            loader.push(&linear.aggregate(&[&share, &share, &share])?)?;
        }
        let layer = loader.finish()?;
        let responses: Result<Vec<Vec<u8>>, LatticeError> = secrets
            .iter()
            .map(|secret| linear.respond(&layer, &input, &public, secret, b"r"))
            .collect();
        let responses = responses?;
        let sums = linear.sum(&responses)?;
        let query = linear.query(&sums)?;
        let answers: Result<Vec<Vec<u8>>, LatticeError> = secrets[1..]
            .iter()
            .map(|secret| Ok(linear.to_shares(&query, secret, b"r")?.message))
            .collect();
        Ok(Self {
            answers: answers?,
            linear,
            secrets,
            reference,
            public,
            weights,
            input,
            share,
            layer,
            responses,
            sums,
            query,
        })
    }

    fn respond(&self, context: &[u8]) -> Result<Vec<u8>, LatticeError> {
        self.linear
            .respond(&self.layer, &self.input, &self.public, &self.secrets[1], context)
    }
}

/// Memory that the weights of a layer may take where inputs share responses.
const MEMORY: usize = 32 << 20;
const BATCH: usize = 8;

fn print(name: &str, collective: &Collective, layers: &[(&str, LinearShape)]) {
    let parameters = collective.parameters();
    println!(
        "{name}: {PARTIES} parties, k = {RING_BITS}; {} primes, {:.1} bits; c1 to {} bits, c0 and shares to {}",
        parameters.basis().moduli().len(),
        parameters.log2_modulus(),
        collective.whole_bits(),
        collective.wanted_bits(),
    );
    for (batch, memory) in [(1, usize::MAX), (BATCH, MEMORY)] {
        let mut total = [0; 3];
        for (layer, shape) in layers {
            let linear = collective.linear_batch(*shape, batch, memory).expect("fits");
            let once = linear.ciphertexts() * linear.share_len() * 2 * (PARTIES - 1);
            println!(
                "  {layer}: {batch} x {} outputs; {} ciphertexts, {once} bytes once, {} in memory; {} responses: {} up, {} down, {} up; all parties {}",
                shape.outputs(),
                linear.ciphertexts(),
                linear.memory(),
                linear.responses(),
                linear.response_len(),
                linear.query_len(),
                linear.answer_len(),
                linear.traffic(),
            );
            for (sum, value) in total.iter_mut().zip([linear.traffic(), once, linear.memory()]) {
                *sum += value;
            }
        }
        let [traffic, once, memory] = total;
        println!(
            "  all, {batch} at a time: {} bytes an inference, {once} once; {memory} in memory",
            traffic / batch
        );
    }
}

/// What a response's transforms and products take, one by one, and what the response takes.
fn count(name: &str, collective: &Collective, shape: LinearShape) -> Result<(), LatticeError> {
    let job = Job::new(collective, shape)?;
    let basis = collective.parameters().basis();
    let (primes, linear) = (basis.moduli().len(), &job.linear);
    let blocks = linear.ciphertexts() / linear.responses();
    // A mask's polynomials; u, and back for c0 and c1.
    let transforms = primes * (blocks + 3 * linear.responses());
    let products = 2 * primes * (linear.ciphertexts() + linear.responses());
    let mut poly = Poly::<Evaluations>::zero(basis);
    let other = poly.clone();
    let transform = seconds(|| {
        poly = std::mem::replace(&mut poly, other.clone())
            .into_coefficients()
            .into_evaluations()
    }) / (2 * primes) as f64;
    let mut sum = poly.clone();
    let product = seconds(|| drop(sum.mul_add_assign(&poly, &other))) / primes as f64;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("threads");
    let respond = pool.install(|| seconds(|| drop(black_box(job.respond(b"r")))));
    let answer = pool.install(|| seconds(|| drop(black_box(linear.to_shares(&job.query, &job.secrets[1], b"r")))));
    println!(
        "  {name}: {transforms} transforms of {:.1} us and {products} products of {:.1} us make {:.2} ms; a response takes {:.2} ms, an answer {:.2} ms",
        1e6 * transform,
        1e6 * product,
        1e3 * (transforms as f64 * transform + products as f64 * product),
        1e3 * respond,
        1e3 * answer,
    );
    Ok(())
}

/// Mean seconds of this thread, over a tenth of a second at least: its time is told in steps of milliseconds.
fn seconds(mut work: impl FnMut()) -> f64 {
    let (start, mut runs) = (thread_seconds(), 0);
    while thread_seconds() - start < 0.1 {
        (0..8).for_each(|_| work());
        runs += 8;
    }
    (thread_seconds() - start) / f64::from(runs)
}

/// Processor time of this thread where the system tells it, so that others' work counts little; else the clock.
fn thread_seconds() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|number| number.parse::<f64>().ok());
    nanoseconds.map_or_else(|| START.elapsed().as_secs_f64(), |ns| ns * 1e-9)
}

fn collective(c: &mut Criterion) {
    for (name, layers) in models() {
        let shapes: Vec<LinearShape> = layers.iter().map(|(_, shape)| *shape).collect();
        let settings = CollectiveSettings {
            inputs: BATCH,
            ..CollectiveSettings::new(PARTIES, RING_BITS)
        };
        let collective = Collective::new(settings, &shapes).expect("fits");
        print(name, &collective, &layers);
        for (layer, shape) in layers {
            count(layer, &collective, shape).expect("works");
            for threads in [1, 2] {
                steps(c, &collective, shape, &format!("{name} {layer}, {threads} threads"), threads);
            }
        }
    }
}

fn steps(c: &mut Criterion, collective: &Collective, shape: LinearShape, name: &str, threads: usize) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    // Made when the first step is run: filters leave most layers out.
    let job = LazyLock::new(|| Job::new(collective, shape).expect("works"));
    let round = AtomicU64::new(0);
    let next = || round.fetch_add(1, Ordering::Relaxed).to_le_bytes();
    let share = || {
        drop(black_box(
            job.linear
                .share(0, &job.weights, &job.secrets[0], &job.reference, &next())
                .expect("shares"),
        ))
    };
    let load = || {
        let mut loader = job.linear.loader(&job.reference, b"layer");
        loader
            .push(&job.linear.aggregate(&[&job.share; PARTIES]).expect("adds"))
            .expect("loads");
    };
    let respond = || drop(black_box(job.respond(&next()).expect("responds")));
    let sum = || {
        drop(black_box(
            job.linear
                .query(&job.linear.sum(&job.responses).expect("adds"))
                .expect("asks"),
        ))
    };
    let answer = || {
        drop(black_box(
            job.linear.to_shares(&job.query, &job.secrets[1], &next()).expect("answers"),
        ))
    };
    let last = || {
        drop(black_box(
            job.linear
                .last_share(&job.sums, &job.secrets[0], &job.answers)
                .expect("reads"),
        ))
    };
    let multiply = || drop(black_box(job.linear.multiply(&job.weights, &job.input).expect("multiplies")));
    let mut group = c.benchmark_group(name);
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    group.bench_function("share of one ciphertext", |b| b.iter(|| pool.install(share)));
    group.bench_function("sum and load of one", |b| b.iter(|| pool.install(load)));
    group.bench_function("respond", |b| b.iter(|| pool.install(respond)));
    group.bench_function("sum and query", |b| b.iter(|| pool.install(sum)));
    group.bench_function("to shares", |b| b.iter(|| pool.install(answer)));
    group.bench_function("last share", |b| b.iter(|| pool.install(last)));
    group.bench_function("multiply in the clear", |b| b.iter(|| pool.install(multiply)));
    group.finish();
}

criterion_group!(benches, collective);
criterion_main!(benches);
