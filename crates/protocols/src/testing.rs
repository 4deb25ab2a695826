//! What the tests of all protocols share: a small job, recorded and scripted links, tampering.

pub mod crash;
mod tampering;

use std::ops::Range;

use cloven_nn::{BatchTargets, Evaluation, LearningRateSchedule, Loss, Network, OptimiserSpec, preset};
use cloven_wire::{Entry, Header, Link, Party, memory};
use ndarray::{ArrayD, Axis, IxDyn, concatenate};

pub use self::tampering::*;
use crate::{Cost, Event, Examples, Halted, Queries, Schedule, Shuffle, Task};

pub const SEED: u64 = 5;
/// Client and server by the order of their names here.
pub const PARTIES: [&str; 2] = ["hospital", "cloud"];

pub type MemoryLink = Link<memory::MemoryChannel>;
/// A message as it crosses the link, header included.
pub type Frame = Vec<u8>;

pub fn party(name: &str) -> Party {
    name.parse().unwrap()
}

/// Rows in the shape of `m1`'s input with labels that depend on them, from a fixed linear congruential sequence.
pub fn examples(rows: usize) -> Examples {
    let mut state = 3u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let x = ArrayD::from_shape_fn(IxDyn(&[rows, 1, 128]), |_| next());
    let labels = x.outer_iter().map(|row| (row.sum() * 10.0) as u32 % 5).collect();
    Examples {
        x,
        targets: BatchTargets::Classes(labels),
    }
}

pub fn schedule() -> Schedule {
    Schedule {
        epochs: 3,
        batch: 4,
        evaluation_batch: 8,
        evaluate_every: 1,
        checkpoint_every: 2,
    }
}

pub fn task<'a>(train: &'a Examples, test: &'a Examples) -> Task<'a> {
    Task {
        train,
        test,
        subsets: &[],
        loss: Loss::CrossEntropy,
        class_weights: None,
        schedule: schedule(),
        shuffle: Shuffle { seed: SEED },
        clients: 1,
        keep: None,
        alone: false,
    }
}

pub fn adam(weight_decay: f64) -> OptimiserSpec {
    OptimiserSpec::AdamW {
        learning_rate: 3e-3,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay,
        schedule: LearningRateSchedule::default(),
    }
}

pub fn sgd(learning_rate: f64) -> OptimiserSpec {
    OptimiserSpec::Sgd {
        learning_rate,
        momentum: 0.0,
        weight_decay: 0.0,
        schedule: LearningRateSchedule::default(),
    }
}

/// These layers of `m1`.
pub fn network(layers: Range<usize>, optimiser: OptimiserSpec) -> Network {
    Network::new(&preset("m1").unwrap().model, layers, SEED)
        .unwrap()
        .with_optimiser(optimiser)
        .unwrap()
}

pub fn ignore(_: Event) -> Result<(), Halted> {
    Ok(())
}

/// The client's and the server's end, both recording.
pub fn links() -> [MemoryLink; 2] {
    let (a, b) = memory::pair(party(PARTIES[0]), party(PARTIES[1]));
    [a, b].map(|end| Link::new(end).record())
}

/// Runs both parties over a relay that keeps every frame, by sender: all that a party sees of the other.
pub async fn relayed<T>(run: impl AsyncFnOnce([MemoryLink; 2]) -> T) -> (T, [Vec<Frame>; 2]) {
    let (client_end, to_client) = memory::pair(party(PARTIES[0]), party(PARTIES[1]));
    let (to_server, server_end) = memory::pair(party(PARTIES[0]), party(PARTIES[1]));
    let relay = async {
        let mut frames = [Vec::new(), Vec::new()];
        loop {
            tokio::select! {
                Some(frame) = to_client.receive_raw() => { to_server.send_raw(frame.clone()); frames[0].push(frame); }
                Some(frame) = to_server.receive_raw() => { to_client.send_raw(frame.clone()); frames[1].push(frame); }
                else => return frames,
            }
        }
    };
    tokio::join!(run([Link::new(client_end), Link::new(server_end)]), relay)
}

/// A link to a peer that has sent `frames` and left; `sender` is the peer's place in [`PARTIES`].
pub fn scripted(sender: usize, frames: &[Frame]) -> MemoryLink {
    let (hospital, cloud) = memory::pair(party(PARTIES[0]), party(PARTIES[1]));
    let (peer, own) = if sender == 0 { (hospital, cloud) } else { (cloud, hospital) };
    frames.iter().for_each(|frame| peer.send_raw(frame.clone()));
    Link::new(own)
}

pub fn header(frame: &[u8]) -> Header {
    Header::from_bytes(frame[..Header::LEN].try_into().unwrap()).unwrap()
}

/// The frame with other bytes from `at` on.
pub fn with(frame: &[u8], at: usize, bytes: &[u8]) -> Frame {
    let mut bad = frame.to_vec();
    bad[at..at + bytes.len()].copy_from_slice(bytes);
    bad
}

/// The declared cost of the whole schedule, from that of one training and one evaluation batch.
pub fn declared(
    [train_rows, test_rows]: [usize; 2],
    training: impl Fn(usize) -> Cost,
    evaluation: impl Fn(usize) -> Cost,
) -> Cost {
    (0..schedule().epochs).fold(Cost::START, |cost, _| {
        let cost = schedule().training_sizes(train_rows).fold(cost, |c, rows| c + training(rows));
        schedule()
            .evaluation_sizes(test_rows)
            .fold(cost + Cost::SETTLED, |c, rows| c + evaluation(rows))
    })
}

/// The declared cost of predicting `rows` rows, from that of one evaluation batch.
pub fn declared_prediction(rows: usize, evaluation: impl Fn(usize) -> Cost) -> Cost {
    schedule()
        .evaluation_sizes(rows)
        .fold(Cost::ASK, |cost, rows| cost + evaluation(rows))
}

/// These inputs, in batches of evaluation.
pub fn queries(x: &ArrayD<f32>) -> Queries<'_> {
    Queries {
        x,
        batch: schedule().evaluation_batch,
    }
}

/// What the network gives whose layers are these parts, in batches of evaluation and with nothing between the parts.
pub fn unsplit_outputs(parts: &[&Network], x: &ArrayD<f32>) -> ArrayD<f32> {
    let mut batches = Vec::new();
    let mut done = 0;
    for rows in schedule().evaluation_sizes(x.shape()[0]) {
        let rows_of = x.slice_axis(Axis(0), (done..done + rows).into()).to_owned();
        batches.push(parts.iter().fold(rows_of, |x, part| part.forward(&x).unwrap()));
        done += rows;
    }
    let views: Vec<_> = batches.iter().map(|batch| batch.view()).collect();
    concatenate(Axis(0), &views).unwrap()
}

/// The last evaluation that an observer is told of.
pub fn last_evaluation(into: &mut Option<Evaluation>) -> impl FnMut(Event) -> Result<(), Halted> {
    move |event| {
        if let Event::Evaluated {
            evaluation: Some(evaluation),
            ..
        } = event
        {
            *into = Some(evaluation);
        }
        Ok(())
    }
}

/// A row count of `ask` that is refused: more than any data set has, and none.
pub fn tampered_ask(frame: &[u8]) -> Vec<Tampered> {
    vec![
        ("absurd row count", with(frame, Header::LEN + 7, &[0x7f])),
        ("no rows", with(frame, Header::LEN, &[0; 8])),
    ]
}

/// What the channels counted.
pub fn counted([client, server]: &[MemoryLink; 2]) -> Cost {
    let messages = |link: &MemoryLink| link.sent_by_message().values().map(|m| m.messages).sum();
    Cost {
        client_messages: messages(client),
        server_messages: messages(server),
        client_bytes: client.traffic().sent,
        server_bytes: server.traffic().sent,
    }
}

/// Both ends recorded the same messages.
pub fn assert_same_transcript([client, server]: &[MemoryLink; 2]) {
    let plain = |link: &MemoryLink| {
        let entries: &[Entry] = link.transcript().unwrap();
        entries.iter().map(|e| (e.what, e.round, e.len, e.digest)).collect::<Vec<_>>()
    };
    assert_eq!(plain(client), plain(server));
}

/// Trained weights of the layer at `index` differ by far less than training moved them. (A difference near the encryption's error is amplified where
/// a maximum or a kink is decided the other way.)
pub fn assert_close(a: &[ArrayD<f32>], b: &[ArrayD<f32>], index: usize) {
    let initial: Vec<_> = network(index..index + 1, sgd(0.1))
        .parameters()
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    let (apart, moved) = (distance(a, b), distance(&initial, b));
    assert!(apart < moved / 20.0, "{apart:e} apart, moved by {moved:e}");
}

/// The greatest difference between two lists of arrays.
pub fn distance(a: &[ArrayD<f32>], b: &[ArrayD<f32>]) -> f32 {
    let pairs = a.iter().zip(b).flat_map(|(a, b)| a.iter().zip(b));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The names of several clients, in order.
pub const CLIENTS: [&str; 3] = ["alpha", "beta", "gamma"];

/// A link for each of [`CLIENTS`], and the server's ends.
pub fn several_links() -> [Vec<MemoryLink>; 2] {
    let pairs = CLIENTS.map(|name| memory::pair(party(name), party(PARTIES[1])));
    let (clients, server): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    [clients, server].map(|ends| ends.into_iter().map(Link::new).collect())
}

/// Different rows for each of [`CLIENTS`], of different numbers.
pub fn several_examples() -> [Examples; 3] {
    let all = examples(30);
    [0..6, 6..18, 18..30].map(|rows| {
        let (x, targets) = all.batch(&rows.collect::<Vec<_>>());
        Examples { x, targets }
    })
}
