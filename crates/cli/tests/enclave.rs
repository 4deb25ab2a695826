//! Protocol `enclave`: a client, an enclave with simulated attestation and workers, each a process of its own.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{fs, path::Path};

use common::{cloven, fail, json, machines::Machines, stderr, succeed, text};

const PARTIES: [&str; 5] = ["cloud", "gpu1", "gpu2", "gpu3", "hospital"];

/// A job folder of the handwritten digits, with a normalisation that keeps statistics.
fn job_folder(folder: &Path) -> String {
    succeed(&["init", &text(folder), "--protocol", "enclave", "--data", "digits"]);
    let job = fs::read_to_string(folder.join("job.toml")).unwrap();
    let (before, after) = job.split_once("    { type = \"relu\" }").unwrap();
    let job = format!("{before}    {{ type = \"batch-norm\" }},\n    {{ type = \"relu\" }}{after}");
    fs::remove_dir_all(folder).unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("job.toml"), job).unwrap();
    text(&folder.join("job.toml"))
}

#[test]
fn an_enclave_trains_and_predicts_under_every_blinding() {
    let root = tempfile::tempdir().unwrap();
    let job = job_folder(&root.path().join("job"));
    for blinding in ["masked", "permute", "none"] {
        let folder = root.path().join(blinding);
        let set = format!("enclave.blinding={blinding}");
        let args = ["run", &job, "--json", "--run-folder", &text(&folder), "--set", &set];
        let few = [
            "--set",
            "training.epochs=2",
            "--set",
            "enclave.initial_weights=public",
            "--compare-plain",
        ];
        let printed = cloven(&[&args[..], &few].concat());
        assert!(printed.status.success(), "{}", stderr(&printed));
        // Everybody is told, at every start.
        for party in ["cloud", "hospital"] {
            let warning = format!("{party}: WARNING: SIMULATED ATTESTATION");
            assert!(stderr(&printed).contains(&warning), "{}", stderr(&printed));
        }
        let summary = json(&common::stdout(&printed));
        let of = |key: &str| summary[key].as_f64().unwrap();
        assert!(of("test_accuracy") > 0.8, "{blinding}: {summary}");
        // The same initial weights, and products as good as exact.
        assert!(
            (of("test_accuracy") - of("test_accuracy_plain")).abs() < 0.02,
            "{blinding}: {summary}"
        );
        let learns = |party: &str, words: &str| {
            let leaks = summary["leaks"].as_array().unwrap();
            let mut of_party = leaks.iter().filter(|leak| leak["party"].as_str().unwrap().contains(party));
            of_party.any(|leak| leak["learns"].as_str().unwrap().contains(words))
        };
        assert!(learns("cloud", "simulated"), "{summary}");
        let words = match blinding {
            "masked" => "no sample, label, weight or gradient",
            "permute" => "permuted",
            _ => "in the clear",
        };
        assert!(learns("gpu2", words), "{blinding}: {summary}");
    }
    // A prediction goes through the enclave and the workers again, with the statistics of the normalisation.
    let packed = fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/digits.csv.gz")).unwrap();
    let input = root.path().join("digits.csv");
    std::io::copy(
        &mut flate2::read::GzDecoder::new(packed),
        &mut fs::File::create(&input).unwrap(),
    )
    .unwrap();
    for blinding in ["masked", "none"] {
        let folder = text(&root.path().join(blinding));
        let output = text(&root.path().join("predictions.csv"));
        let args = ["predict", &folder, "--json", "--input", &text(&input), "--output", &output];
        let predicted = json(&succeed(&args));
        assert_eq!(predicted["labelled_rows"], 1797);
        // Most of these rows were trained on.
        assert!(predicted["accuracy"].as_f64().unwrap() > 0.85, "{blinding}: {predicted}");
        let model = root.path().join(format!("{blinding}.safetensors"));
        succeed(&["export", &folder, "--output", &text(&model)]);
        let names: Vec<String> = common::arrays(&model).into_keys().collect();
        assert!(names.contains(&"1.running_mean".to_owned()), "{names:?}");
    }
    for party in ["cloud", "gpu1"] {
        let folder = text(&root.path().join("masked"));
        let error = fail(
            3,
            &["export", &folder, "--as", party, "--output", &text(&root.path().join("no"))],
        );
        assert!(error.contains("no weights"), "{error}");
    }
}

/// What part of each layer's weights a worker puts back in place, and whether that is more than chance.
fn found(root: &Path, job: &str, name: &str, settings: &[&str]) -> Vec<(f64, bool)> {
    let folder = text(&root.join(name));
    let mut args = vec!["run", job, "--json", "--record", "--run-folder", &folder];
    for setting in [&["training.epochs=1", "data.train_rows=64"], settings].concat() {
        args.extend(["--set", setting]);
    }
    succeed(&args);
    let audits = json(&succeed(&["audit", &folder, "--json"]));
    let findings = audits["parties"]["gpu2"]["findings"].as_array().unwrap().iter();
    let weights = findings.filter(|finding| finding["target"].as_str().unwrap().starts_with("weights"));
    let value = |finding: &serde_json::Value| (finding["value"].as_f64().unwrap(), finding["succeeded"].as_bool().unwrap());
    weights.map(value).collect()
}

#[test]
fn permutations_fall_to_who_knows_the_initial_weights_and_shares_do_not() {
    let root = tempfile::tempdir().unwrap();
    let job = job_folder(&root.path().join("job"));
    let public = "enclave.initial_weights=public";
    let permute = "enclave.blinding=permute";
    let known = found(root.path(), &job, "known", &[permute, public]);
    assert_eq!(known, [(1.0, true); 3], "every weight of every layer");
    for (name, settings) in [("secret", &[permute][..]), ("masked", &[public])] {
        let values = found(root.path(), &job, name, settings);
        assert!(
            values.len() == 3 && values.iter().all(|(_, succeeded)| !succeeded),
            "{name}: {values:?}"
        );
    }
}

#[test]
fn a_killed_party_of_any_role_goes_on_to_the_same_weights() {
    let settings = [
        "training.epochs=12",
        "training.checkpoint_every=4",
        "training.batch=128",
        "training.evaluate_every=0",
    ];
    let machines = Machines::new(&PARTIES, "hospital", &settings, job_folder);
    let files = [("hospital", "hospital.safetensors")];
    machines.interrupted();
    // What leaves the enclave is sealed: nothing of the network is in its folder in the clear.
    let expected = machines.resume("undisturbed", None, &files);
    for victim in PARTIES {
        let weights = machines.resume(&format!("{victim}-killed"), Some(victim), &files);
        assert!(weights == expected, "{victim}");
    }
}

#[test]
fn without_a_worker_that_is_gone_the_rest_go_on() {
    let settings = [
        "enclave.blinding=permute",
        "training.epochs=8",
        "training.batch=128",
        "training.evaluate_every=0",
    ];
    let machines = Machines::new(&PARTIES, "hospital", &settings, job_folder);
    let mut parties = machines.start_all("run");
    machines.wait_for_epochs("run", 2);
    let place = parties.iter().position(|(party, _)| party == "gpu2").unwrap();
    let (_, mut victim) = parties.remove(place);
    victim.kill().unwrap();
    victim.wait().unwrap();
    for (party, child) in parties {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{party}: {}", stderr(&output));
        let told = stderr(&output).contains("cloud: going on without gpu2");
        assert_eq!(told, party == "cloud", "{party}: {}", stderr(&output));
    }
}

#[test]
fn a_client_that_asks_for_hardware_sends_nothing_to_a_simulated_enclave() {
    let machines = Machines::new(&PARTIES, "hospital", &["training.epochs=1"], job_folder);
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/policy-tdx.toml");
    machines.edit("hospital", |local| {
        local.insert("attestation_policy".into(), text(&policy).into());
    });
    let parties = machines.start_all("refused");
    for (party, mut child) in parties {
        if party != "hospital" {
            child.kill().unwrap();
            child.wait().unwrap();
            continue;
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert!(
            stderr(&output).contains("accepts tdx only, the job's enclave is simulated"),
            "{}",
            stderr(&output)
        );
    }
}
