//! Mode `paper` against `plain`, declared cost against counters, and tampering. What its messages give away is in `attack.rs`.

use std::slice::from_mut;

use cloven_nn::OptimiserSpec;
use cloven_wire::{Header, Message};

use super::*;
use crate::{
    AllSettled, Begin, Examples, ProtocolError, Settled, Start,
    encrypted_activation::{
        ClientCipher, ServerCipher,
        msg::{SealedActivation, SealedOutput},
        tests::{LAYER, Trained, ideal, lattice, parts, sealing, tampered_upload, train_plain, values},
    },
    testing::*,
};

pub(in crate::encrypted_activation) fn roles<K, S>(
    (at_client, at_server): (K, S),
    optimiser: OptimiserSpec,
) -> (Client<K>, Server<S>) {
    let [front, tail, layer] = parts(optimiser.clone());
    let [_, _, at_server_layer] = parts(optimiser);
    let client = Client {
        front,
        layer,
        tail,
        cipher: at_client,
    };
    let server = Server {
        sessions: vec![Session {
            layer: at_server_layer,
            cipher: at_server,
        }],
    };
    (client, server)
}

async fn train<K: ClientCipher, S: ServerCipher>(
    (me, other): (Client<K>, Server<S>),
    data: &Examples,
    test: &Examples,
    [a, b]: &mut [MemoryLink; 2],
) -> (Client<K>, Server<S>) {
    let (mut quiet, mut still) = (ignore, ignore);
    let (me, other) = tokio::join!(
        client(me, task(data, test), a, &mut quiet),
        server(other, schedule(), from_mut(b), &mut still)
    );
    (me.unwrap(), other.unwrap())
}

/// Every sum is made of the same numbers in the same order.
#[tokio::test]
async fn with_an_ideal_cipher_the_weights_are_those_of_plain_bit_for_bit() {
    let (data, test) = (examples(22), examples(3));
    let (me, other) = train(roles(ideal(), adam(0.01)), &data, &test, &mut links()).await;
    let Trained { front, layer, .. } = train_plain(&data, &test, adam(0.01)).await;
    assert_eq!(me.front.parameters(), front);
    assert_eq!(values(&other.sessions[0].layer), layer);
}

#[tokio::test]
async fn real_encryption_trains_the_same_network() {
    let (data, test) = (examples(22), examples(3));
    let (_, other) = train(roles(lattice(), sgd(0.1)), &data, &test, &mut links()).await;
    let plain = train_plain(&data, &test, sgd(0.1)).await;
    assert_close(&values(&other.sessions[0].layer), &plain.layer, LAYER);
}

#[tokio::test]
async fn declared_cost_is_what_the_channel_counts() {
    let mut links = links();
    let (me, _) = train(roles(lattice(), adam(0.0)), &examples(22), &examples(10), &mut links).await;
    let lengths = sealing();
    let declared = declared(
        [22, 10],
        |rows| cost::training_batch(&lengths, &me.layer, rows),
        |rows| cost::evaluation_batch(&lengths, rows),
    );
    assert_eq!(counted(&links), declared);
    assert_same_transcript(&links);
}

/// Runs one party against a peer that sends `frames` and leaves.
async fn against(sender: usize, frames: &[Frame]) -> Result<(), ProtocolError> {
    let mut link = scripted(sender, frames);
    let (me, other) = roles(lattice(), adam(0.0));
    match sender {
        0 => server(other, schedule(), from_mut(&mut link), &mut ignore).await.map(|_| ()),
        _ => {
            let (data, test) = (examples(8), examples(3));
            client(me, task(&data, &test), &mut link, &mut ignore).await.map(|_| ())
        }
    }
}

#[tokio::test]
async fn every_message_tampered_with_is_refused_by_name() {
    let (data, test) = (examples(8), examples(3));
    let run = async |mut links: [_; 2]| drop(train(roles(lattice(), adam(0.0)), &data, &test, &mut links).await);
    let frames = relayed(run).await.1;
    let payload = |frame: &[u8]| match header(frame).kind {
        Start::KIND | Begin::KIND | Settled::KIND | AllSettled::KIND => tampered_counts(frame),
        SealedActivation::KIND => tampered_upload(frame),
        SealedOutput::KIND => [another_degree(frame), vec![all_ones(frame)]].concat(),
        Gradients::KIND => {
            // dy of 4 x 5 comes first, then the weight.
            let weight = Header::LEN + cloven_wire::f32_array_len(&[4, 5]);
            [
                tampered_tensor(frame),
                vec![("another shape of dW", with(frame, weight + 1, &[0xee]))],
            ]
            .concat()
        }
        InputGradient::KIND => tampered_tensor(frame),
        _ => Vec::new(),
    };
    every_tampering_is_refused(&MESSAGES, &frames, payload, against).await;
}

#[tokio::test]
async fn a_peer_that_dies_at_any_message_is_an_error_that_names_it() {
    let (data, test) = (examples(8), examples(3));
    let run = async |mut links: [_; 2]| drop(train(roles(lattice(), adam(0.0)), &data, &test, &mut links).await);
    for (sender, frames) in relayed(run).await.1.iter().enumerate() {
        for n in 0..frames.len() - 1 {
            let error = against(sender, &frames[..n]).await.unwrap_err().to_string();
            assert!(
                error.contains(&format!("{} closed the connection", PARTIES[sender])),
                "{n}: {error}"
            );
        }
    }
}

#[test]
fn what_the_server_learns_is_said() {
    let leaks = leaks(&["hospital"], "cloud");
    let about = |party: &str, word: &str| leaks.iter().any(|leak| leak.party == party && leak.learns.contains(word));
    assert!(about("cloud", "activation of every training row exactly"));
    assert!(about("cloud", "label"));
    assert!(about("hospital", "weights"));
}
