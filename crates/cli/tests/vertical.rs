//! Protocol `vertical`: holders of columns, a server and perhaps a dealer, each a process of its own.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use common::{cloven, command, fail, free_address, json, stderr, stdout, succeed, text};

const PARTIES: [&str; 4] = ["clinic", "cloud", "helper", "lab"];

/// A job folder from the template, with a dealer if `dealer`.
fn job_folder(folder: &Path, dealer: bool) -> String {
    let template = folder.with_extension("template");
    succeed(&["init", &text(&template), "--protocol", "vertical", "--data", "wdbc"]);
    let mut job = fs::read_to_string(template.join("job.toml")).unwrap();
    if dealer {
        job = job.replace("[parties]", "[parties]\nhelper = \"dealer\"");
        job = job.replace("triples = \"he\"", "triples = \"dealer\"");
    }
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("job.toml"), job).unwrap();
    text(&folder.join("job.toml"))
}

fn run(job: &str, folder: &Path, more: &[&str]) -> serde_json::Value {
    let args = [&["run", job, "--json", "--run-folder", folder.to_str().unwrap()], more].concat();
    json(&succeed(&args))
}

#[test]
fn holders_of_different_columns_train_together() {
    let root = tempfile::tempdir().unwrap();
    for (name, dealer) in [("alone", false), ("dealt", true)] {
        let job = job_folder(&root.path().join(name), dealer);
        let folder = root.path().join(format!("run-{name}"));
        let summary = run(&job, &folder, &["--set", "training.epochs=6", "--report", "--compare-plain"]);
        let apart = summary["test_accuracy"].as_f64().unwrap() - summary["test_accuracy_plain"].as_f64().unwrap();
        // Initial weights are others.
        assert!(apart.abs() < 0.05, "{summary}");
        assert!(summary["test_accuracy"].as_f64().unwrap() > 0.9, "{summary}");
        assert!(summary["auc"].as_f64().unwrap() > 0.95);
        let parties = if dealer { &PARTIES[..] } else { &["clinic", "cloud", "lab"] };
        for party in parties {
            assert!(summary["bytes_sent"][party].as_u64().unwrap() > 0, "{party}");
            assert!(
                summary["leaks"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|leak| leak["party"] == *party),
                "{party}"
            );
        }
        let mut files: Vec<_> = fs::read_dir(folder.join("checkpoints"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let expected = [
            "clinic.first-layer-share",
            "clinic.preprocessing.json",
            "clinic.safetensors",
            "cloud.safetensors",
            "lab.first-layer-share",
            "lab.preprocessing.json",
        ];
        assert_eq!(files, expected);
        assert!(!folder.join("resume").exists());
        // Nothing that the tool cannot do with it yet is tried.
        let run = text(&folder);
        for args in [&["export", &run, "--output", "model.safetensors"][..], &["plan", &job]] {
            assert!(fail(3, args).contains("is not there yet for protocol vertical"), "{args:?}");
        }
        predict_new_ids(root.path(), &run);
    }
}

/// Two holders' files of people who are only partly the same: predictions for those that both have, in the order of the label holder's file.
fn predict_new_ids(root: &Path, run: &str) {
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/wdbc.csv")).unwrap();
    let mut lines = table.lines();
    let header = format!("id,{}", lines.next().unwrap());
    let rows: Vec<String> = lines
        .take(120)
        .enumerate()
        .map(|(row, line)| format!("person {row},{line}"))
        .collect();
    let files = [("clinic", 0..80), ("lab", 40..120)].map(|(holder, range)| {
        let path = root.join(format!("{holder}-new.csv"));
        let mut own = rows[range].to_vec();
        own.reverse();
        fs::write(&path, format!("{header}\n{}\n", own.join("\n"))).unwrap();
        format!("{holder}={}", text(&path))
    });
    let output = root.join("predictions.csv");
    let args = [
        "predict",
        run,
        "--input",
        &files[0],
        "--input",
        &files[1],
        "--output",
        &text(&output),
        "--json",
    ];
    let summary = json(&succeed(&args));
    assert_eq!(summary["rows"], 40);
    let written = fs::read_to_string(&output).unwrap();
    let (mut right, mut numbers) = (0, Vec::new());
    for line in written.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let number: usize = fields[0].parse().unwrap();
        // The clinic's file begins with its last row.
        let truth = rows[79 - number].split(',').next_back().unwrap();
        right += usize::from(fields[1] == truth);
        numbers.push(number);
    }
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
    assert!(right > 34, "{right} of 40: {written}");
    let text = fail(3, &["predict", run, "--input", &files[0]]);
    assert!(text.contains("which file holds the rows of lab"), "{text}");
}

/// Writes tables of the breast-cancer data with ids: of the rows `rows`, in their order, the columns `columns`, and the target if `labelled`.
fn write_table(path: &Path, rows: impl Iterator<Item = usize>, columns: std::ops::Range<usize>, labelled: bool) {
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/wdbc.csv")).unwrap();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    let target = lines[0].iter().position(|name| *name == "diagnosis").unwrap();
    let features: Vec<usize> = (0..lines[0].len()).filter(|column| *column != target).collect();
    let chosen = |line: &Vec<&str>| {
        let mut fields: Vec<&str> = features[columns.clone()].iter().map(|column| line[*column]).collect();
        fields.extend(labelled.then(|| line[target]));
        fields.join(",")
    };
    let mut written = format!("patient,{}\n", chosen(&lines[0]));
    for row in rows {
        written += &format!("p{row},{}\n", chosen(&lines[row + 1]));
    }
    fs::write(path, written).unwrap();
}

/// The clinic and the lab with tables of their own, of which these rows.
fn own_tables(folder: &Path, clinic: impl Iterator<Item = usize>, lab: impl Iterator<Item = usize>) -> String {
    let job = job_folder(folder, false);
    succeed(&["init", &text(folder)]);
    write_table(&folder.join("clinic/rows.csv"), clinic, 0..10, true);
    write_table(&folder.join("lab/rows.csv"), lab, 10..30, false);
    for (party, csv) in [("clinic", "[csv]\ntarget = \"diagnosis\""), ("lab", "")] {
        edit(&folder.join(party).join("local.toml"), |local| {
            local.remove("columns");
            let data = format!("train = \"rows.csv\"\nids = [\"patient\"]\n{csv}");
            local.insert("data".into(), toml::from_str::<toml::Table>(&data).unwrap().into());
        });
    }
    job
}

fn edit(path: &Path, change: impl FnOnce(&mut toml::Table)) {
    let mut local: toml::Table = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    change(&mut local);
    fs::write(path, toml::to_string(&local).unwrap()).unwrap();
}

#[test]
fn rows_are_found_by_their_ids_in_tables_of_different_rows_and_orders() {
    let root = tempfile::tempdir().unwrap();
    // 500 rows at each, 431 in common.
    let job = own_tables(&root.path().join("own"), 0..500, (69..569).rev());
    let folder = root.path().join("run");
    let summary = run(&job, &folder, &["--set", "training.epochs=6"]);
    assert!(summary["test_accuracy"].as_f64().unwrap() > 0.88, "{summary}");
    let metrics = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let mut starts = metrics.lines().map(json).filter(|line| line["event"] == "started");
    let rows = |line: serde_json::Value| line["train_rows"].as_u64().unwrap() + line["test_rows"].as_u64().unwrap();
    assert!(starts.by_ref().map(rows).all(|rows| rows == 431), "{metrics}");

    // An id stands for one row: another row with it is left out, and counted in the log.
    let job = own_tables(&root.path().join("twice"), 0..200, (0..200).chain([7]));
    let folder = text(&root.path().join("run-2"));
    let output = cloven(&[
        "run",
        &job,
        "--run-folder",
        &folder,
        "--set",
        "training.epochs=1",
        "--log",
        "warn",
    ]);
    let log = stderr(&output);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("repeated=1"), "{log}");
    let metrics = fs::read_to_string(Path::new(&folder).join("metrics.jsonl")).unwrap();
    let mut starts = metrics.lines().map(json).filter(|line| line["event"] == "started");
    assert!(starts.by_ref().map(rows).all(|rows| rows == 200), "{metrics}");
}

#[test]
fn tables_that_do_not_fit_together_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let job = own_tables(&root.path().join("apart"), 0..200, 300..500);
    let error = fail(4, &["run", &job, "--run-folder", &text(&root.path().join("run"))]);
    assert!(error.contains("no id is common to all holders"), "{error}");

    let folder = root.path().join("without");
    let job = own_tables(&folder, 0..200, 0..200);
    edit(&folder.join("lab/local.toml"), |local| {
        local["data"].as_table_mut().unwrap().remove("ids");
    });
    let error = fail(3, &["run", &job, "--run-folder", &text(&root.path().join("run-3"))]);
    assert!(error.contains("ids = ["), "{error}");
}

/// Tables with ids in the folder that CLOVEN_DATA names; without it the test says that it does not run.
#[test]
fn real_tables_are_found_by_name() {
    let Ok(data) = std::env::var("CLOVEN_DATA") else {
        eprintln!("CLOVEN_DATA is not set: real-data check not run");
        return;
    };
    let data = std::path::absolute(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(data)).unwrap();
    let root = tempfile::tempdir().unwrap();
    let job = job_folder(&root.path().join("job"), true);
    let distress = ["data.name=distress", "data.shape=[83]", "data.columns={clinic=43,lab=40}"];
    let credit = ["data.name=credit", "data.shape=[23]", "data.columns={clinic=12,lab=11}"];
    // Of 3,672 rows of distress most are not positive, and so are 78 in 100 of credit.
    for (name, settings, rows, least) in [("distress", distress, 3672, 0.95), ("credit", credit, 3000, 0.75)] {
        let folder = root.path().join(name);
        let mut command = command(&["run", &job, "--json", "--run-folder", &text(&folder)]);
        let few = ["training.epochs=2", "data.train_rows=2400", "training.evaluate_every=0"];
        for setting in settings.iter().chain(&few) {
            command.args(["--set", setting]);
        }
        let output = command.env("CLOVEN_DATA", &data).output().unwrap();
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        let summary = json(&stdout(&output));
        assert!(summary["test_accuracy"].as_f64().unwrap() > least, "{name}: {summary}");
        let metrics = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
        let start = metrics.lines().map(json).find(|line| line["event"] == "started").unwrap();
        assert_eq!(start["train_rows"], 2400, "{start}");
        assert!(start["test_rows"].as_u64().unwrap() > rows / 6, "{start}");
    }
}

/// A number far from all others is moved to the limit that the holder's settings say, and counted; without a limit it is refused, with what to do.
#[test]
fn numbers_far_out_are_clipped_and_counted() {
    let root = tempfile::tempdir().unwrap();
    let job = own_tables(&root.path().join("far"), 0..200, 0..200);
    let rows = root.path().join("far/lab/rows.csv");
    let table = fs::read_to_string(&rows).unwrap();
    // The first feature of the last row, which may be for training or for testing.
    let mut lines: Vec<String> = table.lines().map(str::to_owned).collect();
    let last = lines.last_mut().unwrap();
    let mut fields: Vec<&str> = last.split(',').collect();
    fields[1] = "1e9";
    *last = fields.join(",");
    fs::write(&rows, lines.join("\n")).unwrap();
    let local = root.path().join("far/lab/local.toml");
    let run = |name: &str, preprocess: &str| {
        edit(&local, |local| {
            let preprocess = toml::from_str::<toml::Table>(preprocess).unwrap();
            local["data"]
                .as_table_mut()
                .unwrap()
                .insert("preprocess".into(), preprocess.into());
        });
        let folder = text(&root.path().join(name));
        // A deviation of training rows that holds the number may leave it within the limit of 32: the limit here is lower.
        let set = ["--set", "training.epochs=1", "--log", "warn"];
        cloven(&[&["run", &job, "--run-folder", &folder][..], &set].concat())
    };
    let output = run("limited", "clip = 10");
    let log = stderr(&output);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("clipped=1"), "{log}");
    let kept = fs::read_to_string(root.path().join("limited/checkpoints/lab.preprocessing.json")).unwrap();
    assert!(kept.contains("\"clip\":10.0") && kept.contains("\"version\":2"), "{kept}");
    let mut table = toml::Table::new();
    table.insert("clip".into(), "on".into());
    let error = stderr(&run("wrong", &toml::to_string(&table).unwrap()));
    assert!(error.contains("number of standard deviations, or \"off\""), "{error}");
}

/// Parties on machines of their own, a dealer among them.
struct Mesh {
    root: tempfile::TempDir,
    digest: String,
}

impl Mesh {
    /// Long enough to be killed well before the end: a dealer that is killed when the others have all that they need finds nobody.
    const SETTINGS: [&str; 4] = ["--set", "training.epochs=150", "--set", "training.checkpoint_every=4"];

    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("mesh");
        let job = job_folder(&folder, true);
        succeed(&["init", &text(&folder)]);
        let addresses: Vec<(String, String)> = (7443..7447)
            .map(|port| (format!("127.0.0.1:{port}"), free_address()))
            .collect();
        for party in PARTIES {
            let path = folder.join(party).join("local.toml");
            let local = fs::read_to_string(&path).unwrap();
            let local = addresses.iter().fold(local, |local, (old, new)| local.replace(old, new));
            fs::write(&path, local).unwrap();
        }
        let asked = stderr(&cloven(&[&["party", &job, "--as", "lab"], &Self::SETTINGS[..]].concat()));
        let digest = asked.lines().find_map(|line| line.strip_prefix("job ")).unwrap().to_owned();
        Self { root, digest }
    }

    fn run_folder(&self, run: &str, party: &str) -> PathBuf {
        self.root.path().join(run).join(party)
    }

    fn start(&self, how: &str, run: &str, party: &str) -> Child {
        let job = text(&self.root.path().join("mesh/job.toml"));
        let folder = text(&self.run_folder(run, party));
        let args = ["party", &job, "--as", party, "--json", "--accept", &self.digest, how, &folder];
        let mut command = command(&[&args[..], &Self::SETTINGS[..]].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn wait_for_epochs(&self, run: &str, party: &str, epochs: usize) {
        let begun = Instant::now();
        let path = self.run_folder(run, party).join("metrics.jsonl");
        let done = || {
            let metrics = fs::read_to_string(&path).unwrap_or_default();
            metrics.lines().filter(|line| line.contains("\"event\":\"epoch\"")).count()
        };
        while done() < epochs {
            assert!(begun.elapsed() < Duration::from_secs(60), "no progress at {party}");
            sleep(Duration::from_millis(2));
        }
    }

    /// What everybody has kept after some epochs, the secrets included: runs that go on from there have the same end.
    fn interrupted(&self) {
        fs::create_dir(self.root.path().join("first")).unwrap();
        let parties = PARTIES.map(|party| self.start("--run-folder", "first", party));
        self.wait_for_epochs("first", "lab", 2);
        for mut party in parties {
            party.kill().unwrap();
            party.wait().unwrap();
        }
    }

    /// Goes on with a copy; `victim` is killed on the way, and goes on.
    fn resume(&self, run: &str, victim: Option<&str>) -> Vec<Vec<u8>> {
        copy(&self.root.path().join("first"), &self.root.path().join(run));
        let mut parties: Vec<_> = PARTIES.map(|party| (party, self.start("--resume", run, party))).into();
        if let Some(victim) = victim {
            let moment = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .subsec_nanos()
                % 200;
            self.wait_for_epochs(run, "lab", 5);
            sleep(Duration::from_millis(moment.into()));
            let (_, child) = parties.iter_mut().find(|(party, _)| *party == victim).unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            *child = self.start("--resume", run, victim);
        }
        for (party, child) in parties {
            let output = child.wait_with_output().unwrap();
            let said = stderr(&output);
            assert!(output.status.success(), "{party}, {victim:?} killed: {said}");
            assert!(!self.run_folder(run, party).join("resume").exists(), "{party}");
        }
        let files = [("clinic", "clinic.safetensors"), ("cloud", "cloud.safetensors")];
        let shares = [("clinic", "clinic.first-layer-share"), ("lab", "lab.first-layer-share")];
        let read = |(party, file): &(&str, &str)| fs::read(self.run_folder(run, party).join("checkpoints").join(file)).unwrap();
        files.iter().chain(&shares).map(read).collect()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn a_killed_party_of_any_role_goes_on_to_the_same_weights() {
    let mesh = Mesh::new();
    mesh.interrupted();
    let expected = mesh.resume("undisturbed", None);
    for victim in PARTIES {
        assert!(mesh.resume(&format!("{victim}-killed"), Some(victim)) == expected, "{victim}");
    }
}
