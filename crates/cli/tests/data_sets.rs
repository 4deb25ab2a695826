//! Data sets known by name, from `cloven init` to a trained network.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{command, json, stderr, stdout, succeed, text};
use serde_json::Value;

/// The folder of real data; without it the test says that it does not run.
fn data() -> Option<PathBuf> {
    let Ok(data) = std::env::var("CLOVEN_DATA") else {
        eprintln!("CLOVEN_DATA is not set: real-data check not run");
        return None;
    };
    // Tests run in the crate's folder; the variable may count from the workspace's.
    Some(std::path::absolute(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(data)).unwrap())
}

/// `init --data NAME` in a folder of its own.
struct Trial(tempfile::TempDir);

impl Trial {
    fn new(name: &str) -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        let mut command = command(&["init", &this.file("trial"), "--data", name]);
        data().map(|data| command.env("CLOVEN_DATA", data));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        this
    }

    fn file(&self, name: &str) -> String {
        text(&self.0.path().join(name))
    }

    fn run(&self, name: &str, settings: &[&str]) -> Value {
        let mut command = command(&[
            "run",
            &self.file("trial/job.toml"),
            "--json",
            "--run-folder",
            &self.file(name),
        ]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        json(&stdout(&output))
    }
}

const SEALED: &str = "protocol=encrypted-activation";

fn number(summary: &Value, field: &str) -> f64 {
    summary[field].as_f64().unwrap_or_else(|| panic!("{field}: {summary}"))
}

#[test]
fn digits_train_as_images_sealed_and_plain_and_as_flat_rows() {
    let trial = Trial::new("digits");
    let plain = trial.run("plain", &["training.epochs=3"]);
    let sealed = trial.run("sealed", &["training.epochs=3", SEALED]);
    for summary in [&plain, &sealed] {
        assert!(number(summary, "test_accuracy") > 0.85, "{summary}");
        assert_eq!(summary["auc_by_class"].as_array().unwrap().len(), 10);
    }
    let layers = "model.layers=[{type='dense',outputs=32},{type='relu'},{type='dense',outputs=10}]";
    let flat = ["data.shape=[64]", layers, "model.server_layers=[2]", "training.epochs=3"];
    assert!(number(&trial.run("flat", &flat), "test_accuracy") > 0.8);
    // The embedded table's own columns are known: a file with the target column among them can be predicted from.
    let digits = text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/digits.csv.gz"));
    let predicted = json(&succeed(&["predict", &trial.file("plain"), "--input", &digits, "--json"]));
    assert_eq!(predicted["rows"], 1797);
    assert!(number(&predicted, "accuracy") > 0.85, "{}", predicted["accuracy"]);
}

#[test]
fn mnist_trains_as_images() {
    if data().is_none() {
        return;
    }
    let trial = Trial::new("mnist");
    let few = ["data.train_rows=3000", "data.test_rows=1000", "training.epochs=2"];
    let plain = trial.run("plain", &few);
    assert!(number(&plain, "test_accuracy") > 0.65, "{plain}");
    let sealed = trial.run("sealed", &[&few[..], &[SEALED]].concat());
    assert!(number(&sealed, "test_accuracy") > 0.65, "{sealed}");
}

#[test]
fn recordings_with_several_labels_train_sealed_and_plain() {
    let Some(data) = data() else { return };
    let trial = Trial::new("ptbxl");
    let plain = trial.run("plain", &["training.epochs=4"]);
    let sealed = trial.run("sealed", &["training.epochs=4", SEALED]);
    for summary in [&plain, &sealed] {
        let areas: Vec<f64> = summary["auc_by_class"]
            .as_array()
            .unwrap()
            .iter()
            .map(|area| area.as_f64().unwrap())
            .collect();
        assert_eq!(areas.len(), 5);
        let mean = areas.iter().sum::<f64>() / 5.0;
        assert!((mean - number(summary, "auc")).abs() < 1e-9, "{summary}");
        assert!(mean > 0.6, "{summary}");
    }
    let input = text(&data.join("ptbxl500/x_100hz_i16.idx.gz"));
    let output = trial.file("labels.csv");
    let args = [
        "predict",
        &trial.file("plain"),
        "--input",
        &input,
        "--output",
        &output,
        "--json",
    ];
    let predicted = json(&succeed(&args));
    assert_eq!(predicted["rows"], 500);
    let csv = fs::read_to_string(&output).unwrap();
    let header = "row,labels,probability_NORM,probability_MI,probability_STTC,probability_CD,probability_HYP";
    assert_eq!(csv.lines().next().unwrap(), header);
    let report = succeed(&["report", &trial.file("plain")]);
    assert!(report.contains("report.html"));
}

#[test]
fn beats_are_cut_from_records_and_no_record_is_in_both_parts() {
    if data().is_none() {
        return;
    }
    let trial = Trial::new("mitdb");
    let local = fs::read_to_string(trial.file("trial/hospital/local.toml")).unwrap();
    assert!(local.contains("[data.wfdb]"), "{local}");
    let drawn = trial.run("drawn", &["training.epochs=1"]);
    assert!(number(&drawn, "test_loss").is_finite(), "{drawn}");
    // Its 2,567 whole beats of the five classes are the test part.
    let named = local.replace("[data.wfdb]", "[data.wfdb]\ntest_records = [\"105\"]");
    fs::write(trial.file("trial/hospital/local.toml"), named).unwrap();
    trial.run("named", &["training.epochs=1"]);
    let metrics = fs::read_to_string(trial.0.path().join("named/metrics.jsonl")).unwrap();
    let rows = metrics.lines().map(json).find_map(|line| line["test_rows"].as_u64());
    assert_eq!(rows, Some(2567), "{metrics}");
}
