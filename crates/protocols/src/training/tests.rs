//! Several clients that share the server's layers.

mod resume;

use std::{cell::Cell, future::Future, time::Duration};

use cloven_nn::{Network, OptimiserSpec};
use cloven_wire::{
    Deadlines, Party, memory,
    tcp::{Identity, Roster},
};
use futures_util::future::join_all;
use ndarray::ArrayD;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{encrypted_activation as ea, encrypted_model as em, helpers::testing::InMemory, plain, testing::*};

/// The server's one layer of `m1`.
const LAYER: usize = 7;

fn parts(optimiser: &OptimiserSpec) -> [Network; 3] {
    [0..LAYER, LAYER..LAYER + 1, LAYER + 1..8].map(|layers| network(layers, optimiser.clone()))
}

fn several_task<'a>(train: &'a Examples, test: &'a Examples) -> Task<'a> {
    Task {
        clients: 3,
        ..task(train, test)
    }
}

fn values(network: &Network) -> Vec<ArrayD<f32>> {
    network.parameters().into_iter().map(|(_, value)| value).collect()
}

/// The server's layer and every client's front after training.
struct Trained {
    layer: Vec<ArrayD<f32>>,
    fronts: Vec<Vec<(String, ArrayD<f32>)>>,
}

/// Runs clients and server; the client at place `slow` starts only when the others wait for it.
async fn joined<A, B>(
    clients: Vec<impl Future<Output = A>>,
    server: impl Future<Output = B>,
    slow: Option<usize>,
) -> (Vec<A>, B) {
    let waited = Cell::new(0);
    let clients = clients.into_iter().enumerate().map(|(place, client)| {
        let waited = &waited;
        async move {
            while slow == Some(place) && waited.get() < 1000 {
                waited.set(waited.get() + 1);
                tokio::task::yield_now().await;
            }
            client.await
        }
    });
    tokio::join!(join_all(clients), server)
}

async fn train_plain(optimiser: OptimiserSpec, slow: Option<usize>) -> Trained {
    let (data, test) = (several_examples(), examples(3));
    let [mut at_clients, mut at_server] = several_links();
    let clients = at_clients.iter_mut().zip(&data).map(|(link, data)| {
        let [front, _, tail] = parts(&optimiser);
        let task = several_task(data, &test);
        async move {
            plain::client(plain::Client { front, tail }, task, link, &mut ignore)
                .await
                .unwrap()
        }
    });
    let middle = (0..3).map(|_| network(LAYER..LAYER + 1, optimiser.clone())).collect();
    let (mut quiet, me) = (ignore, plain::Server { middle });
    let server = plain::server(me, schedule(), &mut at_server, &mut quiet);
    let (clients, server) = joined(clients.collect(), server, slow).await;
    let server = server.unwrap();
    let copies: Vec<_> = server.middle.iter().map(values).collect();
    assert!(copies.iter().all(|copy| *copy == copies[0]));
    Trained {
        layer: values(&server.middle[0]),
        fronts: clients.iter().map(|client| client.front.parameters()).collect(),
    }
}

/// Every client's identity, and a roster of all.
fn identities() -> (Vec<Identity>, Roster) {
    let all = CLIENTS.map(|name| Identity::generate(name.parse().unwrap()).unwrap().0);
    let mut roster = Roster::default();
    all.iter()
        .for_each(|one| drop(roster.pin(one.party.clone(), one.certificate.clone())));
    (all.into(), roster)
}

fn fellows<'a>(identity: &'a Identity, roster: &'a Roster) -> ea::Fellows<'a> {
    ea::Fellows {
        identity,
        roster,
        clients: CLIENTS.map(|name| name.parse::<Party>().unwrap()).into(),
        job: [1; 32],
    }
}

async fn train_sealed<K: ea::ClientCipher, S: ea::ServerCipher>(
    ciphers: impl Fn(u8) -> (K, S),
    optimiser: OptimiserSpec,
) -> (Trained, Vec<MemoryLink>) {
    let (data, test) = (several_examples(), examples(3));
    let (identities, roster) = identities();
    let [mut at_clients, mut at_server] = several_links();
    let clients = at_clients.iter_mut().zip(&data).zip(&identities).enumerate();
    let clients = clients.map(|(place, ((link, data), identity))| {
        let [front, unrevealed, tail] = parts(&optimiser);
        let me = ea::Client {
            front,
            unrevealed,
            tail,
            cipher: ciphers(place as u8).0,
            reveal_after: 1,
            fellows: Some((fellows(identity, &roster), ChaCha20Rng::from_seed([place as u8; 32]))),
        };
        let task = several_task(data, &test);
        async move { ea::client(me, task, link, &mut ignore).await.unwrap() }
    });
    let me = ea::Server {
        layer: network(LAYER..LAYER + 1, optimiser.clone()),
        ciphers: (0..3).map(|place| ciphers(place).1).collect(),
        reveal_after: 1,
    };
    let mut quiet = ignore;
    let server = ea::server(me, schedule(), &mut at_server, &mut quiet);
    let (clients, server) = joined(clients.collect(), server, None).await;
    let trained = Trained {
        layer: values(&server.unwrap().layer),
        fronts: clients.iter().map(|client| client.front.parameters()).collect(),
    };
    (trained, at_clients)
}

fn ideal(_: u8) -> (ea::IdealCipher, ea::IdealCipher) {
    let model = cloven_nn::preset("m1").unwrap().model;
    let cipher = || ea::IdealCipher::new(&model, LAYER).unwrap();
    (cipher(), cipher())
}

fn lattice(place: u8) -> (ea::LatticeCipher, ea::ServerLattice) {
    let sealing = || ea::Sealing::new(4, 256, 5).unwrap();
    let key = ea::LatticeCipher::new(sealing(), &mut ChaCha20Rng::from_seed([40 + place; 32]));
    (key, ea::ServerLattice::new(sealing()))
}

#[tokio::test]
async fn clients_sessions_at_helpers_are_those_at_the_server() {
    let (alone, _) = train_sealed(lattice, adam(0.01)).await;
    for helpers in [
        InMemory::new(1),
        InMemory::new(3),
        InMemory::losing(2, &[(0, 1), (1, 4), (0, 9)]),
    ] {
        let helped = |place| {
            let sealing = ea::Sealing::new(4, 256, 5).unwrap();
            (lattice(place).0, ea::HelpedLattice::new(sealing, place.into(), &helpers))
        };
        let (trained, _) = train_sealed(helped, adam(0.01)).await;
        assert_eq!(trained.layer, alone.layer);
        assert_eq!(trained.fronts, alone.fronts);
        // Each has sessions: layers, and batches to multiply.
        assert!(helpers.asked().iter().all(|asked| asked.contains(&7) && asked.contains(&8)));
    }
}

#[tokio::test]
async fn who_is_faster_does_not_change_the_result() {
    let together = train_plain(adam(0.01), None).await;
    for slow in 0..3 {
        let other = train_plain(adam(0.01), Some(slow)).await;
        assert_eq!(other.layer, together.layer);
        assert_eq!(other.fronts, together.fronts);
    }
}

/// A client that waits for another, slower one, hears from the server: its own deadline for a message does not end the run.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_slower_client_is_kept_informed() {
    let deadlines = Deadlines {
        message: Duration::from_secs(10),
        ..Deadlines::default()
    };
    let deadlines = Deadlines {
        peer: deadlines.message,
        ..deadlines
    };
    let (data, test) = (several_examples(), examples(3));
    // Of the last client every third message is late by four of the others' deadlines.
    let pair = |name: &str| memory::pair(name.parse().unwrap(), PARTIES[1].parse().unwrap());
    let (slow_end, from_slow) = pair(CLIENTS[2]);
    let (to_server, server_end) = pair(CLIENTS[2]);
    let relay = async {
        let mut number = 0;
        loop {
            tokio::select! {
                Some(frame) = from_slow.receive_raw() => {
                    number += 1;
                    if number % 3 == 0 {
                        tokio::time::sleep(4 * deadlines.message).await;
                    }
                    to_server.send_raw(frame);
                }
                Some(frame) = to_server.receive_raw() => from_slow.send_raw(frame),
                else => break,
            }
        }
    };
    let fast = CLIENTS[..2].iter().map(|name| pair(name));
    let (mut at_clients, mut at_server): (Vec<_>, Vec<_>) = fast.map(|(a, b)| (a.with_deadlines(deadlines), b)).unzip();
    at_clients.push(slow_end);
    at_server.push(server_end);
    let patient = Deadlines {
        message: 8 * deadlines.message,
        ..deadlines
    };
    let mut at_server: Vec<_> = at_server
        .into_iter()
        .map(|end| Link::new(end.with_deadlines(patient)))
        .collect();

    let clients = at_clients.into_iter().zip(&data).map(|(end, data)| {
        let [front, _, tail] = parts(&sgd(0.1));
        let (task, mut link) = (several_task(data, &test), Link::new(end));
        async move {
            plain::client(plain::Client { front, tail }, task, &mut link, &mut ignore)
                .await
                .map(|_| ())
        }
    });
    let (mut quiet, middle) = (ignore, (0..3).map(|_| network(LAYER..LAYER + 1, sgd(0.1))).collect());
    let server = async {
        let done = plain::server(plain::Server { middle }, schedule(), &mut at_server, &mut quiet)
            .await
            .map(|_| ());
        drop(at_server);
        done
    };
    let begun = tokio::time::Instant::now();
    let ((clients, server), ()) = tokio::join!(joined(clients.collect(), server, None), relay);
    server.unwrap();
    clients.into_iter().for_each(|client| client.unwrap());
    assert!(begun.elapsed() > 10 * deadlines.message);
}

/// One epoch of one batch a client: the shared layer is the mean of what each client alone would have made of it, weighted by rows.
#[tokio::test]
async fn an_epoch_averages_the_changes_by_rows() {
    let (data, test) = (several_examples(), examples(0));
    let once = Schedule {
        epochs: 1,
        batch: 32,
        ..schedule()
    };
    let [mut at_clients, mut at_server] = several_links();
    let clients = at_clients.iter_mut().zip(&data).map(|(link, data)| {
        let [front, _, tail] = parts(&sgd(0.1));
        let task = Task {
            schedule: once,
            ..several_task(data, &test)
        };
        async move {
            plain::client(plain::Client { front, tail }, task, link, &mut ignore)
                .await
                .unwrap()
        }
    });
    let (mut quiet, middle) = (ignore, (0..3).map(|_| network(LAYER..LAYER + 1, sgd(0.1))).collect());
    let server = plain::server(plain::Server { middle }, once, &mut at_server, &mut quiet);
    let (_, server) = joined(clients.collect(), server, None).await;

    let mut mean: Vec<ArrayD<f32>> = values(&network(LAYER..LAYER + 1, sgd(0.1))).iter().map(|v| v * 0.0).collect();
    for data in &data {
        let mut alone = plain::Unsplit {
            network: network(0..8, sgd(0.1)),
            loss: Loss::CrossEntropy,
            train: data,
            schedule: once,
            shuffle: Shuffle { seed: SEED },
        };
        let rows: Vec<usize> = Shuffle { seed: SEED }.order(1, data.rows());
        alone.train_batch(1, &rows).unwrap();
        let trained = alone.network.parameters();
        let layer = trained.iter().filter(|(name, _)| name.starts_with(&format!("{LAYER}.")));
        mean.iter_mut()
            .zip(layer)
            .for_each(|(mean, (_, value))| *mean += &(value * (data.rows() as f32 / 30.0)));
    }
    let apart = distance(&values(&server.unwrap().middle[0]), &mean);
    assert!(apart < 1e-6, "{apart:e}");
}

/// With V revealed after every epoch, under masks, it is the training of `plain` with the same clients, but for rounding.
#[tokio::test]
async fn sealed_with_an_ideal_cipher_is_plain() {
    let plain = train_plain(sgd(0.1), None).await;
    let (sealed, links) = train_sealed(ideal, sgd(0.1)).await;
    let apart = distance(&sealed.layer, &plain.layer);
    assert!(apart < 2e-6, "{apart:e}");
    // Three epochs, one masked reveal each, and none in the clear.
    for link in &links {
        assert_eq!(link.sent_by_message()["masked reveal"].messages, 3);
        assert!(!link.sent_by_message().contains_key("reveal"));
    }
}

#[tokio::test]
async fn sealed_with_a_key_of_each_client_trains_the_same_network() {
    let plain = train_plain(sgd(0.1), None).await;
    let (sealed, _) = train_sealed(lattice, sgd(0.1)).await;
    assert_close(&sealed.layer, &plain.layer, LAYER);
}

/// A server that says that there is one client would get V in the clear.
#[tokio::test]
async fn a_server_that_hides_the_other_clients_is_refused() {
    let [mut at_clients, mut at_server] = several_links();
    let (data, test) = (several_examples(), examples(3));
    let (identities, roster) = identities();
    let [front, unrevealed, tail] = parts(&sgd(0.1));
    let me = ea::Client {
        front,
        unrevealed,
        tail,
        cipher: ideal(0).0,
        reveal_after: 1,
        fellows: Some((fellows(&identities[0], &roster), ChaCha20Rng::from_seed([0; 32]))),
    };
    at_server[0]
        .send(
            0,
            &Begin {
                clients: 1,
                train_rows: 6,
                from: crate::Position::START,
            },
        )
        .await
        .unwrap();
    let error = ea::client(me, several_task(&data[0], &test), &mut at_clients[0], &mut ignore).await;
    let error = error.err().unwrap().to_string();
    assert!(
        error.contains("cloud") && error.contains("clients") && error.contains("expected 3"),
        "{error}"
    );
}
