//! Three products of training with all operands encrypted under shared masks, N = 2048, one 50-bit prime: a dense layer of 128 x 128 in batches of 60.
//! Every step for one thread and for two, and the bytes; then other block sizes of x W.

use std::{hint::black_box, time::Duration};

use cloven_lattice::{
    LatticeError, Parameters, RandomnessKey,
    linear::{
        FactorScales, Layout, SharedDelta, SharedProduct, SharedRows, SharedSecrets, SharedTraining, SharedWeights,
        TrainingScales,
    },
};
use criterion::{Criterion, criterion_group, criterion_main};

const ROWS: usize = 60;
const WIDTH: usize = 128;
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
    layer: SharedTraining,
    secrets: SharedSecrets,
    key: RandomnessKey,
    /// x, W, delta.
    plain: [Vec<f32>; 3],
    /// x, W, delta.
    sent: [Vec<u8>; 3],
    rows: SharedRows,
    weights: SharedWeights,
    delta: SharedDelta,
    /// x W, x^T delta, delta W^T.
    answers: [Vec<u8>; 3],
}

impl Job {
    fn new() -> Result<Self, LatticeError> {
        let layer = SharedTraining::choose(&Parameters::new(11, &[50])?, [ROWS, WIDTH, WIDTH], SCALES)?;
        let key = RandomnessKey::new([2; 32]);
        let secrets = layer.secrets(&key);
        let plain = [
            numbers(ROWS * WIDTH, 1.0),
            numbers(WIDTH * WIDTH, 0.1),
            numbers(ROWS * WIDTH, 0.03),
        ];
        let (x, rows) = layer.encrypt_rows(&plain[0], &secrets, &key, b"x")?;
        let (w, weights) = layer.encrypt_weights(&plain[1], &secrets, &key, b"w")?;
        let (d, delta) = layer.encrypt_delta([&plain[0], &plain[2]], &secrets, &key, b"d")?;
        let sent = [x, w, d];
        let answers = [
            layer.outputs(&sent[0], ROWS, &weights)?,
            layer.gradient(&delta)?,
            layer.input_gradient(&delta, &weights)?,
        ];
        Ok(Self {
            layer,
            secrets,
            key,
            plain,
            sent,
            rows,
            weights,
            delta,
            answers,
        })
    }

    /// A step by its number.
    fn step(&self, number: usize) -> Result<usize, LatticeError> {
        let (layer, secrets, key) = (&self.layer, &self.secrets, &self.key);
        let [x, w, delta] = &self.plain;
        Ok(match number {
            0 => layer.encrypt_rows(x, secrets, key, b"x")?.0.len(),
            1 => layer.encrypt_weights(w, secrets, key, b"w")?.0.len(),
            2 => {
                black_box(layer.receive_weights(&self.sent[1])?);
                0
            }
            3 => layer.outputs(&self.sent[0], ROWS, &self.weights)?.len(),
            4 => layer
                .decrypt_outputs(&self.answers[0], ROWS, (&self.rows, self.weights.forward()), secrets)?
                .len(),
            5 => layer.encrypt_delta([x, delta], secrets, key, b"d")?.0.len(),
            6 => {
                black_box(layer.receive_delta(&self.sent[2], ROWS)?);
                0
            }
            7 => layer.gradient(&self.delta)?.len(),
            8 => layer.decrypt_gradient(&self.answers[1], &self.delta, secrets)?.len(),
            9 => layer.input_gradient(&self.delta, &self.weights)?.len(),
            _ => layer
                .decrypt_input_gradient(&self.answers[2], &self.delta, &self.weights, secrets)?
                .len(),
        })
    }
}

const STEPS: [&str; 11] = [
    "encrypt x",
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

fn training(c: &mut Criterion) {
    let job = Job::new().expect("fits");
    let (sent, answers) = (job.sent.each_ref().map(Vec::len), job.answers.each_ref().map(Vec::len));
    println!("bytes: x, W, delta {sent:?}; x W, x^T delta, delta W^T {answers:?}");
    for product in job.layer.products() {
        println!("blocks {:?} of {:?}", product.blocks(), product.layout());
    }
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let mut group = c.benchmark_group(format!("shared 60 x 128 x 128, threads {threads}"));
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(1));
        for (number, step) in STEPS.iter().enumerate() {
            group.bench_function(*step, |b| b.iter(|| pool.install(|| job.step(number).expect("runs"))));
        }
        group.bench_function("batch", |b| {
            b.iter(|| pool.install(|| (0..STEPS.len()).for_each(|number| assert!(black_box(job.step(number)).is_ok()))));
        });
        group.finish();
    }
}

fn blocks(c: &mut Criterion) {
    let parameters = Parameters::new(11, &[50]).expect("in the table");
    let key = RandomnessKey::new([2; 32]);
    let mut group = c.benchmark_group("x W, threads 1");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("threads");
    for [samples, block_inputs, block_outputs] in [[4, 128, 4], [3, 128, 5], [2, 128, 8], [4, 64, 8], [8, 32, 8], [8, 16, 16]] {
        let layout = Layout {
            degree: 2048,
            inputs: WIDTH,
            outputs: WIDTH,
            samples,
            block_inputs,
            block_outputs,
        };
        let scales = FactorScales {
            left: 20,
            right: 20,
            response: 30,
        };
        let product = SharedProduct::new(&parameters, ROWS, layout, scales).expect("fits");
        let secrets = SharedSecrets::derive(&parameters, &key, product.secrets());
        let (x, w) = (numbers(ROWS * WIDTH, 1.0), numbers(WIDTH * WIDTH, 0.1));
        let bytes = product.left_len() + product.right_len() + product.answer_len();
        group.bench_function(format!("{samples} {block_inputs} {block_outputs}, {bytes} bytes"), |b| {
            b.iter(|| {
                pool.install(|| {
                    let (left, a) = product.encrypt_left(&x, &secrets, &key, b"x").expect("in range");
                    let (right, b) = product.encrypt_right(&w, &secrets, &key, b"w").expect("in range");
                    let left = product.receive_left(&left).expect("valid");
                    let right = product.receive_right(&right).expect("valid");
                    let answer = product.multiply(&left, &right).expect("fits");
                    product.decrypt(&answer, [&a, &b], &secrets).expect("in range")
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, training, blocks);
criterion_main!(benches);
