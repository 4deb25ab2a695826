//! Hostile bytes for every decoder of the crate; the hello's is tested beside it, since it is private.
#![allow(clippy::unwrap_used, clippy::panic)]

use cloven_wire::{
    DecodeError, Header, MAX_PAYLOAD, Message, Party, Reader, f32_array_len, put_f32_array,
    tcp::{Certificate, Identity},
    testing::{fuzz, fuzz_message, fuzz_time},
};
use ndarray::{ArrayD, Dimension, IxDyn};

fn array(shape: &[usize]) -> ArrayD<f32> {
    ArrayD::from_shape_fn(IxDyn(shape), |at| at.slice().iter().sum::<usize>() as f32 - 1.5)
}

/// Every kind of field in one message.
#[derive(Debug)]
struct Everything {
    small: u8,
    medium: u16,
    large: u32,
    huge: u64,
    fixed: [u8; 5],
    rest: Vec<u8>,
    arrays: [ArrayD<f32>; 3],
}

const SHAPES: [&[usize]; 3] = [&[2, 3], &[], &[4, 0]];

impl Message for Everything {
    const KIND: u8 = 1;
    const NAME: &'static str = "everything";
    type Expect = ();

    fn max_len((): &()) -> usize {
        15 + 5 + 7 + SHAPES.iter().map(|shape| f32_array_len(shape)).sum::<usize>()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.small);
        out.extend_from_slice(&self.medium.to_le_bytes());
        out.extend_from_slice(&self.large.to_le_bytes());
        out.extend_from_slice(&self.huge.to_le_bytes());
        out.extend_from_slice(&self.fixed);
        out.extend_from_slice(&self.rest);
        self.arrays.iter().for_each(|array| put_f32_array(out, array));
    }

    fn decode(reader: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        Ok(Self {
            small: reader.u8()?,
            medium: reader.u16()?,
            large: reader.u32()?,
            huge: reader.u64()?,
            fixed: reader.array()?,
            rest: reader.bytes(7)?.to_vec(),
            arrays: [
                reader.f32_array(SHAPES[0])?,
                reader.f32_array(SHAPES[1])?,
                reader.f32_array(SHAPES[2])?,
            ],
        })
    }
}

#[test]
fn hostile_messages_and_frames() {
    let message = Everything {
        small: 1,
        medium: 2,
        large: 3,
        huge: 4,
        fixed: [5; 5],
        rest: vec![6; 7],
        arrays: SHAPES.map(array),
    };
    fuzz_message(fuzz_time(1), &message, &());
}

#[test]
fn hostile_bytes_for_every_method_of_a_reader() {
    let mut valid = vec![5, 0, 1, 2, 3, 4, 7, 6];
    put_f32_array(&mut valid, &array(&[2, 3]));
    put_f32_array(&mut valid, &array(&[1]));
    fuzz("reader", fuzz_time(1), &[valid], |input| {
        let (calls, bytes) = input.split_at(input.len().min(8));
        let mut reader = Reader::new(bytes);
        let mut read = 0;
        for call in calls {
            let got = match call % 9 {
                0 => reader.u8().map(|_| 1),
                1 => reader.u16().map(|_| 2),
                2 => reader.u32().map(|_| 4),
                3 => reader.u64().map(|_| 8),
                4 => reader.array::<32>().map(|a| a.len()),
                5 => reader.f32_array(&[2, 3]).map(|a| f32_array_len(a.shape())),
                6 => reader.f32_array(&[1]).map(|a| f32_array_len(a.shape())),
                7 => reader.bytes(usize::from(*call)).map(<[u8]>::len),
                _ => reader.bytes(usize::MAX).map(<[u8]>::len),
            };
            match got {
                Ok(n) => read += n,
                // What a failed call took is not defined; what is left never grows.
                Err(_) => {
                    let left = match reader.finish() {
                        Err(DecodeError::TooLong(left)) => left,
                        _ => 0,
                    };
                    assert!(left + read <= bytes.len());
                    return;
                }
            }
        }
        match reader.finish() {
            Ok(()) => assert_eq!(read, bytes.len()),
            Err(error) => assert_eq!(error, DecodeError::TooLong(bytes.len() - read)),
        }
    });
}

#[test]
fn hostile_headers() {
    let valid = Header {
        len: 300,
        kind: 4,
        round: 77,
    };
    fuzz("header", fuzz_time(1), &[valid.to_bytes().to_vec()], |bytes| {
        let Some(bytes) = bytes.first_chunk() else { return };
        if let Ok(header) = Header::from_bytes(*bytes) {
            assert!(header.len as usize <= MAX_PAYLOAD);
            assert_eq!(header.to_bytes(), *bytes);
        }
    });
}

#[test]
fn hostile_names_and_certificates() {
    let pem = Identity::generate("hospital".parse().unwrap())
        .unwrap()
        .0
        .certificate
        .pem()
        .to_owned();
    fuzz("certificate", fuzz_time(2), &[pem.into_bytes()], |bytes| {
        let _ = Certificate::from_pem(&String::from_utf8_lossy(bytes));
    });
    fuzz("name", fuzz_time(2), &[b"bank-2".to_vec()], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        match text.parse::<Party>() {
            Ok(party) => assert!(party.as_str() == text && text.len() <= Party::MAX_LEN),
            Err(error) => assert!(error.to_string().len() < 1000),
        }
    });
}
