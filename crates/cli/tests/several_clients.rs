//! Several clients that share the server's layers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    fs,
    path::Path,
    process::{Output, Stdio},
};

use common::{arrays, cloven, command, example, fail, free_address, json, stderr, stdout, succeed, text};
use serde_json::Value;

#[test]
fn three_hospitals_train_sealed_as_well_as_in_plain() {
    let runs = tempfile::tempdir().unwrap();
    let job = example("08_three_hospitals.toml");
    let output = cloven(&["run", &job, "--json", "--compare-plain", "--runs", &text(runs.path())]);
    assert!(output.status.success(), "{}", stderr(&output));
    let summary = json(&stdout(&output));
    let (sealed, plain) = (&summary["test_accuracy"], &summary["test_accuracy_plain"]);
    assert!(
        (sealed.as_f64().unwrap() - plain.as_f64().unwrap()).abs() < 0.03,
        "{sealed} {plain}"
    );
    for client in HOSPITALS {
        assert!(summary["test_accuracy_by_client"][client].as_f64().unwrap() > 0.9);
        let sent = &summary["messages_sent"][client];
        // 455 rows in all: the third epoch is the first with 1,024 samples.
        assert_eq!(sent["masked reveal"]["messages"], 6, "{sent}");
        assert!(sent.get("reveal").is_none(), "{sent}");
        let leaks = summary["leaks"].as_array().unwrap();
        let learns = |text: &str| {
            leaks
                .iter()
                .any(|l| l["party"] == client && l["learns"].as_str().unwrap().contains(text))
        };
        assert!(learns("sum of the changes that the other clients made"));
    }
}

/// Each party on a machine of its own: the two clients dial the server, who alone listens.
#[test]
fn parties_of_their_own_train_the_same_networks_as_run() {
    let root = tempfile::tempdir().unwrap();
    let folder = text(&root.path().join("two"));
    succeed(&["init", &folder, "--client", "north,south"]);
    let job = format!("{folder}/job.toml");
    let settings = ["--set", "training.epochs=2", "--set", "training.evaluate_every=0"];
    let address = free_address();
    for party in ["north", "south", "cloud"] {
        let path = format!("{folder}/{party}/local.toml");
        let local = fs::read_to_string(&path).unwrap();
        fs::write(&path, local.replace("127.0.0.1:7443", &address)).unwrap();
    }
    let question = stderr(&cloven(&[&["party", &job, "--as", "north"], &settings[..]].concat()));
    let digest = question
        .lines()
        .find_map(|line| line.strip_prefix("job "))
        .unwrap()
        .to_owned();
    let start = |party: &str| {
        let run = text(&root.path().join(format!("run-{party}")));
        let args = ["party", &job, "--as", party, "--accept", &digest, "--run-folder", &run];
        let mut command = command(&[&args[..], &settings[..]].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children = ["south", "cloud", "north"].map(start);
    for child in children {
        let output: Output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let run = text(&root.path().join("run"));
    succeed(&[&["run", &job, "--run-folder", &run], &settings[..]].concat());
    for party in ["north", "south", "cloud"] {
        let weights = |run: &str| fs::read(root.path().join(format!("{run}/checkpoints/{party}.safetensors"))).unwrap();
        assert_eq!(weights("run"), weights(&format!("run-{party}")), "{party}");
    }
}

#[test]
fn a_part_that_is_none_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let folder = text(&root.path().join("two"));
    succeed(&["init", &folder, "--client", "north,south"]);
    let path = format!("{folder}/north/local.toml");
    let local = fs::read_to_string(&path).unwrap();
    fs::write(&path, local.replace("part = \"1/2\"", "part = \"3/2\"")).unwrap();
    let error = fail(
        3,
        &[
            "run",
            &format!("{folder}/job.toml"),
            "--run-folder",
            &text(&root.path().join("run")),
        ],
    );
    assert!(error.contains("expected a part such as \"1/3\""), "{error}");
    let error = fail(3, &["init", &text(&root.path().join("again")), "--client", "north,cloud"]);
    assert!(error.contains("name of its own"), "{error}");
}

const HOSPITALS: [&str; 3] = ["north", "south", "west"];

/// The job of the example, with rows of its own for each hospital and the same 113 test rows for all.
fn three_hospitals_with_files(folder: &Path) {
    fs::create_dir(folder).unwrap();
    fs::copy(example("08_three_hospitals.toml"), folder.join("job.toml")).unwrap();
    succeed(&["init", &text(folder)]);
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/wdbc.csv")).unwrap();
    let (header, rows) = table.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    let write = |path: &Path, rows: &[&str]| fs::write(path, format!("{header}\n{}\n", rows.join("\n"))).unwrap();
    let address = free_address();
    for (hospital, rows_of_its_own) in HOSPITALS.iter().zip(rows[..456].chunks(152)) {
        write(&folder.join(hospital).join("train.csv"), rows_of_its_own);
        write(&folder.join(hospital).join("test.csv"), &rows[456..]);
    }
    for party in HOSPITALS.iter().chain(&["cloud"]) {
        let path = folder.join(party).join("local.toml");
        let local = fs::read_to_string(&path).unwrap().replace("127.0.0.1:7443", &address);
        let mut local: toml::Table = toml::from_str(&local).unwrap();
        if *party != "cloud" {
            let data = "train = \"train.csv\"\ntest = \"test.csv\"\n[csv]\ntarget = \"diagnosis\"";
            local.insert("data".into(), toml::from_str::<toml::Table>(data).unwrap().into());
        }
        fs::write(&path, toml::to_string(&local).unwrap()).unwrap();
    }
}

#[test]
fn each_hospitals_network_predicts_as_it_was_evaluated_and_is_exported() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("three");
    three_hospitals_with_files(&folder);
    let [run, output] = ["run", "model.safetensors"].map(|name| text(&root.path().join(name)));
    // The first reveal comes after the third epoch: after the fourth, every hospital has changes that it has not revealed.
    let job = text(&folder.join("job.toml"));
    let summary = json(&succeed(&[
        "run",
        &job,
        "--set",
        "training.epochs=4",
        "--json",
        "--run-folder",
        &run,
    ]));
    let input = |hospital: &str| text(&folder.join(hospital).join("test.csv"));
    // Fresh keys give another rounding: at most one row on the boundary may fall to the other side.
    let as_evaluated = |predicted: &Value, hospital: &str| {
        let evaluated = summary["test_accuracy_by_client"][hospital].as_f64().unwrap();
        let apart = predicted["accuracy"].as_f64().unwrap() - evaluated;
        assert!(apart.abs() < 1.5 / 113.0, "{hospital}: {apart}");
    };
    let predicted = succeed(&["predict", &run, "--client", "north", "--input", &input("north"), "--json"]);
    as_evaluated(&json(&predicted), "north");

    let digest = summary["job"].as_str().unwrap();
    let start = |party: &str, more: &[&str]| {
        let local = text(&folder.join(party).join("local.toml"));
        let base = [
            "predict", &run, "--as", party, "--accept", digest, "--local", &local, "--json",
        ];
        let mut command = command(&[&base[..], more].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let cloud = start("cloud", &["--client", "west"]);
    let west = start("west", &["--input", &input("west")]);
    let [west, cloud] = [west, cloud].map(|child| child.wait_with_output().unwrap());
    assert!(
        cloud.status.success() && west.status.success(),
        "{}\n{}",
        stderr(&cloud),
        stderr(&west)
    );
    as_evaluated(&json(&stdout(&west)), "west");
    let error = fail(3, &["predict", &run, "--input", &input("west")]);
    assert!(error.contains("--client") && error.contains("north, south, west"), "{error}");

    let error = fail(3, &["export", &run, "--output", &output]);
    assert!(error.contains("--client") && error.contains("north, south, west"), "{error}");
    assert!(fail(3, &["export", &run, "--client", "cloud", "--output", &output]).contains("cloud is no client"));
    let checkpoint = |name: &str| arrays(&Path::new(&run).join(format!("checkpoints/{name}.safetensors")));
    let cloud = checkpoint("cloud");
    for hospital in HOSPITALS {
        succeed(&["export", &run, "--client", hospital, "--output", &output]);
        let (own, unrevealed, whole) = (
            checkpoint(hospital),
            checkpoint(&format!("{hospital}.unrevealed")),
            arrays(Path::new(&output)),
        );
        assert_eq!(whole.len(), own.len() + cloud.len());
        for (name, array) in own {
            assert_eq!(whole[&name], array, "{hospital}, {name}");
        }
        let (u, v) = (&cloud["2.weight"].1, &unrevealed["2.weight"].1);
        let sums: Vec<f32> = u.iter().zip(v).map(|(u, v)| u + v).collect();
        assert_eq!(whole["2.weight"].1, sums, "{hospital}");
    }
}
