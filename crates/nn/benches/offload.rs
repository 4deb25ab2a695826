//! A training step of the image classifiers: the network alone, and with products asked for, which are computed here too; how much of the time
//! and of the operations is in products. The times are medians.
#![allow(missing_docs)]

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use cloven_nn::offload::{Job, LocalProducts, Matrices, OffloadedNetwork, Products, training_cost};
use cloven_nn::{InputGradient, LearningRateSchedule, ModelError, ModelSpec, Network, OptimiserSpec, preset};
use ndarray::ArrayD;

const BATCH: usize = 32;
const STEPS: usize = 5;

fn main() {
    for name in ["resnet18-cifar", "vit-cifar"] {
        let model = preset(name).expect("a known preset").model;
        let cost = training_cost(&model, BATCH, &sgd()).expect("a valid model");
        println!(
            "{name}, batch {BATCH}: {:.1} thousand million multiply-adds in products; {:.2} % of all operations outside",
            cost.multiply_adds() as f64 / 1e9,
            100.0 * cost.share_outside_products()
        );
        println!("  alone: {:.2} s", alone(&model).as_secs_f64());
        let [whole, products] = offloaded(&model).map(|time| time.as_secs_f64());
        println!("  products asked for: {whole:.2} s, of which products {products:.2} s");
    }
}

fn alone(model: &ModelSpec) -> Duration {
    let mut network = network(model);
    let x = samples(model);
    let times = (0..STEPS as u64).map(|step| {
        let start = Instant::now();
        let y = network.forward_train(step, &x).expect("the right shape");
        network.backward(&y, InputGradient::NotWanted).expect("in order");
        network.update().expect("in order");
        start.elapsed()
    });
    median(times.collect())
}

/// Of a step, and of its products.
fn offloaded(model: &ModelSpec) -> [Duration; 2] {
    let mut network = OffloadedNetwork::new(network(model), InputGradient::NotWanted);
    let x = samples(model);
    let (mut steps, mut products) = (Vec::new(), Vec::new());
    for step in 0..STEPS as u64 {
        let mut timed = Timed(Duration::ZERO);
        let start = Instant::now();
        let y = now(network.forward_train(&mut timed, step, &x)).expect("the right shape");
        now(network.backward(&mut timed, &y)).expect("in order");
        network.update().expect("in order");
        steps.push(start.elapsed());
        products.push(timed.0);
    }
    [median(steps), median(products)]
}

/// How long products took.
struct Timed(Duration);

impl Products for Timed {
    type Error = ModelError;

    async fn multiply(&mut self, jobs: Vec<Job>) -> Result<Vec<Matrices>, ModelError> {
        let start = Instant::now();
        let results = LocalProducts.multiply(jobs).await;
        self.0 += start.elapsed();
        results
    }
}

/// Nothing here ever waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("products here are ready"),
    }
}

fn network(model: &ModelSpec) -> Network {
    let network = Network::new(model, 0..model.layers.len(), 1).and_then(|network| network.with_optimiser(sgd()));
    network.expect("a valid model")
}

/// So slow that made-up samples train for ever.
fn sgd() -> OptimiserSpec {
    OptimiserSpec::Sgd {
        learning_rate: 1e-6,
        momentum: 0.9,
        weight_decay: 0.0,
        schedule: LearningRateSchedule::default(),
    }
}

fn samples(model: &ModelSpec) -> ArrayD<f32> {
    let shape: Vec<usize> = std::iter::once(BATCH).chain(model.input.iter().copied()).collect();
    let mut number = 0u32;
    ArrayD::from_shape_simple_fn(shape, || {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (number >> 8) as f32 / (1 << 24) as f32
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
