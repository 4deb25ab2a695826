//! `cloven report`: the page of finished, failed and foreign folders.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;

use common::{cloven, example, fail, json, succeed, text};

#[test]
fn run_writes_the_page_and_report_writes_it_again() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("run");
    succeed(&[
        "run",
        &example("02_wdbc.toml"),
        "--report",
        "--run-folder",
        &text(&folder),
        "--set",
        "training.epochs=2",
    ]);
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    for part in [
        "Test accuracy",
        "Confusion",
        "<polyline",
        "output gradient",
        "What each party learns",
        "server_layers = [2, 3, 4]",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let facts = json(&succeed(&["report", &text(&folder), "--json"]));
    assert_eq!(facts["state"], "complete");
    assert_eq!(facts["epochs"].as_array().unwrap().len(), 2);
    assert_eq!(facts["epochs"][1]["accuracy"], facts["summary"]["test_accuracy"]);
    assert_eq!(
        fs::read_to_string(folder.join("report.html")).unwrap(),
        page,
        "the same facts give the same page"
    );
}

#[test]
fn a_run_that_fails_leaves_a_page_that_says_why() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("run");
    let diverging = "training.optimiser={ type = \"sgd\", learning_rate = 1e30 }";
    let job = example("02_wdbc.toml");
    let output = cloven(&["run", &job, "--report", "--run-folder", &text(&folder), "--set", diverging]);
    assert_eq!(output.status.code(), Some(8), "{}", common::stderr(&output));
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("This run failed</strong> (exit code 8)"), "{page}");
    let facts = json(&succeed(&["report", &text(&folder), "--json"]));
    assert_eq!((&facts["state"], &facts["exit_code"]), (&"failed".into(), &8.into()));
}

#[test]
fn a_folder_that_is_none_of_a_run_is_refused() {
    let root = tempfile::tempdir().unwrap();
    assert!(fail(3, &["report", &text(root.path())]).contains("run folder"));
}
