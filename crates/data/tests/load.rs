//! From a `[data]` table and files on disk to a data set.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use cloven_data::{DataError, Dataset, Expectation, Source, Split, Targets, embedded, load};
use tempfile::TempDir;

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn source(toml: &str) -> Source {
    toml::from_str(toml).unwrap()
}

/// An IDX file of bytes.
fn idx(shape: &[u32], values: &[u8]) -> Vec<u8> {
    let head = [0, 0, 8, shape.len() as u8];
    head.into_iter()
        .chain(shape.iter().flat_map(|size| size.to_be_bytes()))
        .chain(values.iter().copied())
        .collect()
}

fn refused(folder: &TempDir, toml: &str, expected: Option<&Expectation>) -> String {
    let error: DataError = load(&source(toml), folder.path(), &Split::default(), expected).unwrap_err();
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

fn images() -> TempDir {
    folder(&[
        ("x.idx", &idx(&[3, 2, 2], &[0, 51, 102, 153, 204, 255, 0, 0, 1, 2, 3, 4])),
        ("y.idx", &idx(&[3], &[1, 0, 2])),
        ("tx.idx", &idx(&[2, 2, 2], &[9, 9, 9, 9, 5, 5, 5, 5])),
        ("ty.idx", &idx(&[2], &[0, 4])),
        ("rows.idx", &idx(&[2], &[1, 0])),
    ])
}

const IMAGES: &str = r#"
    train = "x.idx"
    test = "tx.idx"
    test_subsets = { second = "rows.idx" }
    [idx]
    train_labels = "y.idx"
    test_labels = "ty.idx"
"#;

#[test]
fn idx_images_keep_their_order_and_number_classes_over_both_files() {
    let folder = images();
    let expected = Expectation {
        shape: vec![1, 2, 2],
        classes: Some(5),
        multi_label: false,
    };
    let dataset = load(&source(IMAGES), folder.path(), &Split::default(), Some(&expected)).unwrap();
    assert_eq!(dataset.train.x.shape(), [3, 1, 2, 2]);
    assert_eq!(dataset.train.x[[0, 0, 0, 1]], 0.2);
    let Targets::Classes { index, names } = &dataset.test.targets else {
        panic!("expected classes")
    };
    assert_eq!((index.as_slice(), names.len()), (&[0, 4][..], 5));
    assert_eq!(dataset.test_subsets["second"], [1, 0]);
}

#[test]
fn row_limits_take_the_first_rows_and_cut_subsets() {
    let folder = images();
    let split = Split {
        max_train_rows: Some(2),
        max_test_rows: Some(1),
        ..Split::default()
    };
    let dataset = load(&source(IMAGES), folder.path(), &split, None).unwrap();
    assert_eq!((dataset.train.rows(), dataset.test.rows()), (2, 1));
    assert_eq!(dataset.test_subsets["second"], [0]);
}

#[test]
fn a_flat_expectation_flattens() {
    let folder = images();
    let expected = Expectation {
        shape: vec![4],
        classes: None,
        multi_label: false,
    };
    let mut dataset = load(&source(IMAGES), folder.path(), &Split::default(), Some(&expected)).unwrap();
    assert_eq!(dataset.train.x.shape(), [3, 4]);
    let error = dataset
        .check(&Expectation {
            shape: vec![2, 3],
            classes: None,
            multi_label: false,
        })
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("x.idx: samples have shape [4], the job expects [2, 3]"),
        "{error}"
    );
}

#[test]
fn channels_are_standardised_in_the_expected_shape() {
    let folder = images();
    let expected = Expectation {
        shape: vec![1, 2, 2],
        classes: None,
        multi_label: false,
    };
    let split = Split {
        standardise: true,
        ..Split::default()
    };
    let dataset = load(&source(IMAGES), folder.path(), &split, Some(&expected)).unwrap();
    let standardiser = dataset.standardiser.unwrap();
    assert_eq!(standardiser.mean.len(), 1);
    let train_mean: f64 = [0, 51, 102, 153, 204, 255, 0, 0, 1, 2, 3, 4].iter().sum::<i32>() as f64 / 255.0 / 12.0;
    assert!(
        (standardiser.mean[0] - train_mean).abs() < 1e-7,
        "fitted on the train rows only"
    );
}

#[test]
fn misfits_are_one_sentence() {
    let folder = images();
    let expect = |shape: &[usize], classes| {
        Some(Expectation {
            shape: shape.to_vec(),
            classes,
            multi_label: false,
        })
    };
    assert_eq!(
        refused(&folder, IMAGES, expect(&[12, 1000], None).as_ref()),
        "x.idx: samples have shape [2, 2], the job expects [12, 1000]"
    );
    assert_eq!(
        refused(&folder, IMAGES, expect(&[2, 2], Some(3)).as_ref()),
        "x.idx: the targets are 5 classes, the job expects 3 classes"
    );
    let cases = [
        (
            "train = \"no.csv\"",
            "no.csv: no such file or folder; relative paths start at the folder of local.toml",
        ),
        (
            "train = \"x.idx\"",
            "x.idx: idx.train_labels is not set; an IDX file holds one array, so that its labels lie in another file",
        ),
        (
            "train = \"x.idx\"\ntest = \"t.csv\"",
            "x.idx: the test file t.csv is CSV, but the file is read as IDX",
        ),
        (
            "train = \"x.idx\"\n[csv]\nheader = false",
            "x.idx: options for CSV are set, but the file is read as IDX",
        ),
        (
            "train = \"x.idx\"\n[idx]\ntrain_labels = \"ty.idx\"",
            "ty.idx: 2 labels for 3 rows of x.idx",
        ),
        (
            "train = \"x.idx\"\ntest_subsets = { a = \"rows.idx\" }\n[idx]\ntrain_labels = \"y.idx\"",
            "rows.idx: a test subset needs a test file, expected test to be set",
        ),
        (
            "train = \"x.idx\"\ntest = \"tx.idx\"\ntest_subsets = { a = \"ty.idx\" }\n[idx]\ntrain_labels = \"y.idx\"\ntest_labels = \"ty.idx\"",
            "ty.idx: it names row 4, expected numbers from 0 to 1 (the test set has 2 rows)",
        ),
        (
            "train = \"x.idx\"\ntest = \"y.idx\"\n[idx]\ntrain_labels = \"y.idx\"\ntest_labels = \"ty.idx\"",
            "y.idx: the file holds an array of shape [3], expected an array of rows and at least one more dimension",
        ),
    ];
    for (toml, expected) in cases {
        assert_eq!(refused(&folder, toml, None), expected);
    }
}

#[test]
fn csv_train_and_test_must_have_the_same_columns() {
    let folder = folder(&[
        ("a.csv", b"u,v,y\n1,2,0\n3,4,1\n"),
        ("b.csv", b"v,u,y\n1,2,0\n"),
        ("c.csv", b"u,v,y\n1,2,7\n"),
    ]);
    let toml = |test: &str| format!("train = \"a.csv\"\ntest = \"{test}.csv\"\n[csv]\ntarget = \"y\"");
    assert_eq!(
        refused(&folder, &toml("b"), None),
        "b.csv: column 0 is \"v\", the train file has \"u\" there"
    );
    let dataset = load(&source(&toml("c")), folder.path(), &Split::default(), None).unwrap();
    assert_eq!(
        dataset.train.class_counts(),
        [1, 1, 0],
        "the class that only the test file has is numbered too"
    );
}

#[test]
fn one_hdf5_file_may_serve_both_parts() {
    let mut builder = hdf5_pure::FileBuilder::new();
    for (part, rows) in [("train", 4u64), ("test", 2)] {
        let values: Vec<f64> = (0..rows * 3).map(|v| v as f64).collect();
        builder
            .create_dataset(&format!("x_{part}"))
            .with_f64_data(&values)
            .with_shape(&[rows, 3]);
        let labels: Vec<i64> = (0..rows as i64).map(|v| v % 2).collect();
        builder
            .create_dataset(&format!("y_{part}"))
            .with_i64_data(&labels)
            .with_shape(&[rows]);
    }
    let folder = folder(&[("both.h5", &builder.finish().unwrap())]);
    let toml = "train = \"both.h5\"\nhdf5 = { x = \"x_train\", y = \"y_train\", test_x = \"x_test\", test_y = \"y_test\" }";
    let dataset = load(&source(toml), folder.path(), &Split::default(), None).unwrap();
    assert_eq!((dataset.train.rows(), dataset.test.rows()), (4, 2));
}

#[test]
fn the_source_table_is_strict_and_round_trips() {
    let full = r#"
        train = "a.csv.gz"
        format = "csv"
        [csv]
        header = false
        delimiter = ";"
        target = 10
        drop = [0, "id"]
        on_missing = "drop-row"
    "#;
    let read = source(full);
    assert_eq!(source(&toml::to_string(&read).unwrap()), read);
    assert!(
        toml::from_str::<Source>("train = \"a\"\ntrian = \"b\"")
            .unwrap_err()
            .to_string()
            .contains("unknown field `trian`")
    );
    let negative = toml::from_str::<Source>("train = \"a\"\n[csv]\ntarget = -1")
        .unwrap_err()
        .to_string();
    assert!(
        negative.contains("expected a column name or a column number counted from 0"),
        "{negative}"
    );
}

#[test]
fn the_embedded_table_is_complete_and_splits_by_class() {
    let samples = embedded::wdbc();
    assert_eq!(samples.x.shape(), [569, 30]);
    assert_eq!(samples.class_counts(), [357, 212]);
    assert_eq!((samples.x[[0, 0]], samples.x[[568, 29]]), (17.99, 0.07039));
    assert_eq!(samples.feature_names.as_ref().unwrap()[29], "worst_fractal_dimension");
    let Targets::Classes { index, names } = &samples.targets else {
        panic!("expected classes")
    };
    assert_eq!((index[0], names.join(" ")), (1, "benign malignant".into()));

    let split = Split {
        standardise: true,
        ..Split::default()
    };
    let expected = Expectation {
        shape: vec![30],
        classes: Some(2),
        multi_label: false,
    };
    let dataset = Dataset::split(&samples, Path::new("wdbc"), &split, Some(&expected)).unwrap();
    assert_eq!(
        (dataset.train.class_counts(), dataset.test.class_counts()),
        (vec![286, 170], vec![71, 42])
    );
    let first_feature: Vec<f32> = dataset.train.x.iter().step_by(30).copied().collect();
    assert!((first_feature.iter().sum::<f32>() / first_feature.len() as f32).abs() < 1e-5);
}
