//! `cloven predict`: with all parties on this machine, with each on its own, and what goes wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use common::{TwoMachines, cloven, command, example, fail, json, stderr, stdout, succeed, text};
use serde_json::Value;

/// The embedded table as a file.
fn table() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/wdbc.csv")).unwrap()
}

/// A trained run whose test rows are known: the first 456 rows of the table train, the other 113 test.
struct Trained {
    root: tempfile::TempDir,
    summary: Value,
}

impl Trained {
    fn new(settings: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = text(&root.path().join("trial"));
        succeed(&["init", &folder]);
        let all = table();
        let (header, rows) = all.split_once('\n').unwrap();
        let rows: Vec<&str> = rows.lines().collect();
        for (name, part) in [("train.csv", &rows[..456]), ("test.csv", &rows[456..])] {
            fs::write(
                format!("{folder}/hospital/{name}"),
                format!("{header}\n{}\n", part.join("\n")),
            )
            .unwrap();
        }
        let local = format!("{folder}/hospital/local.toml");
        let mut settings_of: toml::Table = toml::from_str(&fs::read_to_string(&local).unwrap()).unwrap();
        let data = "train = \"train.csv\"\ntest = \"test.csv\"\n[csv]\ntarget = \"diagnosis\"";
        settings_of.insert("data".into(), toml::from_str::<toml::Table>(data).unwrap().into());
        fs::write(&local, toml::to_string(&settings_of).unwrap()).unwrap();

        let (job, run) = (format!("{folder}/job.toml"), text(&root.path().join("run")));
        let mut args = vec!["run", &job, "--json", "--run-folder", &run];
        args.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        let summary = json(&succeed(&args));
        Self { root, summary }
    }

    fn run(&self) -> String {
        text(&self.root.path().join("run"))
    }

    fn test_file(&self) -> String {
        text(&self.root.path().join("trial/hospital/test.csv"))
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.root.path().join(name);
        fs::write(&path, content).unwrap();
        text(&path)
    }

    fn predict(&self, input: &str) -> Value {
        json(&succeed(&["predict", &self.run(), "--input", input, "--json"]))
    }
}

/// The features of a table whose last column is the label, as an npy file of 64-bit floats; of each row the first `width`.
fn npy(csv: &str, width: usize) -> Vec<u8> {
    let rows: Vec<Vec<f64>> = csv
        .lines()
        .skip(1)
        .map(|line| line.split(',').take(width).map(|field| field.parse().unwrap()).collect())
        .collect();
    let mut header = format!(
        "{{'descr': '<f8', 'fortran_order': False, 'shape': ({}, {width}), }}",
        rows.len()
    );
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
    bytes
}

fn files_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn predicting_the_test_rows_gives_what_evaluation_gave() {
    let trained = Trained::new(&["training.epochs=8"]);
    let checkpoints = Path::new(&trained.run()).join("checkpoints");
    assert_eq!(
        files_in(&checkpoints),
        ["cloud.safetensors", "hospital.preprocessing.json", "hospital.safetensors"]
    );
    let before = files_in(Path::new(&trained.run()));
    let predicted = trained.predict(&trained.test_file());
    assert_eq!(predicted["rows"], 113);
    assert_eq!(predicted["labelled_rows"], 113);
    for (ours, theirs) in [("accuracy", "test_accuracy"), ("auc", "auc"), ("loss", "test_loss")] {
        assert!(predicted[ours].is_f64());
        assert_eq!(predicted[ours], trained.summary[theirs], "{ours}");
    }
    assert_eq!(predicted["job"], trained.summary["job"]);
    for field in ["seconds_total", "seconds_predicting", "seconds_per_row"] {
        assert!(predicted[field].as_f64().unwrap() > 0.0, "{field}");
    }
    let sent = &predicted["bytes_sent"];
    assert!(sent["hospital"].as_u64().unwrap() > 113 * 4 * 16 && sent["cloud"].as_u64().unwrap() > 113 * 4 * 8);
    assert_eq!(predicted["messages_sent"]["hospital"]["ask"]["messages"], 1);
    assert!(predicted["leaks"].to_string().contains("the activation of every row"));
    assert_eq!(predicted["output"], Value::Null);
    // No promise that plain cannot keep.
    let error = fail(
        3,
        &["predict", &trained.run(), "--input", &trained.test_file(), "--hide-input"],
    );
    assert!(error.contains("--hide-input") && error.contains("encrypted-model"), "{error}");

    let predictions = predicted["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 113);
    let mut counts = [0, 0];
    for (row, prediction) in predictions.iter().enumerate() {
        assert_eq!(prediction["row"], row);
        let p = |class: &str| prediction["probabilities"][class].as_f64().unwrap();
        assert!((p("benign") + p("malignant") - 1.0).abs() < 1e-6);
        let malignant = prediction["class"] == "malignant";
        assert_eq!(malignant, p("malignant") > 0.5);
        counts[usize::from(malignant)] += 1;
    }
    assert_eq!(predicted["predicted"]["benign"], counts[0]);
    assert_eq!(predicted["predicted"]["malignant"], counts[1]);
    assert_eq!(files_in(Path::new(&trained.run())), before, "the run folder is only read");
}

#[test]
fn other_formats_in_and_out_say_the_same() {
    let trained = Trained::new(&["training.epochs=2"]);
    let reference = trained.predict(&trained.test_file());
    let reference = reference["predictions"].as_array().unwrap();
    let test = fs::read_to_string(trained.test_file()).unwrap();

    // Without labels, and with the columns in the other order: no accuracy, the same predictions.
    let input = trained.file("rows.npy", npy(&test, 30));
    let from_npy = trained.predict(&input);
    assert_eq!((&from_npy["accuracy"], &from_npy["labelled_rows"]), (&Value::Null, &0.into()));
    let reversed: String = test
        .lines()
        .map(|line| {
            line.split(',')
                .take(30)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
                .join(",")
                + "\n"
        })
        .collect();
    let from_reversed = trained.predict(&trained.file("reversed.csv", reversed));
    for other in [&from_npy, &from_reversed] {
        assert_eq!(other["predictions"].as_array().unwrap(), reference);
    }

    let out = |name: &str| text(&trained.root.path().join(name));
    let [csv, lines, array] = ["p.csv", "p.jsonl", "p.npy"].map(out);
    for output in [&csv, &lines, &array] {
        let printed = succeed(&["predict", &trained.run(), "--input", &input, "--output", output]);
        assert!(printed.contains("113") && printed.contains(output.as_str()), "{printed}");
    }
    let csv = fs::read_to_string(csv).unwrap();
    assert_eq!(
        csv.lines().next().unwrap(),
        "row,class,probability_benign,probability_malignant"
    );
    for (line, prediction) in csv.lines().skip(1).zip(reference) {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields[0].parse::<u64>().unwrap(), prediction["row"].as_u64().unwrap());
        assert_eq!(fields[1], prediction["class"].as_str().unwrap());
        let p: f32 = fields[3].parse().unwrap();
        assert_eq!(
            f64::from(p) as f32,
            prediction["probabilities"]["malignant"].as_f64().unwrap() as f32
        );
    }
    let lines: Vec<Value> = fs::read_to_string(lines).unwrap().lines().map(json).collect();
    assert_eq!(&lines, reference);
    let array = fs::read(array).unwrap();
    let last = f32::from_le_bytes(array[array.len() - 4..].try_into().unwrap());
    let expected = reference[112]["probabilities"]["malignant"].as_f64().unwrap() as f32;
    assert_eq!(last, expected);

    // Without an output file, the table is all of stdout.
    let printed = cloven(&["predict", &trained.run(), "--input", &input]);
    assert_eq!(stdout(&printed), csv);
    assert!(stderr(&printed).contains("What each party learns"), "{}", stderr(&printed));
}

#[test]
fn encrypted_predictions_are_those_of_training_in_both_modes() {
    for mode in ["sealed", "paper"] {
        let mode = format!("encryption.mode={mode}");
        let trained = Trained::new(&[
            "protocol=encrypted-activation",
            "model.server_layers=[2]",
            "training.epochs=5",
            &mode,
        ]);
        let predicted = trained.predict(&trained.test_file());
        // Fresh keys give another rounding: at most one row on the boundary may fall to the other side.
        let accuracy = |of: &Value, field: &str| of[field].as_f64().unwrap();
        let apart = accuracy(&predicted, "accuracy") - accuracy(&trained.summary, "test_accuracy");
        assert!(apart.abs() < 1.5 / 113.0, "{mode}: {apart}");
        let apart = accuracy(&predicted, "loss") - accuracy(&trained.summary, "test_loss");
        assert!(apart.abs() < 1e-3, "{mode}: {apart}");
        assert!(predicted["leaks"].to_string().contains("no input, activation or prediction"));
        assert_eq!(predicted["messages_sent"]["hospital"]["sealed activation"]["messages"], 1);
        assert_eq!(predicted["params"]["log2_n"], 11);
    }
}

#[test]
fn regression_predicts_values() {
    let root = tempfile::tempdir().unwrap();
    let folder = text(&root.path().join("own"));
    succeed(&["init", &folder, "--data", "own"]);
    let rows: String = (0..60).map(|i| format!("{i},{},{}\n", i % 7, 2 * i)).collect();
    let input = format!("{folder}/hospital/train.csv");
    fs::write(&input, format!("first,second,label\n{rows}")).unwrap();
    let edit = |file: String, changes: &[(&str, &str)]| {
        let mut content = fs::read_to_string(&file).unwrap();
        for (from, to) in changes {
            assert!(content.contains(from), "{from}");
            content = content.replace(from, to);
        }
        fs::write(file, content).unwrap();
    };
    edit(
        format!("{folder}/hospital/local.toml"),
        &[("regression = false", "regression = true")],
    );
    let job = format!("{folder}/job.toml");
    edit(
        job.clone(),
        &[
            ("classes = 2\n", ""),
            ("outputs = 2 }", "outputs = 1 }"),
            ("shape = [10]", "shape = [2]"),
        ],
    );
    let run = format!("{folder}/run");
    succeed(&["run", &job, "--set", "training.loss=mse", "--run-folder", &run]);
    let predicted = json(&succeed(&["predict", &run, "--input", &input, "--json"]));
    assert_eq!(
        (&predicted["predicted"], &predicted["accuracy"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(predicted["labelled_rows"], 60);
    assert!(predicted["loss"].as_f64().unwrap().is_finite());
    assert_eq!(predicted["predictions"][59]["values"].as_array().unwrap().len(), 1);
    let printed = succeed(&["predict", &run, "--input", &input]);
    assert!(printed.starts_with("row,value\n0,"), "{printed}");
}

/// Starts one party's prediction with the run folder of its training.
fn start(machines: &TwoMachines, party: &str, digest: &str, more: &[&str]) -> Child {
    let run = text(&machines.run_folder(party));
    let mut command = command(&["predict", &run, "--as", party, "--accept", digest, "--json"]);
    command
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn two_parties_on_their_own_predict_what_they_predict_together() {
    let root = tempfile::tempdir().unwrap();
    let input = text(&root.path().join("rows.csv"));
    fs::write(&input, table()).unwrap();
    let together = text(&root.path().join("together"));
    let settings = ["training.epochs=2"];
    succeed(&[
        "run",
        &example("02_wdbc.toml"),
        "--run-folder",
        &together,
        "--set",
        settings[0],
    ]);
    let all = json(&succeed(&["predict", &together, "--input", &input, "--json"]));
    assert_eq!(all["labelled_rows"], 569);
    let digest = all["job"].as_str().unwrap();
    for hospital_dials in [true, false] {
        let machines = TwoMachines::new(hospital_dials);
        let (hospital, cloud) = machines.both(&settings, &settings);
        assert!(hospital.status.success() && cloud.status.success(), "{}", stderr(&hospital));
        let cloud = start(&machines, "cloud", digest, &[]);
        let hospital = start(&machines, "hospital", &digest[..16], &["--input", &input]);
        let (hospital, cloud) = (hospital.wait_with_output().unwrap(), cloud.wait_with_output().unwrap());
        assert!(
            hospital.status.success() && cloud.status.success(),
            "{}\n{}",
            stderr(&hospital),
            stderr(&cloud)
        );
        let (hospital, cloud) = (json(&stdout(&hospital)), json(&stdout(&cloud)));
        assert_eq!(hospital["predictions"], all["predictions"]);
        assert_eq!(hospital["accuracy"], all["accuracy"]);
        assert_eq!(cloud["rows"], 569);
        for unknown in ["predicted", "accuracy", "predictions", "output"] {
            assert!(cloud[unknown].is_null(), "the server does not know {unknown}");
        }
    }
}

#[test]
fn a_party_must_accept_and_must_know_its_settings() {
    let machines = TwoMachines::new(true);
    let (hospital, _) = machines.both(&["training.epochs=1"], &["training.epochs=1"]);
    let digest = json(&stdout(&hospital))["job"].as_str().unwrap().to_owned();
    let run = text(&machines.run_folder("hospital"));
    let input = text(&machines.machine("hospital").join("rows.csv"));
    fs::write(&input, table()).unwrap();
    let base = ["predict", &run, "--as", "hospital", "--input", &input];
    let error = fail(5, &base);
    assert!(
        error.contains("hospital learns") && error.contains("was not accepted"),
        "{error}"
    );
    fail(5, &[&base[..], &["--accept", "0123456789abcdef"]].concat());
    fail(3, &["predict", &run, "--as", "bank", "--accept", &digest]);
    let error = fail(3, &["predict", &run, "--as", "hospital", "--accept", &digest]);
    assert!(
        error.contains("hospital is the client: say which file holds the rows"),
        "{error}"
    );
    let cloud = text(&machines.run_folder("cloud"));
    let error = fail(
        3,
        &["predict", &cloud, "--as", "cloud", "--accept", &digest, "--input", &input],
    );
    assert!(error.contains("cloud is the server"), "{error}");
    // Nobody is there: the deadline of local.toml counts.
    machines.deadlines("hospital", 1, 5);
    let error = fail(6, &[&base[..], &["--accept", &digest]].concat());
    assert!(error.contains("cannot reach cloud"), "{error}");
    fs::remove_file(PathBuf::from(&run).join("local.path")).unwrap();
    let error = fail(3, &[&base[..], &["--accept", &digest]].concat());
    assert!(error.contains("--local") && error.contains("does not say where"), "{error}");
    let local = text(&machines.folder("hospital").join("local.toml"));
    fail(6, &[&base[..], &["--accept", &digest, "--local", &local]].concat());
}

#[test]
fn what_goes_wrong_is_named() {
    let trained = Trained::new(&[
        "training.epochs=1",
        "protocol=encrypted-activation",
        "model.server_layers=[2]",
    ]);
    let (run, test) = (trained.run(), fs::read_to_string(trained.test_file()).unwrap());
    let refused = |code, input: &str| fail(code, &["predict", &run, "--input", input]);

    let narrow = trained.file("narrow.npy", npy(&test, 29));
    let error = refused(4, &narrow);
    assert!(error.contains("[29]") && error.contains("[30]"), "{error}");
    let renamed = trained.file("renamed.csv", test.replacen("mean_area", "area", 1));
    let error = refused(4, &renamed);
    assert!(error.contains("the feature column mean_area is missing"), "{error}");
    let error = refused(4, "nothing.csv");
    assert!(error.contains("nothing.csv"), "{error}");
    let label = trained.file("label.csv", test.replacen(",benign", ",unclear", 1));
    let error = refused(4, &label);
    assert!(error.contains("unclear") && error.contains("benign, malignant"), "{error}");

    let input = trained.test_file();
    let error = fail(3, &["predict", &run, "--input", &input, "--output", "p.parquet"]);
    assert!(error.contains("p.parquet"), "{error}");
    let error = fail(1, &["predict", "no/such/run", "--input", &input]);
    assert!(error.contains("no/such/run"), "{error}");
    fail(2, &["predict", &run]);

    // Another job's weights, preprocessing or part of the server's layer; then none.
    let other = Trained::new(&[
        "training.epochs=2",
        "protocol=encrypted-activation",
        "model.server_layers=[2]",
    ]);
    let checkpoint = |run: &str, name: &str| Path::new(run).join("checkpoints").join(name);
    for name in [
        "cloud.safetensors",
        "hospital.safetensors",
        "hospital.unrevealed.safetensors",
        "hospital.preprocessing.json",
    ] {
        let path = checkpoint(&run, name);
        let kept = fs::read(&path).unwrap();
        fs::copy(checkpoint(&other.run(), name), &path).unwrap();
        let error = refused(5, &input);
        assert!(error.contains(name) && error.contains("it belongs to job"), "{name}: {error}");
        fs::remove_file(&path).unwrap();
        let code = if name.ends_with("json") { 1 } else { 3 };
        let error = refused(code, &input);
        assert!(error.contains(name), "{name}: {error}");
        fs::write(&path, kept).unwrap();
    }
    let mut damaged = fs::read(checkpoint(&run, "cloud.safetensors")).unwrap();
    damaged.truncate(100);
    fs::write(checkpoint(&run, "cloud.safetensors"), damaged).unwrap();
    let error = refused(3, &input);
    assert!(error.contains("cloud.safetensors"), "{error}");
}
