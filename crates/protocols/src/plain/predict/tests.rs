//! Predictions against evaluation and the unsplit network, declared cost against counters, tampering.

use std::slice::from_mut;

use cloven_nn::{Evaluation, Loss, preset};
use cloven_wire::WireError;

use super::*;
use crate::{
    Event, Examples, Halted, Start,
    plain::{self, Client, Server, cost},
    testing::*,
};

/// As in the tests of training: front, middle and tail all hold parameters.
const CUT: [usize; 2] = [3, 7];

fn roles() -> (Client, Network) {
    let client = Client {
        front: network(0..CUT[0], adam(0.01)),
        tail: network(CUT[1]..8, adam(0.01)),
    };
    (client, network(CUT[0]..CUT[1], adam(0.01)))
}

async fn trained(data: &Examples, test: &Examples, evaluation: &mut Option<Evaluation>) -> (Client, Network) {
    let [mut a, mut b] = links();
    let (me, middle) = roles();
    let (mut observe, mut quiet) = (last_evaluation(evaluation), ignore);
    let (me, other) = tokio::join!(
        plain::client(me, task(data, test), &mut a, &mut observe),
        plain::server(Server { middle: vec![middle] }, schedule(), from_mut(&mut b), &mut quiet)
    );
    (me.unwrap(), other.unwrap().middle.swap_remove(0))
}

async fn predict((me, other): &(Client, Network), x: &ArrayD<f32>, [a, b]: &mut [MemoryLink; 2]) -> ArrayD<f32> {
    let (mut quiet, mut still) = (ignore, ignore);
    let (outputs, answered) = tokio::join!(
        client([&me.front, &me.tail], queries(x), a, &mut quiet),
        server(other, schedule().evaluation_batch, b, &mut still)
    );
    answered.unwrap();
    outputs.unwrap()
}

#[tokio::test]
async fn predictions_on_the_test_rows_are_what_evaluation_computed_bit_for_bit() {
    let (data, test) = (examples(22), examples(19));
    let mut evaluation = None;
    let roles = trained(&data, &test, &mut evaluation).await;
    let outputs = predict(&roles, &test.x, &mut links()).await;
    let (Client { front, tail }, middle) = &roles;
    assert_eq!(outputs, unsplit_outputs(&[front, middle, tail], &test.x));
    let again = Evaluation::new(Loss::CrossEntropy, &outputs, &test.targets).unwrap();
    assert_eq!(Some(again), evaluation);
}

#[tokio::test]
async fn declared_cost_is_what_the_channel_counts() {
    let mut links = links();
    predict(&roles(), &examples(19).x, &mut links).await;
    let shapes = preset("m1").unwrap().model.shapes().unwrap();
    let cut = CUT.map(|layer| shapes[layer].as_slice());
    assert_eq!(
        counted(&links),
        declared_prediction(19, |rows| cost::evaluation_batch(rows, cut))
    );
    assert_same_transcript(&links);
}

/// Runs one party against a peer that sends `frames` and leaves.
async fn against(sender: usize, frames: &[Frame]) -> Result<(), ProtocolError> {
    let mut link = scripted(sender, frames);
    let (me, other) = roles();
    match sender {
        0 => server(&other, schedule().evaluation_batch, &mut link, &mut ignore).await,
        _ => client([&me.front, &me.tail], queries(&examples(11).x), &mut link, &mut ignore)
            .await
            .map(drop),
    }
}

async fn honest_frames() -> [Vec<Frame>; 2] {
    let x = examples(11).x;
    relayed(async |mut links: [_; 2]| predict(&roles(), &x, &mut links).await)
        .await
        .1
}

#[tokio::test]
async fn every_message_tampered_with_is_refused_by_name() {
    let payload = |frame: &[u8]| match header(frame).kind {
        Ask::KIND => tampered_ask(frame),
        _ => tampered_tensor(frame),
    };
    every_tampering_is_refused(&MESSAGES, &honest_frames().await, payload, against).await;
}

#[tokio::test]
async fn a_peer_that_dies_at_any_message_is_an_error_that_names_it() {
    for (sender, frames) in honest_frames().await.iter().enumerate() {
        for n in 0..frames.len() {
            let error = against(sender, &frames[..n]).await.unwrap_err().to_string();
            let closed = format!("{} closed the connection", PARTIES[sender]);
            assert!(error.contains(&closed), "{n}: {error}");
        }
        assert!(against(sender, frames).await.is_ok());
    }
}

#[tokio::test]
async fn a_party_that_trains_and_one_that_predicts_refuse_each_other() {
    let (data, test) = (examples(8), examples(3));
    let (me, other) = roles();
    let [mut a, mut b] = links();
    let (mut quiet, mut still) = (ignore, ignore);
    let trains = async {
        let _ = plain::client(me, task(&data, &test), &mut a, &mut quiet).await;
        drop(a);
    };
    let ((), answered) = tokio::join!(trains, async {
        let answered = server(&other, 8, &mut b, &mut still).await;
        drop(b);
        answered
    });
    let error = answered.unwrap_err();
    assert!(matches!(error, ProtocolError::Wire(WireError::Unexpected { .. })), "{error}");
    let asks = [honest_frames().await[0][0].clone()];
    let (_, middle) = roles();
    let error = plain::server(
        Server { middle: vec![middle] },
        schedule(),
        &mut [scripted(0, &asks)],
        &mut ignore,
    )
    .await;
    let error = error.err().unwrap().to_string();
    assert!(error.contains(Start::NAME) && error.contains("kind 16"), "{error}");
}

#[tokio::test]
async fn no_rows_are_refused_before_anything_is_sent() {
    let [mut a, _b] = links();
    let x = ArrayD::zeros(vec![0, 1, 128]);
    let (me, _) = roles();
    let error = client([&me.front, &me.tail], queries(&x), &mut a, &mut ignore)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("at least one row"), "{error}");
    assert_eq!(a.traffic().sent, 0);
}

#[tokio::test]
async fn progress_is_told_and_the_observer_can_stop() {
    let x = examples(19).x;
    let frames = relayed(async |mut links: [_; 2]| predict(&roles(), &x, &mut links).await)
        .await
        .1;
    let mut told = Vec::new();
    let mut observe = |event: Event| match event {
        Event::Asked { rows, .. } => {
            told.push(rows);
            Ok(())
        }
        Event::Predicted { rows: rows @ 16.., .. } => Err(Halted {
            why: format!("{rows} are enough"),
        }),
        Event::Predicted { rows, .. } => {
            told.push(rows);
            Ok(())
        }
        other => panic!("{other:?}"),
    };
    let (me, _) = roles();
    let error = client([&me.front, &me.tail], queries(&x), &mut scripted(1, &frames[1]), &mut observe).await;
    assert_eq!(error.unwrap_err().to_string(), "16 are enough");
    assert_eq!(told, [19, 8]);
}

#[test]
fn what_is_learnt_depends_on_the_layers_around_the_servers() {
    let learns = |around| {
        let leaks = leaks("hospital", "cloud", around);
        leaks
            .into_iter()
            .map(|leak| format!("{}: {}", leak.party, leak.learns))
            .collect::<String>()
    };
    assert!(learns([2, 1]).contains("cloud: the activation of every row"));
    assert!(!learns([2, 1]).contains("the prediction for every row"));
    assert!(learns([0, 0]).contains("cloud: every input row in the clear"));
    assert!(learns([0, 0]).contains("cloud: the prediction for every row"));
}
