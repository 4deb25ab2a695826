//! Several clients that share the server's layers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{fs, process::Output};

use common::{cloven, command, example, fail, free_address, json, stderr, stdout, succeed, text};

#[test]
fn three_hospitals_train_sealed_as_well_as_in_plain() {
    let runs = tempfile::tempdir().unwrap();
    let job = example("04_three_hospitals.toml");
    let output = cloven(&["run", &job, "--json", "--compare-plain", "--runs", &text(runs.path())]);
    assert!(output.status.success(), "{}", stderr(&output));
    let summary = json(&stdout(&output));
    let (sealed, plain) = (&summary["test_accuracy"], &summary["test_accuracy_plain"]);
    assert!(
        (sealed.as_f64().unwrap() - plain.as_f64().unwrap()).abs() < 0.03,
        "{sealed} {plain}"
    );
    for client in ["north", "south", "west"] {
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
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
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
        2,
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
