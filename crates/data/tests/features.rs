//! Rows to predict from, and npy files as sources.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use cloven_data::{
    Expectation, FeatureOptions, Features, InspectOptions, Source, Split, Targets, inspect, load, npy_bytes, read_features,
    write_npy,
};
use ndarray::{Array2, ArrayD, array};
use tempfile::TempDir;

const TRAIN: &str = "id,age,height,outcome\n1,30,1.5,no\n2,40,1.6,yes\n3,50,1.7,no\n4,60,1.8,yes\n";

fn shape(shape: &[usize]) -> Expectation {
    Expectation {
        shape: shape.to_vec(),
        classes: Some(2),
        multi_label: false,
    }
}

/// What is kept after training on [`TRAIN`]; it survives being written down.
fn trained(folder: &TempDir, extra: &str) -> FeatureOptions {
    fs::write(folder.path().join("train.csv"), TRAIN).unwrap();
    let toml = format!("train = \"train.csv\"\n[csv]\ntarget = \"outcome\"\ndrop = [\"id\"]\n{extra}");
    let source: Source = toml::from_str(&toml).unwrap();
    let split = Split {
        test_fraction: 0.5,
        ..Split::default()
    };
    let dataset = load(&source, folder.path(), &split, None).unwrap();
    assert_eq!(dataset.class_names(), Some(&["no".to_string(), "yes".into()][..]));
    let options = FeatureOptions::after_training(&source, &dataset);
    let kept = serde_json::to_string(&options).unwrap();
    assert_eq!(serde_json::from_str::<FeatureOptions>(&kept).unwrap(), options);
    options
}

fn predict(folder: &TempDir, options: &FeatureOptions, name: &str, text: &str) -> Result<Features, String> {
    let file = folder.path().join(name);
    fs::write(&file, text).unwrap();
    read_features(&file, options, &shape(&[2])).map_err(|error| error.to_string().replace(&file.display().to_string(), name))
}

fn values(features: &Features) -> Vec<f32> {
    features.x.iter().copied().collect()
}

#[test]
fn the_training_file_itself_and_columns_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let options = trained(&folder, "");
    let same = predict(&folder, &options, "p.csv", TRAIN).unwrap();
    assert_eq!(values(&same), [30.0, 1.5, 40.0, 1.6, 50.0, 1.7, 60.0, 1.8]);
    assert_eq!(same.rows, [0, 1, 2, 3]);
    assert_eq!(same.names.unwrap(), ["age", "height"]);
    let other = predict(&folder, &options, "p.csv", "height,age\n1.9,20\n").unwrap();
    assert_eq!(values(&other), [20.0, 1.9]);
    let with_id = predict(&folder, &options, "p.csv", "height,id,age\n1.9,x,20\n").unwrap();
    assert_eq!(
        (values(&with_id), with_id.names.unwrap()),
        (vec![20.0, 1.9], vec!["age".into(), "height".into()])
    );
}

#[test]
fn a_missing_or_extra_column_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let options = trained(&folder, "");
    let refused = |text: &str| predict(&folder, &options, "p.csv", text).unwrap_err();
    assert_eq!(
        refused("age,weight\n1,2\n"),
        "p.csv: the feature column height is missing; the file has age, weight"
    );
    assert_eq!(
        refused("age,height,weight\n1,2,3\n"),
        "p.csv: the column weight is no feature of the training file; remove it, or list it under drop"
    );
    assert_eq!(
        refused("age,height,age\n1,2,3\n"),
        "p.csv: the feature column age occurs 2 times"
    );
}

#[test]
fn included_columns_are_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = trained(&folder, "include = [\"height\"]");
    let read = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        read_features(&file, &options, &shape(&[1])).map(|features| values(&features))
    };
    assert_eq!(read("p.csv", TRAIN).unwrap(), [1.5, 1.6, 1.7, 1.8]);
    assert_eq!(read("p.csv", "weight,height\n7,1.9\n").unwrap(), [1.9]);
    let error = read("p.csv", "age,weight\n1,2\n").unwrap_err().to_string();
    assert!(
        error.ends_with("the feature column height is missing; the file has age, weight"),
        "{error}"
    );

    let numbered: FeatureOptions = toml::from_str("[csv]\nheader = false\ntarget = 3\ninclude = [2, 1]").unwrap();
    let read = |text: &str| predict(&folder, &numbered, "p.data", text).map(|features| values(&features));
    assert_eq!(read("7,1,2,1\n8,3,4,0\n").unwrap(), [2.0, 1.0, 4.0, 3.0]);
    assert_eq!(read("2,1\n4,3\n").unwrap(), [2.0, 1.0, 4.0, 3.0]);
    let short: FeatureOptions = toml::from_str("[csv]\nheader = false\ninclude = [2]").unwrap();
    assert_eq!(
        predict(&folder, &short, "p.data", "7,1,2\n8,3,4\n").unwrap_err(),
        "p.data: expected 2 feature columns, found 1 (target and dropped columns not counted)"
    );
}

#[test]
fn missing_values_are_named_or_their_rows_dropped() {
    let folder = tempfile::tempdir().unwrap();
    // A missing target is none of a prediction's business.
    let text = "outcome,age,height\n?,1,2\n?,3,?\n?,5,6\n";
    let error = predict(&folder, &trained(&folder, ""), "p.csv", text).unwrap_err();
    assert!(
        error.starts_with("p.csv: line 3, column height is missing (\"?\"), 1 missing values in all"),
        "{error}"
    );
    let dropping = trained(&folder, "on_missing = \"drop-row\"");
    let features = predict(&folder, &dropping, "p.csv", text).unwrap();
    assert_eq!((values(&features), features.rows), (vec![1.0, 2.0, 5.0, 6.0], vec![0, 2]));
    let error = predict(&folder, &dropping, "p.csv", "age,height\n?,1\n").unwrap_err();
    assert_eq!(error, "p.csv: expected at least one row of data, found none");
}

#[test]
fn without_names_columns_are_matched_by_position() {
    let folder = tempfile::tempdir().unwrap();
    let options: FeatureOptions = toml::from_str("[csv]\nheader = false\ntarget = 3\ndrop = [0]").unwrap();
    let read = |text: &str| predict(&folder, &options, "p.data", text);
    assert_eq!(values(&read("7,1,2,1\n8,3,4,0\n").unwrap()), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(values(&read("7,1,2\n8,3,4\n").unwrap()), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(values(&read("2,1\n4,3\n").unwrap()), [2.0, 1.0, 4.0, 3.0]);
    assert_eq!(
        read("1,2,3,4,5\n1,2,3,4,4\n").unwrap_err(),
        "p.data: expected 2 feature columns, found 3 (target and dropped columns not counted)"
    );
}

#[test]
fn arrays_and_archives_are_read_and_brought_into_shape() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.npy");
    write_npy(&file, &array![[1.0f32, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]).unwrap();
    let options = FeatureOptions::default();
    let features = read_features(&file, &options, &shape(&[4])).unwrap();
    assert_eq!((features.x.shape(), features.rows.as_slice()), (&[2, 4][..], &[0, 1][..]));
    let error = read_features(&file, &options, &shape(&[2, 3])).unwrap_err().to_string();
    assert!(error.ends_with("samples have shape [4], the job expects [2, 3]"), "{error}");
    let nan = folder.path().join("nan.npy");
    write_npy(&nan, &array![[1.0f32, f32::NAN]]).unwrap();
    let error = read_features(&nan, &options, &shape(&[2])).unwrap_err().to_string();
    assert!(
        error.ends_with("row 0, position [1] is NaN, expected a finite 32-bit number"),
        "{error}"
    );

    let numpy = Path::new("tests/numpy");
    let stored = read_features(&numpy.join("stored.npz"), &options, &shape(&[1, 4])).unwrap();
    assert_eq!((stored.x.shape(), stored.x[[2, 0, 3]]), (&[3, 1, 4][..], 2.75));
    let fortran = read_features(&numpy.join("fortran.npy"), &options, &shape(&[12])).unwrap();
    assert_eq!(values(&fortran), (0..24u8).map(f32::from).collect::<Vec<_>>());
    let version2 = read_features(&numpy.join("version2.npy"), &options, &shape(&[2])).unwrap();
    assert_eq!(values(&version2), [1.0, 0.0, 1.0, 1.0]);

    let error = read_features(&numpy.join("deflated.npz"), &options, &shape(&[4]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("found 2; set data_set to one of x_train, y_train, x_test, y_test"),
        "{error}"
    );
    let named = FeatureOptions {
        data_set: Some("x_test".into()),
        ..options
    };
    assert_eq!(
        read_features(&numpy.join("deflated.npz"), &named, &shape(&[4])).unwrap().x[[1, 3]],
        3.5
    );
}

#[test]
fn an_hdf5_file_of_features_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut builder = hdf5_pure::FileBuilder::new();
    builder.create_dataset("x_new").with_f64_data(&[0.5, 1.0]).with_shape(&[2, 1]);
    builder
        .create_dataset("signal")
        .with_f64_data(&[7.0, 8.0])
        .with_shape(&[2, 1]);
    let file = folder.path().join("p.h5");
    fs::write(&file, builder.finish().unwrap()).unwrap();
    let read = |toml: &str| {
        let options: FeatureOptions = toml::from_str(toml).unwrap();
        read_features(&file, &options, &shape(&[1]))
            .map(|features| values(&features))
            .map_err(|error| error.to_string())
    };
    assert_eq!(read("").unwrap(), [0.5, 1.0]);
    assert_eq!(read("[hdf5]\nx = \"x_train\"").unwrap(), [0.5, 1.0]);
    assert_eq!(read("[hdf5]\nx = \"signal\"").unwrap(), [7.0, 8.0]);
    let error = read("data_set = \"x\"").unwrap_err();
    assert!(
        error.ends_with("no data set \"x\"; the file has signal, x_new") || error.ends_with("the file has x_new, signal"),
        "{error}"
    );
}

#[test]
fn idx_bytes_are_scaled_as_in_training() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.idx");
    fs::write(&file, [0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 255]).unwrap();
    let read = |toml: &str| values(&read_features(&file, &toml::from_str(toml).unwrap(), &shape(&[2])).unwrap());
    assert_eq!((read(""), read("[idx]\nscale = false")), (vec![0.0, 1.0], vec![0.0, 255.0]));
}

#[test]
fn npy_files_and_archives_are_training_sources() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
    write(
        "x.npy",
        npy_bytes(&Array2::from_shape_fn((6, 2), |(row, column)| (row * 2 + column) as u8)),
    );
    write("y.npy", npy_bytes(&array![0i64, 1, 2, 0, 1, 2]));
    let load_toml = |base: &Path, toml: &str| {
        let source: Source = toml::from_str(toml).unwrap();
        load(
            &source,
            base,
            &Split {
                test_fraction: 0.5,
                ..Split::default()
            },
            None,
        )
        .map_err(|error| error.to_string())
    };
    let error = load_toml(folder.path(), "train = \"x.npy\"").unwrap_err();
    assert!(
        error.ends_with("npy.train_labels is not set; an npy file holds one array, so that its labels lie in another file"),
        "{error}"
    );
    let dataset = load_toml(
        folder.path(),
        "train = \"x.npy\"\nnpy = { train_labels = \"y.npy\", scale = true }",
    )
    .unwrap();
    assert_eq!(dataset.class_names().unwrap().len(), 3);
    let highest = dataset.train.x.iter().chain(&dataset.test.x).copied().fold(0.0, f32::max);
    assert_eq!(highest, 11.0 / 255.0);

    let numpy = Path::new("tests/numpy");
    let both = load_toml(
        numpy,
        "train = \"deflated.npz\"\nnpy = { x = \"x_train\", y = \"y_train\", test_x = \"x_test\", test_y = \"y_test\" }",
    );
    let both = both.unwrap();
    assert_eq!((both.train.rows(), both.test.rows(), both.test.x[[1, 3]]), (3, 2, 3.5));
    let Targets::Classes { index, .. } = &both.test.targets else {
        panic!("expected classes")
    };
    assert_eq!(index, &[2, 0]);
    let error = load_toml(numpy, "train = \"stored.npz\"\nnpy = { x = \"z\" }").unwrap_err();
    assert!(
        error.ends_with("stored.npz: no data set \"z\"; the file has x_train, y_train"),
        "{error}"
    );
}

#[test]
fn parquet_files_of_another_writer() {
    let folder = Path::new("tests/parquet");
    for name in ["snappy.parquet", "zstd_v2.parquet"] {
        let inspection = inspect(&folder.join(name), &InspectOptions::default()).unwrap();
        let columns: Vec<(&str, &str, u64, Option<f64>)> = inspection.files[0]
            .arrays
            .iter()
            .map(|column| (column.name.as_str(), column.dtype.as_str(), column.missing, column.max))
            .collect();
        let expected = [
            ("age", "i32", 1, Some(60.0)),
            ("height", "f64", 0, Some(1.8)),
            ("when", "dates or times", 0, None),
            ("beats.list.element", "lists", 0, None),
            ("kind", "text", 0, None),
        ];
        assert_eq!(columns, expected);
        let toml = format!(
            "train = \"{name}\"\n[parquet]\ntarget = \"kind\"\ndrop = [\"when\", \"beats.list.element\"]\non_missing = \"drop-row\""
        );
        let source: Source = toml::from_str(&toml).unwrap();
        let split = Split {
            test_fraction: 0.34,
            ..Split::default()
        };
        let dataset = load(&source, folder, &split, None).unwrap();
        assert_eq!((dataset.train.rows(), dataset.test.rows()), (2, 1));
        assert_eq!(dataset.class_names().unwrap(), ["sick", "well"]);
        let options = FeatureOptions::after_training(&source, &dataset);
        let features = read_features(&folder.join(name), &options, &shape(&[2])).unwrap();
        assert_eq!(
            (values(&features), features.rows),
            (vec![30.0, 1.5, 50.0, 1.7, 60.0, 1.8], vec![0, 2, 3])
        );
        // The options of a Parquet source serve for CSV.
        let temporary = tempfile::tempdir().unwrap();
        let features = predict(&temporary, &options, "p.csv", "height,kind,age\n1.5,?,30\n?,?,1\n").unwrap();
        assert_eq!((values(&features), features.rows), (vec![30.0, 1.5], vec![0]));
    }
}

#[test]
fn npy_files_can_be_inspected() {
    let inspection = inspect(Path::new("tests/numpy"), &InspectOptions::default()).unwrap();
    let arrays: Vec<(&str, &str, &[u64])> = inspection
        .files
        .iter()
        .flat_map(|file| &file.arrays)
        .map(|array| (array.name.as_str(), array.dtype.as_str(), array.shape.as_slice()))
        .collect();
    assert_eq!(arrays[0], ("x_train", "f32", &[3, 4][..]));
    assert_eq!(arrays[3], ("y_test", "i64", &[2][..]));
    assert_eq!(arrays[4], ("", "f64", &[2, 3, 4][..]));
    assert_eq!(arrays[7], ("", "bool", &[2, 2][..]));
    assert!(inspection.files.iter().all(|file| file.problem.is_none()));
}

#[test]
fn a_standardiser_of_training_is_applied_to_predictions() {
    let folder = tempfile::tempdir().unwrap();
    let options = trained(&folder, "");
    let mut features = predict(&folder, &options, "p.csv", TRAIN).unwrap();
    let kept = serde_json::to_string(&cloven_data::Standardiser::fit(&features.x)).unwrap();
    let standardiser: cloven_data::Standardiser = serde_json::from_str(&kept).unwrap();
    standardiser.apply(&mut features.x).unwrap();
    let total: f32 = features.x.sum();
    assert!(
        total.abs() < 1e-5 && (features.x[[3, 0]] - 1.3416).abs() < 1e-4,
        "{:?}",
        features.x
    );
    let _: ArrayD<f32> = features.x;
}
