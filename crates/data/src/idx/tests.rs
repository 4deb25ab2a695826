use std::path::Path;

use proptest::prelude::*;

use super::*;

fn encode(numbers: &Numbers) -> Vec<u8> {
    let code = match numbers.elements {
        Elements::U8(_) => 0x08,
        Elements::I16(_) => 0x0b,
        Elements::I32(_) => 0x0c,
        Elements::F32(_) => 0x0d,
        Elements::F64(_) => 0x0e,
        Elements::I64(_) => panic!("IDX has no 64-bit integers"),
    };
    let mut bytes = vec![0, 0, code, numbers.shape.len() as u8];
    numbers
        .shape
        .iter()
        .for_each(|&size| bytes.extend((size as u32).to_be_bytes()));
    match &numbers.elements {
        Elements::U8(v) => bytes.extend(v),
        Elements::I16(v) => v.iter().for_each(|e| bytes.extend(e.to_be_bytes())),
        Elements::I32(v) => v.iter().for_each(|e| bytes.extend(e.to_be_bytes())),
        Elements::I64(v) => v.iter().for_each(|e| bytes.extend(e.to_be_bytes())),
        Elements::F32(v) => v.iter().for_each(|e| bytes.extend(e.to_be_bytes())),
        Elements::F64(v) => v.iter().for_each(|e| bytes.extend(e.to_be_bytes())),
    }
    bytes
}

fn numbers(shape: &[usize], elements: Elements) -> Numbers {
    Numbers {
        name: String::new(),
        shape: shape.to_vec(),
        elements,
    }
}

fn decode_bytes(bytes: &[u8]) -> Result<Numbers, DataError> {
    decode(bytes, Path::new("t.idx"))
}

fn refused(bytes: &[u8]) -> String {
    decode_bytes(bytes).expect_err("the bytes are faulty").to_string()
}

fn any_numbers() -> impl Strategy<Value = Numbers> {
    let elements = |count: usize| {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), count).prop_map(Elements::U8),
            proptest::collection::vec(any::<i16>(), count).prop_map(Elements::I16),
            proptest::collection::vec(any::<i32>(), count).prop_map(Elements::I32),
            proptest::collection::vec(-1e30f32..1e30, count).prop_map(Elements::F32),
            proptest::collection::vec(-1e300f64..1e300, count).prop_map(Elements::F64),
        ]
    };
    proptest::collection::vec(0usize..5, 1..4)
        .prop_flat_map(move |shape| elements(shape.iter().product()).prop_map(move |elements| numbers(&shape, elements)))
}

#[test]
fn known_answer() {
    let bytes = [0, 0, 0x0b, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0x89, 0x01, 0x00];
    assert_eq!(
        decode_bytes(&bytes).unwrap(),
        numbers(&[2, 1], Elements::I16(vec![-119, 256]))
    );
    let signed = [0, 0, 0x09, 1, 0, 0, 0, 1, 0x80];
    assert_eq!(decode_bytes(&signed).unwrap(), numbers(&[1], Elements::I16(vec![-128])));
}

#[test]
fn a_header_that_lies_allocates_nothing() {
    let huge = [0, 0, 8, 2, 0x40, 0, 0, 0, 0x40, 0, 0, 0];
    assert_eq!(
        refused(&huge),
        "t.idx: the announced array of shape [1073741824, 1073741824] needs 1152921504606846976 bytes, more than the limit of 8589934592"
    );
    let overflowing: Vec<u8> = [0, 0, 0x0e, 8].into_iter().chain([0xff; 32]).collect();
    assert!(refused(&overflowing).contains("more than the limit"));
    let large = [0, 0, 8, 1, 0xff, 0xff, 0xff, 0xff, 7];
    assert_eq!(
        refused(&large),
        "t.idx: not a valid IDX file: its header [4294967295] announces 4294967295 bytes, only 1 follow"
    );
}

#[test]
fn foreign_and_trailing_bytes_are_named() {
    let head = "expected 00 00, an element type 08 to 0e and 1 to 8 dimensions";
    for bytes in [&b"PK\x03\x04"[..], &[0, 0, 0x0a, 1], &[0, 0, 8, 0], &[0, 0, 8, 9]] {
        assert!(refused(bytes).ends_with(head));
    }
    assert_eq!(
        refused(&[0, 0, 8, 1, 0, 0, 0, 1, 7, 7]),
        "t.idx: not a valid IDX file: its header [1] announces 1 bytes, more follow"
    );
    assert_eq!(refused(&[0, 0]), "t.idx: not a valid IDX file: the file ends too early");
}

#[test]
fn features_are_scaled_and_checked() {
    let file = Path::new("t.idx");
    let bytes = numbers(&[2, 1, 2], Elements::U8(vec![0, 255, 51, 102]));
    assert_eq!(
        bytes.to_features(file, true).unwrap().as_slice().unwrap(),
        [0.0, 1.0, 0.2, 0.4]
    );
    assert_eq!(
        bytes.to_features(file, false).unwrap().as_slice().unwrap(),
        [0.0, 255.0, 51.0, 102.0]
    );
    let broken = numbers(&[2, 2], Elements::F64(vec![0.0, 1.0, 2.0, f64::NAN]));
    assert_eq!(
        broken.to_features(file, false).unwrap_err().to_string(),
        "t.idx: row 1, position [1] is NaN, expected a finite 32-bit number"
    );
    let beyond = numbers(&[1, 1], Elements::F64(vec![1e300]));
    assert!(beyond.to_features(file, false).unwrap_err().to_string().contains("is 1e300,"));
    let flat = numbers(&[3], Elements::U8(vec![1, 2, 3]));
    assert_eq!(
        flat.to_features(file, false).unwrap_err().to_string(),
        "t.idx: the file holds an array of shape [3], expected an array of rows and at least one more dimension"
    );
}

#[test]
fn labels_are_one_integer_per_row() {
    let file = Path::new("l.idx");
    let integers = numbers(&[2, 1], Elements::F32(vec![3.0, 0.0]))
        .into_labels(file, false)
        .unwrap();
    assert_eq!(integers, Labels::Integers(vec![3, 0]));
    let half = numbers(&[2], Elements::F32(vec![3.0, 0.5]))
        .into_labels(file, false)
        .unwrap_err();
    assert_eq!(
        half.to_string(),
        "l.idx: row 1 has the label 0.5, expected a class number, counted from 0 (for measured values set regression = true)"
    );
    let values = numbers(&[2, 2], Elements::I16(vec![1, 2, 3, 4]))
        .into_labels(file, true)
        .unwrap();
    assert_eq!(values, Labels::Values(ndarray::array![[1.0, 2.0], [3.0, 4.0]]));
    assert!(
        numbers(&[2, 2], Elements::I16(vec![1, 2, 3, 4]))
            .into_labels(file, false)
            .is_err()
    );
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = encode(&numbers(&[3, 2, 2], Elements::F32((0..12).map(|v| v as f32).collect())));
    for length in 0..bytes.len() {
        assert!(decode_bytes(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
    }
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(numbers in any_numbers()) {
        prop_assert_eq!(decode_bytes(&encode(&numbers)).unwrap(), numbers);
    }

    #[test]
    fn mutated_bytes_never_panic(numbers in any_numbers(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode(&numbers);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(numbers) = decode_bytes(&bytes) {
            let _ = numbers.to_features(Path::new("t.idx"), true);
            let _ = numbers.into_labels(Path::new("t.idx"), false);
        }
    }
}
