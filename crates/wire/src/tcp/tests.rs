use std::{collections::BTreeMap, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;
use crate::{AbortReason, Channel, DecodeError, Header, Link, Message, Party, Reader, WireError};

mod emulated;
mod pieces;
mod reconnect;

/// Bytes of a length that the receiver knows.
#[derive(Debug, PartialEq)]
struct Blob(Vec<u8>);

impl Message for Blob {
    const KIND: u8 = 1;
    const NAME: &'static str = "blob";
    type Expect = usize;

    fn max_len(expect: &usize) -> usize {
        *expect
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(reader: &mut Reader<'_>, expect: &usize) -> Result<Self, DecodeError> {
        reader.bytes(*expect).map(|b| Self(b.to_vec()))
    }
}

struct Side {
    identity: Identity,
    roster: Roster,
    job: [u8; 32],
}

fn party(name: &str) -> Party {
    name.parse().unwrap()
}

fn identity(name: &str) -> Identity {
    Identity::generate(party(name)).unwrap().0
}

/// A hospital and a cloud that pin each other.
fn sides() -> (Side, Side) {
    let (hospital, cloud) = (identity("hospital"), identity("cloud"));
    let mut at_hospital = Roster::default();
    at_hospital.pin(party("cloud"), cloud.certificate.clone());
    let mut at_cloud = Roster::default();
    at_cloud.pin(party("hospital"), hospital.certificate.clone());
    let job = [7; 32];
    (
        Side {
            identity: hospital,
            roster: at_hospital,
            job,
        },
        Side {
            identity: cloud,
            roster: at_cloud,
            job,
        },
    )
}

fn endpoint(side: &Side, listener: Option<TcpListener>) -> Endpoint<'_> {
    Endpoint {
        identity: &side.identity,
        roster: &side.roster,
        job: side.job,
        listener,
        connect_deadline: Duration::from_millis(1500),
        message_deadline: Duration::from_millis(400),
        total_deadline: Duration::from_secs(2),
        emulation: None,
    }
}

async fn one(endpoint: Endpoint<'_>, peer: &str, reach: Reach) -> Result<TcpChannel, WireError> {
    let peer = party(peer);
    let channels = endpoint.connect(&BTreeMap::from([(peer.clone(), reach)]), &|_| ()).await?;
    Ok(channels.into_values().next().unwrap())
}

/// The hospital dials, the cloud listens.
async fn meet(hospital: &Side, cloud: &Side) -> (Result<TcpChannel, WireError>, Result<TcpChannel, WireError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::join!(
        one(endpoint(hospital, None), "cloud", Reach::Dial(address)),
        one(endpoint(cloud, Some(listener)), "hospital", Reach::Accept),
    )
}

#[tokio::test]
async fn either_side_may_dial_and_bytes_are_counted_at_the_socket() {
    for swap in [false, true] {
        let (hospital, cloud) = sides();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dial = Reach::Dial(listener.local_addr().unwrap().to_string());
        let (at_hospital, at_cloud) = match swap {
            false => (
                one(endpoint(&hospital, None), "cloud", dial),
                one(endpoint(&cloud, Some(listener)), "hospital", Reach::Accept),
            ),
            true => (
                one(endpoint(&hospital, Some(listener)), "cloud", Reach::Accept),
                one(endpoint(&cloud, None), "hospital", dial),
            ),
        };
        let (at_hospital, at_cloud) = tokio::join!(at_hospital, at_cloud);
        let (mut at_hospital, mut at_cloud) = (Link::new(at_hospital.unwrap()), Link::new(at_cloud.unwrap()));
        let blob = Blob((0..3_000_000u32).map(|i| i as u8).collect());
        let before = at_hospital.traffic();
        let (sent, got) = tokio::join!(at_hospital.send(5, &blob), at_cloud.receive::<Blob>(5, &3_000_000));
        sent.unwrap();
        assert_eq!(got.unwrap(), blob);
        let sent = at_hospital.traffic().since(before).sent;
        assert!(
            (3_000_016..3_020_000).contains(&sent),
            "payload, header and TLS records: {sent}"
        );
        assert_eq!(at_hospital.traffic().sent, at_cloud.traffic().received);
        assert_eq!(at_hospital.traffic().received, at_cloud.traffic().sent);
        let by_message = at_hospital.sent_by_message()["blob"];
        assert_eq!((by_message.messages, by_message.bytes), (1, 3_000_016));
    }
}

#[tokio::test]
async fn a_server_with_another_key_is_refused_by_the_dialler() {
    let (hospital, mut cloud) = sides();
    cloud.identity = identity("cloud");
    let (at_hospital, at_cloud) = meet(&hospital, &cloud).await;
    let presented = cloud.identity.certificate.fingerprint();
    assert!(matches!(at_hospital, Err(WireError::WrongCertificate { got, .. }) if got == presented));
    assert!(matches!(at_cloud, Err(WireError::Absent { last: Some(_), .. })));
}

#[tokio::test]
async fn a_dialler_with_another_key_is_refused_by_the_server() {
    let (mut hospital, cloud) = sides();
    hospital.identity = identity("hospital");
    let (at_hospital, at_cloud) = meet(&hospital, &cloud).await;
    assert!(matches!(at_hospital, Err(WireError::CertificateRefused { .. })));
    let presented = hospital.identity.certificate.fingerprint();
    assert!(matches!(at_cloud, Err(WireError::Absent { last: Some(why), .. }) if why.contains(&presented)));
}

#[tokio::test]
async fn another_job_is_named_on_both_sides() {
    let (mut hospital, cloud) = sides();
    hospital.job[31] ^= 1;
    let (at_hospital, at_cloud) = meet(&hospital, &cloud).await;
    assert!(matches!(at_hospital, Err(WireError::WrongJob { .. })));
    assert!(matches!(at_cloud, Err(WireError::WrongJob { .. })));
}

#[tokio::test]
async fn an_unreachable_party_and_an_absent_one_are_named_with_the_address() {
    let (hospital, cloud) = sides();
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let error = one(endpoint(&hospital, None), "cloud", Reach::Dial(free.clone()))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("cannot reach cloud") && error.contains(&free), "{error}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let error = one(endpoint(&cloud, Some(listener)), "hospital", Reach::Accept)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("hospital did not connect") && error.contains(&address),
        "{error}"
    );
}

#[tokio::test]
async fn strangers_do_not_disturb_the_door() {
    let (hospital, cloud) = sides();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(tokio::net::TcpStream::connect(&address).await.unwrap());
        let mut noisy = tokio::net::TcpStream::connect(&address).await.unwrap();
        noisy.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    }
    let (at_hospital, at_cloud) = tokio::join!(
        one(endpoint(&hospital, None), "cloud", Reach::Dial(address)),
        one(endpoint(&cloud, Some(listener)), "hospital", Reach::Accept),
    );
    assert_eq!(at_hospital.unwrap().peer(), &party("cloud"));
    assert_eq!(at_cloud.unwrap().peer(), &party("hospital"));
}

#[tokio::test]
async fn silence_closing_and_aborting_have_their_own_errors() {
    let (hospital, cloud) = sides();
    let (at_hospital, at_cloud) = meet(&hospital, &cloud).await;
    let (mut at_hospital, mut at_cloud) = (Link::new(at_hospital.unwrap()), Link::new(at_cloud.unwrap()));
    let error = at_cloud.receive::<Blob>(3, &10).await.unwrap_err();
    assert!(
        matches!(
            error,
            WireError::Deadline {
                what: "blob",
                round: 3,
                ..
            }
        ),
        "{error}"
    );
    at_hospital.abort(AbortReason::Interrupted).await;
    let error = at_cloud.receive::<Blob>(3, &10).await.unwrap_err();
    assert!(
        matches!(
            error,
            WireError::Aborted {
                reason: AbortReason::Interrupted,
                ..
            }
        ),
        "{error}"
    );
    let error = at_cloud.receive::<Blob>(3, &10).await.unwrap_err();
    assert!(
        matches!(
            error,
            WireError::Closed {
                what: "blob",
                round: 3,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_party_asks_for_more_time_as_often_as_its_peer_needs() {
    let (hospital, cloud) = sides();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dial = Reach::Dial(listener.local_addr().unwrap().to_string());
    // The cloud knows from the hospital's hello that a sign every quarter of its own minute would come too late.
    let waits = |side, listener, message_deadline| Endpoint {
        message_deadline,
        total_deadline: Duration::from_secs(60),
        ..endpoint(side, listener)
    };
    let (at_hospital, at_cloud) = tokio::join!(
        one(waits(&hospital, None, Duration::from_secs(1)), "cloud", dial),
        one(
            waits(&cloud, Some(listener), Duration::from_secs(60)),
            "hospital",
            Reach::Accept
        ),
    );
    let (mut at_hospital, mut at_cloud) = (Link::new(at_hospital.unwrap()), Link::new(at_cloud.unwrap()));
    let work = async {
        at_cloud.wait_while(tokio::time::sleep(Duration::from_millis(1500))).await;
        at_cloud.send(1, &Blob(vec![1])).await
    };
    let (sent, got) = tokio::join!(work, at_hospital.receive::<Blob>(1, &1));
    sent.unwrap();
    assert_eq!(got.unwrap(), Blob(vec![1]));
}

#[tokio::test]
async fn two_long_messages_cross() {
    let (hospital, cloud) = sides();
    let (at_hospital, at_cloud) = meet(&hospital, &cloud).await;
    let (mut at_hospital, mut at_cloud) = (Link::new(at_hospital.unwrap()), Link::new(at_cloud.unwrap()));
    // Far more than a connection's buffers take: none arrives before the other is read.
    let of = |by: u32| Blob((0..20_000_000u32).map(|i| (i / by) as u8).collect());
    let (there, back) = (of(3), of(7));
    let len = there.0.len();
    for round in 1..=2 {
        let (at_hospital, at_cloud) = tokio::join!(
            at_hospital.exchange(round, &there, &len),
            at_cloud.exchange(round, &back, &len)
        );
        assert!(at_hospital.unwrap() == back && at_cloud.unwrap() == there);
    }
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_still_heard() {
    let long = Blob(vec![1; 20_000_000]);
    // What comes in meanwhile ends the wait: why the peer stopped, or that it says what it should not.
    let (hospital, cloud) = sides();
    let (at_hospital, at_cloud) = meet(&hospital, &cloud).await;
    let (mut at_hospital, mut at_cloud) = (Link::new(at_hospital.unwrap()), at_cloud.unwrap());
    let (error, ()) = tokio::join!(at_hospital.exchange(4, &long, &10), at_cloud.abort(AbortReason::Internal));
    assert!(
        matches!(
            error,
            Err(WireError::Aborted {
                reason: AbortReason::Internal,
                ..
            })
        ),
        "{error:?}"
    );
    let (at_hospital, at_cloud) = meet(&hospital, &cloud).await;
    let (mut at_hospital, mut at_cloud) = (Link::new(at_hospital.unwrap()), Link::new(at_cloud.unwrap()));
    let other = Blob(vec![0; 10]);
    let (error, sent) = tokio::join!(at_hospital.exchange(4, &long, &10), at_cloud.send(3, &other));
    sent.unwrap();
    assert!(matches!(error, Err(WireError::Unexpected { round: 4, .. })), "{error:?}");
    // Nothing: the deadline of a message.
    let (at_hospital, at_cloud) = meet(&hospital, &cloud).await;
    let mut at_hospital = Link::new(at_hospital.unwrap());
    let error = at_hospital.exchange(4, &long, &10).await;
    assert!(matches!(error, Err(WireError::Deadline { .. })), "{error:?}");
    drop(at_cloud);
}

#[tokio::test]
async fn a_claimed_length_alone_costs_no_memory() {
    let (hospital, cloud) = sides();
    let (at_hospital, at_cloud) = meet(&hospital, &cloud).await;
    let (at_hospital, at_cloud) = (at_hospital.unwrap(), at_cloud.unwrap());
    let claim = Header {
        len: 1 << 30,
        kind: Blob::KIND,
        round: 1,
    };
    at_hospital.send("claim", 1, [&claim.to_bytes(), &[]]).await.unwrap();
    let header = at_cloud.receive_header("blob", 1).await.unwrap();
    let mut payload = Vec::new();
    let error = at_cloud.receive_payload("blob", header, &mut payload).await.unwrap_err();
    assert!(matches!(error, WireError::Deadline { .. }), "{error}");
    assert!(payload.capacity() <= 1 << 21, "{}", payload.capacity());
}
