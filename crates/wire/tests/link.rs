//! A dishonest peer on an in-memory channel: every kind of wrong frame gives its error, and none is decoded.
#![allow(clippy::unwrap_used, clippy::panic)]

use cloven_wire::{DecodeError, Header, Link, Message, Party, Reader, WireError, f32_array_len, memory, put_f32_array};
use ndarray::{ArrayD, IxDyn};

#[derive(Debug)]
struct Tensor(ArrayD<f32>);

impl Message for Tensor {
    const KIND: u8 = 4;
    const NAME: &'static str = "tensor";
    type Expect = [usize];

    fn max_len(expect: &[usize]) -> usize {
        f32_array_len(expect)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_f32_array(out, &self.0);
    }

    fn decode(reader: &mut Reader<'_>, expect: &[usize]) -> Result<Self, DecodeError> {
        reader.f32_array(expect).map(Self)
    }
}

fn party(name: &str) -> Party {
    name.parse().unwrap()
}

/// A valid frame of round 9 with a 2 x 3 tensor.
fn frame() -> Vec<u8> {
    let mut payload = Vec::new();
    Tensor(ArrayD::zeros(IxDyn(&[2, 3]))).encode(&mut payload);
    let header = Header {
        len: payload.len() as u32,
        kind: Tensor::KIND,
        round: 9,
    };
    [&header.to_bytes()[..], &payload].concat()
}

async fn receive(frame: Vec<u8>) -> Result<Tensor, WireError> {
    let (cloud, hospital) = memory::pair(party("cloud"), party("hospital"));
    cloud.send_raw(frame);
    Link::new(hospital).receive::<Tensor>(9, &[2, 3]).await
}

#[tokio::test]
async fn the_valid_frame_is_accepted() {
    assert_eq!(receive(frame()).await.unwrap().0.shape(), [2, 3]);
}

#[tokio::test]
async fn wrong_kind_round_and_length_are_refused_before_the_payload_is_read() {
    for (byte, got) in [(4, "kind 5"), (8, "round 8"), (2, "bytes")] {
        let mut bad = frame();
        bad[byte] ^= 1;
        let error = receive(bad).await.unwrap_err();
        assert!(
            matches!(&error, WireError::Unexpected { round: 9, got: g, .. } if g.contains(got)),
            "{error}"
        );
        assert!(error.to_string().contains("cloud"), "{error}");
    }
}

#[tokio::test]
async fn reserved_bytes_and_absurd_lengths_are_invalid_headers() {
    for byte in [5, 6, 7, 3] {
        let mut bad = frame();
        bad[byte] = 0xf0;
        assert!(matches!(receive(bad).await, Err(WireError::BadHeader { .. })));
    }
}

#[tokio::test]
async fn a_short_or_long_payload_and_another_shape_are_malformed() {
    let mut short = frame();
    short.truncate(short.len() - 4);
    short[0] -= 4;
    let error = receive(short).await.unwrap_err();
    assert!(
        matches!(
            error,
            WireError::Malformed {
                cause: DecodeError::Truncated { expected: 24, got: 20 },
                ..
            }
        ),
        "{error}"
    );

    let mut other = frame();
    other[Header::LEN + 1] = 3;
    let error = receive(other).await.unwrap_err();
    assert!(
        matches!(
            error,
            WireError::Malformed {
                cause: DecodeError::Shape { .. },
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_peer_that_is_gone_is_closed() {
    let (cloud, hospital) = memory::pair(party("cloud"), party("hospital"));
    drop(cloud);
    let error = Link::new(hospital).receive::<Tensor>(9, &[2, 3]).await.unwrap_err();
    assert!(
        matches!(
            error,
            WireError::Closed {
                what: "tensor",
                round: 9,
                ..
            }
        ),
        "{error}"
    );
}
