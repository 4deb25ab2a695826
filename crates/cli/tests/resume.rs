//! Killed parties and interrupted runs go on from their checkpoints, with the same weights as an undisturbed run.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use common::{TwoMachines, command, example, fail, stderr, succeed, text};

/// Long enough to be killed in the middle.
const SETTINGS: [&str; 3] = [
    "training.epochs=120",
    "training.checkpoint_every=5",
    "training.evaluate_every=0",
];

fn weights(run: &Path, party: &str) -> Vec<u8> {
    fs::read(run.join(format!("checkpoints/{party}.safetensors"))).unwrap()
}

/// Waits until this many epochs stand in a run folder's metrics.
fn wait_for_epochs(run: &Path, epochs: usize) {
    let begun = Instant::now();
    let done = || {
        let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
        metrics.lines().filter(|line| line.contains("\"event\":\"epoch\"")).count()
    };
    while done() < epochs {
        assert!(begun.elapsed() < Duration::from_secs(60), "no progress in {}", run.display());
        sleep(Duration::from_millis(2));
    }
}

/// The same job in one go.
fn undisturbed(folder: &Path) {
    let settings: Vec<String> = SETTINGS.iter().map(|s| (*s).to_owned()).collect();
    let mut args = vec![
        "run".to_owned(),
        example("02_wdbc.toml"),
        "--run-folder".to_owned(),
        text(folder),
    ];
    settings
        .into_iter()
        .for_each(|setting| args.extend(["--set".to_owned(), setting]));
    succeed(&args.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn either_party_is_killed_and_resumes_while_the_other_waits() {
    let root = tempfile::tempdir().unwrap();
    let reference = root.path().join("reference");
    undisturbed(&reference);
    for victim in ["hospital", "cloud"] {
        let machines = TwoMachines::new(true);
        let mut parties = ["cloud", "hospital"].map(|party| (party, machines.start(party, &SETTINGS)));
        wait_for_epochs(&machines.run_folder(victim), 10);
        for (party, child) in &mut parties {
            if *party == victim {
                child.kill().unwrap();
                child.wait().unwrap();
                *child = machines.resume(party, &SETTINGS);
            }
        }
        for (party, child) in parties {
            let output = child.wait_with_output().unwrap();
            let said = stderr(&output);
            assert!(output.status.success(), "{said}");
            let expected = match party == victim {
                true => format!("{party}: goes on from epoch "),
                false => format!("waiting up to 600 s for {victim} to come back"),
            };
            assert!(said.contains(&expected), "{said}");
            assert_eq!(
                weights(&machines.run_folder(party), party),
                weights(&reference, party),
                "{party}"
            );
            assert!(!machines.run_folder(party).join("resume").exists());
        }
    }
}

fn start_run(folder: &[&str]) -> Child {
    let mut command = command(&["run", &example("02_wdbc.toml")]);
    command.args(folder);
    for setting in SETTINGS {
        command.args(["--set", setting]);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_run_that_was_killed_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let [reference, run] = ["reference", "run"].map(|name| root.path().join(name));
    undisturbed(&reference);
    let mut child = start_run(&["--run-folder", &text(&run)]);
    wait_for_epochs(&run, 20);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!run.join("summary.json").exists());
    let output = start_run(&["--resume", &text(&run)]).wait_with_output().unwrap();
    let said = stderr(&output);
    assert!(output.status.success() && said.contains("goes on from epoch "), "{said}");
    for party in ["hospital", "cloud"] {
        assert_eq!(weights(&run, party), weights(&reference, party), "{party}");
    }

    // Finished, or of another job: nothing to go on with.
    let job = example("02_wdbc.toml");
    let mut args = vec!["run", &job, "--resume", run.to_str().unwrap()];
    assert!(fail(5, &args).contains("job"));
    SETTINGS.iter().for_each(|setting| args.extend(["--set", setting]));
    assert!(fail(3, &args).contains("finished"));
}

/// After the last epoch a party needs no other: killed or broken between the agreement that all is done and its weights, it writes them from its last
/// checkpoint, whether its peer is there or not.
#[test]
fn a_party_whose_peer_has_left_finishes_from_its_last_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    let reference = root.path().join("reference");
    undisturbed(&reference);
    for (victim, other) in [("hospital", "cloud"), ("cloud", "hospital")] {
        let machines = TwoMachines::new(true);
        let [broken, whole] = [victim, other].map(|party| machines.start(party, &SETTINGS));
        // No folder can have this name any more: the weights cannot be written.
        let run = machines.run_folder(victim);
        wait_for_epochs(&run, 2);
        fs::write(run.join("checkpoints"), "").unwrap();
        let (broken, whole) = (broken.wait_with_output().unwrap(), whole.wait_with_output().unwrap());
        assert_eq!(broken.status.code(), Some(1), "{}", stderr(&broken));
        assert!(whole.status.success(), "{}", stderr(&whole));
        assert!(!machines.run_folder(other).join("resume").exists());

        fs::remove_file(run.join("checkpoints")).unwrap();
        let output = machines.resume(victim, &SETTINGS).wait_with_output().unwrap();
        let said = stderr(&output);
        assert!(output.status.success() && said.contains("without another party"), "{said}");
        assert_eq!(weights(&run, victim), weights(&reference, victim), "{victim}");
        let [own, undisturbed] = [&run, &reference].map(|run| {
            let summary = fs::read_to_string(run.join("summary.json")).unwrap();
            common::json(&summary)["test_accuracy"].clone()
        });
        assert!(
            victim == "cloud" || own == undisturbed,
            "figures of the last checkpoint: {own}"
        );
        // The server cannot know that the client has its weights: it stays ready.
        assert_eq!(run.join("resume").exists(), victim == "cloud");
        assert_eq!(said.contains("hospital was not reached"), victim == "cloud", "{said}");
    }
}
