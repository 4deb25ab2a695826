//! Logs: what is asked for, party by party, one object a line, and nothing secret.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Child,
    thread::sleep,
    time::{Duration, Instant},
};

use cloven_wire::recording::Recording;
use common::{TwoMachines, arrays, command, example, fail, json, stderr, text};
use serde_json::Value;

const SEALED: [&str; 4] = [
    "protocol=encrypted-activation",
    "model.server_layers=[2]",
    "training.epochs=4",
    "training.checkpoint_every=5",
];

fn run(folder: &Path, arguments: &[&str], variable: Option<&str>) -> std::process::Output {
    let mut command = command(&["run", &example("02_wdbc.toml"), "--run-folder", &text(folder), "--json"]);
    command.args(["--set", "training.epochs=3"]).args(arguments);
    command
        .env_remove("CLOVEN_LOG")
        .envs(variable.map(|filter| ("CLOVEN_LOG", filter)));
    command.output().unwrap()
}

/// The lines of a log, each an object.
fn lines(log: &str) -> Vec<Value> {
    log.lines().map(json).collect()
}

fn of<'a>(lines: &'a [Value], party: &'a str) -> impl Iterator<Item = &'a Value> + Clone {
    lines.iter().filter(move |line| line["span"]["party"] == party)
}

#[test]
fn every_line_is_an_object_with_its_party() {
    let root = tempfile::tempdir().unwrap();
    let output = run(&root.path().join("run"), &["--log", "debug", "--log-json"], None);
    assert!(output.status.success());
    let log = lines(&stderr(&output));
    for (party, other) in [("hospital", "cloud"), ("cloud", "hospital")] {
        let said = |message: &'static str| of(&log, party).filter(move |line| line["message"] == message);
        assert_eq!(said("connected").next().unwrap()["peer"], other);
        assert_eq!(said("batch done").count(), 3 * 29, "{party}");
        assert_eq!(said("epoch done").count(), 3, "{party}");
        assert!(said("checkpoint").count() > 0 && said("finished").count() == 1);
        assert!(said("hello: same version, same job").next().unwrap()["job"].is_string());
        assert_eq!(said("sent").count(), 0, "messages are for trace");
    }
    let batch = of(&log, "hospital").find(|line| line["message"] == "batch done").unwrap();
    assert!(batch["loss"].as_f64().unwrap() > 0.0 && batch["level"] == "DEBUG" && batch["timestamp"].is_string());
    assert_eq!(json(&common::stdout(&output))["epochs"], 3);
}

#[test]
fn levels_by_part_by_flag_and_by_environment() {
    let root = tempfile::tempdir().unwrap();
    let quiet = stderr(&run(&root.path().join("a"), &[], None));
    assert!(
        !quiet.contains(" INFO ") && quiet.contains("learns"),
        "off unless asked for: {quiet}"
    );
    let said = stderr(&run(&root.path().join("b"), &[], Some("info")));
    assert!(
        said.contains(" INFO process{party=cloud}: cloven::reporter::log: connected peer=hospital"),
        "{said}"
    );
    assert!(
        said.contains("learns") && !said.contains("DEBUG"),
        "text for people stays: {said}"
    );
    let said = stderr(&run(
        &root.path().join("c"),
        &["--log", "cloven_wire::link=trace"],
        Some("loud"),
    ));
    assert!(
        said.contains("TRACE process{party=hospital}: cloven_wire::link: sent peer=cloud name=\"activation\""),
        "{said}"
    );
    assert!(!said.contains(" INFO ") && !said.contains("DEBUG"), "{said}");
    assert_eq!(run(&root.path().join("d"), &[], Some("loud")).status.code(), Some(3));
    fail(2, &["run", &example("02_wdbc.toml"), "--log", "loud"]);
}

#[test]
fn a_failure_is_a_line() {
    let output = run("/dev/null/x".as_ref(), &["--log-json"], None);
    let log = lines(&stderr(&output));
    assert_eq!(
        (output.status.code(), &log.last().unwrap()["exit_code"]),
        (Some(1), &Value::from(1))
    );
    assert!(log.last().unwrap()["error"].as_str().unwrap().contains("/dev/null/x"));
}

/// What must not stand in a log: bytes as hexadecimal digits, in base64 at any offset, or as a list of numbers; and numbers as such.
#[derive(Default)]
struct Secrets {
    texts: Vec<(&'static str, String)>,
    numbers: Vec<(&'static str, String)>,
}

impl Secrets {
    /// Pieces of 12 bytes: no log has one by chance.
    fn bytes(&mut self, what: &'static str, bytes: &[u8]) {
        for piece in bytes.chunks_exact(12).take(2) {
            if piece.iter().collect::<BTreeSet<_>>().len() < 6 {
                continue;
            }
            let hex: String = piece.iter().map(|b| format!("{b:02x}")).collect();
            let list = piece[..6].iter().map(u8::to_string).collect::<Vec<_>>();
            self.texts.extend([hex.to_uppercase(), hex].map(|hex| (what, hex)));
            self.texts.extend([", ", ","].map(|comma| (what, list.join(comma))));
            self.texts.extend((0..3).map(|skip| (what, base64(&piece[skip..skip + 9]))));
        }
    }

    /// Numbers of some length, as 32 and as 64 bits.
    fn numbers(&mut self, what: &'static str, numbers: impl IntoIterator<Item = f32>) {
        let texts = numbers
            .into_iter()
            .flat_map(|number| [number.to_string(), f64::from(number).to_string()]);
        self.numbers
            .extend(texts.filter(|text| text.len() > 6).map(|text| (what, text)));
    }

    fn stand_nowhere_in(&self, log: &str) {
        for (what, secret) in &self.texts {
            assert!(!log.contains(secret), "{what}: {secret}");
        }
        let part = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | 'e');
        let logged: BTreeSet<_> = log.split(|c| !part(c)).collect();
        for (what, secret) in &self.numbers {
            assert!(!logged.contains(&**secret), "{what}: {secret}");
        }
    }

    fn count(&self, what: &str) -> usize {
        self.texts.iter().chain(&self.numbers).filter(|(of, _)| *of == what).count()
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let threes = bytes
        .chunks_exact(3)
        .map(|three| u32::from_be_bytes([0, three[0], three[1], three[2]]));
    threes
        .flat_map(|n| [18, 12, 6, 0].map(|shift| char::from(DIGITS[(n >> shift) as usize % 64])))
        .collect()
}

/// A file that is there for a while only.
fn catch(path: &Path) -> Vec<u8> {
    let begun = Instant::now();
    loop {
        match fs::read(path) {
            Ok(bytes) => return bytes,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "{}: {error}", path.display()),
        }
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn nothing_secret_is_logged_at_the_finest_level() {
    let machines = TwoMachines::new(true);
    let arguments = ["--log", "trace", "--log-json", "--record"];
    let mut secrets = Secrets::default();
    // A log that nobody reads stops its writer.
    let read = |child: Child| std::thread::spawn(|| child.wait_with_output().unwrap());
    let parties = ["cloud", "hospital"].map(|party| read(machines.start_with(party, &SEALED, &arguments)));
    secrets.bytes(
        "secret",
        &catch(&machines.run_folder("hospital").join("resume/hospital/secret")),
    );
    let logs = parties.map(|child| {
        let output = child.join().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    });
    for party in ["cloud", "hospital"] {
        let key = fs::read_to_string(machines.folder(party).join("key.pem")).unwrap();
        let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
        let pieces = body
            .as_bytes()
            .chunks_exact(16)
            .map(|piece| String::from_utf8(piece.to_vec()).unwrap());
        secrets.texts.extend(pieces.map(|piece| ("key", piece)));
        let run = machines.run_folder(party);
        for (_, numbers) in arrays(&run.join(format!("checkpoints/{party}.safetensors"))).values() {
            secrets.bytes(
                "weight bytes",
                &numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>(),
            );
            secrets.numbers("weight", numbers.iter().copied());
        }
        let view = run.join(format!("transcript/{party}.view"));
        let messages = Recording::open(&view).unwrap();
        messages
            .step_by(7)
            .for_each(|message| secrets.bytes("payload", &message.unwrap().payload));
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/wdbc.csv");
    let data = fs::read_to_string(data).unwrap();
    secrets.numbers("data", data.split([',', '\n']).filter_map(|field| field.parse().ok()));
    for what in ["secret", "key", "weight bytes", "weight", "payload", "data"] {
        assert!(secrets.count(what) > 5, "{what}");
    }
    for log in &logs {
        secrets.stand_nowhere_in(log);
    }

    // And every field is one of these: a new one is to be thought about here.
    let known: BTreeSet<_> = "timestamp level target span message peer address from why job version deadline round bytes epoch batch rows \
                              loss seconds sent received accuracy epochs train_rows test_rows batches path messages position file cause \
                              awaited name"
        .split(' ')
        .collect();
    let log: Vec<_> = logs.iter().flat_map(|log| lines(log)).collect();
    assert!(log.iter().filter(|line| line["level"] == "TRACE").count() > 100);
    for line in &log {
        for (field, value) in line.as_object().unwrap() {
            assert!(known.contains(&**field), "{line}");
            assert!(value.as_str().is_none_or(|text| text.len() < 300), "{line}");
        }
    }
}
