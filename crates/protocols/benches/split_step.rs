//! What a split training step costs over the same step unsplit: preset `m1`, 4 rows a batch, client and server on threads of their
//! own with mutual TLS over loopback between them. Prints the ratio of paired runs.
//!
//! `cargo bench -p cloven-protocols --bench split_step`

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::mpsc,
    time::{Duration, Instant},
};

use cloven_nn::{BatchTargets, LearningRateSchedule, Loss, Network, OptimiserSpec, preset};
use cloven_protocols::{
    Event, Examples, Schedule, Shuffle, Task,
    plain::{Client, Server, Unsplit, client, server, unsplit},
};
use cloven_wire::{
    Link, Party,
    tcp::{Endpoint, Identity, Reach, Roster, TcpChannel},
};
use ndarray::{ArrayD, IxDyn};
use tokio::net::TcpListener;

const BATCH: usize = 4;
const STEPS: usize = 400;
const PAIRS: usize = 25;

fn main() {
    let data = examples();
    // Warm-up: pages, caches, the clock of the processor.
    split_seconds(&data);
    unsplit_seconds(&data);
    let mut rows: Vec<(f64, f64)> = (0..PAIRS).map(|_| (split_seconds(&data), unsplit_seconds(&data))).collect();
    rows.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    let at = |quantile: f64| {
        let (split, whole) = rows[(quantile * (PAIRS - 1) as f64).round() as usize];
        split / whole
    };
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[PAIRS / 2] / STEPS as f64 * 1e3
    };
    println!("m1, {BATCH} rows a batch, {PAIRS} pairs of {STEPS} steps");
    println!("split   {:.3} ms a step (median)", median(rows.iter().map(|r| r.0).collect()));
    println!("unsplit {:.3} ms a step (median)", median(rows.iter().map(|r| r.1).collect()));
    println!(
        "split / unsplit: {:.2} (median of pairs; 5 % {:.2}, 95 % {:.2})",
        at(0.5),
        at(0.05),
        at(0.95)
    );
}

fn examples() -> Examples {
    let rows = BATCH * STEPS;
    let x = ArrayD::from_shape_fn(IxDyn(&[rows, 1, 128]), |i| ((i[0] * 31 + i[2] * 7) % 97) as f32 / 97.0);
    Examples {
        x,
        targets: BatchTargets::Classes((0..rows as u32).map(|r| r % 5).collect()),
    }
}

fn schedule() -> Schedule {
    Schedule {
        epochs: 1,
        batch: BATCH,
        evaluation_batch: 256,
        evaluate_every: 0,
        checkpoint_every: 0,
    }
}

fn network(range: Range<usize>) -> Network {
    let adam = OptimiserSpec::AdamW {
        learning_rate: 1e-3,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
        schedule: LearningRateSchedule::default(),
    };
    Network::new(&preset("m1").expect("a preset").model, range, 1)
        .and_then(|n| n.with_optimiser(adam))
        .expect("valid layers")
}

fn unsplit_seconds(train: &Examples) -> f64 {
    let layers = preset("m1").expect("a preset").model.layers.len();
    let me = Unsplit {
        network: network(0..layers),
        loss: Loss::CrossEntropy,
        train,
        schedule: schedule(),
        shuffle: Shuffle { seed: 1 },
    };
    let start = Instant::now();
    unsplit(me).expect("trains");
    start.elapsed().as_secs_f64()
}

/// Seconds from the first batch to the end of the epoch at the client.
fn split_seconds(train: &Examples) -> f64 {
    let preset = preset("m1").expect("a preset");
    let cut = preset.server.clone();
    let identities = ["hospital", "cloud"].map(|n| Identity::generate(n.parse().expect("a name")).expect("a key").0);
    let [hospital, cloud] = identities;
    let (at_hospital, at_cloud) = (pin(&cloud), pin(&hospital));
    let (tell, address) = mpsc::channel();
    let middle = network(cut.clone());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            runtime().block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
                tell.send(listener.local_addr().expect("bound").to_string())
                    .expect("the client listens");
                let channel = connect(&cloud, &at_cloud, Some(listener), "hospital", Reach::Accept).await;
                server(
                    Server { middle: vec![middle] },
                    schedule(),
                    &mut [Link::new(channel)],
                    &mut |_| Ok(()),
                )
                .await
                .expect("serves");
            })
        });
        runtime().block_on(async {
            let dial = Reach::Dial(address.recv().expect("the server's address"));
            let mut link = Link::new(connect(&hospital, &at_hospital, None, "cloud", dial).await);
            let me = Client {
                front: network(0..cut.start),
                tail: network(cut.end..preset.model.layers.len()),
            };
            let test = Examples {
                x: ArrayD::zeros(IxDyn(&[0, 1, 128])),
                targets: BatchTargets::Classes(vec![]),
            };
            let shuffle = Shuffle { seed: 1 };
            let task = Task {
                train,
                test: &test,
                subsets: &[],
                loss: Loss::CrossEntropy,
                schedule: schedule(),
                shuffle,
                clients: 1,
                keep: None,
            };
            let (mut start, mut seconds) = (Instant::now(), 0.0);
            let mut observe = |event: Event| {
                match event {
                    Event::Started { .. } => start = Instant::now(),
                    Event::Epoch { .. } => seconds = start.elapsed().as_secs_f64(),
                    _ => (),
                }
                Ok(())
            };
            client(me, task, &mut link, &mut observe).await.expect("trains");
            seconds
        })
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn pin(identity: &Identity) -> Roster {
    let mut roster = Roster::default();
    roster.pin(identity.party.clone(), identity.certificate.clone());
    roster
}

async fn connect(identity: &Identity, roster: &Roster, listener: Option<TcpListener>, peer: &str, reach: Reach) -> TcpChannel {
    let limit = Duration::from_secs(20);
    let endpoint = Endpoint {
        identity,
        roster,
        job: [0; 32],
        listener,
        connect_deadline: limit,
        message_deadline: limit,
        total_deadline: limit,
        emulation: None,
    };
    let peers = BTreeMap::from([(peer.parse::<Party>().expect("a name"), reach)]);
    endpoint
        .connect(&peers, &|_| ())
        .await
        .expect("connects")
        .into_values()
        .next()
        .expect("one peer")
}
