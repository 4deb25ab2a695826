//! Secure inference through the command line: all parties together, and each on its own with one of them killed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use common::{cloven, command, example, fail, free_address, json, stderr, succeed, text};

const QUICK: [&str; 4] = ["--set", "trial.training.epochs=3", "--set", "trial.queries=4"];

#[test]
fn a_trial_answers_as_the_fixed_point_network_does() {
    let root = tempfile::tempdir().unwrap();
    let job = example("05_secure_inference.toml");
    let settings = [
        ["service.engine=\"garbled\"", "service.output=\"arg-max\""],
        ["parties.clinic=\"user\"", "service.output=\"scores\""],
    ];
    for (number, settings) in settings.iter().enumerate() {
        let folder = text(&root.path().join(number.to_string()));
        let mut args = vec!["run", &job, "--json", "--run-folder", &folder];
        args.extend(QUICK);
        settings.iter().for_each(|setting| args.extend(["--set", setting]));
        let summary = json(&succeed(&args));
        assert_eq!(summary["equal_to_fixed_point"], true, "{summary}");
        assert_eq!(summary["rows"], if number == 0 { 4 } else { 8 }, "{summary}");
        assert!(summary["accuracy_floating_point"].as_f64().unwrap() > 0.85, "{summary}");
        assert!(summary["bytes_user"].as_u64().unwrap() < 2_000, "{summary}");
        let kept = json(&fs::read_to_string(Path::new(&folder).join("summary.json")).unwrap());
        assert_eq!(kept["job"], summary["job"]);
    }
}

#[test]
fn a_gateway_may_have_the_first_layers_or_all_in_the_clear() {
    let root = tempfile::tempdir().unwrap();
    let shared = example("05_secure_inference.toml");
    let alone = text(&root.path().join("alone.toml"));
    let job = fs::read_to_string(&shared).unwrap();
    let job = job.replace("east = \"server\"", "").replace("west = \"server\"", "");
    fs::write(&alone, job).unwrap();
    let mut users = Vec::new();
    for (number, (job, setting)) in [
        (&shared, "service.gateway_layers=1"),
        (&shared, "service.gateway_layers=3"),
        (&alone, "service.output=\"scores\""),
        (&alone, "service.output=\"arg-max\""),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = text(&root.path().join(number.to_string()));
        let mut args = vec!["run", job, "--json", "--run-folder", &folder, "--set", setting];
        args.extend(QUICK);
        let summary = json(&succeed(&args));
        assert_eq!(summary["equal_to_fixed_point"], true, "{summary}");
        assert_eq!(summary["rows"], 4, "{summary}");
        assert!(Path::new(&folder).join("shares/gate.layers").exists());
        assert_eq!(Path::new(&folder).join("shares/gate.share").exists(), number < 2);
        users.push(summary["bytes_user"].as_u64().unwrap());
    }
    // A convolution alone needs no garbled circuits.
    assert!(users[0] * 5 < users[2], "{users:?}");
    let refused = fail(3, &["run", &alone, "--set", "service.gateway_layers=2"]);
    assert!(refused.contains("the gateway has all layers"), "{refused}");
}

#[test]
fn verbs_that_do_not_fit_a_service_say_so() {
    let job = example("05_secure_inference.toml");
    assert!(fail(3, &["run", &job, "--compare-plain"]).contains("this one serves"));
    assert!(fail(3, &["predict", &job, "--input", "rows.csv"]).contains("which user asks"));
    assert!(fail(3, &["serve", &job, "--as", "nobody", "--accept", "0123456789abcdef"]).contains("no party is called nobody"));
}

/// Every party with a folder of its own on this machine.
struct Service {
    root: tempfile::TempDir,
    job: String,
    digest: String,
}

impl Service {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("clinic");
        fs::create_dir(&folder).unwrap();
        let job = fs::read_to_string(example("05_secure_inference.toml")).unwrap();
        let job = job
            .replace("epochs = 12", "epochs = 3")
            .replace("queries = 20", "queries = 60");
        fs::write(folder.join("job.toml"), job).unwrap();
        succeed(&["init", &text(&folder)]);
        for port in 7443..7446 {
            let (old, new) = (format!("127.0.0.1:{port}"), free_address());
            for party in ["gate", "east", "west", "hospital"] {
                let path = folder.join(party).join("local.toml");
                let local = fs::read_to_string(&path).unwrap();
                fs::write(&path, local.replace(&old, &new)).unwrap();
            }
        }
        let job = text(&folder.join("job.toml"));
        let asked = stderr(&cloven(&["serve", &job, "--as", "gate"]));
        let digest = asked.lines().find_map(|line| line.strip_prefix("job ")).unwrap().to_owned();
        Self { root, job, digest }
    }

    fn serve(&self, party: &str) -> Child {
        let args = [
            "serve",
            &self.job,
            "--as",
            party,
            "--accept",
            &self.digest,
            "--stop-after",
            "60",
            "--pool",
            "1",
        ];
        let said = fs::File::create(self.said(party)).unwrap();
        command(&args).stdout(Stdio::null()).stderr(said).spawn().unwrap()
    }

    fn said(&self, party: &str) -> PathBuf {
        self.root.path().join(format!("{party}.log"))
    }

    fn wait_for(&self, party: &str, words: &str) {
        let begun = Instant::now();
        while !fs::read_to_string(self.said(party)).unwrap_or_default().contains(words) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{party} never said {words:?}");
            sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_service_goes_on_when_a_killed_server_is_back() {
    let service = Service::new();
    // A network made by the run of a trial is what its owner has.
    let trained = service.root.path().join("trained");
    succeed(&[
        "run",
        &service.job,
        "--set",
        "trial.queries=1",
        "--run-folder",
        &text(&trained),
    ]);
    let shares = service.root.path().join("clinic/shares");
    fs::create_dir(&shares).unwrap();
    for party in ["gate", "east", "west"] {
        let name = format!("{party}.share");
        fs::copy(trained.join("shares").join(&name), shares.join(&name)).unwrap();
    }
    for victim in ["east", "gate"] {
        let mut servers: Vec<(&str, Child)> = ["gate", "east", "west"].map(|party| (party, service.serve(party))).into();
        let args = [
            "predict",
            &service.job,
            "--as",
            "hospital",
            "--accept",
            &service.digest,
            "--json",
        ];
        let user = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        service.wait_for("gate", "inferences answered");
        let (_, killed) = servers.iter_mut().find(|(party, _)| *party == victim).unwrap();
        killed.kill().unwrap();
        killed.wait().unwrap();
        *killed = service.serve(victim);
        let output = user.wait_with_output().unwrap();
        assert!(output.status.success(), "{victim} killed: {}", stderr(&output));
        let answers = json(&common::stdout(&output));
        assert_eq!(answers["report"]["rows"], 60, "{answers}");
        assert!(answers["report"]["accuracy"].as_f64().unwrap() > 0.7, "{answers}");
        for (_, server) in &mut servers {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }
}
