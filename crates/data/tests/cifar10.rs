//! CIFAR-10 files as a party's data.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::path::Path;

use cloven_data::{Expectation, FeatureOptions, InspectOptions, Source, Split, inspect, load, read_features};
use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;

/// A record whose pixels are all `10 * label`.
fn records(labels: &[u8]) -> Vec<u8> {
    labels
        .iter()
        .flat_map(|&label| std::iter::once(label).chain([10 * label; 3072]))
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A folder as the published archive unpacks to, with fewer images.
fn batches() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("data_batch_2.bin.gz", &gzip(&records(&[2, 3])));
    write("data_batch_1.bin", &records(&[0, 1]));
    write("test_batch.bin", &records(&[9, 4, 4]));
    write("batches.meta.txt", b"airplane\n");
    write("other.bin", b"something else");
    folder
}

fn expected() -> Expectation {
    Expectation {
        shape: vec![3, 32, 32],
        classes: Some(10),
        multi_label: false,
    }
}

fn source(toml: &str) -> Source {
    toml::from_str(toml).unwrap()
}

#[test]
fn a_folder_is_read_whole_with_its_test_file() {
    let folder = batches();
    let source = source("train = \".\"\n[cifar10]");
    let dataset = load(&source, folder.path(), &Split::default(), Some(&expected())).unwrap();
    assert_eq!(dataset.train.class_counts(), [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(dataset.test.class_counts(), [0, 0, 0, 0, 2, 0, 0, 0, 0, 1]);
    assert_eq!(dataset.class_names().unwrap()[3], "cat");
    let brightness: Vec<f32> = (0..4).map(|row| dataset.train.x[[row, 2, 31, 31]] * 255.0).collect();
    assert_eq!(brightness, [0.0, 10.0, 20.0, 30.0]);

    let only_two = Split {
        max_train_rows: Some(2),
        ..Split::default()
    };
    let dataset = load(&source, folder.path(), &only_two, Some(&expected())).unwrap();
    assert_eq!(dataset.train.rows(), 2);

    let inspection = inspect(folder.path(), &InspectOptions::default()).unwrap();
    let names = |paths: Vec<&Path>| {
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        paths.into_iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(
        names(inspection.files.iter().map(|file| file.file.as_path()).collect()),
        ["data_batch_1.bin", "data_batch_2.bin.gz", "test_batch.bin"]
    );
    assert_eq!(
        names(inspection.skipped.iter().map(|path| path.as_path()).collect()),
        ["batches.meta.txt", "other.bin"]
    );
    let labels = &inspection.files[2].arrays[1];
    assert_eq!(labels.counts, Some(vec![("4".into(), 2), ("9".into(), 1)]));
}

#[test]
fn other_classes_are_named_in_the_options() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("t.bin"), records(&[1, 0, 1, 0])).unwrap();
    let two = Expectation {
        classes: Some(2),
        ..expected()
    };
    let half = Split {
        test_fraction: 0.5,
        ..Split::default()
    };
    let refused = load(&source("train = \"t.bin\""), folder.path(), &half, Some(&two)).unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("the targets are 10 classes, the job expects 2 classes")
    );
    let named = source("train = \"t.bin\"\n[cifar10]\nclasses = [\"cat\", \"dog\"]");
    let dataset = load(&named, folder.path(), &half, Some(&two)).unwrap();
    assert_eq!(dataset.train.class_counts(), [1, 1]);

    fs::write(folder.path().join("t.bin"), records(&[1, 2])).unwrap();
    let refused = load(&named, folder.path(), &half, Some(&two)).unwrap_err().to_string();
    assert!(
        refused.ends_with("record 1 begins with the label 2, expected 0 to 1"),
        "{refused}"
    );
}

#[test]
fn images_to_predict_from_are_scaled_as_in_training() {
    let folder = batches();
    let source = source("train = \".\"\n[cifar10]\nscale = false");
    let dataset = load(&source, folder.path(), &Split::default(), Some(&expected())).unwrap();
    let options = FeatureOptions::after_training(&source, &dataset);
    let text = serde_json::to_string(&options).unwrap();
    let options: FeatureOptions = serde_json::from_str(&text).unwrap();
    let features = read_features(&folder.path().join("test_batch.bin"), &options, &expected()).unwrap();
    assert_eq!(features.x, dataset.test.x);
    assert_eq!(features.rows, [0, 1, 2]);
}

#[test]
fn what_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |toml: &str| {
        let error = load(&source(toml), folder.path(), &Split::default(), None).unwrap_err();
        error.to_string().replace(&format!("{}/", folder.path().display()), "")
    };
    assert!(refused("train = \"t.bin\"").starts_with("t.bin: no such file"));
    assert_eq!(
        refused("train = \"\"\nformat = \"cifar10\""),
        ": the folder has no files data_batch_*.bin or data_batch_*.bin.gz"
    );
    fs::write(folder.path().join("t.bin.gz"), &gzip(&records(&[1, 2]))[..60]).unwrap();
    assert!(refused("train = \"t.bin.gz\"").starts_with("t.bin.gz: the gzip stream is damaged"));
    assert_eq!(
        refused("train = \"t.bin\"\n[csv]\ntarget = 0"),
        "t.bin: options for CSV are set, but the file is read as CIFAR-10"
    );
}
