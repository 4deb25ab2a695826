//! Keep-alives: who may be made to wait, how long, and by how many. Time is paused: a wait takes none.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use cloven_wire::{
    Deadlines, DecodeError, Header, Link, Message, Party, Reader, WireError,
    memory::{self, MemoryChannel},
    wait_while,
};
use tokio::time::{Instant, sleep};

#[derive(Debug, PartialEq)]
struct Word;

impl Message for Word {
    const KIND: u8 = 3;
    const NAME: &'static str = "word";
    type Expect = ();

    fn max_len((): &()) -> usize {
        0
    }

    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

const DEADLINES: Deadlines = Deadlines {
    message: Duration::from_secs(4),
    total: Duration::from_secs(100),
    peer: Duration::from_secs(4),
};

fn party(name: &str) -> Party {
    name.parse().unwrap()
}

/// The cloud's and a client's end.
fn ends(client: &str) -> (Link<MemoryChannel>, Link<MemoryChannel>) {
    let (cloud, client) = memory::pair(party("cloud"), party(client));
    (
        Link::new(cloud.with_deadlines(DEADLINES)),
        Link::new(client.with_deadlines(DEADLINES)),
    )
}

/// A frame without payload.
fn frame(kind: u8, round: u64) -> Vec<u8> {
    Header { len: 0, kind, round }.to_bytes().to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_peer_waits_past_its_deadline_when_asked_to_and_only_then() {
    for asked in [true, false] {
        let (mut cloud, mut bank) = ends("bank");
        let work = async {
            match asked {
                true => cloud.wait_while(sleep(Duration::from_secs(60))).await,
                false => sleep(Duration::from_secs(60)).await,
            }
            cloud.send(1, &Word).await
        };
        let (sent, got) = tokio::join!(work, bank.receive::<Word>(1, &()));
        sent.unwrap();
        match asked {
            true => {
                assert_eq!(got.unwrap(), Word);
                let keep_alives = bank.traffic().received / Header::LEN as u64 - 1;
                assert!((58..=60).contains(&keep_alives), "one a second, got {keep_alives}");
                assert_eq!(
                    cloud.sent_by_message().len(),
                    1,
                    "keep-alives are no messages of the protocol"
                );
            }
            false => assert!(matches!(got.unwrap_err(), WireError::Deadline { waited, .. } if waited == DEADLINES.message)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_waits_for_its_slowest_client_while_the_others_wait_for_it() {
    let ((mut to_a, mut a), (mut to_b, mut b), (mut to_c, mut c)) = (ends("bank-a"), ends("bank-b"), ends("bank-c"));
    let server = async {
        // Many waits, each shorter than any deadline, add up to one that is longer.
        for round in 1..=40 {
            wait_while([&mut to_b, &mut to_c], to_a.receive::<Word>(round, &()))
                .await
                .unwrap();
        }
        to_b.send(1, &Word).await.unwrap();
        to_c.send(1, &Word).await.unwrap();
    };
    let slow = async {
        for round in 1..=40 {
            sleep(Duration::from_millis(700)).await;
            a.send(round, &Word).await.unwrap();
        }
    };
    let ((), (), b, c) = tokio::join!(server, slow, b.receive::<Word>(1, &()), c.receive::<Word>(1, &()));
    assert_eq!((b.unwrap(), c.unwrap()), (Word, Word));
}

#[tokio::test(start_paused = true)]
async fn work_that_is_done_at_once_counts_too() {
    let (mut cloud, mut bank) = ends("bank");
    let busy = async {
        for _ in 0..40 {
            tokio::time::advance(Duration::from_millis(700)).await;
            // Ready when first polled, as a step of arithmetic is.
            cloud.wait_while(async {}).await;
        }
        cloud.send(1, &Word).await.unwrap();
    };
    let ((), got) = tokio::join!(busy, bank.receive::<Word>(1, &()));
    assert_eq!(got.unwrap(), Word);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_gone_does_not_disturb_the_work() {
    let (mut cloud, bank) = ends("bank");
    drop(bank);
    let done = cloud.wait_while(async {
        sleep(Duration::from_secs(60)).await;
        7
    });
    assert_eq!(done.await, 7);
    assert!(matches!(cloud.receive::<Word>(1, &()).await, Err(WireError::Closed { .. })));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_made_to_wait_for_ever() {
    let (cloud, mut bank) = ends("bank");
    let cloud = cloud.into_channel();
    let begun = Instant::now();
    let hostile = async {
        loop {
            cloud.send_raw(frame(Header::KEEP_ALIVE, 0));
            sleep(Duration::from_secs(1)).await;
        }
    };
    let error = tokio::select! {
        () = hostile => unreachable!(),
        got = bank.receive::<Word>(5, &()) => got.unwrap_err(),
    };
    assert!(
        matches!(error, WireError::Deadline { what: "word", round: 5, waited, .. } if waited == DEADLINES.total),
        "{error}"
    );
    assert!(begun.elapsed() <= DEADLINES.total + DEADLINES.message);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_keep_alives_is_refused_and_those_that_piled_up_are_not() {
    let (cloud, mut bank) = ends("bank");
    let cloud = cloud.into_channel();
    for _ in 0..1000 {
        cloud.send_raw(frame(Header::KEEP_ALIVE, 0));
    }
    let error = bank.receive::<Word>(5, &()).await.unwrap_err().to_string();
    for part in ["cloud", "round 5", "expected word", "too many keep-alives"] {
        assert!(error.contains(part), "{error}");
    }

    let (cloud, mut bank) = ends("bank");
    let cloud = cloud.into_channel();
    // The client computed for ten minutes; the server asked for more time every second.
    for _ in 0..600 {
        cloud.send_raw(frame(Header::KEEP_ALIVE, 0));
    }
    cloud.send_raw(frame(Word::KIND, 5));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(bank.receive::<Word>(5, &()).await.unwrap(), Word);
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_has_no_payload_and_no_round() {
    let mut heavy = frame(Header::KEEP_ALIVE, 0);
    heavy[0] = 1;
    heavy.push(0);
    for (bad, got) in [(heavy, "1 bytes"), (frame(Header::KEEP_ALIVE, 5), "round 5 with")] {
        let (cloud, mut bank) = ends("bank");
        cloud.into_channel().send_raw(bad);
        let error = bank.receive::<Word>(5, &()).await.unwrap_err();
        assert!(
            matches!(&error, WireError::Unexpected { got: g, .. } if g.contains(got)),
            "{error}"
        );
    }
}
