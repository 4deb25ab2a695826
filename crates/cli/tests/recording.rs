//! `--record` and `cloven audit`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{fs, path::Path};

use common::{example, fail, json, succeed, text};

/// Runs the small job for an epoch with these arguments.
fn run(folder: &Path, more: &[&str]) {
    let (job, folder) = (example("02_wdbc.toml"), text(folder));
    let arguments = ["run", &job, "--run-folder", &folder, "--set", "training.epochs=1"];
    succeed(&[&arguments[..], more].concat());
}

#[test]
fn nothing_is_recorded_unless_asked_and_then_only_the_owner_can_read_it() {
    let root = tempfile::tempdir().unwrap();
    let quiet = root.path().join("quiet");
    run(&quiet, &[]);
    assert!(!quiet.join("transcript").exists());
    assert!(fail(3, &["audit", &text(&quiet)]).contains("--record"));

    let folder = root.path().join("run");
    run(&folder, &["--record"]);
    for party in ["hospital", "cloud"] {
        let view = folder.join(format!("transcript/{party}.view"));
        assert!(fs::metadata(&view).unwrap().len() > 10_000);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&view).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}

#[test]
fn an_audit_of_plain_gets_labels_and_inputs_back_and_the_report_shows_it() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("run");
    run(&folder, &["--record"]);
    let audits = json(&succeed(&["audit", &text(&folder), "--json"]));
    let cloud = &audits["parties"]["cloud"];
    assert_eq!(cloud["rows"], 456);
    assert!(cloud["recording"].as_str().unwrap().contains("everything"));
    let came_back = |target: &str| {
        let findings = cloud["findings"].as_array().unwrap().iter();
        findings.filter(|f| f["target"] == target).any(|f| f["succeeded"] == true)
    };
    assert!(came_back("labels") && came_back("inputs"), "{cloud}");
    assert_eq!(json(&fs::read_to_string(folder.join("audit.json")).unwrap()), audits);
    succeed(&["report", &text(&folder)]);
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("cloud as the attacker") && page.contains("reconstruction"));
}

#[test]
fn a_recording_stops_after_the_batches_asked_for_and_damage_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("run");
    run(&folder, &["--record", "5"]);
    let audits = json(&succeed(&["audit", &text(&folder), "--json"]));
    let cloud = &audits["parties"]["cloud"];
    assert_eq!(cloud["rows"], 80);
    assert!(cloud["recording"].as_str().unwrap().contains("after round 5"), "{cloud}");

    let view = folder.join("transcript/cloud.view");
    let mut bytes = fs::read(&view).unwrap();
    // The first message's tag, after the head.
    bytes[48] = 9;
    fs::write(&view, &bytes).unwrap();
    let error = fail(3, &["audit", &text(&folder)]);
    assert!(error.contains("cloud.view") && error.contains("at byte"), "{error}");
}

/// The server of an encrypted model: its samples are there as they are and may tell of labels by themselves; no ciphertext gives anything back.
#[test]
fn an_audit_of_an_encrypted_model_finds_samples_only_where_they_are_in_the_clear() {
    let root = tempfile::tempdir().unwrap();
    let folder = text(&root.path().join("trial"));
    succeed(&["init", &folder, "--data", "digits", "--protocol", "encrypted-model"]);
    for samples in ["clear", "encrypted"] {
        let (job, run) = (format!("{folder}/job.toml"), text(&root.path().join(samples)));
        let samples_setting = format!("encryption.samples={samples}");
        let settings = [
            "training.epochs=1",
            "data.train_rows=400",
            "data.test_rows=20",
            &samples_setting,
        ];
        let mut arguments = vec!["run", &job, "--run-folder", &run, "--record"];
        settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
        succeed(&arguments);
        let audits = json(&succeed(&["audit", &run, "--json"]));
        let cloud = &audits["parties"]["cloud"];
        assert_eq!(cloud["rows"], 400, "{samples}: {cloud}");
        let findings = cloud["findings"].as_array().unwrap();
        let (clear, encrypted): (Vec<_>, Vec<_>) = findings.iter().partition(|f| f["messages"] == "samples");
        assert!(
            !encrypted.is_empty() && encrypted.iter().all(|f| f["succeeded"] == false),
            "{findings:?}"
        );
        assert!(encrypted.iter().any(|f| f["target"] == "labels"), "{findings:?}");
        match samples {
            "clear" => {
                assert_eq!(clear.len(), 2);
                assert!(clear.iter().all(|f| f["succeeded"] == true), "{findings:?}");
                let inputs = clear.iter().find(|f| f["target"] == "inputs").unwrap();
                assert!(inputs["value"].as_f64().unwrap() > 0.99, "{inputs}");
            }
            _ => {
                assert!(clear.is_empty());
                assert!(
                    encrypted.iter().filter(|f| f["target"] == "inputs").count() >= 3,
                    "{findings:?}"
                );
            }
        }
        succeed(&["report", &run]);
        let page = fs::read_to_string(Path::new(&run).join("report.html")).unwrap();
        assert!(page.contains("cloud as the attacker"));
    }
}

/// Real data: each mode gives away what its documentation says, and no more to these attacks.
#[test]
fn each_mode_gives_away_what_it_says() {
    let Ok(data) = std::env::var("CLOVEN_DATA") else {
        eprintln!("CLOVEN_DATA is not set: real-data check not run");
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let audit = |name: &str, mode: &str| {
        let folder = text(&root.path().join(mode));
        let job = example(name);
        let settings = ["training.epochs=1", "data.train_rows=2000", "data.test_rows=100"];
        let mut arguments = vec!["run", &job, "--run-folder", &folder, "--record", "250"];
        settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
        let mode = format!("encryption.mode=\"{mode}\"");
        if name.contains("sealed") {
            arguments.extend(["--set", &mode]);
        }
        let run = common::command(&arguments).env("CLOVEN_DATA", &data).output().unwrap();
        assert!(run.status.success(), "{}", common::stderr(&run));
        let audit = common::command(&["audit", &folder, "--json"])
            .env("CLOVEN_DATA", &data)
            .output()
            .unwrap();
        json(&common::stdout(&audit))["parties"]["cloud"]["findings"]
            .as_array()
            .unwrap()
            .clone()
    };
    let of = |findings: &[serde_json::Value], target: &str, succeeded: bool| {
        findings
            .iter()
            .filter(|f| f["target"] == target && f["succeeded"] == succeeded)
            .count()
    };
    let plain = audit("01_ecg.toml", "plain");
    assert!(
        of(&plain, "labels", false) == 0 && of(&plain, "inputs", true) >= 3,
        "{plain:?}"
    );
    let paper = audit("07_ecg_sealed.toml", "paper");
    assert!(
        of(&paper, "activations", true) == 1 && of(&paper, "labels", false) == 0,
        "{paper:?}"
    );
    assert!(of(&paper, "inputs", true) >= 3, "from the recovered activations: {paper:?}");
    let sealed = audit("07_ecg_sealed.toml", "sealed");
    assert!(
        sealed.len() >= 5 && sealed.iter().all(|f| f["succeeded"] == false),
        "{sealed:?}"
    );
}
