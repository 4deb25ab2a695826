//! Both operands encrypted, N = 2048, one 50-bit prime: a first layer on stored rows, 60 x 784 x 128, one row a ciphertext; and a layer after it,
//! 60 x 128 x 128, whose rows are sent; and a convolution of 20 samples, 16 x 32 x 32, 3 x 3 with padding 1 to 16 channels. Every step for one thread and for two, and the bytes.

use std::{hint::black_box, time::Duration};

use cloven_lattice::{
    LatticeError, Parameters, RandomnessKey, RelinearisationKey, SecretKey,
    linear::{EncryptedDelta, EncryptedMatrix, EncryptedProduct, Layout, LinearShape, RowSource, TrainingScales},
};
use criterion::{Criterion, criterion_group, criterion_main};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const ROWS: usize = 60;
const SCALES: TrainingScales = TrainingScales {
    input: 20,
    weight: 20,
    delta: 26,
    response: 30,
};

fn numbers(count: usize, scale: f32) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 % 101) as f32 / 101.0 - 0.5) * scale).collect()
}

/// Both parties in the middle of a batch.
struct Job {
    rows: usize,
    product: EncryptedProduct,
    secret: SecretKey,
    key: RandomnessKey,
    relinearisation: RelinearisationKey,
    /// x, W, delta.
    plain: [Vec<f32>; 3],
    /// x, W, delta.
    sent: [Vec<u8>; 3],
    weights: EncryptedMatrix,
    delta: EncryptedDelta,
    /// x W, x^T delta, delta W^T.
    answers: [Vec<u8>; 3],
}

impl Job {
    fn new(layout: Layout) -> Result<Self, LatticeError> {
        let parameters = Parameters::new(11, &[50])?;
        Self::of(EncryptedProduct::new(&parameters, layout, SCALES)?, ROWS, &parameters)
    }

    fn of(product: EncryptedProduct, rows: usize, parameters: &Parameters) -> Result<Self, LatticeError> {
        let shape = product.shape();
        let secret = SecretKey::generate(parameters, &mut ChaCha20Rng::from_seed([1; 32]));
        let key = RandomnessKey::new([2; 32]);
        let relinearisation = product.relinearisation_key(&secret, &key, b"r")?;
        let relinearisation = product.receive_relinearisation_key(&relinearisation)?;
        // A kernel's gradient sums over all of a picture, and must stay below its bound.
        let plain = [
            numbers(rows * shape.inputs(), 1.0),
            numbers(shape.weights(), 0.1),
            numbers(rows * shape.outputs(), if shape.weights() < 10_000 { 1e-4 } else { 0.03 }),
        ];
        let sent = [
            product.encrypt_rows(&plain[0], &secret, &key, b"x")?,
            product.encrypt_weights(&plain[1], &secret, &key, b"w")?,
            product.encrypt_delta(&plain[2], &secret, &key, b"d")?,
        ];
        let mut job = Self {
            weights: product.receive_weights(&sent[1])?,
            delta: product.receive_delta(&sent[2], rows)?,
            answers: Default::default(),
            rows,
            product,
            secret,
            key,
            relinearisation,
            plain,
            sent,
        };
        job.answers = [job.outputs()?, job.gradient()?, job.input_gradient()?];
        Ok(job)
    }

    fn batch(&self) -> Vec<&[u8]> {
        self.sent[0].chunks(self.product.group_len()).collect()
    }

    fn outputs(&self) -> Result<Vec<u8>, LatticeError> {
        self.product
            .outputs(&self.batch(), self.rows, &self.weights, &self.relinearisation)
    }

    fn gradient(&self) -> Result<Vec<u8>, LatticeError> {
        self.product.gradient(&self.batch(), &self.delta, &self.relinearisation)
    }

    fn input_gradient(&self) -> Result<Vec<u8>, LatticeError> {
        self.product.input_gradient(&self.delta, &self.weights, &self.relinearisation)
    }

    /// A step by its number.
    fn step(&self, number: usize) -> Result<usize, LatticeError> {
        let (product, secret, key) = (&self.product, &self.secret, &self.key);
        let [x, w, delta] = &self.plain;
        Ok(match number {
            0 => product.encrypt_rows(x, secret, key, b"x")?.len(),
            1 => product.receive_rows(&self.sent[0], self.rows)?.len(),
            2 => product.encrypt_weights(w, secret, key, b"w")?.len(),
            3 => {
                black_box(product.receive_weights(&self.sent[1])?);
                0
            }
            4 => self.outputs()?.len(),
            5 => product.decrypt_outputs(&self.answers[0], self.rows, secret)?.len(),
            6 => product.encrypt_delta(delta, secret, key, b"d")?.len(),
            7 => {
                black_box(product.receive_delta(&self.sent[2], self.rows)?);
                0
            }
            8 => self.gradient()?.len(),
            9 => product.decrypt_gradient(&self.answers[1], secret)?.len(),
            10 => self.input_gradient()?.len(),
            _ => product.decrypt_input_gradient(&self.answers[2], self.rows, secret)?.len(),
        })
    }

    fn print_bytes(&self, name: &str) {
        let ([x, w, delta], [y, dw, dx]) = (self.sent.each_ref().map(Vec::len), self.answers.each_ref().map(Vec::len));
        println!(
            "{name}: {} groups, blocks {:?}; bytes: x {x}, W {w}, delta {delta}; x W {y}, x^T delta {dw}, delta W^T {dx}",
            self.product.groups(self.rows),
            self.product.blocks()
        );
    }
}

const STEPS: [&str; 12] = [
    "encrypt x",
    "check x",
    "encrypt W",
    "receive W",
    "x W",
    "decrypt x W",
    "encrypt delta",
    "receive delta",
    "x^T delta",
    "decrypt x^T delta",
    "delta W^T",
    "decrypt delta W^T",
];

fn layout(inputs: usize, [samples, block_inputs, block_outputs]: [usize; 3]) -> Layout {
    Layout {
        degree: 2048,
        inputs,
        outputs: 128,
        samples,
        block_inputs,
        block_outputs,
    }
}

/// Times the steps one by one, and all of a batch together.
fn time(c: &mut Criterion, name: &str, job: &Job, singly: bool, batch: &[usize]) {
    job.print_bytes(name);
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let mut group = c.benchmark_group(format!("{name}, threads {threads}"));
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(1));
        for (number, step) in STEPS.iter().enumerate().filter(|_| singly) {
            group.bench_function(*step, |b| b.iter(|| pool.install(|| job.step(number).expect("runs"))));
        }
        group.bench_function("batch", |b| {
            b.iter(|| {
                pool.install(|| {
                    batch.iter().for_each(|&number| assert!(black_box(job.step(number)).is_ok()));
                });
            });
        });
        group.finish();
    }
}

fn stored(c: &mut Criterion) {
    for (name, blocks) in [
        ("stored 60 x 784 x 128", [1, 16, 128]),
        ("stored in wider blocks", [1, 32, 64]),
    ] {
        let job = Job::new(layout(784, blocks)).expect("fits");
        let batch = [2, 3, 4, 5, 6, 7, 8, 9];
        time(c, name, &job, blocks[1] == 16, &batch);
    }
}

fn sent(c: &mut Criterion) {
    let parameters = Parameters::new(11, &[50]).expect("in the table");
    let chosen = Layout::for_training(&parameters, [ROWS, 128, 128], RowSource::Sent, SCALES).expect("fits");
    let batch = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    time(c, "sent 60 x 128 x 128", &Job::new(chosen).expect("fits"), true, &batch);
    for blocks in [[4, 32, 16], [4, 16, 32], [8, 16, 16], [2, 32, 32], [15, 16, 8], [1, 16, 128]] {
        let name = format!("sent in blocks {blocks:?}");
        time(c, &name, &Job::new(layout(128, blocks)).expect("fits"), false, &batch);
    }
}

fn convolved(c: &mut Criterion) {
    let parameters = Parameters::new(11, &[50]).expect("in the table");
    let shape = LinearShape::Convolution {
        channels: [16, 16],
        image: [32; 2],
        kernel: [3; 2],
        stride: [1; 2],
        padding: [1; 2],
    };
    let product = EncryptedProduct::for_training(&parameters, 20, shape, RowSource::Sent, SCALES).expect("fits");
    let job = Job::of(product, 20, &parameters).expect("fits");
    let batch = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    time(c, "sent convolution 20 x 16 x 32 x 32", &job, true, &batch);
}

criterion_group!(benches, stored, sent, convolved);
criterion_main!(benches);
