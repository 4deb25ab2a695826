//! Several labels per row, and splits that leave groups of rows whole.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use cloven_data::{Dataset, Expectation, FeatureOptions, Source, Split, Targets, load, read_features};
use tempfile::TempDir;

/// An IDX file: type byte 0x08 or 0x0b, shape, content.
fn idx(kind: u8, shape: &[u32], bytes: &[u8]) -> Vec<u8> {
    let head = [0, 0, kind, shape.len() as u8];
    let shape = shape.iter().flat_map(|size| size.to_be_bytes());
    head.into_iter().chain(shape).chain(bytes.iter().copied()).collect()
}

/// Six rows of two 16-bit features, row number and its negative in thousands; three labels.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let x: Vec<u8> = (0..6i16)
        .flat_map(|row| [row * 1000, -row * 1000])
        .flat_map(i16::to_be_bytes)
        .collect();
    let y = [1, 0, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1];
    let meta = "id,text,fold,patient\n1,\"a, b\",9,7\n2,\"x\",2,7\n3,,10.0,8\n4,,1,9\n5,,9,9\n6,,3,7\n";
    for (name, bytes) in [
        ("x.idx", idx(0x0b, &[6, 2], &x)),
        ("y.idx", idx(0x08, &[6, 3], &y)),
        ("meta.csv", meta.into()),
        ("short.csv", b"fold\n1\n2\n".to_vec()),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

const DATA: &str = "train = 'x.idx'\nlabel_names = ['MI', 'CD', 'HYP']\n";
const IDX: &str = "[idx]\ntrain_labels = 'y.idx'\ndivide_by = 1000\n";

fn expected(classes: usize, multi_label: bool) -> Expectation {
    Expectation {
        shape: vec![2],
        classes: Some(classes),
        multi_label,
    }
}

fn read(more: &str, idx: &str, expected: &Expectation) -> Result<Dataset, String> {
    let folder = folder();
    let source: Source = toml::from_str(&format!("{DATA}{more}\n{idx}")).unwrap();
    let split = Split {
        test_fraction: 0.4,
        ..Split::default()
    };
    load(&source, folder.path(), &split, Some(expected))
        .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn named_groups_are_tested_on_and_labels_keep_their_names() {
    let folds = "groups = { file = 'meta.csv', column = 'fold', test = [9, 10] }";
    let dataset = read(folds, IDX, &expected(3, true)).unwrap();
    let firsts = |x: &ndarray::ArrayD<f32>| x.outer_iter().map(|row| row[0]).collect::<Vec<_>>();
    assert_eq!(firsts(&dataset.train.x), [1.0, 3.0, 5.0], "thousandths, in the file's order");
    assert_eq!(firsts(&dataset.test.x), [0.0, 2.0, 4.0]);
    let Targets::Labels { values, names } = &dataset.test.targets else {
        panic!("expected labels")
    };
    assert_eq!(*values, ndarray::array![[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]);
    assert_eq!(names, &["MI", "CD", "HYP"]);
    assert_eq!(dataset.train.class_counts(), [0, 1, 1]);
    // What is kept for predictions scales alike.
    let source: Source = toml::from_str(&format!("{DATA}{folds}\n{IDX}")).unwrap();
    let options = FeatureOptions::after_training(&source, &dataset);
    let folder = folder();
    let features = read_features(&folder.path().join("x.idx"), &options, &expected(3, true)).unwrap();
    assert_eq!(firsts(&features.x), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
}

#[test]
fn drawn_groups_are_in_one_part_only() {
    let dataset = read("groups = { file = 'meta.csv', column = 'patient' }", IDX, &expected(3, true)).unwrap();
    let patients = [7, 7, 8, 9, 9, 7];
    let of = |x: &ndarray::ArrayD<f32>| {
        let patients = x.outer_iter().map(|row| patients[row[0] as usize]);
        patients.collect::<std::collections::BTreeSet<_>>()
    };
    let (train, test) = (of(&dataset.train.x), of(&dataset.test.x));
    assert_eq!(train.len() + test.len(), 3, "{train:?} {test:?}");
    assert_eq!(test.len(), 1, "two fifths of three patients");
}

#[test]
fn without_groups_rows_are_shuffled_and_no_label_is_lost() {
    let dataset = read("", IDX, &expected(3, true)).unwrap();
    let counts = dataset.train.class_counts().into_iter().zip(dataset.test.class_counts());
    assert_eq!(counts.map(|(a, b)| a + b).collect::<Vec<_>>(), [2, 3, 2]);
}

#[test]
fn what_does_not_fit_is_one_sentence() {
    let groups = |rest: &str| read(&format!("groups = {{ {rest} }}"), IDX, &expected(3, true)).unwrap_err();
    assert_eq!(
        groups("file = 'meta.csv', column = 'fold', test = [4]"),
        "meta.csv: no row is in the test group 4"
    );
    assert!(groups("file = 'meta.csv', column = 'folds'").contains("no column \"folds\"; the file has id, text, fold"));
    assert_eq!(
        groups("file = 'short.csv', column = 'fold'"),
        "short.csv: 2 lines, expected one for each of the 6 rows of x.idx"
    );
    assert!(groups("file = 'meta.csv', column = 'fold', test = []").contains("no test group is named"));
    assert!(groups("file = 'meta.csv', column = 'fold', test = [1, 2, 3, 9, 10]").contains("expected some to train on"));
    assert!(groups("file = 'none.csv', column = 'fold'").contains("no such file"));

    let labels = |idx: &str, expected: &Expectation| read("", idx, expected).unwrap_err();
    assert!(labels(IDX, &expected(2, true)).contains("the targets are 3 labels per row, the job expects 2 labels"));
    assert!(labels(IDX, &expected(3, false)).contains("expected one class number per sample"));
    let features = IDX.replace("y.idx", "x.idx");
    assert!(labels(&features, &expected(2, true)).contains("row 1, position [0] has the label 1000, expected 0 or 1"));
    let zero = IDX.replace("1000", "0");
    assert_eq!(
        labels(&zero, &expected(3, true)),
        "idx.divide_by must be from 1e-9 to 1e9, got 0"
    );
    let csv: Source = toml::from_str("train = 'meta.csv'").unwrap();
    let refused = load(&csv, folder().path(), &Split::default(), Some(&expected(3, true))).unwrap_err();
    assert!(
        refused.to_string().contains("multi_label must be used with labels in IDX"),
        "{refused}"
    );
}
