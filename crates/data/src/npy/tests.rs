use std::io::{Cursor, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use ndarray::{Array2, ArrayD, IxDyn};
use proptest::prelude::*;

use super::*;
use crate::numbers::Elements;

fn bytes(version: u8, header: &str, elements: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    match version {
        1 => bytes.extend((header.len() as u16).to_le_bytes()),
        _ => bytes.extend((header.len() as u32).to_le_bytes()),
    }
    bytes.extend(header.as_bytes());
    bytes.extend(elements);
    bytes
}

fn read_bytes(bytes: &[u8]) -> Result<(Numbers, String), DataError> {
    decode(bytes, "", Path::new("t.npy"))
}

fn refused(bytes: &[u8]) -> String {
    read_bytes(bytes).expect_err("the bytes are faulty").to_string()
}

fn header(descr: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n")
}

#[test]
fn every_element_type_in_both_byte_orders() {
    let one = |descr: &str, elements: &[u8]| {
        let (numbers, name) = read_bytes(&bytes(1, &header(descr, "(1,)"), elements)).unwrap();
        assert_eq!(numbers.shape, [1]);
        (numbers.elements, name)
    };
    let named = |elements, name: &str| (elements, name.to_string());
    assert_eq!(one("|b1", &[1]), named(Elements::I16(vec![1]), "bool"));
    assert_eq!(one("|i1", &[0xfe]), named(Elements::I16(vec![-2]), "i8"));
    assert_eq!(one("|u1", &[0xfe]), named(Elements::U8(vec![254]), "u8"));
    macro_rules! both_orders {
        ($($code:literal, $value:expr => $elements:expr, $name:literal;)*) => {$(
            assert_eq!(one(concat!("<", $code), &$value.to_le_bytes()), named($elements, $name));
            assert_eq!(one(concat!(">", $code), &$value.to_be_bytes()), named($elements, $name));
        )*};
    }
    both_orders! {
        "i2", -300i16 => Elements::I16(vec![-300]), "i16";
        "u2", 60_000u16 => Elements::I32(vec![60_000]), "u16";
        "i4", -70_000i32 => Elements::I32(vec![-70_000]), "i32";
        "u4", 4_000_000_000u32 => Elements::I64(vec![4_000_000_000]), "u32";
        "i8", i64::MIN => Elements::I64(vec![i64::MIN]), "i64";
        "u8", 7u64 => Elements::I64(vec![7]), "u64";
        "f4", 0.1f32 => Elements::F32(vec![0.1]), "f32";
        "f8", 0.1f64 => Elements::F64(vec![0.1]), "f64";
    }
    let error = refused(&bytes(1, &header("<u8", "(1,)"), &u64::MAX.to_le_bytes()));
    assert_eq!(
        error,
        "t.npy: the file holds a larger one, expected 64-bit integers below 2^63"
    );
}

#[test]
fn headers_may_be_laid_out_otherwise() {
    for header in [
        "{\"shape\":(2,1),\"descr\":\"|u1\",\"fortran_order\":True}",
        "  { 'fortran_order' : True , 'shape' : ( 2 , 1 , ) , 'descr' : '|u1' , }  \n",
    ] {
        for version in [1, 2, 3] {
            let (numbers, _) = read_bytes(&bytes(version, header, &[4, 5])).unwrap();
            assert_eq!(
                (numbers.shape.as_slice(), numbers.elements),
                (&[2, 1][..], Elements::U8(vec![4, 5]))
            );
        }
    }
}

#[test]
fn hostile_headers_are_refused() {
    let with = |text: &str| refused(&bytes(1, text, &[0; 4]));
    let cases = [
        ("", "its header has its end where '{' is expected"),
        ("{}", "lacks one of descr, fortran_order and shape"),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)",
            "where '}' is expected",
        ),
        (
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
            "neither True nor False",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "its shape is no list of sizes",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "its shape is no list of sizes",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}",
            "more than 8 dimensions",
        ),
        (
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
            "twice",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
            "unknown field \"more\"",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} import",
            "goes on after",
        ),
        ("{'descr: '<f4'}", "is expected"),
        ("{'descr': [('a', '<f4')], ", "holds structured elements, expected integers"),
    ];
    for (text, expected) in cases {
        let error = with(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
    for (descr, expected) in [
        ("|O", "pickled Python objects"),
        ("<U5", "text"),
        ("<f2", "elements of type \"<f2\""),
        ("|f4", "elements of type \"|f4\""),
        ("é4", "elements of type"),
        ("", "elements of type \"\""),
    ] {
        let error = with(&header(descr, "(1,)"));
        assert!(error.contains(expected), "{descr}: {error}");
    }
    let error = with(&header("<f8", "(4294967296, 4294967296)"));
    assert!(
        error.contains("needs 147573952589676412928 bytes, more than the limit of 8589934592"),
        "{error}"
    );
    let mut long = b"\x93NUMPY\x02\x00".to_vec();
    long.extend(u32::MAX.to_le_bytes());
    assert!(refused(&long).contains("its header takes 4294967295 bytes, more than the limit of 10000"));
    assert!(refused(b"\x93NUMPY\x04\x00 and more").contains("its version is 4"));
    assert!(refused(b"some other file").contains("does not begin with the npy mark"));
    assert!(refused(&bytes(1, &header("<f4", "(2,)"), &[0; 7])).contains("announces 8 bytes, only 7 follow"));
    assert!(refused(&bytes(1, &header("<f4", "(2,)"), &[0; 9])).contains("announces 8 bytes, more follow"));
}

fn any_array() -> impl Strategy<Value = ArrayD<f32>> {
    proptest::collection::vec(0usize..5, 0..4).prop_flat_map(|shape| {
        let count = shape.iter().product::<usize>();
        proptest::collection::vec(-1e30f32..1e30, count)
            .prop_map(move |values| ArrayD::from_shape_vec(IxDyn(&shape), values).unwrap())
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(array in any_array()) {
        let (numbers, name) = read_bytes(&npy_bytes(&array)).unwrap();
        prop_assert_eq!((numbers.shape.as_slice(), name.as_str()), (array.shape(), "f32"));
        prop_assert_eq!(numbers.elements, Elements::F32(array.iter().copied().collect()));
        prop_assert_eq!((npy_bytes(&array).len() - 4 * array.len()) % 64, 0);
    }

    #[test]
    fn fortran_order_is_turned(rows in 1usize..6, columns in 1usize..6) {
        let array = Array2::from_shape_fn((rows, columns), |(row, column)| (10 * row + column) as i64);
        let text = format!("{{'descr': '<i8', 'fortran_order': True, 'shape': ({rows}, {columns})}}");
        let elements: Vec<u8> = array.t().iter().flat_map(|value| value.to_le_bytes()).collect();
        let (numbers, _) = read_bytes(&bytes(1, &text, &elements)).unwrap();
        prop_assert_eq!(numbers.elements, Elements::I64(array.iter().copied().collect()));
    }

    #[test]
    fn damage_never_panics(position in 0usize..200, value: u8, cut in 0usize..200) {
        let array = Array2::from_shape_fn((3, 4), |(row, column)| (row + column) as f32);
        let mut content = npy_bytes(&array);
        let position = position % content.len();
        content[position] = value;
        let _ = read_bytes(&content);
        content.truncate(cut);
        prop_assert!(read_bytes(&content).is_err() || cut >= content.len());
    }
}

/// The bytes of a zip archive of one member, deflated.
fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    let packed = encoder.finish().unwrap();
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let mut common = vec![20, 0, 0, 0, 8, 0, 0, 0, 0, 0];
    for number in [crc.sum(), packed.len() as u32, content.len() as u32, name.len() as u32] {
        common.extend(number.to_le_bytes());
    }
    let mut zip = b"PK\x03\x04".to_vec();
    zip.extend(&common);
    zip.extend(name.as_bytes());
    zip.extend(&packed);
    let directory = zip.len();
    zip.extend(b"PK\x01\x02\x14\x00");
    zip.extend(&common);
    zip.extend([0; 14]);
    zip.extend(name.as_bytes());
    let size = zip.len() - directory;
    zip.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    zip.extend((size as u32).to_le_bytes());
    zip.extend((directory as u32).to_le_bytes());
    zip.extend([0, 0]);
    zip
}

/// What reading the array `x` of a file with these bytes gives.
fn unpacked(bytes: &[u8]) -> Result<Numbers, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.npz");
    std::fs::write(&file, bytes).unwrap();
    let wanted = Wanted {
        named: None,
        preferred: [None, None],
        prefix: 'x',
        option: "npy.x",
    };
    read(&file, &wanted).map_err(|error| error.to_string().replace(&file.display().to_string(), "t.npz"))
}

#[test]
fn an_archive_is_unpacked_and_its_damage_noticed() {
    let array = Array2::from_shape_fn((2, 3), |(row, column)| (row + column) as f32);
    let good = archive("x.npy", &npy_bytes(&array));
    assert_eq!(
        unpacked(&good).unwrap().elements,
        Elements::F32(vec![0.0, 1.0, 2.0, 1.0, 2.0, 3.0])
    );
    let mut sum = good.clone();
    let directory = good.len() - 22 - 46 - 5;
    sum[directory + 16] ^= 1;
    assert!(
        unpacked(&sum)
            .unwrap_err()
            .contains("its member x does not have the length and check sum")
    );
    let mut encrypted = good.clone();
    encrypted[directory + 8] |= 1;
    assert!(unpacked(&encrypted).unwrap_err().contains("its member x is encrypted"));
    let mut method = good.clone();
    method[directory + 10] = 12;
    assert!(unpacked(&method).unwrap_err().contains("neither stored nor deflated"));
    let mut bomb = good.clone();
    bomb[directory + 24..directory + 28].copy_from_slice(&[0xff, 0xff, 0xff, 0xfe]);
    assert!(unpacked(&bomb).unwrap_err().contains("check sum"));
    let twice = [
        &good[..directory],
        &good[directory..good.len() - 22],
        &good[directory..good.len() - 22],
    ]
    .concat();
    let mut end = good[good.len() - 22..].to_vec();
    end[12..16].copy_from_slice(&(2 * 51u32).to_le_bytes());
    assert!(
        unpacked(&[twice, end].concat())
            .unwrap_err()
            .contains("has the member x.npy twice")
    );
    assert!(
        unpacked(&archive("z.npy", &npy_bytes(&array)))
            .unwrap_err()
            .contains("name starts with 'x', found 0")
    );
    assert!(
        unpacked(&archive("x.txt", b"text"))
            .unwrap_err()
            .contains("found 0; set npy.x to one of none")
    );
}

#[test]
fn damaged_archives_never_panic() {
    let array = Array2::from_shape_fn((2, 3), |(row, column)| (row + column) as f32);
    let good = archive("x.npy", &npy_bytes(&array));
    for position in 0..good.len() {
        for value in [1, 0xff] {
            let mut bytes = good.clone();
            bytes[position] = value;
            if let Ok(numbers) = unpacked(&bytes) {
                assert_eq!(numbers.shape, [2, 3], "byte {position} = {value}");
            }
        }
        assert!(unpacked(&good[..position]).is_err(), "cut to {position}");
    }
}

#[test]
fn the_writer_leaves_a_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.npy");
    let classes = ndarray::Array1::from_vec(vec![3i64, -1]);
    write_npy(&file, &classes).unwrap();
    let (numbers, name) = decode(Cursor::new(std::fs::read(&file).unwrap()), "", &file).unwrap();
    assert_eq!((numbers.elements, name.as_str()), (Elements::I64(vec![3, -1]), "i64"));
    let error = write_npy(&folder.path().join("no/p.npy"), &classes).unwrap_err().to_string();
    assert!(error.contains("p.npy: cannot be written"), "{error}");
}
