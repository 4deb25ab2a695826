//! `sealed` against `plain`, real encryption against the ideal cipher, declared cost against counters, tampering, and what the server sees.

use std::ops::Range;

use cloven_nn::{BatchTargets, Loss, Network, OptimiserSpec, preset};
use cloven_wire::{Entry, Header, Link, Party, WireError, memory};
use ndarray::{ArrayD, IxDyn};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{cipher::SealedLen, *};
use crate::{Cost, Event, Examples, Halted, ProtocolError, Schedule, Shuffle, Task, plain};

const SEED: u64 = 5;
const LAYER: usize = 7;

fn party(name: &str) -> Party {
    name.parse().unwrap()
}

fn examples(rows: usize) -> Examples {
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

fn schedule() -> Schedule {
    Schedule {
        epochs: 3,
        batch: 4,
        evaluation_batch: 8,
        evaluate_every: 1,
    }
}

fn task<'a>(train: &'a Examples, test: &'a Examples) -> Task<'a> {
    Task {
        train,
        test,
        subsets: &[],
        loss: Loss::CrossEntropy,
        schedule: schedule(),
        shuffle: Shuffle { seed: SEED },
    }
}

fn network(layers: Range<usize>) -> Network {
    let adam = OptimiserSpec::AdamW {
        learning_rate: 3e-3,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
    };
    Network::new(&preset("m1").unwrap().model, layers, SEED)
        .unwrap()
        .with_optimiser(adam)
        .unwrap()
}

fn roles<K, S>(at_client: K, at_server: S, reveal_after: usize) -> (Client<K>, Server<S>) {
    let layers = preset("m1").unwrap().model.layers.len();
    let client = Client {
        front: network(0..LAYER),
        unrevealed: network(LAYER..LAYER + 1),
        tail: network(LAYER + 1..layers),
        cipher: at_client,
        reveal_after,
    };
    (
        client,
        Server {
            layer: network(LAYER..LAYER + 1),
            cipher: at_server,
            reveal_after,
        },
    )
}

fn ideal() -> IdealCipher {
    IdealCipher::new(&preset("m1").unwrap().model, LAYER).unwrap()
}

fn lattice() -> (LatticeCipher, ServerLattice) {
    let sealing = Sealing::new(4, 256, 5).unwrap();
    (
        LatticeCipher::new(sealing.clone(), &mut ChaCha20Rng::from_seed([9; 32])),
        ServerLattice::new(sealing),
    )
}

fn ignore(_: Event) -> Result<(), Halted> {
    Ok(())
}

/// All weights after training: the front's, then W = U + V.
struct Trained {
    front: Vec<(String, ArrayD<f32>)>,
    layer: Vec<ArrayD<f32>>,
    links: [Link<memory::MemoryChannel>; 2],
}

async fn train<K: ClientCipher, S: ServerCipher>(
    (me, other): (Client<K>, Server<S>),
    data: &Examples,
    test: &Examples,
) -> Trained {
    let (a, b) = memory::pair(party("hospital"), party("cloud"));
    let (mut a, mut b) = (Link::new(a).record(), Link::new(b).record());
    let (mut quiet, mut still) = (ignore, ignore);
    let (me, other) = tokio::join!(
        client(me, task(data, test), &mut a, &mut quiet),
        server(other, schedule(), &mut b, &mut still)
    );
    let (me, other) = (me.unwrap(), other.unwrap());
    let unrevealed = me.unrevealed.parameters();
    let layer = other
        .layer
        .parameters()
        .into_iter()
        .zip(&unrevealed)
        .map(|((_, u), (_, v))| u + v)
        .collect();
    Trained {
        front: me.front.parameters(),
        layer,
        links: [a, b],
    }
}

async fn train_plain(data: &Examples, test: &Examples) -> (Vec<(String, ArrayD<f32>)>, Vec<ArrayD<f32>>) {
    let (a, b) = memory::pair(party("hospital"), party("cloud"));
    let (mut a, mut b) = (Link::new(a), Link::new(b));
    let me = plain::Client {
        front: network(0..LAYER),
        tail: network(LAYER + 1..8),
    };
    let other = plain::Server {
        middle: network(LAYER..LAYER + 1),
    };
    let (mut quiet, mut still) = (ignore, ignore);
    let (me, other) = tokio::join!(
        plain::client(me, task(data, test), &mut a, &mut quiet),
        plain::server(other, schedule(), &mut b, &mut still)
    );
    (
        me.unwrap().front.parameters(),
        other.unwrap().middle.parameters().into_iter().map(|(_, w)| w).collect(),
    )
}

fn distance(a: &[ArrayD<f32>], b: &[ArrayD<f32>]) -> f32 {
    a.iter()
        .zip(b)
        .flat_map(|(a, b)| a.iter().zip(b))
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

/// With one batch an epoch V moves into U after every step, and every sum is made of the same numbers in the same order as in `plain`.
#[tokio::test]
async fn with_an_ideal_cipher_the_weights_are_those_of_plain() {
    let (data, test) = (examples(4), examples(3));
    let sealed = train(roles(ideal(), ideal(), 1), &data, &test).await;
    let (front, layer) = train_plain(&data, &test).await;
    assert_eq!(sealed.front, front);
    assert_eq!(sealed.layer, layer);
}

/// With V held back, a W is summed as a U + a V: the same training but for the rounding of single-precision sums.
#[tokio::test]
async fn holding_v_back_changes_rounding_only() {
    let (data, test) = (examples(22), examples(3));
    let (_, layer) = train_plain(&data, &test).await;
    for reveal_after in [1, 30, 1_000_000] {
        let sealed = train(roles(ideal(), ideal(), reveal_after), &data, &test).await;
        let distance = distance(&sealed.layer, &layer);
        assert!(distance < 2e-5, "{reveal_after}: {distance:e}");
    }
}

#[tokio::test]
async fn real_encryption_trains_the_same_network() {
    let (data, test) = (examples(22), examples(10));
    let (at_client, at_server) = lattice();
    let sealed = train(roles(at_client, at_server, 30), &data, &test).await;
    let (_, layer) = train_plain(&data, &test).await;
    // Adam moves a weight by up to the learning rate of 3e-3 a step, in 18 steps.
    let distance = distance(&sealed.layer, &layer);
    assert!(distance < 3e-3, "{distance:e}");
}

#[tokio::test]
async fn declared_cost_is_what_the_channel_counts() {
    let (data, test) = (examples(22), examples(10));
    let (at_client, at_server) = lattice();
    let Trained {
        links: [a, b], layer, ..
    } = train(roles(at_client, at_server, 30), &data, &test).await;
    let lengths = Sealing::new(4, 256, 5).unwrap();
    let shapes: Vec<Vec<usize>> = layer.iter().map(|w| w.shape().to_vec()).collect();
    // 22 rows an epoch: 44 after the second.
    let mut declared = Cost::START + cost::reveal(&shapes);
    for _ in 0..schedule().epochs {
        declared = schedule()
            .training_sizes(22)
            .fold(declared, |c, rows| c + cost::training_batch(&lengths, rows));
        declared = schedule()
            .evaluation_sizes(10)
            .fold(declared, |c, rows| c + cost::evaluation_batch(&lengths, rows));
    }
    assert_eq!(
        (a.traffic().sent, b.traffic().sent),
        (declared.client_bytes, declared.server_bytes)
    );
    let messages = |link: &Link<_>| link.sent_by_message().values().map(|m| m.messages).sum::<u64>();
    assert_eq!(
        (messages(&a), messages(&b)),
        (declared.client_messages, declared.server_messages)
    );
    let plain = |t: &[Entry]| t.iter().map(|e| (e.what, e.round, e.len, e.digest)).collect::<Vec<_>>();
    assert_eq!(plain(a.transcript().unwrap()), plain(b.transcript().unwrap()));
}

/// What the server receives has the same form whatever the data, and no ciphertext repeats although batches do.
#[tokio::test]
async fn the_servers_view_has_the_same_form_for_other_data() {
    let test = examples(3);
    let mut forms = Vec::new();
    for scale in [0.0, 1.0] {
        let mut data = examples(12);
        data.x.mapv_inplace(|v| v * scale);
        let (at_client, at_server) = lattice();
        let Trained { links: [_, b], .. } = train(roles(at_client, at_server, 30), &data, &test).await;
        let received: Vec<_> = b
            .transcript()
            .unwrap()
            .iter()
            .filter(|e| e.direction == cloven_wire::Direction::Received)
            .cloned()
            .collect();
        let mut digests: Vec<_> = received.iter().map(|e| e.digest).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), received.len(), "every message differs, also of equal rows");
        forms.push(received.iter().map(|e| (e.what, e.round, e.len)).collect::<Vec<_>>());
    }
    assert_eq!(forms[0], forms[1]);
}

#[test]
fn v_is_never_revealed_for_fewer_samples() {
    let mut reveals = Reveals::default();
    let epochs: Vec<bool> = (0..6).map(|_| reveals.after_epoch(456, REVEAL_AFTER)).collect();
    assert_eq!(epochs, [false, false, true, false, false, true]);
}

/// The frames of an honest run, by sender.
async fn honest_frames(data: &Examples, test: &Examples) -> [Vec<Vec<u8>>; 2] {
    let (client_end, mut to_client) = memory::pair(party("hospital"), party("cloud"));
    let (mut to_server, server_end) = memory::pair(party("hospital"), party("cloud"));
    let (at_client, at_server) = lattice();
    let (me, other) = roles(at_client, at_server, 8);
    let (mut quiet, mut still) = (ignore, ignore);
    let (mut a, mut b) = (Link::new(client_end), Link::new(server_end));
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
    let parties = async {
        let (x, y) = tokio::join!(
            client(me, task(data, test), &mut a, &mut quiet),
            server(other, schedule(), &mut b, &mut still)
        );
        x.map(|_| ()).and(y.map(|_| ())).unwrap();
        drop((a, b));
    };
    tokio::join!(relay, parties).0
}

/// Runs one party against a peer that sends `frames` and leaves.
async fn against(sender: usize, frames: &[Vec<u8>], data: &Examples, test: &Examples) -> Result<(), ProtocolError> {
    let (hospital, cloud) = memory::pair(party("hospital"), party("cloud"));
    let (at_client, at_server) = lattice();
    let (me, other) = roles(at_client, at_server, 8);
    let play = |mut peer: memory::MemoryChannel| frames.iter().for_each(|f| peer.send_raw(f.clone()));
    match sender {
        0 => {
            play(hospital);
            server(other, schedule(), &mut Link::new(cloud), &mut ignore)
                .await
                .map(|_| ())
        }
        _ => {
            play(cloud);
            client(me, task(data, test), &mut Link::new(hospital), &mut ignore)
                .await
                .map(|_| ())
        }
    }
}

fn header(frame: &[u8]) -> Header {
    Header::from_bytes(frame[..Header::LEN].try_into().unwrap(), &party("peer")).unwrap()
}

#[tokio::test]
async fn every_message_tampered_with_is_refused_by_name() {
    let (data, test) = (examples(8), examples(3));
    let frames = honest_frames(&data, &test).await;
    let mut covered = std::collections::BTreeSet::new();
    for (sender, name) in ["hospital", "cloud"].into_iter().enumerate() {
        for (message, kind) in MESSAGES {
            let Some(at) = frames[sender].iter().position(|f| header(f).kind == kind) else {
                continue;
            };
            covered.insert(kind);
            for (how, bad) in tampered(&frames[sender][at]) {
                let script: Vec<_> = frames[sender][..at].iter().cloned().chain([bad]).collect();
                let error = against(sender, &script, &data, &test).await.unwrap_err();
                let ProtocolError::Wire(error) = error else {
                    panic!("{message}, {how}: {error}")
                };
                let refused = matches!(
                    error,
                    WireError::Unexpected { .. } | WireError::Malformed { .. } | WireError::BadHeader { .. }
                );
                assert!(refused && error.to_string().contains(name), "{message}, {how}: {error}");
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
    if [2, 4].contains(&header(frame).kind) {
        let mut unreduced = frame.to_vec();
        unreduced[Header::LEN + 32..Header::LEN + 64].fill(0xff);
        cases.push(("coefficient not below q", unreduced));
    }
    if header(frame).kind == 6 {
        cases.push(("another shape", with(Header::LEN + 1, 0xee)));
    }
    cases
}

#[tokio::test]
async fn flipped_ciphertext_bits_never_panic() {
    let (data, test) = (examples(8), examples(3));
    let frames = honest_frames(&data, &test).await;
    for (sender, frames) in frames.iter().enumerate() {
        for bit in [0, 7, 8 * 40 + 3, 8 * 5000, 8 * 9000 + 1] {
            let at = frames.iter().position(|f| header(f).len > 9001).unwrap();
            let mut bad = frames[at].clone();
            bad[Header::LEN + bit / 8] ^= 1 << (bit % 8);
            let script: Vec<_> = frames[..at].iter().cloned().chain([bad]).collect();
            assert!(
                against(sender, &script, &data, &test).await.is_err(),
                "at the latest when the peer is gone"
            );
        }
    }
}

#[test]
fn bytes_of_a_step_of_the_published_network() {
    let lengths = Sealing::new(4, 256, 5).unwrap();
    let step = cost::training_batch(&lengths, 4);
    // 13,245 rows in batches of 4.
    let epoch = 3312 * (step.client_bytes + step.server_bytes);
    assert!(epoch < 350_000_000, "{epoch}");
    assert_eq!(lengths.sealed_len(cipher::Direction::Forward, 4), 11_552);
}
