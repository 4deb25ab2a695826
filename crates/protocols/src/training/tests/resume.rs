//! Killing parties at any message: the training goes on from the checkpoints and ends with the same weights, bit for bit.

use super::*;
use crate::{
    helpers::testing::InMemory,
    testing::crash::{Disk, Disks, every_crash_is_survived, every_party_finishes_alone},
};

/// Kill-point lists for each protocol.
const CASES: u64 = 24;

/// All weights.
type Weights = Vec<Vec<(String, ArrayD<f32>)>>;

fn resumable<'a>(data: &'a Examples, test: &'a Examples, disk: &'a Disk, clients: usize) -> Task<'a> {
    Task {
        clients: clients as u32,
        keep: Some(disk),
        alone: disk.alone.get(),
        ..task(data, test)
    }
}

fn service<'a>(keeps: &'a [&'a dyn Keep], disks: &Disks) -> Service<'a> {
    Service {
        schedule: schedule(),
        keeps,
        alone: disks.server.iter().all(|disk| disk.alone.get()),
    }
}

fn keeps(disks: &Disks) -> Vec<&dyn Keep> {
    disks.server.iter().map(|disk| disk as &dyn Keep).collect()
}

/// Ends a script and its link together, as a process does.
async fn until_end<T, L>(script: impl AsyncFnOnce(&mut L) -> Result<T, ProtocolError>, mut links: L) -> Result<T, ProtocolError> {
    script(&mut links).await
}

async fn plain_run(
    at_clients: Vec<MemoryLink>,
    at_server: Vec<MemoryLink>,
    disks: &Disks,
    test: &Examples,
) -> Result<Weights, ProtocolError> {
    let (data, count, optimiser) = (several_examples(), at_clients.len(), adam(0.01));
    let clients = at_clients
        .into_iter()
        .zip(&data)
        .zip(&disks.clients)
        .map(|((link, data), disk)| {
            let [front, _, tail] = parts(&optimiser);
            let task = resumable(data, test, disk, count);
            until_end(
                async move |link: &mut MemoryLink| plain::client(plain::Client { front, tail }, task, link, &mut ignore).await,
                link,
            )
        });
    let middle = (0..count).map(|_| network(LAYER..LAYER + 1, optimiser.clone())).collect();
    let (keeps, me) = (keeps(disks), plain::Server { middle });
    let server = until_end(
        async |links: &mut Vec<MemoryLink>| plain::server(me, service(&keeps, disks), links, &mut ignore).await,
        at_server,
    );
    let (clients, server) = joined(clients.collect(), server, None).await;
    let mut weights = vec![server?.middle[0].parameters()];
    for client in clients {
        let client = client?;
        weights.extend([client.front.parameters(), client.tail.parameters()]);
    }
    Ok(weights)
}

async fn sealed_run(
    at_clients: Vec<MemoryLink>,
    at_server: Vec<MemoryLink>,
    disks: &Disks,
    attempt: u8,
) -> Result<Weights, ProtocolError> {
    let (data, test, count, optimiser) = (several_examples(), examples(3), at_clients.len(), adam(0.0));
    let (identities, roster) = identities();
    let places = at_clients
        .into_iter()
        .zip(&data)
        .zip(&disks.clients)
        .zip(&identities)
        .zip(0..);
    let clients = places.map(|((((link, data), disk), identity), place)| {
        let [front, unrevealed, tail] = parts(&optimiser);
        let me = ea::Client {
            front,
            unrevealed,
            tail,
            cipher: lattice(place).0,
            reveal_after: 10,
            // Masks are drawn anew for every connection.
            fellows: (count > 1).then(|| (fellows(identity, &roster), ChaCha20Rng::from_seed([10 * attempt + place; 32]))),
        };
        let task = resumable(data, &test, disk, count);
        until_end(
            async move |link: &mut MemoryLink| ea::client(me, task, link, &mut ignore).await,
            link,
        )
    });
    let me = ea::Server {
        layer: network(LAYER..LAYER + 1, optimiser.clone()),
        ciphers: (0..count as u8).map(|place| lattice(place).1).collect(),
        reveal_after: 10,
    };
    let keeps = keeps(disks);
    let server = until_end(
        async |links: &mut Vec<MemoryLink>| ea::server(me, service(&keeps, disks), links, &mut ignore).await,
        at_server,
    );
    let (clients, server) = joined(clients.collect(), server, None).await;
    let mut weights = vec![server?.layer.parameters()];
    for client in clients {
        let client = client?;
        weights.extend([&client.front, &client.unrevealed, &client.tail].map(Network::parameters));
    }
    Ok(weights)
}

async fn paper_run(mut at_clients: Vec<MemoryLink>, at_server: Vec<MemoryLink>, disks: &Disks) -> Result<Weights, ProtocolError> {
    let (data, test, optimiser) = (several_examples(), examples(3), adam(0.01));
    let [front, layer, tail] = parts(&optimiser);
    let me = ea::paper::Client {
        front,
        layer,
        tail,
        cipher: lattice(0).0,
    };
    let task = resumable(&data[1], &test, &disks.clients[0], 1);
    let client = until_end(
        async move |link: &mut MemoryLink| ea::paper::client(me, task, link, &mut ignore).await,
        at_clients.remove(0),
    );
    let session = ea::paper::Session {
        layer: network(LAYER..LAYER + 1, optimiser.clone()),
        cipher: lattice(0).1,
    };
    let (keeps, me) = (keeps(disks), ea::paper::Server { sessions: vec![session] });
    let server = until_end(
        async |links: &mut Vec<MemoryLink>| ea::paper::server(me, service(&keeps, disks), links, &mut ignore).await,
        at_server,
    );
    let (client, server) = tokio::join!(client, server);
    let (client, server) = (client?, server?);
    Ok([&server.sessions[0].layer, &client.front, &client.tail]
        .map(Network::parameters)
        .into())
}

/// With a precision that makes the weights go back and forth in most epochs. The server's helpers are this run's own.
async fn encrypted_model_run(
    mut at_clients: Vec<MemoryLink>,
    mut at_server: Vec<MemoryLink>,
    disks: &Disks,
    helpers: usize,
) -> Result<(Vec<Vec<u8>>, Vec<(String, ArrayD<f32>)>, u64), ProtocolError> {
    let (data, test) = (em::tests::rounded(22), em::tests::rounded(3));
    let (me, mut other) = em::tests::roles(2e-5);
    let helpers = (helpers > 0).then(|| InMemory::new(helpers));
    other.helpers = helpers.as_ref().map(|helpers| helpers as _);
    let task = resumable(&data, &test, &disks.clients[0], 1);
    let client = until_end(
        async move |link: &mut MemoryLink| em::client(me, task, link, &mut ignore).await,
        at_clients.remove(0),
    );
    let keeps = keeps(disks);
    let server = until_end(
        async |link: &mut MemoryLink| em::server(other, service(&keeps, disks), link, &mut ignore).await,
        at_server.remove(0),
    );
    let (client, server) = tokio::join!(client, server);
    let (client, server) = (client?, server?);
    Ok((server.weights, client.tail.parameters(), client.factor.to_bits()))
}

#[tokio::test]
async fn encrypted_model_survives() {
    every_crash_is_survived(&CLIENTS[..1], CASES, async |a, b, disks: &_, _| {
        encrypted_model_run(a, b, disks, 0).await
    })
    .await;
}

/// The server goes on with as many helpers as it then has, none among them: nobody but it had anything to keep.
#[tokio::test]
async fn encrypted_model_with_helpers_survives() {
    every_crash_is_survived(&CLIENTS[..1], CASES, async |a, b, disks: &_, attempt| {
        encrypted_model_run(a, b, disks, [2, 0, 3, 1][usize::from(attempt) % 4]).await
    })
    .await;
}

/// The server's rows outlive its processes, as its checkpoints do.
async fn encrypted_samples_run(
    mut at_clients: Vec<MemoryLink>,
    mut at_server: Vec<MemoryLink>,
    disks: &Disks,
    rows: &dyn em::encrypted_samples::RowStore,
) -> Result<(Vec<Vec<u8>>, Vec<(String, ArrayD<f32>)>), ProtocolError> {
    use em::encrypted_samples::{client, server, tests::roles};
    let (data, test) = (examples(22), examples(3));
    let (me, other) = roles(&adam(0.01), rows);
    let task = resumable(&data, &test, &disks.clients[0], 1);
    let client = until_end(
        async move |link: &mut MemoryLink| client(me, task, link, &mut ignore).await,
        at_clients.remove(0),
    );
    let keeps = keeps(disks);
    let server = until_end(
        async |link: &mut MemoryLink| server(other, service(&keeps, disks), link, &mut ignore).await,
        at_server.remove(0),
    );
    let (client, server) = tokio::join!(client, server);
    let (client, server) = (client?, server?);
    Ok((server.weights, client.parameters()))
}

#[tokio::test]
async fn encrypted_samples_survive() {
    let rows = em::encrypted_samples::tests::MemoryRows::default();
    every_crash_is_survived(&CLIENTS[..1], CASES, async |a, b, disks: &_, attempt| {
        if attempt == 0 {
            rows.clear();
        }
        encrypted_samples_run(a, b, disks, &rows).await
    })
    .await;
}

/// Weights under one key and a client with another: neither begins anew in silence, nor goes on.
#[tokio::test]
async fn another_key_does_not_resume() {
    let (data, test) = (em::tests::rounded(22), em::tests::rounded(3));
    let disks = Disks::new(1);
    for number in [1, 2] {
        let [mut a, mut b] = links();
        let (mut me, other) = em::tests::roles(em::tests::PRECISION);
        me.key = em::tests::key(number);
        let (keeps, task) = (keeps(&disks), resumable(&data, &test, &disks.clients[0], 1));
        let (quiet, mut still) = (ignore, ignore);
        let client = async {
            // Stops in the middle.
            let mut batches = 0;
            let mut stop = |event| match event {
                crate::Event::Batch { .. } if batches == 3 => Err(crate::Halted { why: "enough".into() }),
                crate::Event::Batch { .. } => {
                    batches += 1;
                    quiet(event)
                }
                _ => Ok(()),
            };
            drop(em::client(me, task, &mut a, &mut stop).await);
            drop(a);
        };
        let server = async {
            let result = em::server(other, service(&keeps, &disks), &mut b, &mut still).await;
            drop(b);
            result
        };
        let (_, server) = tokio::join!(client, server);
        let error = server.err().unwrap().to_string();
        match number {
            1 => assert!(error.contains("closed"), "{error}"),
            _ => assert!(error.contains("under another encryption key"), "{error}"),
        }
    }
}

#[tokio::test]
async fn plain_survives() {
    let test = examples(3);
    for clients in [&CLIENTS[..1], &CLIENTS] {
        every_crash_is_survived(clients, CASES, async |a, b, disks: &_, _| plain_run(a, b, disks, &test).await).await;
    }
}

#[tokio::test]
async fn plain_without_test_rows_survives() {
    let none = examples(0);
    every_crash_is_survived(&CLIENTS[..1], CASES, async |a, b, disks: &_, _| {
        plain_run(a, b, disks, &none).await
    })
    .await;
}

#[tokio::test]
async fn sealed_survives() {
    every_crash_is_survived(&CLIENTS[..1], CASES, async |a, b, disks: &_, attempt| {
        sealed_run(a, b, disks, attempt).await
    })
    .await;
}

#[tokio::test]
async fn sealed_with_several_clients_survives() {
    every_crash_is_survived(&CLIENTS, CASES, async |a, b, disks: &_, attempt| {
        sealed_run(a, b, disks, attempt).await
    })
    .await;
}

#[tokio::test]
async fn paper_survives() {
    every_crash_is_survived(&CLIENTS[..1], CASES, async |a, b, disks: &_, _| paper_run(a, b, disks).await).await;
}

#[tokio::test]
async fn a_complete_training_is_finished_alone() {
    let test = examples(3);
    for clients in [&CLIENTS[..1], &CLIENTS] {
        every_party_finishes_alone(clients, async |a, b, disks: &_, _| plain_run(a, b, disks, &test).await).await;
        every_party_finishes_alone(clients, async |a, b, disks: &_, attempt| {
            sealed_run(a, b, disks, attempt).await
        })
        .await;
    }
    every_party_finishes_alone(&CLIENTS[..1], async |a, b, disks: &_, _| paper_run(a, b, disks).await).await;
    every_party_finishes_alone(&CLIENTS[..1], async |a, b, disks: &_, _| {
        encrypted_model_run(a, b, disks, 0).await
    })
    .await;
}
