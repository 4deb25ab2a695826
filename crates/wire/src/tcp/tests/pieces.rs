//! Payloads that are sent from where they lie.

use super::*;
use crate::FIRST_PIECE;

/// [`Blob`] sent from where it lies, and kept as it came.
struct Whole(Vec<u8>);

impl Message for Whole {
    const KIND: u8 = Blob::KIND;
    const NAME: &'static str = Blob::NAME;
    type Expect = usize;

    fn max_len(expect: &usize) -> usize {
        *expect
    }

    fn encode(&self, _: &mut Vec<u8>) {
        unreachable!("its payload is sent instead");
    }

    fn decode(_: &mut Reader<'_>, _: &usize) -> Result<Self, DecodeError> {
        unreachable!("its payload is kept instead");
    }

    fn payload(&self) -> Option<&[u8]> {
        Some(&self.0)
    }

    fn from_payload(payload: &mut Vec<u8>, _: &usize) -> Result<Self, DecodeError> {
        Ok(Self(std::mem::take(payload)))
    }
}

#[tokio::test]
async fn a_payload_that_is_not_copied_crosses_as_any_other() {
    let (hospital, cloud) = sides();
    let (at_hospital, at_cloud) = meet(&hospital, &cloud).await;
    let (mut at_hospital, mut at_cloud) = (
        Link::new(at_hospital.unwrap()).record(),
        Link::new(at_cloud.unwrap()).record(),
    );
    let first = FIRST_PIECE - Header::LEN;
    for (round, len) in [0, 1, first - 1, first, first + 1, 3 * FIRST_PIECE, 1_000_000]
        .into_iter()
        .enumerate()
    {
        let round = round as u64;
        let bytes: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
        let mut crossed = Vec::new();
        for whole in [false, true] {
            let before = at_hospital.traffic().sent;
            let (blob, kept) = (Blob(bytes.clone()), Whole(bytes.clone()));
            let send = async {
                match whole {
                    true => at_hospital.send(round, &kept).await,
                    false => at_hospital.send(round, &blob).await,
                }
            };
            let receive = async {
                match whole {
                    true => at_cloud.receive::<Whole>(round, &len).await.map(|whole| whole.0),
                    false => at_cloud.receive::<Blob>(round, &len).await.map(|blob| blob.0),
                }
            };
            let (sent, received) = tokio::join!(send, receive);
            sent.unwrap();
            assert!(received.unwrap() == bytes, "{len}");
            crossed.push(at_hospital.traffic().sent - before);
        }
        let expected = at_socket((Header::LEN + len) as u64);
        assert_eq!(crossed, [expected; 2], "{len}");
    }
    let (sent, received) = (at_hospital.transcript().unwrap(), at_cloud.transcript().unwrap());
    for (pair, got) in sent.chunks(2).zip(received.chunks(2)) {
        assert_eq!((pair[0].len, pair[0].digest), (pair[1].len, pair[1].digest));
        assert_eq!((pair[0].len, pair[0].digest), (got[1].len, got[1].digest));
    }
    let counted = at_hospital.sent_by_message()[Blob::NAME];
    let bytes: usize = sent.iter().map(|entry| Header::LEN + entry.len).sum();
    assert_eq!((counted.messages, counted.bytes), (14, bytes as u64));
}
