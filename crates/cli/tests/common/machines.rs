//! Parties as on machines of their own, each a process; killed and started again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use super::{command, free_address, stderr, succeed, text};

pub struct Machines {
    root: tempfile::TempDir,
    parties: Vec<String>,
    /// Whose progress is watched.
    lead: String,
    settings: Vec<String>,
    digest: String,
}

impl Machines {
    /// All folders of a job that `make` writes; `settings` are those of `--set`.
    pub fn new(parties: &[&str], lead: &str, settings: &[&str], make: impl Fn(&Path) -> String) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("machines");
        let job = make(&folder);
        succeed(&["init", &text(&folder)]);
        let addresses: Vec<(String, String)> = (7443..7443 + parties.len())
            .map(|port| (format!("127.0.0.1:{port}"), free_address()))
            .collect();
        for party in parties {
            let path = folder.join(party).join("local.toml");
            let local = fs::read_to_string(&path).unwrap();
            let local = addresses.iter().fold(local, |local, (old, new)| local.replace(old, new));
            fs::write(&path, local).unwrap();
        }
        let settings: Vec<String> = settings
            .iter()
            .flat_map(|setting| ["--set", setting])
            .map(str::to_owned)
            .collect();
        let mut asked = command(&["party", &job, "--as", lead]);
        let said = stderr(&asked.args(&settings).output().unwrap());
        let digest = said.lines().find_map(|line| line.strip_prefix("job "));
        Self {
            digest: digest.unwrap_or_else(|| panic!("{said}")).to_owned(),
            root,
            parties: parties.iter().map(|party| (*party).to_owned()).collect(),
            lead: lead.to_owned(),
            settings,
        }
    }

    pub fn run_folder(&self, run: &str, party: &str) -> PathBuf {
        self.root.path().join(run).join(party)
    }

    /// Changes the `local.toml` of a party.
    pub fn edit(&self, party: &str, change: impl FnOnce(&mut toml::Table)) {
        let path = self.root.path().join("machines").join(party).join("local.toml");
        let mut local: toml::Table = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut local);
        fs::write(&path, toml::to_string(&local).unwrap()).unwrap();
    }

    /// Starts a party in a run's folder, `how` being `--run-folder` or `--resume`.
    pub fn start(&self, how: &str, run: &str, party: &str) -> Child {
        let job = text(&self.root.path().join("machines/job.toml"));
        let folder = text(&self.run_folder(run, party));
        let mut command = command(&["party", &job, "--as", party, "--json", "--accept", &self.digest, how, &folder]);
        let command = command.args(&self.settings);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// All of them, in a new run.
    pub fn start_all(&self, run: &str) -> Vec<(String, Child)> {
        fs::create_dir(self.root.path().join(run)).unwrap();
        let parties = self.parties.iter();
        parties
            .map(|party| (party.clone(), self.start("--run-folder", run, party)))
            .collect()
    }

    /// Until the one who is watched has trained so many epochs.
    pub fn wait_for_epochs(&self, run: &str, epochs: usize) {
        let begun = Instant::now();
        let path = self.run_folder(run, &self.lead).join("metrics.jsonl");
        let done = || {
            let metrics = fs::read_to_string(&path).unwrap_or_default();
            metrics.lines().filter(|line| line.contains("\"event\":\"epoch\"")).count()
        };
        while done() < epochs {
            assert!(begun.elapsed() < Duration::from_secs(60), "no progress at {}", self.lead);
            sleep(Duration::from_millis(2));
        }
    }

    /// What everybody has kept after some epochs, the secrets included: runs that go on from there have the same end.
    pub fn interrupted(&self) {
        let parties = self.start_all("first");
        self.wait_for_epochs("first", 2);
        for (_, mut party) in parties {
            party.kill().unwrap();
            party.wait().unwrap();
        }
    }

    /// Goes on with a copy; `victim` is killed on the way, and goes on. What parties have in these files of `checkpoints` at the end.
    pub fn resume(&self, run: &str, victim: Option<&str>, files: &[(&str, &str)]) -> Vec<Vec<u8>> {
        copy(&self.root.path().join("first"), &self.root.path().join(run));
        let resumed = |party: &String| (party.clone(), self.start("--resume", run, party));
        let mut parties: Vec<_> = self.parties.iter().map(resumed).collect();
        if let Some(victim) = victim {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            self.wait_for_epochs(run, 5);
            sleep(Duration::from_millis((now.subsec_nanos() % 200).into()));
            let (_, child) = parties.iter_mut().find(|(party, _)| party == victim).unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            *child = self.start("--resume", run, victim);
        }
        for (party, child) in parties {
            let output = child.wait_with_output().unwrap();
            let said = stderr(&output);
            assert!(output.status.success(), "{party}, {victim:?} killed: {said}");
            assert!(!self.run_folder(run, &party).join("resume").exists(), "{party}");
        }
        let read = |(party, file): &(&str, &str)| fs::read(self.run_folder(run, party).join("checkpoints").join(file)).unwrap();
        files.iter().map(read).collect()
    }
}

/// A folder and all in it.
pub fn copy(from: &Path, to: &Path) {
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
