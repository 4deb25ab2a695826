//! The test ladder of `plain`: equality with unsplit training, the same transcript on both channels, declared cost against the
//! channel's counters, and tampering with every message.

use std::slice::from_mut;

use cloven_nn::{Loss, preset};
use cloven_wire::{Link, Message};
use ndarray::ArrayD;

use super::{cost, *};
use crate::{AllSettled, Begin, Event, Examples, Halted, Observe, Position, ProtocolError, Settled, Shuffle, Start, testing::*};

/// Cuts `m1` so that front, server and tail all hold parameters: 0..3 | 3..7 | 7..8 counts the front's, middle's and tail's layers.
const CUT: [usize; 2] = [3, 7];

fn roles(cut: [usize; 2]) -> (Client, Server) {
    let layers = preset("m1").unwrap().model.layers.len();
    let client = Client {
        front: network(0..cut[0], adam(0.01)),
        tail: network(cut[1]..layers, adam(0.01)),
    };
    (
        client,
        Server {
            middle: vec![network(cut[0]..cut[1], adam(0.01))],
        },
    )
}

async fn train<C: cloven_wire::Channel>(
    train: &Examples,
    test: &Examples,
    cut: [usize; 2],
    [at_client, at_server]: &mut [Link<C>; 2],
    observe: &mut Observe<'_>,
) -> Vec<(String, ArrayD<f32>)> {
    let (me, other) = roles(cut);
    let mut quiet = ignore;
    let (me, other) = tokio::join!(
        client(me, task(train, test), at_client, observe),
        server(other, schedule(), from_mut(at_server), &mut quiet)
    );
    let (me, other) = (me.unwrap(), other.unwrap());
    [me.front.parameters(), other.middle[0].parameters(), me.tail.parameters()].concat()
}

#[tokio::test]
async fn same_seed_same_weights_as_the_unsplit_network() {
    let (data, test) = (examples(22), examples(10));
    let layers = preset("m1").unwrap().model.layers.len();
    let whole = Unsplit {
        network: network(0..layers, adam(0.01)),
        loss: Loss::CrossEntropy,
        train: &data,
        schedule: schedule(),
        shuffle: Shuffle { seed: SEED },
    };
    let (whole, losses) = unsplit(whole).unwrap();
    for cut in [CUT, [7, 8], [0, 8], [0, 3], [3, 3]] {
        let mut links = links();
        let mut seen = Vec::new();
        let mut observe = |event: Event| {
            if let Event::Epoch { loss: Some(loss), .. } = event {
                seen.push(loss);
            }
            Ok(())
        };
        let split = train(&data, &test, cut, &mut links, &mut observe).await;
        assert_eq!(split, whole.parameters(), "cut {cut:?}");
        assert_eq!(seen, losses, "cut {cut:?}");
    }
}

#[tokio::test]
async fn declared_cost_is_what_the_channel_counts() {
    let (data, test) = (examples(22), examples(10));
    let mut links = links();
    train(&data, &test, CUT, &mut links, &mut ignore).await;
    let shapes = preset("m1").unwrap().model.shapes().unwrap();
    let cut = CUT.map(|layer| shapes[layer].as_slice());
    let declared = declared(
        [22, 10],
        |rows| cost::training_batch(rows, cut),
        |rows| cost::evaluation_batch(rows, cut),
    );
    assert_eq!(counted(&links), declared);
}

#[tokio::test]
async fn both_ends_record_the_same_transcript() {
    let mut links = links();
    train(&examples(9), &examples(3), CUT, &mut links, &mut ignore).await;
    assert_same_transcript(&links);
}

/// The frames of an honest run, by sender.
async fn honest_frames() -> [Vec<Frame>; 2] {
    let run = async |mut links: [_; 2]| train(&examples(8), &examples(3), CUT, &mut links, &mut ignore).await;
    relayed(run).await.1
}

/// Runs one party against a peer that sends `frames` and leaves.
async fn against(sender: usize, frames: &[Frame]) -> Result<(), ProtocolError> {
    let (data, test) = (examples(8), examples(3));
    let mut link = scripted(sender, frames);
    let (me, other) = roles(CUT);
    match sender {
        0 => server(other, schedule(), from_mut(&mut link), &mut ignore).await.map(|_| ()),
        _ => client(me, task(&data, &test), &mut link, &mut ignore).await.map(|_| ()),
    }
}

#[tokio::test]
async fn every_message_tampered_with_is_refused_by_name() {
    let payload = |frame: &[u8]| match header(frame).kind {
        Start::KIND | Begin::KIND | Settled::KIND | AllSettled::KIND => tampered_counts(frame),
        _ => tampered_tensor(frame),
    };
    every_tampering_is_refused(&MESSAGES, &honest_frames().await, payload, against).await;
}

#[tokio::test]
#[should_panic(expected = "every message kind has its case")]
async fn a_message_without_a_case_is_noticed() {
    let messages = [&MESSAGES[..], &[("new", 99)]].concat();
    let payload = |frame: &[u8]| vec![all_ones(frame)];
    every_tampering_is_refused(&messages, &honest_frames().await, payload, against).await;
}

#[tokio::test]
#[should_panic(expected = "activation: nothing tampers with its payload")]
async fn a_message_whose_payload_nothing_tampers_with_is_noticed() {
    let payload = |frame: &[u8]| match header(frame).kind {
        Activation::KIND => Vec::new(),
        _ => vec![all_ones(frame)],
    };
    every_tampering_is_refused(&MESSAGES, &honest_frames().await, payload, against).await;
}

#[tokio::test]
async fn a_peer_that_dies_at_any_message_is_an_error_that_names_it() {
    for (sender, frames) in honest_frames().await.iter().enumerate() {
        for n in 0..frames.len() - 1 {
            let error = against(sender, &frames[..n]).await.unwrap_err().to_string();
            assert!(
                error.contains(&format!("{} closed the connection", PARTIES[sender])),
                "{n}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn the_observer_can_stop_a_run() {
    let (data, test) = (examples(8), examples(3));
    let [mut a, mut b] = links();
    let (me, _) = roles(CUT);
    let begin = Begin {
        clients: 1,
        train_rows: 8,
        from: Position::START,
    };
    b.send(0, &begin).await.unwrap();
    let mut stop = |_| {
        Err(Halted {
            why: "memory cap".into(),
        })
    };
    let error = client(me, task(&data, &test), &mut a, &mut stop).await.err().unwrap();
    assert!(matches!(error, ProtocolError::Halted(_)));
}
