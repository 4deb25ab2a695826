//! Frames tampered with in every way, played to their receiver.

use std::collections::BTreeSet;

use cloven_wire::{Header, Message, WireError, testing::frame};

use super::{Frame, PARTIES, header, scripted, with};
use crate::ProtocolError;

/// A way of tampering, and the frame so tampered with.
pub type Tampered = (&'static str, Frame);

/// What can be done to a frame whatever its message.
pub fn tampered_header(frame: &[u8]) -> Vec<Tampered> {
    vec![
        ("unknown kind", with(frame, 4, &[77])),
        ("a keep-alive with a payload", with(frame, 4, &[Header::KEEP_ALIVE])),
        ("reserved byte", with(frame, 5, &[1])),
        ("wrong round", with(frame, 15, &[0x80])),
        ("truncated", resized(&frame[..frame.len() - 1])),
        ("too long", resized(&[frame, &[0; 8]].concat())),
        ("oversize", with(frame, 3, &[0x7f])),
    ]
}

/// The frame with the length of its payload put right.
fn resized(frame: &[u8]) -> Frame {
    with(frame, 0, &((frame.len() - Header::LEN) as u32).to_le_bytes())
}

/// All bits of the payload set.
pub fn all_ones(frame: &[u8]) -> Tampered {
    ("all ones", with(frame, Header::LEN, &vec![0xff; frame.len() - Header::LEN]))
}

/// What can be done to a frame that is a list of counts.
pub fn tampered_counts(frame: &[u8]) -> Vec<Tampered> {
    let beyond = [0x7f; 8];
    let len = (frame.len() - Header::LEN).min(8);
    vec![("absurd counts", with(frame, Header::LEN, &beyond[..len])), all_ones(frame)]
}

/// What can be done to a frame whose payload begins and ends with a tensor.
pub fn tampered_tensor(frame: &[u8]) -> Vec<Tampered> {
    vec![
        ("another rank", with(frame, Header::LEN, &[9])),
        ("another shape", with(frame, Header::LEN + 1, &[0xee])),
        ("not a number", with(frame, frame.len() - 4, &f32::NAN.to_le_bytes())),
        all_ones(frame),
    ]
}

/// Ciphertexts of half and of twice the ring degree.
pub fn another_degree(frame: &[u8]) -> Vec<Tampered> {
    let payload = &frame[Header::LEN..];
    let half = [&frame[..Header::LEN], &payload[..payload.len() / 2]].concat();
    vec![
        ("half the ring degree", resized(&half)),
        ("twice the ring degree", resized(&[frame, payload].concat())),
    ]
}

/// The first frame of every kind is tampered with in every way, those of `payload` included, replaced by a frame that the receiver itself
/// sent, and replayed later; `against` plays the frames to the receiver. Each must be refused with an error that names the sender, the
/// round, the message awaited, what was expected and what came. Each message must occur, in one direction, and have a case of `payload`.
pub async fn every_tampering_is_refused(
    messages: &[(&str, u8)],
    frames: &[Vec<Frame>; 2],
    payload: impl Fn(&[u8]) -> Vec<Tampered>,
    against: impl AsyncFn(usize, &[Frame]) -> Result<(), ProtocolError>,
) {
    let mut covered = BTreeSet::new();
    for (sender, sent) in frames.iter().enumerate() {
        for &(message, kind) in messages {
            let mut places = (0..sent.len()).filter(|&at| header(&sent[at]).kind == kind);
            let Some(first) = places.next() else { continue };
            assert!(
                covered.insert(kind),
                "{message}: both parties send it, or two messages have its kind"
            );
            let frame = &sent[first];
            let own = payload(frame);
            assert!(!own.is_empty(), "{message}: nothing tampers with its payload");
            let mut scripts: Vec<(&str, usize, Frame)> = Vec::new();
            for (how, bad) in [tampered_header(frame), own].concat() {
                scripts.push((how, first, bad));
            }
            scripts.push(("the receiver's own", first, reflected(frame, &frames[1 - sender])));
            // Where a message of its kind is awaited again; what is sent once is replayed at once.
            scripts.push(("replayed", places.next().unwrap_or(first + 1), frame.clone()));
            for (how, at, bad) in scripts {
                let script = [&sent[..at], &[bad]].concat();
                let Err(error) = against(sender, &script).await else {
                    panic!("{message}, {how}: accepted")
                };
                assert_says_it_all(&format!("{message}, {how}"), &error, PARTIES[sender], &sent[at], messages);
            }
        }
    }
    assert_eq!(covered.len(), messages.len(), "every message kind has its case");
}

/// As [`every_tampering_is_refused`], for one message on its own: it is sent to a receiver that waits for it.
pub async fn every_tampering_is_refused_on_receipt<M: Message>(
    message: &M,
    expect: &M::Expect,
    payload: impl Fn(&[u8]) -> Vec<Tampered>,
) {
    let honest = frame(3, message);
    let receive = async |bytes: &[u8]| scripted(1, &[bytes.to_vec()]).receive::<M>(3, expect).await;
    assert!(receive(&honest).await.is_ok());
    for (how, bad) in [tampered_header(&honest), payload(&honest)].concat() {
        let error = receive(&bad).await.err();
        let error = ProtocolError::Wire(error.unwrap_or_else(|| panic!("{}, {how}: accepted", M::NAME)));
        assert_says_it_all(
            &format!("{}, {how}", M::NAME),
            &error,
            PARTIES[1],
            &honest,
            &[(M::NAME, M::KIND)],
        );
    }
}

/// A frame of the same round that goes the other way, or any.
fn reflected(frame: &[u8], others: &[Frame]) -> Frame {
    let round = header(frame).round;
    let same = others.iter().find(|other| header(other).round == round);
    same.or(others.first()).unwrap().clone()
}

/// The error of a receiver that awaited the frame `honest` from `sender`.
pub fn assert_says_it_all(case: &str, error: &ProtocolError, sender: &str, honest: &[u8], messages: &[(&str, u8)]) {
    let ProtocolError::Wire(error) = error else {
        panic!("{case}: {error}")
    };
    let refused = matches!(
        error,
        WireError::Unexpected { .. } | WireError::Malformed { .. } | WireError::BadHeader { .. }
    );
    assert!(refused, "{case}: {error}");
    let Header { kind, round, .. } = header(honest);
    let awaited = messages.iter().find(|(_, k)| *k == kind).map(|(name, _)| *name);
    let text = error.to_string();
    for part in [sender, &format!("round {round}:"), awaited.unwrap(), "expected", "got"] {
        assert!(text.contains(part), "{case}: {part:?} is not in: {text}");
    }
}
