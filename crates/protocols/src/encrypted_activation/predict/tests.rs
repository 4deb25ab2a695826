//! Predictions against the plain forward pass of W = U + V within the encryption's error, what the server sees, declared cost, tampering.

use std::slice::from_mut;

use cloven_nn::{Evaluation, Loss};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    Examples,
    encrypted_activation::{
        self, Client, LatticeCipher, ServerLattice, cost, paper,
        tests::{LAYER, ideal, lattice, parts, roles, sealing, tampered_upload, values},
    },
    testing::*,
};

/// Trained with everything still unrevealed, so that V is not zero.
async fn trained<K: ClientCipher, S: ServerCipher>(
    ciphers: (K, S),
    test: &Examples,
    evaluation: &mut Option<Evaluation>,
) -> (Client<'static, K>, Network) {
    let data = examples(22);
    let (me, other) = roles(ciphers, 1_000_000, sgd(0.1));
    let [mut a, mut b] = links();
    let (mut observe, mut quiet) = (last_evaluation(evaluation), ignore);
    let (me, other) = tokio::join!(
        encrypted_activation::client(me, task(&data, test), &mut a, &mut observe),
        encrypted_activation::server(other, schedule(), from_mut(&mut b), &mut quiet)
    );
    (me.unwrap(), other.unwrap().layer)
}

async fn predict(
    (me, layer): (Forward<'_>, &Network),
    (cipher, at_server): (impl ClientCipher, impl ServerCipher),
    x: &ArrayD<f32>,
    [a, b]: &mut [MemoryLink; 2],
) -> ArrayD<f32> {
    let (mut quiet, mut still) = (ignore, ignore);
    let (outputs, answered) = tokio::join!(
        client(me, cipher, queries(x), a, &mut quiet),
        server(layer, at_server, schedule().evaluation_batch, b, &mut still)
    );
    answered.unwrap();
    outputs.unwrap()
}

fn forward<'a, K>(me: &'a Client<'_, K>) -> Forward<'a> {
    Forward {
        front: &me.front,
        unrevealed: Some(&me.unrevealed),
        tail: &me.tail,
    }
}

/// Untrained layers with real encryption.
async fn predict_untrained(ciphers: (LatticeCipher, ServerLattice), x: &ArrayD<f32>, links: &mut [MemoryLink; 2]) {
    let [front, tail, layer] = parts(sgd(0.1));
    let me = Forward {
        front: &front,
        unrevealed: None,
        tail: &tail,
    };
    predict((me, &layer), ciphers, x, links).await;
}

/// Keys as a prediction has them: not those of training.
fn fresh(seed: u8) -> (LatticeCipher, ServerLattice) {
    let key = LatticeCipher::new(sealing(), &mut ChaCha20Rng::from_seed([seed; 32]));
    (key, ServerLattice::new(sealing()))
}

/// The layer as training left it, W = U + V.
fn whole(u: &Network, v: &Network) -> Network {
    let mut layer = network(LAYER..LAYER + 1, sgd(0.1));
    let sums = values(u).into_iter().zip(values(v)).map(|(u, v)| u + v);
    let names = layer.parameters().into_iter().map(|(name, _)| name);
    let parameters: Vec<_> = names.zip(sums).collect();
    layer.set_parameters(&parameters).unwrap();
    layer
}

fn largest_norm<'a>(rows: impl Iterator<Item = ndarray::ArrayViewD<'a, f32>>) -> f64 {
    rows.map(|row| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt())
        .fold(0.0, f64::max)
}

#[tokio::test]
async fn with_an_ideal_cipher_predictions_of_mode_sealed_are_what_evaluation_computed_bit_for_bit() {
    let test = examples(19);
    let mut evaluation = None;
    let (me, layer) = trained(ideal(), &test, &mut evaluation).await;
    let outputs = predict((forward(&me), &layer), ideal(), &test.x, &mut links()).await;
    let again = Evaluation::new(Loss::CrossEntropy, &outputs, &test.targets).unwrap();
    assert_eq!(Some(again), evaluation);
}

#[tokio::test]
async fn with_an_ideal_cipher_predictions_of_mode_paper_are_what_evaluation_computed_bit_for_bit() {
    let (data, test) = (examples(22), examples(19));
    let mut evaluation = None;
    let (me, other) = paper::tests::roles(ideal(), sgd(0.1));
    let [mut a, mut b] = links();
    let (mut observe, mut quiet) = (last_evaluation(&mut evaluation), ignore);
    let (me, other) = tokio::join!(
        paper::client(me, task(&data, &test), &mut a, &mut observe),
        paper::server(other, schedule(), from_mut(&mut b), &mut quiet)
    );
    drop(observe);
    let (me, layer) = (me.unwrap(), other.unwrap().sessions.swap_remove(0).layer);
    let forward = Forward {
        front: &me.front,
        unrevealed: None,
        tail: &me.tail,
    };
    let outputs = predict((forward, &layer), ideal(), &test.x, &mut links()).await;
    assert_eq!(outputs, unsplit_outputs(&[&me.front, &layer, &me.tail], &test.x));
    let again = Evaluation::new(Loss::CrossEntropy, &outputs, &test.targets).unwrap();
    assert_eq!(Some(again), evaluation);
}

#[tokio::test]
async fn real_encryption_predicts_what_the_whole_layer_gives_within_its_error() {
    let test = examples(19);
    let (me, u) = trained(lattice(), &test, &mut None).await;
    let layer = whole(&u, &me.unrevealed);
    let expected = unsplit_outputs(&[&me.front, &layer, &me.tail], &test.x);
    let without_v = unsplit_outputs(&[&me.front, &u, &me.tail], &test.x);

    let a = me.front.forward(&test.x).unwrap();
    let column = largest_norm(values(&u)[0].outer_iter());
    let bound = 7.0 * sealing().error_deviation(Direction::Forward, largest_norm(a.outer_iter()), column);
    // Single precision adds its own rounding, a few units of 2^-24 of sums of this size.
    let bound = (bound + 1e-5) as f32;

    let outputs = predict((forward(&me), &u), fresh(77), &test.x, &mut links()).await;
    let apart = distance(&[outputs], std::slice::from_ref(&expected));
    assert!(apart < bound, "{apart:e} apart, at most {bound:e}");
    assert!(apart > 0.0, "encryption rounds");
    let missing = distance(&[without_v], &[expected]);
    assert!(missing > 10.0 * bound, "V matters: {missing:e}");
}

#[tokio::test]
async fn no_ciphertext_repeats_for_the_same_rows_or_in_another_prediction() {
    let mut x = examples(16).x;
    x.fill(0.5);
    let mut digests = Vec::new();
    for seed in [1, 2] {
        let mut links = links();
        predict_untrained(fresh(seed), &x, &mut links).await;
        let received = links[1].transcript().unwrap().iter();
        digests.extend(received.filter(|e| e.what == SealedActivation::NAME).map(|e| e.digest));
    }
    assert_eq!(digests.len(), 4, "two batches in each of two predictions");
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 4);
}

#[tokio::test]
async fn declared_cost_is_what_the_channel_counts() {
    let mut links = links();
    predict_untrained(lattice(), &examples(19).x, &mut links).await;
    let lengths = sealing();
    assert_eq!(
        counted(&links),
        declared_prediction(19, |rows| cost::evaluation_batch(&lengths, rows))
    );
    assert_same_transcript(&links);
}

/// Runs one party against a peer that sends `frames` and leaves.
async fn against(sender: usize, frames: &[Frame]) -> Result<(), ProtocolError> {
    let mut link = scripted(sender, frames);
    let [front, tail, layer] = parts(sgd(0.1));
    let (cipher, at_server) = lattice();
    let me = Forward {
        front: &front,
        unrevealed: None,
        tail: &tail,
    };
    match sender {
        0 => server(&layer, at_server, schedule().evaluation_batch, &mut link, &mut ignore).await,
        _ => {
            let x = examples(11).x;
            client(me, cipher, queries(&x), &mut link, &mut ignore).await.map(drop)
        }
    }
}

#[tokio::test]
async fn every_message_tampered_with_is_refused_by_name_and_so_is_a_peer_that_dies() {
    let x = examples(11).x;
    let run = async |mut links: [_; 2]| predict_untrained(lattice(), &x, &mut links).await;
    let frames = relayed(run).await.1;
    let payload = |frame: &[u8]| match header(frame).kind {
        Ask::KIND => tampered_ask(frame),
        SealedActivation::KIND => tampered_upload(frame),
        _ => [another_degree(frame), vec![all_ones(frame)]].concat(),
    };
    every_tampering_is_refused(&MESSAGES, &frames, payload, against).await;
    for (sender, frames) in frames.iter().enumerate() {
        for n in 0..frames.len() {
            let error = against(sender, &frames[..n]).await.unwrap_err().to_string();
            let closed = format!("{} closed the connection", PARTIES[sender]);
            assert!(error.contains(&closed), "{n}: {error}");
        }
    }
}

#[test]
fn the_server_learns_no_prediction() {
    let leaks = leaks("hospital", "cloud");
    let about = |party: &str, word: &str| leaks.iter().any(|leak| leak.party == party && leak.learns.contains(word));
    assert!(about("cloud", "no input, activation or prediction"));
    assert!(about("hospital", "weights"));
}
