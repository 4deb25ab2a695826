//! Facts about real data sets, where `CLOVEN_DATA` names their folder.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cloven_data::{Dataset, Expectation, InspectOptions, Source, Split, inspect, load};

/// The folder of real data; where the variable is set, a file that is missing there is a failure.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("CLOVEN_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("CLOVEN_DATA is not set: real-data check not run");
    }
    folder
}

/// Loads and says how long it took.
fn loaded(toml: &str, split: &Split, expected: Option<&Expectation>) -> Option<(Dataset, Duration)> {
    let folder = folder()?;
    let source: Source = toml::from_str(toml).unwrap();
    let start = Instant::now();
    let dataset = load(&source, &folder, split, expected).unwrap_or_else(|error| panic!("{error}"));
    let seconds = start.elapsed();
    eprintln!("{}: {:.3} s", dataset.train_file.display(), seconds.as_secs_f64());
    Some((dataset, seconds))
}

fn refused(toml: &str) -> Option<String> {
    let folder = folder()?;
    let source: Source = toml::from_str(toml).unwrap();
    Some(load(&source, &folder, &Split::default(), None).unwrap_err().to_string())
}

#[test]
fn mitbih() {
    let toml = r#"
        train = "mitbih/train_ecg.hdf5"
        test = "mitbih/test_ecg.hdf5"
        test_subsets = { disjoint = "mitbih/test_disjoint_rows.idx.gz" }
    "#;
    let expected = Expectation {
        shape: vec![1, 128],
        classes: Some(5),
        multi_label: false,
    };
    let Some((dataset, time)) = loaded(toml, &Split::default(), Some(&expected)) else {
        return;
    };
    for samples in [&dataset.train, &dataset.test] {
        assert_eq!(samples.x.shape(), [13_245, 1, 128]);
        assert_eq!(samples.class_counts(), [3000, 3000, 3000, 1245, 3000]);
        assert!(samples.x.iter().all(|value| (-0.1..=1.1).contains(value)));
    }
    assert_eq!(dataset.test_subsets["disjoint"].len(), 9567);
    assert!(time < Duration::from_secs(10), "{time:?}");

    let wrong = Expectation {
        shape: vec![12, 1000],
        classes: None,
        multi_label: false,
    };
    let error = dataset.clone().check(&wrong).unwrap_err().to_string();
    assert!(
        error.ends_with("train_ecg.hdf5: samples have shape [1, 128], the job expects [12, 1000]"),
        "{error}"
    );
}

#[test]
fn mnist() {
    let toml = r#"
        train = "mnist/train-images-idx3-ubyte.gz"
        test = "mnist/t10k-images-idx3-ubyte.gz"
        idx = { train_labels = "mnist/train-labels-idx1-ubyte.gz", test_labels = "mnist/t10k-labels-idx1-ubyte.gz" }
    "#;
    let expected = Expectation {
        shape: vec![1, 28, 28],
        classes: Some(10),
        multi_label: false,
    };
    let split = Split {
        standardise: true,
        ..Split::default()
    };
    let Some((dataset, time)) = loaded(toml, &split, Some(&expected)) else {
        return;
    };
    assert_eq!(dataset.train.x.shape(), [60_000, 1, 28, 28]);
    assert_eq!(dataset.test.x.shape(), [10_000, 1, 28, 28]);
    assert_eq!(
        dataset.train.class_counts(),
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    );
    let standardiser = dataset.standardiser.unwrap();
    // The mean and deviation that every MNIST tutorial uses.
    assert!(
        (standardiser.mean[0] - 0.1307).abs() < 1e-4 && (standardiser.std[0] - 0.3081).abs() < 1e-4,
        "{standardiser:?}"
    );
    assert!(time < Duration::from_secs(20), "{time:?}");
}

#[test]
fn original_breast_cancer_has_missing_values() {
    let toml = r#"
        train = "tabular/breast-cancer-wisconsin.data.gz"
        [csv]
        header = false
        target = 10
        drop = [0]
    "#;
    let Some(error) = refused(toml) else { return };
    assert!(
        error.ends_with(
            "line 24, column 6 is missing (\"?\"), 16 missing values in all; fill them in or set on_missing = \"drop-row\""
        ),
        "{error}"
    );
    let dropping = format!("{toml}\non_missing = \"drop-row\"");
    let Some((dataset, _)) = loaded(&dropping, &Split::default(), None) else {
        return;
    };
    assert_eq!(dataset.train.rows() + dataset.test.rows(), 683);
}

#[test]
fn credit_cards() {
    let toml = r#"
        train = "tabular/UCI_Credit_Card.csv.gz"
        [csv]
        target = "default.payment.next.month"
        drop = ["ID"]
    "#;
    let Some((dataset, _)) = loaded(toml, &Split::default(), None) else {
        return;
    };
    let counts: Vec<usize> = dataset
        .train
        .class_counts()
        .iter()
        .zip(dataset.test.class_counts())
        .map(|(train, test)| train + test)
        .collect();
    assert_eq!(counts, [30_000 - 6636, 6636]);
    assert_eq!(dataset.train.sample_shape(), [23]);
    assert_eq!(dataset.test.class_counts()[1], 1327);
}

#[test]
fn the_embedded_table_agrees_with_the_set_beside_the_project() {
    let toml = "train = \"tabular/wdbc.csv.gz\"\n[csv]\ntarget = \"target\"";
    let Some((theirs, _)) = loaded(
        toml,
        &Split {
            test_fraction: 0.5,
            ..Split::default()
        },
        None,
    ) else {
        return;
    };
    let ours = cloven_data::embedded::wdbc();
    assert_eq!(theirs.train.rows() + theirs.test.rows(), ours.rows());
    let total = |x: &ndarray::ArrayD<f32>| x.iter().map(|&value| f64::from(value)).sum::<f64>();
    assert!((total(&theirs.train.x) + total(&theirs.test.x) - total(&ours.x)).abs() < 1e-6 * total(&ours.x));
}

/// The tables of the MIT-BIH arrhythmia database, and sums computed with the Python package wfdb 4.3.1 and NumPy's `interp`.
#[test]
fn beats_of_four_records() {
    let counts = |name: &str| {
        let inspection = inspect(&folder()?.join(format!("mitdb/{name}.hea")), &InspectOptions::default());
        let arrays = inspection
            .unwrap_or_else(|error| panic!("{error}"))
            .files
            .swap_remove(0)
            .arrays;
        let leads: Vec<(Option<f64>, Option<f64>)> = arrays.iter().map(|array| (array.min, array.max)).collect();
        let shown: Vec<String> = arrays[2]
            .counts
            .iter()
            .flatten()
            .map(|(symbol, count)| format!("{symbol}{count}"))
            .collect();
        Some((leads[..2].to_vec(), arrays[0].mean?, shown.join(" ")))
    };
    let Some((leads, mean, beats)) = counts("100") else { return };
    let rounded = |value: Option<f64>| (value.unwrap() * 1000.0).round();
    let leads: Vec<(f64, f64)> = leads.iter().map(|&(min, max)| (rounded(min), rounded(max))).collect();
    assert_eq!(leads, [(-2715.0, 1435.0), (-2465.0, 1225.0)]);
    assert!((mean + 0.30629898).abs() < 1e-6, "{mean}");
    assert_eq!(beats, "A33 N2239 V1");
    assert_eq!(counts("105").unwrap().2, "N2526 Q5 V41");
    assert_eq!(counts("208").unwrap().2, "F373 N1586 Q2 S2 V992");
    assert_eq!(counts("233").unwrap().2, "A7 F11 N2230 V831");

    let toml = "train = \"mitdb\"\n[wfdb]\ntest_records = [\"233\"]";
    let expected = Expectation {
        shape: vec![1, 128],
        classes: Some(5),
        multi_label: false,
    };
    let Some((dataset, _)) = loaded(toml, &Split::default(), Some(&expected)) else {
        return;
    };
    assert_eq!(dataset.class_names().unwrap(), ["N", "L", "R", "A", "V"]);
    assert_eq!((dataset.train.rows(), dataset.test.rows()), (2271 + 2567 + 2577, 3066));
    let total = |x: &ndarray::ArrayD<f32>| x.iter().map(|&value| f64::from(value)).sum::<f64>();
    assert!(
        (total(&dataset.test.x) - 141046.7886).abs() < 0.1,
        "{}",
        total(&dataset.test.x)
    );
    let train = 46258.4220 + 64864.7685 + 65081.4600;
    assert!((total(&dataset.train.x) - train).abs() < 0.1, "{}", total(&dataset.train.x));
}

#[test]
fn records_are_split_whole_and_grouped_by_the_aami() {
    let toml = "train = \"mitdb\"\n[wfdb]\nclasses = \"aami\"\nlead = 1\nnormalise = \"z-score\"\npoints = 64";
    let half = Split {
        test_fraction: 0.5,
        ..Split::default()
    };
    let Some((dataset, _)) = loaded(toml, &half, None) else {
        return;
    };
    let all: Vec<usize> = dataset
        .train
        .class_counts()
        .iter()
        .zip(dataset.test.class_counts())
        .map(|(a, b)| a + b)
        .collect();
    // The tables' sums, less the first or last beats of records, whose windows are not whole.
    let tables = [2239 + 2526 + 1586 + 2230, 33 + 2 + 7, 1 + 41 + 992 + 831, 373 + 11, 5 + 2];
    let left_out: Vec<usize> = tables.iter().zip(&all).map(|(table, read)| table - read).collect();
    assert!(left_out.iter().sum::<usize>() <= 12 && left_out[1] == 0, "{left_out:?}");
    let records = [2273_usize, 2572, 2955, 3079];
    let fits = |rows: usize| (0..4).any(|a| (0..a).any(|b| (records[a] + records[b]).abs_diff(rows) <= 8));
    assert!(
        fits(dataset.train.rows()) && fits(dataset.test.rows()),
        "{}",
        dataset.train.rows()
    );
    let first = dataset.train.x.index_axis(ndarray::Axis(0), 0);
    assert!(first.sum().abs() < 1e-3 && (first.mapv(|value| value * value).sum() - 64.0).abs() < 0.01);

    let error = refused("train = \"mitdb\"\n[wfdb]\nrecords = [\"100\"]\ntest_records = [\"100\"]").unwrap();
    assert!(
        error.ends_with("100.hea is to be trained and tested on, expected each record in one part"),
        "{error}"
    );
    let error = refused("train = \"mitdb\"\n[wfdb]\nrecords = [\"100\"]").unwrap();
    assert!(
        error.ends_with("splitting 1 rows or records with test_fraction = 0.2 leaves the test part empty"),
        "{error}"
    );
    let error = refused("train = \"mitdb\"\n[wfdb]\nlead = \"II\"\ntest_records = [\"105\"]").unwrap();
    assert!(error.ends_with("no lead \"II\"; the record has MLII, V5"), "{error}");
    let error = refused("train = \"mitdb\"\n[wfdb]\ntest_records = [\"../mitdb/105\"]").unwrap();
    assert!(
        error.ends_with("\"../mitdb/105\" is no name of a record, or is there twice"),
        "{error}"
    );
}

#[test]
fn the_embedded_digits() {
    let digits = cloven_data::embedded::digits();
    assert_eq!(digits.x.shape(), [1797, 1, 8, 8]);
    assert_eq!(digits.class_counts(), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    // All on-pixels of all 1,797 bitmaps, as the sum over the source's table has it.
    let sixteenths: f64 = digits.x.iter().map(|&value| f64::from(value) * 16.0).sum();
    assert_eq!(sixteenths, 561718.0);
    assert!(
        digits
            .x
            .iter()
            .all(|value| (value * 16.0).fract() == 0.0 && (0.0..=1.0).contains(value))
    );
    // The first image is a 0, its top row 0 0 5 13 9 1 0 0.
    let top: Vec<f32> = (0..8).map(|column| digits.x[[0, 0, 0, column]] * 16.0).collect();
    assert_eq!(top, [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0]);
}

#[test]
fn every_embedded_table_can_be_predicted_from() {
    for (name, file, shape) in [("wdbc", "wdbc.csv", vec![30]), ("digits", "digits.csv.gz", vec![1, 8, 8])] {
        let options = cloven_data::embedded::feature_options(name).unwrap();
        let expected = Expectation {
            shape,
            classes: None,
            multi_label: false,
        };
        let file = std::path::Path::new("../../data").join(file);
        let features = cloven_data::read_features(&file, &options, &expected).unwrap_or_else(|error| panic!("{error}"));
        let samples = match name {
            "wdbc" => cloven_data::embedded::wdbc(),
            _ => cloven_data::embedded::digits(),
        };
        assert_eq!(features.x, samples.x);
    }
    assert_eq!(cloven_data::embedded::feature_options("iris"), None);
}

#[test]
fn every_folder_can_be_inspected() {
    let Some(folder) = folder() else { return };
    for name in ["mitbih", "mnist", "ptbxl500", "tabular", "cifar10", "mitdb"] {
        let inspection = inspect(&folder.join(name), &InspectOptions::default()).unwrap_or_else(|error| panic!("{error}"));
        let problems: Vec<&String> = inspection.files.iter().filter_map(|file| file.problem.as_ref()).collect();
        assert!(problems.is_empty(), "{problems:?}");
        eprintln!("{inspection}");
    }
}

#[test]
fn twelve_lead_recordings_by_folds() {
    let toml = r#"
        train = "ptbxl500/x_100hz_i16.idx.gz"
        groups = { file = "ptbxl500/meta.csv", column = "strat_fold", test = [9, 10] }
        label_names = ["NORM", "MI", "STTC", "CD", "HYP"]
        [idx]
        train_labels = "ptbxl500/y_superclass5.idx.gz"
        divide_by = 1000
    "#;
    let expected = Expectation {
        shape: vec![12, 1000],
        classes: Some(5),
        multi_label: true,
    };
    let Some((dataset, _)) = loaded(toml, &Split::default(), Some(&expected)) else {
        return;
    };
    assert_eq!((dataset.train.rows(), dataset.test.rows()), (353, 147));
    assert_eq!(dataset.class_names().unwrap(), ["NORM", "MI", "STTC", "CD", "HYP"]);
    let largest = dataset.train.x.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    assert!((1.0..=33.0).contains(&largest), "millivolt: {largest}");
}

/// Counts and sums from a script that shares no code with the reader.
#[test]
fn small_colour_images() {
    let toml = r#"
        train = "cifar10/lossless_train4000.bin.gz"
        test = "cifar10/lossless_test1000.bin.gz"
    "#;
    let expected = Expectation {
        shape: vec![3, 32, 32],
        classes: Some(10),
        multi_label: false,
    };
    let standardised = Split {
        standardise: true,
        max_test_rows: Some(10),
        ..Split::default()
    };
    let Some((dataset, _)) = loaded(toml, &standardised, Some(&expected)) else {
        return;
    };
    assert_eq!(
        dataset.train.class_counts(),
        [396, 366, 420, 384, 422, 393, 414, 385, 407, 413]
    );
    let cloven_data::Targets::Classes { index, names } = &dataset.test.targets else {
        panic!("expected classes")
    };
    assert_eq!(index, &[3, 8, 8, 0, 6, 6, 1, 6, 3, 1]);
    assert_eq!((names[3].as_str(), names[8].as_str()), ("cat", "ship"));
    let standardiser = dataset.standardiser.unwrap();
    let known = [
        (0.491_596_684_474_571, 0.247_113_783_552_970),
        (0.481_759_279_258_578, 0.243_972_229_878_757),
        (0.444_656_700_942_096, 0.262_500_257_083_688),
    ];
    for (channel, (mean, std)) in known.into_iter().enumerate() {
        let found = (standardiser.mean[channel], standardiser.std[channel]);
        assert!((found.0 - mean).abs() < 1e-7 && (found.1 - std).abs() < 1e-7, "{found:?}");
    }
    // The first test image, before it was standardised.
    let first: Vec<f64> = (0..4)
        .map(|at| f64::from(dataset.test.x[[0, 0, 0, at]]) * standardiser.std[0] + standardiser.mean[0])
        .map(|value| (value * 255.0).round())
        .collect();
    assert_eq!(first, [158.0, 159.0, 165.0, 166.0]);
}
