//! Emulated links on loopback. Real time: nothing can arrive too early; that nothing arrives too late is measured by
//! `cargo bench -p cloven-wire --bench emulation`, since a busy machine may delay anything.

use std::time::Instant;

use super::*;

async fn meet_emulated(link: &str) -> (Link<TcpChannel>, Link<TcpChannel>) {
    meet_within(link, Duration::from_secs(10), Duration::from_secs(10)).await
}

async fn meet_within(link: &str, message_deadline: Duration, total_deadline: Duration) -> (Link<TcpChannel>, Link<TcpChannel>) {
    let (hospital, cloud) = sides();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dial = Reach::Dial(listener.local_addr().unwrap().to_string());
    let at = |side, listener| Endpoint {
        emulation: Some(link.parse().unwrap()),
        connect_deadline: Duration::from_secs(10),
        message_deadline,
        total_deadline,
        ..endpoint(side, listener)
    };
    let (at_hospital, at_cloud) = tokio::join!(
        one(at(&hospital, None), "cloud", dial),
        one(at(&cloud, Some(listener)), "hospital", Reach::Accept),
    );
    (Link::new(at_hospital.unwrap()), Link::new(at_cloud.unwrap()))
}

#[tokio::test]
async fn bytes_keep_their_order_and_arrive_no_sooner_than_the_link_allows() {
    let (mut a, mut b) = meet_emulated("8Mbps,rtt=60ms").await;
    let before = a.traffic();
    // 300 kB take 0.3 s, and three times half a round trip.
    let blob = Blob((0..300_000u32).map(|i| (i / 7) as u8).collect());
    let begun = Instant::now();
    let there = async {
        a.send(1, &blob).await.unwrap();
        for round in 2..=3 {
            a.receive::<Blob>(round - 1, &1).await.unwrap();
            a.send(round, &Blob(vec![round as u8])).await.unwrap();
        }
    };
    let back = async {
        let got = b.receive::<Blob>(1, &300_000).await.unwrap();
        assert!(got == blob, "the bytes changed on the way");
        b.send(1, &Blob(vec![0])).await.unwrap();
        assert_eq!(b.receive::<Blob>(2, &1).await.unwrap(), Blob(vec![2]));
        b.send(2, &Blob(vec![0])).await.unwrap();
        b.receive::<Blob>(3, &1).await.unwrap();
    };
    tokio::join!(there, back);
    let all = begun.elapsed();
    // One way with the bulk, then two round trips.
    assert!(all >= Duration::from_millis(300 + 5 * 30), "{all:?}");
    assert_eq!(a.traffic().sent, b.traffic().received);
    assert!((300_000..310_000).contains(&a.traffic().since(before).sent));
}

/// 240 kB take 1.9 s, a step of them half a second.
#[tokio::test]
async fn a_slow_link_is_no_dead_one_until_the_total_deadline() {
    let message = Duration::from_millis(1500);
    for (total, arrives) in [(Duration::from_secs(20), true), (Duration::from_millis(1000), false)] {
        let (mut a, mut b) = meet_within("1Mbps,rtt=2ms", message, total).await;
        let blob = Blob(vec![5; 240_000]);
        a.send(1, &blob).await.unwrap();
        match b.receive::<Blob>(1, &240_000).await {
            Ok(got) => assert!(arrives && got == blob),
            Err(WireError::Deadline { waited, .. }) => assert!(!arrives && waited == total),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_sender_does_not_wait_for_the_line() {
    let (mut a, _b) = meet_emulated("100kbps,rtt=10ms").await;
    // On the line for 24 s, which is longer than the deadline of a message.
    a.send(1, &Blob(vec![0; 300_000])).await.unwrap();
}

#[tokio::test]
async fn what_was_sent_before_closing_or_aborting_or_vanishing_arrives() {
    for end in ["close", "abort", "drop"] {
        let (mut a, mut b) = meet_emulated("1Mbps,rtt=20ms").await;
        let blob = Blob(vec![3; 100_000]);
        a.send(1, &blob).await.unwrap();
        let ending = async {
            match end {
                "close" => a.into_channel().close().await,
                "abort" => a.abort(AbortReason::Interrupted).await,
                _ => drop(a),
            }
        };
        let read = async {
            assert!(b.receive::<Blob>(1, &100_000).await.unwrap() == blob, "{end}");
            b.receive::<Blob>(2, &1).await.unwrap_err()
        };
        let ((), error) = tokio::join!(ending, read);
        match end {
            "abort" => assert!(matches!(error, WireError::Aborted { .. }), "{error}"),
            _ => assert!(matches!(error, WireError::Closed { .. }), "{end}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_peer_that_is_gone_is_noticed_by_the_sender() {
    let (mut a, b) = meet_emulated("1Gbps,rtt=2ms").await;
    drop(b);
    let error = loop {
        match a.send(1, &Blob(vec![0; 50_000])).await {
            Ok(()) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, WireError::Closed { .. }), "{error}");
}
