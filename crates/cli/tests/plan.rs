//! `cloven plan`, and what `cloven run` makes of it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;

use common::{cloven, example, fail, json, stderr, succeed, text};
use serde_json::Value;
use tempfile::TempDir;

/// Plans with a cache of its own; returns the JSON.
fn plan(cache: &TempDir, args: &[&str]) -> Value {
    let cache = text(cache.path());
    json(&succeed(&[&["plan", "--json", "--cache", &cache], args].concat()))
}

fn run(cache: &TempDir, args: &[&str]) -> Value {
    let (cache, runs) = (text(cache.path()), text(&cache.path().join("runs")));
    json(&succeed(
        &[&["run", "--json", "--cache", &cache, "--runs", &runs], args].concat(),
    ))
}

fn layers(cut: &Value) -> [u64; 2] {
    [0, 1].map(|index| cut["layers"][index].as_u64().unwrap())
}

#[test]
fn bytes_are_those_of_the_run() {
    let wdbc = example("02_wdbc.toml");
    let one_layer = ["--set", "model.server_layers=[2]"];
    let digits = [
        "--set",
        "data.name='digits'",
        "--set",
        "data.shape=[64]",
        "--set",
        "data.classes=10",
        "--set",
        "training.loss='cross-entropy'",
        "--set",
        "model.layers=[{type='dense',outputs=32},{type='relu'},{type='dense',outputs=10}]",
    ];
    let sealed = ["--set", "protocol='encrypted-activation'"];
    let paper = ["--set", "encryption.mode='paper'"];
    let epochs = |n: u32| ["--set".to_owned(), format!("training.epochs={n}")];
    let cases: [(&str, Vec<&str>, u32); 6] = [
        // The rows of an epoch are fewer than what is revealed at least: V goes up after every third.
        (&wdbc, [&one_layer[..], &sealed].concat(), 4),
        (
            &wdbc,
            vec!["--set", "training.evaluate_every=0", "--set", "training.checkpoint_every=5"],
            3,
        ),
        (&wdbc, [&one_layer[..], &["--set", "training.batch=456"]].concat(), 2),
        (&wdbc, [&digits[..], &one_layer].concat(), 1),
        (&wdbc, [&digits[..], &one_layer, &sealed].concat(), 2),
        (&wdbc, [&digits[..], &one_layer, &sealed, &paper].concat(), 2),
    ];
    for (job, settings, n) in cases {
        let cache = TempDir::new().unwrap();
        let epochs = epochs(n);
        let mut args = vec![job];
        args.extend(settings);
        args.extend(epochs.iter().map(String::as_str));
        let ran = run(&cache, &[&args[..], &["--plan"]].concat());
        assert_eq!(ran["predicted"]["bytes_per_epoch"], ran["bytes_per_epoch"], "{args:?}");
        assert!(ran["predicted"]["seconds_per_epoch"].as_f64().unwrap() > 0.0, "{ran}");
        let folder = fs::read_dir(cache.path().join("runs"))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        succeed(&["report", &text(&folder)]);
        let page = fs::read_to_string(folder.join("report.html")).unwrap();
        assert!(page.contains("predicted by cloven plan"));
    }
}

#[test]
fn every_cut_is_planned_and_one_recommended() {
    let cache = TempDir::new().unwrap();
    let job = example("02_wdbc.toml");
    let planned = plan(&cache, &[&job, "--rows", "200,50", "--link", "100Mbps,rtt=50ms"]);
    let cuts = planned["cuts"].as_array().unwrap();
    assert_eq!(cuts.len(), 28, "7 layers have so many ranges");
    let best = planned["recommended"].as_u64().unwrap() as usize;
    let seconds = |cut: &Value| cut["seconds_per_epoch"].as_f64().unwrap();
    assert!(cuts.iter().all(|cut| seconds(cut) >= seconds(&cuts[best])));
    // 13 batches with two round trips each.
    assert!(cuts.iter().all(|cut| seconds(cut) > 1.3), "{planned}");
    assert_eq!(cuts[best]["limit"], "latency");
    let own: Vec<_> = cuts
        .iter()
        .filter(|cut| cut["of_job"].as_bool().unwrap())
        .map(layers)
        .collect();
    assert_eq!(own, [[2, 4]]);
    for cut in cuts {
        let parties = cut["parties"].as_object().unwrap();
        let sent: u64 = parties.values().map(|party| party["bytes_per_epoch"].as_u64().unwrap()).sum();
        assert!(sent.abs_diff(cut["bytes_per_epoch"].as_u64().unwrap()) <= 1);
        assert!(!cut["why"].as_str().unwrap().is_empty());
        assert!(!cut["leaks"].as_array().unwrap().is_empty());
    }
}

#[test]
fn cuts_that_a_protocol_cannot_take_are_listed_with_the_reason() {
    let cache = TempDir::new().unwrap();
    let job = example("02_wdbc.toml");
    let sealed = ["--set", "protocol='encrypted-activation'", "--set", "model.server_layers=[2]"];
    let planned = plan(&cache, &[&[&job[..], "--rows", "64,0"], &sealed[..]].concat());
    let cuts: Vec<_> = planned["cuts"].as_array().unwrap().iter().map(layers).collect();
    assert_eq!(cuts, [[0, 0], [2, 2], [4, 4], [6, 6]]);
    assert_eq!(planned["cuts"][1]["params"]["log2_n"], 11);
    assert!(planned["cuts"][1]["noise"]["margin_bits"].as_f64().unwrap() > 1.0);
    let refused = planned["refused"].as_array().unwrap();
    assert!(
        refused
            .iter()
            .any(|refused| refused["why"].as_str().unwrap().contains("got relu"))
    );
    let error = fail(3, &[&["plan", &job, "--rows", "64,0", "--cut", "1"], &sealed[..]].concat());
    assert!(error.contains("no cut is possible") && error.contains("got relu"), "{error}");
}

#[test]
fn a_cap_on_memory_rules_cuts_out() {
    let cache = TempDir::new().unwrap();
    let job = example("02_wdbc.toml");
    let args = [&job[..], "--rows", "64,0", "--cut", "2..4", "--memory"];
    let narrow = plan(&cache, &[&args[..], &["hospital=1MB"]].concat());
    assert_eq!(narrow["recommended"], Value::Null);
    assert_eq!(narrow["cuts"][0]["limit"], "memory");
    assert!(narrow["cuts"][0]["why"].as_str().unwrap().contains("its cap is 1 MB"));
    let wide = plan(&cache, &[&args[..], &["hospital=1GB", "--memory", "cloud=0.5GB"]].concat());
    assert_eq!(wide["recommended"], 0);
    let error = fail(3, &[&["plan"], &args[..], &["nobody=1GB"]].concat());
    assert!(error.contains("nobody"), "{error}");
}

#[test]
fn measurements_are_kept_and_a_damaged_file_is_measured_again() {
    let cache = TempDir::new().unwrap();
    let folder = text(cache.path());
    let job = example("02_wdbc.toml");
    let args = ["plan", &job, "--rows", "64,0", "--cut", "2", "--cache", &folder];
    let said = |args: &[&str]| stderr(&cloven(args));
    assert!(said(&args).contains("rehearsing layers 2"));
    let kept: Vec<_> = fs::read_dir(cache.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert_eq!(said(&args), "", "nothing is measured again");
    // More epochs and rows of the same kind are the same measurement; another batch is not.
    assert_eq!(said(&[&args[..], &["--set", "training.epochs=100"]].concat()), "");
    assert!(said(&[&args[..], &["--set", "training.batch=8"]].concat()).contains("rehearsing"));
    assert!(said(&[&args[..], &["--fresh"]].concat()).contains("measuring this machine"));
    for file in &kept {
        let length = fs::metadata(file).unwrap().len();
        fs::File::options()
            .write(true)
            .open(file)
            .unwrap()
            .set_len(length / 2)
            .unwrap();
    }
    let output = cloven(&args);
    assert!(output.status.success());
    let printed = common::stdout(&output);
    assert!(
        printed.contains("cannot be used") && printed.contains("measured again"),
        "{printed}"
    );
    assert_eq!(said(&args), "");
}

#[test]
fn several_clients_are_planned() {
    let cache = TempDir::new().unwrap();
    let job = example("02_wdbc.toml");
    let more = [
        "--set",
        "parties.south='client'",
        "--set",
        "protocol='encrypted-activation'",
        "--set",
        "model.server_layers=[2]",
        "--set",
        "training.epochs=2",
    ];
    let ran = run(&cache, &[&[&job[..], "--plan"], &more[..]].concat());
    assert_eq!(ran["predicted"]["bytes_per_epoch"], ran["bytes_per_epoch"]);
    let planned = plan(&cache, &[&[&job[..], "--cut", "2"], &more[..]].concat());
    assert!(planned["notes"].to_string().contains("several clients"), "{planned}");
}
