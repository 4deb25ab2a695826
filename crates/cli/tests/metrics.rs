//! A party's metrics while it trains and afterwards.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
};

use common::{
    TwoMachines, command, example, free_address, json,
    pages::{ask, get, page_where, sample},
    stderr, succeed, text,
};

const SETTINGS: [&str; 2] = ["training.epochs=60", "training.checkpoint_every=5"];

/// Readers that ask for what they must not have, too much, or nothing at all.
fn molest(address: &str) -> Vec<TcpStream> {
    for (request, status) in [
        (
            format!("POST /metrics HTTP/1.1\r\nHost: {address}\r\nContent-Length: 3\r\n\r\nabc"),
            " 405 ",
        ),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), " 403 "),
        (format!("GET /job.toml HTTP/1.1\r\nHost: {address}\r\n\r\n"), " 404 "),
        (
            format!(
                "GET /metrics HTTP/1.1\r\nHost: {address}\r\nX: {}\r\n\r\n",
                "a".repeat(1 << 20)
            ),
            " 431 ",
        ),
    ] {
        let answer = ask(address, request.as_bytes());
        // A connection that is closed with bytes unread may lose the answer.
        assert!(
            answer.contains(status) || (status == " 431 " && answer.is_empty()),
            "{status}: {answer}"
        );
        assert!(!answer.contains("cloven_"), "{answer}");
    }
    let slow = (0..12).map(|_| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /met").unwrap();
        stream
    });
    slow.collect()
}

#[test]
fn figures_during_and_after_a_run_whatever_its_readers_do() {
    let root = tempfile::tempdir().unwrap();
    let reference = text(&root.path().join("reference"));
    let job = example("02_wdbc.toml");
    succeed(&[
        "run",
        &job,
        "--run-folder",
        &reference,
        "--set",
        SETTINGS[0],
        "--set",
        SETTINGS[1],
    ]);

    let machines = TwoMachines::new(true);
    let [hospital_page, cloud_page] = [free_address(), free_address()];
    machines.edit("cloud", |local| {
        drop(local.insert("metrics".into(), cloud_page.clone().into()))
    });
    let cloud = machines.start("cloud", &SETTINGS);
    let port = hospital_page.rsplit_once(':').unwrap().1;
    let mut hospital = machines.start_with("hospital", &SETTINGS, &["--metrics", port, "--metrics-linger", "600"]);

    let done = |page: &str| sample(page, "cloven_epochs_done", "party=\"hospital\"");
    let page = page_where(&hospital_page, |page| done(page).is_some_and(|done| done >= 2.0));
    assert!(done(&page).unwrap() < 60.0, "during the run");
    let slow: Vec<_> = [&hospital_page, &cloud_page]
        .into_iter()
        .flat_map(|page| molest(page))
        .collect();
    assert_eq!(sample(&page, "cloven_run_state", "state=\"training\""), Some(1.0));
    assert_eq!(sample(&page, "cloven_peer_connected", "peer=\"cloud\""), Some(1.0));
    for known in [
        "cloven_epoch_loss",
        "cloven_test_accuracy_ratio",
        "cloven_resident_memory_bytes",
        "cloven_build_info",
    ] {
        assert!(
            sample(&page, known, "protocol=\"plain\"").is_some_and(|value| value > 0.0),
            "{known}: {page}"
        );
    }
    let page = get(&cloud_page);
    assert!(sample(&page, "cloven_rows_total", "party=\"cloud\"") > Some(0.0), "{page}");
    assert_eq!(sample(&page, "cloven_epoch_loss", ""), None, "the server does not know it");

    let cloud = cloud.wait_with_output().unwrap();
    assert!(cloud.status.success(), "{}", stderr(&cloud));
    let page = page_where(&hospital_page, |page| {
        sample(page, "cloven_run_state", "state=\"finished\"") == Some(1.0)
    });
    assert_eq!(
        (done(&page), sample(&page, "cloven_batches_total", "")),
        (Some(60.0), Some(60.0 * 29.0)),
        "{page}"
    );
    assert_eq!(sample(&page, "cloven_exit_code", ""), Some(0.0));
    assert!(sample(&page, "cloven_checkpoints_written_total", "") >= Some(60.0), "{page}");
    let summary = machines.run_folder("hospital").join("summary.json");
    let summary = json(&fs::read_to_string(summary).unwrap());
    for phase in ["training", "evaluation"] {
        let bytes = ["sent", "received"].map(|way| sample(&page, &format!("cloven_{way}_bytes_total"), phase).unwrap());
        assert_eq!(
            summary["bytes_by_phase"][phase].as_f64(),
            Some(bytes[0] + bytes[1]),
            "{phase}"
        );
    }
    assert_eq!(
        summary["test_accuracy"].as_f64(),
        sample(&page, "cloven_test_accuracy_ratio", "rows=\"all\"")
    );
    drop(slow);
    hospital.kill().unwrap();
    hospital.wait().unwrap();
    for party in ["hospital", "cloud"] {
        let weights = |run: &std::path::Path| fs::read(run.join(format!("checkpoints/{party}.safetensors"))).unwrap();
        assert_eq!(weights(&machines.run_folder(party)), weights(reference.as_ref()), "{party}");
    }
}

#[test]
fn an_address_that_is_taken_is_told_before_the_run_begins() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let machines = TwoMachines::new(true);
    let output = machines
        .start_with("hospital", &[], &["--metrics", &address])
        .wait_with_output()
        .unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("metrics: cannot serve at {address}")), "{said}");
    assert!(!machines.run_folder("hospital").exists());
    let output = machines
        .start_with("hospital", &[], &["--metrics", ":9100"])
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    machines.edit("hospital", |local| drop(local.insert("metrics".into(), "nowhere".into())));
    let output = machines.start("hospital", &[]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

#[test]
fn an_open_address_comes_with_a_warning() {
    let machines = TwoMachines::new(true);
    machines.deadlines("hospital", 1, 5);
    let output = machines
        .start_with("hospital", &[], &["--metrics", "0.0.0.0:0"])
        .wait_with_output()
        .unwrap();
    let said = stderr(&output);
    assert!(said.contains("warning: whoever reaches this address"), "{said}");
    let output = machines
        .start_with("hospital", &["seed=2"], &["--metrics", "0"])
        .wait_with_output()
        .unwrap();
    assert!(!stderr(&output).contains("warning"));
}

#[test]
fn run_says_where_the_metrics_of_each_party_are() {
    let root = tempfile::tempdir().unwrap();
    let folder = text(&root.path().join("run"));
    let mut run = command(&["run", &example("02_wdbc.toml"), "--metrics", "--run-folder", &folder])
        .args(["--set", "training.epochs=60"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stderr.take().unwrap()).lines();
    for party in ["cloud", "hospital"] {
        let told = format!("{party}: metrics at http://");
        let line = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.starts_with(&told))
            .unwrap();
        let address = line[told.len()..].strip_suffix("/metrics").unwrap().to_owned();
        assert!(address.starts_with("127.0.0.1:"), "{line}");
        let page = get(&address);
        assert_eq!(
            sample(&page, "cloven_build_info", &format!("party=\"{party}\"")),
            Some(1.0),
            "{page}"
        );
    }
    lines.for_each(drop);
    assert!(run.wait().unwrap().success());
}
