//! `encrypted-model` through the command line: against plain training, predicting, exporting, keys, going on after a kill.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use common::{arrays, fail, json, succeed, text};
use serde_json::Value;

struct Run {
    root: tempfile::TempDir,
    summary: Value,
}

impl Run {
    fn new(settings: &[&str], flags: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = text(&root.path().join("trial"));
        succeed(&["init", &folder, "--data", "digits", "--protocol", "encrypted-model"]);
        let (job, run) = (format!("{folder}/job.toml"), text(&root.path().join("run")));
        let mut args = vec!["run", &job, "--json", "--run-folder", &run];
        args.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        args.extend(flags);
        let summary = json(&succeed(&args));
        Self { root, summary }
    }

    fn path(&self) -> PathBuf {
        self.root.path().join("run")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join("checkpoints").join(name)
    }
}

const THREE: &str = "training.epochs=3";
const PUBLIC: &str = "encryption.initial_weights=public";

/// From the same initial weights, on samples that need no rounding (0 to 16 in 16 steps of 1): the same network but for noise.
#[test]
fn training_predicting_and_exporting() {
    let run = Run::new(&[THREE, PUBLIC], &["--compare-plain"]);
    let summary = &run.summary;
    let accuracy = |name: &str| summary[name].as_f64().unwrap();
    assert!(accuracy("test_accuracy") > 0.8, "{summary}");
    assert!((accuracy("test_accuracy") - accuracy("test_accuracy_plain")).abs() < 0.02);
    assert_eq!(summary["params"]["log2_n"], 11);
    let leaks = summary["leaks"].to_string();
    assert!(leaks.contains("every training and test sample") && leaks.contains("initial weights"));

    // The client's file holds its own layers only; the server holds no weight in the clear.
    assert_eq!(
        arrays(&run.file("hospital.safetensors")).keys().collect::<Vec<_>>(),
        ["2.bias", "2.weight"]
    );
    assert!(!run.file("cloud.safetensors").exists() && run.file("cloud.encrypted").exists());

    // The whole model, where the key is; beside plain training of the same job.
    let whole = text(&run.root.path().join("whole.safetensors"));
    succeed(&["export", &text(&run.path()), "--output", &whole]);
    let (exported, plain) = (
        arrays(Path::new(&whole)),
        arrays(&run.path().join("plain/checkpoints/cloud.safetensors")),
    );
    assert_eq!(
        exported.keys().collect::<Vec<_>>(),
        ["0.bias", "0.weight", "2.bias", "2.weight"]
    );
    for (name, (shape, numbers)) in &plain {
        assert_eq!(&exported[name].0, shape);
        let apart = numbers
            .iter()
            .zip(&exported[name].1)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(apart < 0.02, "{name}: {apart}");
    }
    let error = fail(3, &["export", &text(&run.path()), "--as", "cloud", "--output", &whole]);
    assert!(error.contains("ciphertexts"), "{error}");

    // Predictions: rows of the embedded digits.
    let input = digits(&run, 40);
    let predicted = json(&succeed(&["predict", &text(&run.path()), "--input", &input, "--json"]));
    assert!(predicted["test_accuracy"].as_f64().unwrap_or(1.0) > 0.8, "{predicted}");
    assert_eq!(predicted["rows"], 40, "{predicted}");
    assert!(
        predicted["leaks"]
            .to_string()
            .contains("every sample to predict, in the clear")
    );

    // The same rows hidden from the server: it gets ciphertexts, and the predictions are the same but for noise.
    let run_folder = text(&run.path());
    let hidden = json(&succeed(&[
        "predict",
        &run_folder,
        "--input",
        &input,
        "--hide-input",
        "--json",
    ]));
    let sent = |party: &str| hidden["messages_sent"][party].as_object().unwrap().keys().collect::<Vec<_>>();
    assert_eq!(
        sent("hospital"),
        ["ask", "encrypted rows", "encrypted weights", "input form", "key"]
    );
    assert_eq!(sent("cloud"), ["encrypted output", "held weights"]);
    let leaks = hidden["leaks"].to_string();
    assert!(leaks.contains("no sample") && !leaks.contains("in the clear"), "{leaks}");
    let probabilities = |of: &Value| -> Vec<f64> {
        let rows = of["predictions"].as_array().unwrap();
        let each = rows.iter().flat_map(|row| row["probabilities"].as_object().unwrap().values());
        each.map(|p| p.as_f64().unwrap()).collect()
    };
    let (clear, hidden) = (probabilities(&predicted), probabilities(&hidden));
    assert_eq!((clear.len(), hidden.len()), (400, 400));
    let apart = clear.iter().zip(&hidden).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart < 1e-3, "{apart:e}");

    let error = fail(3, &["predict", &run_folder, "--as", "cloud", "--hide-input"]);
    assert!(error.contains("the client asks for it"), "{error}");
}

const ENCRYPTED: &str = "encryption.samples=encrypted";

/// The server sees no sample: any optimiser, and the client has the whole network.
#[test]
fn training_predicting_and_exporting_with_encrypted_samples() {
    let adam = "training.optimiser={type = \"adamw\", learning_rate = 0.005}";
    let run = Run::new(
        &[
            ENCRYPTED,
            PUBLIC,
            adam,
            "data.train_rows=400",
            "data.test_rows=50",
            "training.epochs=3",
        ],
        &["--compare-plain"],
    );
    let summary = &run.summary;
    let accuracy = |name: &str| summary[name].as_f64().unwrap();
    assert!(accuracy("test_accuracy") > 0.7, "{summary}");
    assert!(
        (accuracy("test_accuracy") - accuracy("test_accuracy_plain")).abs() < 0.041,
        "{summary}"
    );
    let leaks = summary["leaks"].to_string();
    assert!(
        leaks.contains("no sample, no label") && !leaks.contains("every training"),
        "{leaks}"
    );
    // The upload is read off the bytes before the first epoch: 450 rows.
    assert!(
        summary["bytes_by_phase"]["setup"].as_u64().unwrap() > 450 * 12_800,
        "{summary}"
    );
    assert!(!run.path().join("resume").exists());

    let whole = text(&run.root.path().join("whole.safetensors"));
    succeed(&["export", &text(&run.path()), "--output", &whole]);
    let exported = arrays(Path::new(&whole));
    assert_eq!(
        exported.keys().collect::<Vec<_>>(),
        ["0.bias", "0.weight", "2.bias", "2.weight"]
    );
    let error = fail(3, &["export", &text(&run.path()), "--as", "cloud", "--output", &whole]);
    assert!(error.contains("ciphertexts"), "{error}");

    let input = digits(&run, 40);
    let predicted = json(&succeed(&["predict", &text(&run.path()), "--input", &input, "--json"]));
    assert!(predicted["test_accuracy"].as_f64().unwrap_or(1.0) > 0.7, "{predicted}");
    let leaks = predicted["leaks"].to_string();
    assert!(leaks.contains("no sample"), "{leaks}");
}

/// The first rows of the embedded digits as a CSV file.
fn digits(run: &Run, rows: usize) -> String {
    let packed = fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/digits.csv.gz")).unwrap();
    let mut all = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut all).unwrap();
    let lines: Vec<&str> = all.lines().take(rows + 1).collect();
    let path = run.root.path().join("new.csv");
    fs::write(&path, lines.join("\n")).unwrap();
    text(&path)
}

#[test]
fn weights_are_secret_unless_asked_for_and_a_lost_or_foreign_key_is_told() {
    let [one, two] = [(); 2].map(|()| Run::new(&["training.epochs=1"], &[]));
    let leaks = one.summary["leaks"].to_string();
    assert!(!leaks.contains("initial weights"), "{leaks}");
    // Another run of the same job has other initial weights.
    let key = |run: &Run| json(&fs::read_to_string(run.file("hospital.encryption-key.json")).unwrap());
    assert_ne!(key(&one)["fingerprint"], key(&two)["fingerprint"]);

    let input = digits(&one, 3);
    fs::copy(two.file("cloud.encrypted"), one.file("cloud.encrypted")).unwrap();
    let error = fail(7, &["predict", &text(&one.path()), "--input", &input]);
    assert!(error.contains(key(&one)["fingerprint"].as_str().unwrap()), "{error}");
    let output = text(&one.root.path().join("w.safetensors"));
    let error = fail(3, &["export", &text(&one.path()), "--output", &output]);
    assert!(error.contains(key(&two)["fingerprint"].as_str().unwrap()), "{error}");

    let bytes = fs::read(two.file("cloud.encrypted")).unwrap();
    fs::write(two.file("cloud.encrypted"), &bytes[..bytes.len() / 2]).unwrap();
    let error = fail(3, &["predict", &text(&two.path()), "--input", &input]);
    assert!(error.contains("expected") && error.contains("cloud.encrypted"), "{error}");
    fs::write(two.file("cloud.encrypted"), &bytes).unwrap();
    fs::remove_file(two.file("hospital.encryption-key.json")).unwrap();
    let error = fail(3, &["predict", &text(&two.path()), "--input", &input]);
    assert!(error.contains("hospital.encryption-key.json"), "{error}");
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let folder = text(&root.path().join("trial"));
    succeed(&["init", &folder, "--data", "digits", "--protocol", "encrypted-model"]);
    let job = format!("{folder}/job.toml");
    for (setting, expected) in [
        ("model.server_layers=[0, 2]", "consecutive"),
        ("model.server_layers=[2]", "first"),
        (
            "training.optimiser={type = \"adamw\", learning_rate = 0.001}",
            "sgd without momentum",
        ),
        (
            "training.optimiser={type = \"sgd\", learning_rate = 0.1, momentum = 0.9}",
            "sgd without momentum",
        ),
        ("encryption.mode=paper", "no such setting"),
        ("encryption.input_bits=13", "12"),
        ("encryption={samples = \"encrypted\", input_bits = 5}", "no such setting"),
        ("encryption={samples = \"hidden\"}", "encrypted"),
        ("encryption.precision=0.0", "positive"),
    ] {
        let error = fail(3, &["run", &job, "--set", setting]);
        assert!(error.contains(expected), "{setting}: {error}");
    }
    // Noise would exceed this within a batch: refused with the numbers, by the client, before it sends anything.
    let runs = text(&root.path().join("runs"));
    let error = fail(3, &["run", &job, "--runs", &runs, "--set", "encryption.precision=1e-9"]);
    assert!(error.contains("1.00e-9"), "{error}");
}
