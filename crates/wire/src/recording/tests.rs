use proptest::prelude::*;

use super::*;
use crate::{Link, Message, Party, memory};

struct Text(Vec<u8>);

impl Message for Text {
    const KIND: u8 = 9;
    const NAME: &'static str = "text";
    type Expect = ();

    fn max_len((): &()) -> usize {
        100
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(reader: &mut crate::Reader<'_>, (): &()) -> Result<Self, crate::DecodeError> {
        Ok(Self(reader.bytes(4)?.to_vec()))
    }
}

const JOB: [u8; 32] = [7; 32];
const NO_LIMITS: Limits = Limits {
    bytes: 1 << 20,
    rounds: None,
};

fn party(name: &str) -> Party {
    name.parse().unwrap()
}

/// What a server that receives three messages records.
async fn recorded(limits: Limits, finish: bool) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cloud.view");
    let recorder = Recorder::create(&path, &party("cloud"), &JOB, limits).unwrap();
    let (a, b) = memory::pair(party("hospital"), party("cloud"));
    let (mut hospital, mut cloud) = (Link::new(a), Link::new(b).recorded(Some(recorder.clone())));
    for round in 1..=3 {
        hospital.send(round, &Text(vec![round as u8; 4])).await.unwrap();
        cloud.receive::<Text>(round, &()).await.unwrap();
        // What this party sends is no part of its view.
        cloud.send(round, &Text(vec![0; 4])).await.unwrap();
    }
    if finish {
        recorder.finish().unwrap();
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    std::fs::read(path).unwrap()
}

fn read(bytes: &[u8]) -> Result<(Vec<Received>, Option<End>), RecordingError> {
    let mut recording = Recording::new(bytes)?;
    let messages = recording.by_ref().collect::<Result<_, _>>()?;
    Ok((messages, recording.end()))
}

#[tokio::test]
async fn what_a_party_receives_is_read_back() {
    let bytes = recorded(NO_LIMITS, true).await;
    let recording = Recording::new(&bytes[..]).unwrap();
    assert_eq!((recording.party(), recording.job()), (&party("cloud"), JOB));
    let (messages, end) = read(&bytes).unwrap();
    assert_eq!(end, Some(End::Complete));
    assert_eq!(messages.iter().map(|m| m.round).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(
        messages[1],
        Received {
            peer: party("hospital"),
            name: "text".into(),
            kind: 9,
            round: 2,
            payload: vec![2; 4],
        }
    );
}

#[tokio::test]
async fn limits_end_a_recording_and_are_named_in_it() {
    let rounds = Limits {
        rounds: Some(2),
        ..NO_LIMITS
    };
    let (messages, end) = read(&recorded(rounds, true).await).unwrap();
    assert_eq!((messages.len(), end), (2, Some(End::Rounds(2))));

    let whole = recorded(NO_LIMITS, true).await.len() as u64;
    let (messages, end) = read(
        &recorded(
            Limits {
                bytes: whole,
                ..NO_LIMITS
            },
            true,
        )
        .await,
    )
    .unwrap();
    assert_eq!((messages.len(), end), (3, Some(End::Complete)));
    let less = Limits {
        bytes: whole - 1,
        ..NO_LIMITS
    };
    let bytes = recorded(less, true).await;
    assert!(bytes.len() as u64 <= less.bytes);
    assert_eq!(read(&bytes).unwrap().1, Some(End::Bytes(whole - 1)));
}

#[tokio::test]
async fn a_recording_that_was_cut_gives_its_whole_messages() {
    let bytes = recorded(NO_LIMITS, false).await;
    assert_eq!(read(&bytes).unwrap().0.len(), 3);
    assert_eq!(read(&bytes).unwrap().1, None);
    let (messages, end) = read(&bytes[..bytes.len() - 1]).unwrap();
    assert_eq!((messages.len(), end), (2, None));
}

#[tokio::test]
async fn damage_is_named_and_a_claimed_length_costs_nothing() {
    let good = recorded(NO_LIMITS, true).await;
    let head = 8 + 2 + 6 + 32;
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        read(&bad).unwrap_err().to_string()
    };
    assert!(with(0, b'X').contains("version 1"));
    assert!(with(8, 2).contains("version 1"));
    assert!(with(11, b'!').contains("party's name"));
    assert!(with(head, 9).contains("message or the end"));
    assert!(with(head + 1, 0).contains("name of 1 to 64"));
    // The highest byte of the length: tag, two names, kind, round, length.
    assert!(with(head + 1 + 9 + 5 + 1 + 8 + 3, 0x7f).contains("at most 1 GiB"));
    assert!(with(good.len() - 9, 7).contains("reason"));
    let longer = [&good[..], &[0]].concat();
    assert!(read(&longer).unwrap_err().to_string().contains("nothing after"));
    // A length that is allowed but not there.
    let mut claimed = good.clone();
    claimed[head + 1 + 9 + 5 + 1 + 8 + 3] = 0x3f;
    assert_eq!(read(&claimed).unwrap().0, []);
}

proptest! {
    #[test]
    fn any_bytes_give_messages_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let head = [&MAGIC[..], &VERSION.to_le_bytes(), &[1, b'a'], &JOB].concat();
        let _ = read(&bytes);
        let _ = read(&[head, bytes].concat());
    }
}
