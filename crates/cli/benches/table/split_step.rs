//! What a split training step costs over the same step unsplit: preset `m1`, 4 rows a batch, client and server on threads of their
//! own with mutual TLS over loopback between them.

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

use crate::{row::Row, timing::median};

const BATCH: usize = 4;
const STEPS: usize = 400;

/// The ratio of the medians, split and unsplit steps in turn.
pub fn row(pairs: usize) -> Row {
    let data = examples();
    // Warm-up: pages, caches, the clock of the processor.
    split_seconds(&data);
    unsplit_seconds(&data);
    let (split, whole): (Vec<f64>, Vec<f64>) = (0..pairs).map(|_| (split_seconds(&data), unsplit_seconds(&data))).unzip();
    let [split, whole] = [split, whole].map(|times| median(times) / STEPS as f64 * 1e3);
    Row::new(
        "split-step",
        "split training step over the same step unsplit, m1, batch 4",
        split / whole,
        "",
    )
    .detail(format!("{split:.3} ms over {whole:.3} ms, {pairs} pairs of {STEPS} steps"))
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
                class_weights: None,
                schedule: schedule(),
                shuffle,
                clients: 1,
                keep: None,
                alone: false,
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
