//! The test ladder of `plain`: equality with unsplit training, the same transcript on both channels, declared cost against the
//! channel's counters, and tampering with every message.

use cloven_nn::{BatchTargets, Loss, Network, OptimiserSpec, preset};
use cloven_wire::{Entry, Header, Link, Party, WireError, memory};
use ndarray::{ArrayD, IxDyn};

use super::{cost, *};
use crate::{Event, Examples, Halted, Observe, ProtocolError, Schedule, Shuffle, Task};

const SEED: u64 = 11;

fn party(name: &str) -> Party {
    name.parse().unwrap()
}

/// Rows in the shape of `m1`'s input with labels that depend on them, from a fixed linear congruential sequence.
fn examples(rows: usize) -> Examples {
    let mut state = 1u32;
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

fn optimiser() -> OptimiserSpec {
    OptimiserSpec::AdamW {
        learning_rate: 3e-3,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
    }
}

fn schedule() -> Schedule {
    Schedule {
        epochs: 2,
        batch: 4,
        evaluation_batch: 8,
        evaluate_every: 1,
    }
}

fn network(range: std::ops::Range<usize>) -> Network {
    Network::new(&preset("m1").unwrap().model, range, SEED)
        .unwrap()
        .with_optimiser(optimiser())
        .unwrap()
}

/// Cuts `m1` so that front, server and tail all hold parameters: 0..3 | 3..7 | 7..8 counts the front's, middle's and tail's layers.
const CUT: [usize; 2] = [3, 7];

fn roles(cut: [usize; 2]) -> (Client, Server) {
    let layers = preset("m1").unwrap().model.layers.len();
    let client = Client {
        front: network(0..cut[0]),
        tail: network(cut[1]..layers),
    };
    (
        client,
        Server {
            middle: network(cut[0]..cut[1]),
        },
    )
}

fn task<'a>(train: &'a Examples, test: &'a Examples) -> Task<'a> {
    let shuffle = Shuffle { seed: SEED };
    Task {
        train,
        test,
        subsets: &[],
        loss: Loss::CrossEntropy,
        schedule: schedule(),
        shuffle,
    }
}

fn ignore(_: Event) -> Result<(), Halted> {
    Ok(())
}

async fn train<C: cloven_wire::Channel>(
    train: &Examples,
    test: &Examples,
    cut: [usize; 2],
    at_client: &mut Link<C>,
    at_server: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Vec<(String, ArrayD<f32>)> {
    let (me, other) = roles(cut);
    let mut quiet = ignore;
    let (me, other) = tokio::join!(
        client(me, task(train, test), at_client, observe),
        server(other, schedule(), at_server, &mut quiet)
    );
    let (me, other) = (me.unwrap(), other.unwrap());
    [me.front.parameters(), other.middle.parameters(), me.tail.parameters()].concat()
}

fn links() -> (Link<memory::MemoryChannel>, Link<memory::MemoryChannel>) {
    let (a, b) = memory::pair(party("hospital"), party("cloud"));
    (Link::new(a).record(), Link::new(b).record())
}

#[tokio::test]
async fn same_seed_same_weights_as_the_unsplit_network() {
    let (data, test) = (examples(22), examples(10));
    let layers = preset("m1").unwrap().model.layers.len();
    let whole = Unsplit {
        network: network(0..layers),
        loss: Loss::CrossEntropy,
        train: &data,
        schedule: schedule(),
        shuffle: Shuffle { seed: SEED },
    };
    let (whole, losses) = unsplit(whole).unwrap();
    for cut in [CUT, [7, 8], [0, 8], [0, 3], [3, 3]] {
        let (mut a, mut b) = links();
        let mut seen = Vec::new();
        let mut observe = |event: Event| {
            if let Event::Epoch { loss: Some(loss), .. } = event {
                seen.push(loss);
            }
            Ok(())
        };
        let split = train(&data, &test, cut, &mut a, &mut b, &mut observe).await;
        assert_eq!(split, whole.parameters(), "cut {cut:?}");
        assert_eq!(seen, losses, "cut {cut:?}");
    }
}

#[tokio::test]
async fn declared_cost_is_what_the_channel_counts() {
    let (data, test) = (examples(22), examples(10));
    let (mut a, mut b) = links();
    train(&data, &test, CUT, &mut a, &mut b, &mut ignore).await;
    let shapes = preset("m1").unwrap().model.shapes().unwrap();
    let cut = CUT.map(|layer| shapes[layer].as_slice());
    let mut declared = crate::Cost::START;
    for _ in 0..schedule().epochs {
        declared = schedule()
            .training_sizes(22)
            .fold(declared, |c, rows| c + cost::training_batch(rows, cut));
        declared = schedule()
            .evaluation_sizes(10)
            .fold(declared, |c, rows| c + cost::evaluation_batch(rows, cut));
    }
    assert_eq!(a.traffic().sent, declared.client_bytes);
    assert_eq!(b.traffic().sent, declared.server_bytes);
    let messages = |link: &Link<_>| link.sent_by_message().values().map(|m| m.messages).sum::<u64>();
    assert_eq!(
        (messages(&a), messages(&b)),
        (declared.client_messages, declared.server_messages)
    );
}

#[tokio::test]
async fn both_ends_record_the_same_transcript() {
    let (data, test) = (examples(9), examples(3));
    let (mut a, mut b) = links();
    train(&data, &test, CUT, &mut a, &mut b, &mut ignore).await;
    let plain = |t: &[Entry]| t.iter().map(|e| (e.what, e.round, e.len, e.digest)).collect::<Vec<_>>();
    assert_eq!(plain(a.transcript().unwrap()), plain(b.transcript().unwrap()));
}

/// Runs one party against a peer that answers with `frames` in order.
async fn against_client(frames: &[Vec<u8>]) -> ProtocolError {
    let (data, test) = (examples(8), examples(3));
    let (a, mut peer) = memory::pair(party("hospital"), party("cloud"));
    frames.iter().for_each(|f| peer.send_raw(f.clone()));
    drop(peer);
    let (me, _) = roles(CUT);
    client(me, task(&data, &test), &mut Link::new(a), &mut ignore)
        .await
        .err()
        .unwrap()
}

async fn against_server(frames: &[Vec<u8>]) -> ProtocolError {
    let (mut peer, b) = memory::pair(party("hospital"), party("cloud"));
    frames.iter().for_each(|f| peer.send_raw(f.clone()));
    drop(peer);
    let (_, other) = roles(CUT);
    server(other, schedule(), &mut Link::new(b), &mut ignore).await.err().unwrap()
}

/// The frames of an honest run in the order in which each side sent them.
async fn honest_frames() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (data, test) = (examples(8), examples(3));
    let (client_end, mut to_client) = memory::pair(party("hospital"), party("cloud"));
    let (mut to_server, server_end) = memory::pair(party("hospital"), party("cloud"));
    let (me, other) = roles(CUT);
    let (mut quiet, mut still) = (ignore, ignore);
    let (mut a, mut b) = (Link::new(client_end), Link::new(server_end));
    let relay = async {
        let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                Some(frame) = to_client.receive_raw() => { to_server.send_raw(frame.clone()); from_client.push(frame); }
                Some(frame) = to_server.receive_raw() => { to_client.send_raw(frame.clone()); from_server.push(frame); }
                else => return (from_client, from_server),
            }
        }
    };
    let parties = async {
        let (x, y) = tokio::join!(
            client(me, task(&data, &test), &mut a, &mut quiet),
            server(other, schedule(), &mut b, &mut still)
        );
        x.and(y.map(|_| ())).unwrap();
        drop((a, b));
    };
    tokio::join!(relay, parties).0
}

fn header(frame: &[u8]) -> Header {
    Header::from_bytes(frame[..Header::LEN].try_into().unwrap(), &party("peer")).unwrap()
}

/// The first frame of every kind is tampered with in every way; each message kind must have occurred.
#[tokio::test]
async fn every_message_tampered_with_is_refused_by_name() {
    let (from_client, from_server) = honest_frames().await;
    let mut covered = std::collections::BTreeSet::new();
    for (frames, peer) in [(&from_client, "hospital"), (&from_server, "cloud")] {
        for (name, kind) in MESSAGES {
            let Some(at) = frames.iter().position(|f| header(f).kind == kind) else {
                continue;
            };
            covered.insert(kind);
            for (how, tampered) in tampered(&frames[at]) {
                let script: Vec<_> = frames[..at].iter().cloned().chain([tampered]).collect();
                let error = match peer {
                    "hospital" => against_server(&script).await,
                    _ => against_client(&script).await,
                };
                let ProtocolError::Wire(error) = error else {
                    panic!("{name}, {how}: {error}")
                };
                assert!(
                    matches!(
                        error,
                        WireError::Unexpected { .. } | WireError::Malformed { .. } | WireError::BadHeader { .. }
                    ),
                    "{name}, {how}: {error}"
                );
                assert!(error.to_string().contains(peer), "{name}, {how}: {error}");
            }
        }
    }
    assert_eq!(covered.len(), MESSAGES.len(), "every message kind has its case");
}

fn tampered(frame: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let with = |at: usize, byte: u8| {
        let mut bad = frame.to_vec();
        bad[at] = byte;
        bad
    };
    let mut shorter = frame[..frame.len() - 1].to_vec();
    shorter[..4].copy_from_slice(&(header(frame).len - 1).to_le_bytes());
    let mut longer = [frame, &[0; 8]].concat();
    longer[..4].copy_from_slice(&(header(frame).len + 8).to_le_bytes());
    let mut cases = vec![
        ("unknown kind", with(4, 77)),
        ("reserved byte", with(5, 1)),
        ("wrong round", with(15, 0x80)),
        ("truncated", shorter),
        ("too long", longer),
        ("oversize", with(3, 0x7f)),
    ];
    match header(frame).kind {
        1 => cases.push(("absurd row count", with(Header::LEN + 7, 0x7f))),
        _ => {
            cases.push(("another rank", with(Header::LEN, 9)));
            cases.push(("another shape", with(Header::LEN + 1, 0xee)));
            let mut nan = frame.to_vec();
            let end = nan.len();
            nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
            cases.push(("not a number", nan));
        }
    }
    cases
}

#[tokio::test]
async fn a_replayed_message_is_refused() {
    let (from_client, _) = honest_frames().await;
    let script: Vec<_> = from_client.iter().take(3).chain([&from_client[1]]).cloned().collect();
    let error = against_server(&script).await;
    assert!(matches!(error, ProtocolError::Wire(WireError::Unexpected { .. })), "{error}");
}

#[tokio::test]
async fn a_peer_that_dies_at_any_message_is_an_error_that_names_it() {
    let (from_client, from_server) = honest_frames().await;
    for n in 0..from_client.len() - 1 {
        let error = against_server(&from_client[..n]).await.to_string();
        assert!(error.contains("hospital closed the connection"), "{n}: {error}");
    }
    for n in 0..from_server.len() - 1 {
        let error = against_client(&from_server[..n]).await.to_string();
        assert!(error.contains("cloud closed the connection"), "{n}: {error}");
    }
}

#[tokio::test]
async fn the_observer_can_stop_a_run() {
    let (data, test) = (examples(8), examples(3));
    let (a, _b) = memory::pair(party("hospital"), party("cloud"));
    let (me, _) = roles(CUT);
    let mut stop = |_| {
        Err(Halted {
            why: "memory cap".into(),
        })
    };
    let error = client(me, task(&data, &test), &mut Link::new(a), &mut stop)
        .await
        .err()
        .unwrap();
    assert!(matches!(error, ProtocolError::Halted(_)));
}
