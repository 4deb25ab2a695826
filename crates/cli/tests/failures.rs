//! Everything that goes wrong has its exit code and its sentence.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{fs, io::Write, time::Duration};

use common::{TwoMachines, command, example, fail, json, stderr, stdout, succeed, text};

#[test]
fn a_wrong_command_line_and_wrong_settings() {
    fail(2, &["rnu"]);
    let error = fail(3, &["run", &example("02_wdbc.toml"), "--set", "training.epoch=3"]);
    assert!(error.contains("unknown field `epoch`"), "{error}");
    let sealed = |setting| {
        fail(
            3,
            &[
                "run",
                &example("02_wdbc.toml"),
                "--set",
                "protocol=encrypted-activation",
                "--set",
                setting,
            ],
        )
    };
    let error = sealed("seed=1");
    assert!(error.contains("one dense layer at the server, got 3 layers"), "{error}");
    let error = sealed("model.server_layers=[1]");
    assert!(error.contains("one dense layer at the server, got relu"), "{error}");
    let error = fail(1, &["run", "no/such/job.toml"]);
    assert!(error.contains("no/such/job.toml"), "{error}");
    let error = fail(3, &["run", &example("02_wdbc.toml"), "--set", "data.name=nothing"]);
    assert!(error.contains("not a data set known by name"), "{error}");
}

#[test]
fn json_errors_are_objects() {
    let output = common::cloven(&["run", "no/such/job.toml", "--json"]);
    let error = &json(&stdout(&output))["error"];
    assert_eq!(error["exit_code"], 1);
    assert!(error["message"].as_str().unwrap().contains("no/such/job.toml"));
}

/// Makes a folder with a CSV file of the client's own and returns the job's path.
fn own_data(root: &std::path::Path, file: &str, content: &[u8]) -> String {
    let folder = text(&root.join("own"));
    succeed(&["init", &folder, "--data", "own"]);
    fs::write(format!("{folder}/hospital/{file}"), content).unwrap();
    let local = format!("{folder}/hospital/local.toml");
    fs::write(&local, fs::read_to_string(&local).unwrap().replace("train.csv", file)).unwrap();
    format!("{folder}/job.toml")
}

fn rows(last: &str) -> String {
    let rows: String = (0..40).map(|i| format!("{i},{},{}\n", i % 7, i % 2)).collect();
    format!("age,dose,label\n{rows}{last}\n")
}

#[test]
fn data_that_cannot_be_used_are_named_with_row_and_column() {
    for (last, expected) in [
        ("3,?,1", ["42", "dose"]),
        ("3,nan-ish,1", ["42", "dose"]),
        ("inf,1,1", ["42", "age"]),
    ] {
        let root = tempfile::tempdir().unwrap();
        let job = own_data(root.path(), "train.csv", rows(last).as_bytes());
        let error = fail(4, &["run", &job, "--set", "data.shape=[2]", "--runs", &text(root.path())]);
        assert!(expected.iter().all(|part| error.contains(part)), "{last}: {error}");
    }
    let root = tempfile::tempdir().unwrap();
    let job = own_data(root.path(), "train.csv", rows("3,1,1").as_bytes());
    let error = fail(4, &["run", &job, "--runs", &text(root.path())]);
    assert!(error.contains("[2]") && error.contains("[10]"), "shape: {error}");
    let job_text = fs::read_to_string(&job).unwrap().replace("shape = [10]", "shape = [2]");
    fs::write(&job, &job_text).unwrap();
    fs::write(root.path().join("own/hospital/train.csv"), rows("3,1,2")).unwrap();
    let error = fail(4, &["run", &job, "--runs", &text(root.path())]);
    assert!(error.contains("class"), "class count: {error}");
    fs::remove_file(root.path().join("own/hospital/train.csv")).unwrap();
    let error = fail(4, &["run", &job, "--runs", &text(root.path())]);
    assert!(error.contains("train.csv"), "path: {error}");
}

#[test]
fn a_truncated_file_is_named() {
    let root = tempfile::tempdir().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(rows("3,1,1").as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    let job = own_data(root.path(), "train.csv.gz", &whole[..whole.len() / 2]);
    let error = fail(4, &["run", &job, "--set", "data.shape=[2]", "--runs", &text(root.path())]);
    assert!(error.contains("train.csv.gz"), "{error}");
}

#[test]
fn a_wrong_certificate_on_either_side() {
    // The hospital's roster pins another cloud.
    let machines = TwoMachines::new(true);
    machines.deadlines("cloud", 2, 5);
    let stranger = TwoMachines::new(true);
    let identity = text(&stranger.machine("cloud").join("cloud.identity.toml"));
    let folder = text(&machines.folder("hospital"));
    let error = fail(5, &["roster", "add", &identity, "--to", &folder]);
    assert!(error.contains("already pinned"), "{error}");
    succeed(&["roster", "add", &identity, "--to", &folder, "--replace"]);
    let (hospital, cloud) = machines.both(&[], &[]);
    assert_eq!(hospital.status.code(), Some(5), "{}", stderr(&hospital));
    assert!(
        stderr(&hospital).contains("wrong certificate: cloud is pinned as"),
        "{}",
        stderr(&hospital)
    );
    assert_eq!(cloud.status.code(), Some(6), "{}", stderr(&cloud));
    assert!(stderr(&cloud).contains("hospital did not connect"), "{}", stderr(&cloud));

    // The cloud's roster pins another hospital.
    let machines = TwoMachines::new(true);
    machines.deadlines("cloud", 2, 5);
    let identity = text(&stranger.machine("hospital").join("hospital.identity.toml"));
    succeed(&[
        "roster",
        "add",
        &identity,
        "--to",
        &text(&machines.folder("cloud")),
        "--replace",
    ]);
    let (hospital, cloud) = machines.both(&[], &[]);
    assert_eq!(hospital.status.code(), Some(5), "{}", stderr(&hospital));
    assert!(
        stderr(&hospital).contains("cloud refused our certificate"),
        "{}",
        stderr(&hospital)
    );
    assert!(stderr(&cloud).contains("is not pinned"), "{}", stderr(&cloud));
}

#[test]
fn a_wrong_job() {
    let machines = TwoMachines::new(true);
    let (hospital, cloud) = machines.both(&["seed=2"], &[]);
    for output in [hospital, cloud] {
        assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
        assert!(stderr(&output).contains("wrong job"), "{}", stderr(&output));
    }
}

#[test]
fn an_unreachable_party() {
    let machines = TwoMachines::new(true);
    machines.deadlines("hospital", 1, 5);
    let output = machines.start("hospital", &[]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("cannot reach cloud at 127.0.0.1:"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_job_must_be_accepted_and_an_open_key_is_refused() {
    let machines = TwoMachines::new(true);
    let job = text(&machines.machine("hospital").join("job.toml"));
    let error = fail(5, &["party", &job, "--as", "hospital"]);
    assert!(
        error.contains("hospital learns") && error.contains("was not accepted"),
        "{error}"
    );
    let error = fail(5, &["party", &job, "--as", "hospital", "--accept", "0123456789abcdef"]);
    assert!(error.contains("--accept names 0123456789abcdef"), "{error}");
    let error = fail(3, &["party", &job, "--as", "bank", "--accept", "0123456789abcdef"]);
    assert!(error.contains("no party is called bank"), "{error}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = machines.folder("hospital").join("key.pem");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let output = machines.start("hospital", &[]).wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(5));
        assert!(
            stderr(&output).contains("other users may read this key"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn divergence_and_the_memory_cap() {
    let root = tempfile::tempdir().unwrap();
    let error = fail(
        8,
        &[
            "run",
            &example("02_wdbc.toml"),
            "--runs",
            &text(root.path()),
            "--set",
            "training.optimiser={type='sgd',learning_rate=1e30}",
        ],
    );
    assert!(error.contains("diverged"), "{error}");
    let folder = text(&root.path().join("trial"));
    succeed(&["init", &folder]);
    let local = format!("{folder}/hospital/local.toml");
    fs::write(
        &local,
        fs::read_to_string(&local)
            .unwrap()
            .replace("# memory_mb = 2000", "memory_mb = 1"),
    )
    .unwrap();
    let error = fail(9, &["run", &format!("{folder}/job.toml"), "--runs", &text(root.path())]);
    assert!(error.contains("limits.memory_mb is 1 MB"), "{error}");
}

/// Long enough that a party can be stopped in the middle.
const LONG: [&str; 2] = ["training.epochs=100000", "training.evaluate_every=0"];

#[test]
#[cfg(unix)]
fn a_killed_party_is_named_by_the_other() {
    for (victim, witness) in [("cloud", "hospital"), ("hospital", "cloud")] {
        let machines = TwoMachines::new(true);
        machines.reconnect(witness, 1);
        let mut running = [machines.start("cloud", &LONG), machines.start("hospital", &LONG)];
        std::thread::sleep(Duration::from_millis(1500));
        if victim == "hospital" {
            running.reverse();
        }
        let [mut dead, alive] = running;
        dead.kill().unwrap();
        let _ = dead.wait();
        let output = alive.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(6), "{witness}: {}", stderr(&output));
        let said = stderr(&output);
        let waited = said.contains(&format!("waiting up to 1 s for {victim} to come back"));
        assert!(waited && said.contains(&format!("{victim} closed the connection")), "{said}");
        assert!(
            !machines.run_folder(witness).join("checkpoints").exists(),
            "nothing half-written"
        );
    }
}

#[test]
#[cfg(unix)]
fn an_interrupted_party_says_so_to_the_other() {
    let machines = TwoMachines::new(true);
    machines.reconnect("cloud", 0);
    let (cloud, hospital) = (machines.start("cloud", &LONG), machines.start("hospital", &LONG));
    std::thread::sleep(Duration::from_millis(1500));
    let command = format!("kill -INT {}", hospital.id());
    let interrupt = std::process::Command::new("sh").args(["-c", &command]).status().unwrap();
    assert!(interrupt.success());
    let (hospital, cloud) = (hospital.wait_with_output().unwrap(), cloud.wait_with_output().unwrap());
    assert_eq!(hospital.status.code(), Some(130), "{}", stderr(&hospital));
    assert_eq!(cloud.status.code(), Some(6), "{}", stderr(&cloud));
    assert!(
        stderr(&cloud).contains("hospital stopped the run: its operator interrupted it"),
        "{}",
        stderr(&cloud)
    );
}

/// How many processes have `text` in their command line.
#[cfg(target_os = "linux")]
fn processes(text: &str) -> usize {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).replace('\0', " ").contains(text))
        .count()
}

#[test]
#[cfg(target_os = "linux")]
fn no_party_outlives_run() {
    let root = tempfile::tempdir().unwrap();
    let runs = text(root.path());
    let mut run = command(&[
        "run",
        &example("02_wdbc.toml"),
        "--runs",
        &runs,
        "--set",
        LONG[0],
        "--set",
        LONG[1],
    ])
    .stdout(std::process::Stdio::null())
    .stderr(std::process::Stdio::null())
    .spawn()
    .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let parties = format!("--run-folder {runs}");
    let before = processes(&parties);
    run.kill().unwrap();
    let _ = run.wait();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((before, processes(&parties)), (2, 0));
}
