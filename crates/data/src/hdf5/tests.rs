use std::path::{Path, PathBuf};

use hdf5_pure::FileBuilder;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::labels::Labels;

/// Writes what `fill` adds to a new file.
fn written(fill: impl FnOnce(&mut FileBuilder)) -> (TempDir, PathBuf) {
    let mut builder = FileBuilder::new();
    fill(&mut builder);
    stored(&builder.finish().unwrap())
}

fn stored(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.hdf5");
    std::fs::write(&file, bytes).unwrap();
    (folder, file)
}

fn signals(builder: &mut FileBuilder) {
    let values: Vec<f64> = (0..24).map(f64::from).collect();
    builder
        .create_dataset("x_train")
        .with_f64_data(&values)
        .with_shape(&[6, 1, 4]);
    builder
        .create_dataset("y_train")
        .with_i64_data(&[0, 1, 2, 0, 1, 2])
        .with_shape(&[6]);
}

fn refused(file: &Path, options: &Hdf5Options) -> String {
    let error = read_table(file, options, Part::Train)
        .expect_err("the file is faulty")
        .to_string();
    error.replace(&file.display().to_string(), "t.hdf5")
}

fn named(x: &str, y: &str) -> Hdf5Options {
    Hdf5Options {
        x: Some(x.into()),
        y: Some(y.into()),
        ..Hdf5Options::default()
    }
}

#[test]
fn finds_the_only_x_and_y() {
    let (_folder, file) = written(signals);
    let table = read_table(&file, &Hdf5Options::default(), Part::Train).unwrap();
    assert_eq!(table.x.shape(), [6, 1, 4]);
    assert_eq!(table.x[[5, 0, 3]], 23.0);
    assert_eq!(table.labels, Labels::Integers(vec![0, 1, 2, 0, 1, 2]));
}

#[test]
fn the_test_part_falls_back_to_the_names_of_train() {
    let (_folder, file) = written(|builder| {
        builder
            .create_dataset("signal")
            .with_f32_data(&[1.0, 2.0])
            .with_shape(&[2, 1]);
        builder.create_dataset("label").with_u8_data(&[1, 0]).with_shape(&[2]);
    });
    let table = read_table(&file, &named("signal", "other"), Part::Test);
    assert!(table.unwrap_err().to_string().contains("set hdf5.test_y"));
    for label in ["label", "/label"] {
        let table = read_table(&file, &named("signal", label), Part::Test).unwrap();
        assert_eq!(table.x.shape(), [2, 1]);
    }
}

#[test]
fn reads_compressed_chunks_groups_and_every_number_type() {
    let (_folder, file) = written(|builder| {
        let values: Vec<f32> = (0..600).map(|v| v as f32 / 8.0).collect();
        let set = builder.create_dataset("x");
        set.with_f32_data(&values)
            .with_shape(&[100, 6])
            .with_chunks(&[7, 4])
            .with_shuffle()
            .with_deflate(6);
        let mut group = builder.create_group("labels");
        group.create_dataset("i8").with_i8_data(&[-1, 1]).with_shape(&[2]);
        group.create_dataset("u16").with_u16_data(&[0, 65535]).with_shape(&[2]);
        group.create_dataset("i16").with_i16_data(&[-5, 5]).with_shape(&[2]);
        group.create_dataset("u32").with_u32_data(&[0, u32::MAX]).with_shape(&[2]);
        group.create_dataset("i32").with_i32_data(&[-7, 7]).with_shape(&[2]);
        group.create_dataset("u64").with_u64_data(&[0, 9]).with_shape(&[2]);
        group.create_dataset("wide").with_u64_data(&[0, u64::MAX]).with_shape(&[2]);
        let group = group.finish();
        builder.add_group(group);
    });
    let content = open(&file).unwrap();
    let x = read(&content, &file, "x").unwrap();
    assert_eq!(x.elements, Elements::F32((0..600).map(|v| v as f32 / 8.0).collect()));
    let element = |name: &str| read(&content, &file, &format!("labels/{name}")).map(|numbers| numbers.elements);
    assert_eq!(element("i8").unwrap(), Elements::I16(vec![-1, 1]));
    assert_eq!(element("u16").unwrap(), Elements::I32(vec![0, 65535]));
    assert_eq!(element("i16").unwrap(), Elements::I16(vec![-5, 5]));
    assert_eq!(element("u32").unwrap(), Elements::I64(vec![0, u32::MAX.into()]));
    assert_eq!(element("i32").unwrap(), Elements::I32(vec![-7, 7]));
    assert_eq!(element("u64").unwrap(), Elements::I64(vec![0, 9]));
    assert!(
        element("wide")
            .unwrap_err()
            .to_string()
            .contains("holds u64, expected integers")
    );
}

#[test]
fn faults_are_one_sentence() {
    let (_folder, file) = written(|builder| {
        signals(builder);
        builder
            .create_dataset("x_more")
            .with_f64_data(&[0.0, f64::NAN])
            .with_shape(&[1, 2]);
        builder.create_dataset("note").with_vlen_strings(&["a"]);
    });
    let only_y = Hdf5Options {
        y: Some("y_train".into()),
        ..Hdf5Options::default()
    };
    let ambiguous = refused(&file, &only_y);
    assert!(
        ambiguous.starts_with("t.hdf5: expected exactly one data set whose name starts with 'x', found 2; set hdf5.x to one of "),
        "{ambiguous}"
    );
    let unknown = refused(&file, &named("z", "y_train"));
    assert!(unknown.starts_with("t.hdf5: no data set \"z\"; the file has "), "{unknown}");
    assert_eq!(
        refused(&file, &named("x_more", "y_train")),
        "t.hdf5: x_more, row 0, position [1] is NaN, expected a finite 32-bit number"
    );
    assert_eq!(
        refused(&file, &named("note", "y_train")),
        "t.hdf5: data set note holds variable-length elements, expected integers or 32- or 64-bit floats"
    );
    assert_eq!(
        refused(&file, &named("x_train", "x_train")),
        "t.hdf5: data set x_train holds an array of shape [6, 1, 4], expected one class number per sample"
    );
    let (_folder, other) = stored(b"PK\x03\x04 no HDF5 at all, but long enough for a superblock to be looked for");
    assert_eq!(
        refused(&other, &only_y),
        "t.hdf5: not a valid HDF5 file: invalid HDF5 magic bytes"
    );
}

#[test]
fn labels_must_match_the_rows() {
    let (_folder, file) = written(|builder| {
        builder.create_dataset("x").with_f32_data(&[1.0, 2.0]).with_shape(&[2, 1]);
        builder.create_dataset("y").with_u8_data(&[1]).with_shape(&[1]);
    });
    assert_eq!(
        refused(&file, &Hdf5Options::default()),
        "t.hdf5: 1 labels for 2 rows of t.hdf5"
    );
}

#[test]
fn every_truncation_is_an_error() {
    let mut builder = FileBuilder::new();
    signals(&mut builder);
    let bytes = builder.finish().unwrap();
    let (_folder, file) = stored(&bytes);
    for length in 0..bytes.len() {
        std::fs::write(&file, &bytes[..length]).unwrap();
        assert!(
            read_table(&file, &Hdf5Options::default(), Part::Train).is_err(),
            "{length} of {} bytes",
            bytes.len()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn mutated_bytes_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), chunked in any::<bool>()) {
        let mut builder = FileBuilder::new();
        signals(&mut builder);
        if chunked {
            let set = builder.create_dataset("note");
            set.with_i32_data(&[1; 64]).with_shape(&[8, 8]).with_chunks(&[3, 5]).with_deflate(1);
        }
        let mut bytes = builder.finish().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let (_folder, file) = stored(&bytes);
        let _ = read_table(&file, &Hdf5Options::default(), Part::Train);
        if let Ok(content) = open(&file) {
            let _ = read(&content, &file, "note");
        }
    }
}
