//! Running the `cloven` binary and looking at what it left behind.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

pub mod machines;
pub mod pages;
pub mod service;

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloven"));
    command.args(args).stdin(Stdio::null());
    command
}

pub fn cloven(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// Runs and demands success; returns stdout.
pub fn succeed(args: &[&str]) -> String {
    let output = cloven(args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs and demands this exit code; returns stderr.
pub fn fail(code: i32, args: &[&str]) -> String {
    let output = cloven(args);
    let stderr = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

pub fn example(name: &str) -> String {
    text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name))
}

/// The arrays of a safetensors file, by name: shape and little-endian numbers.
pub fn arrays(path: &Path) -> BTreeMap<String, (Vec<u64>, Vec<f32>)> {
    let bytes = fs::read(path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let meta = json(std::str::from_utf8(&bytes[8..8 + header]).unwrap());
    let entries = meta.as_object().unwrap().iter().filter(|(name, _)| *name != "__metadata__");
    entries
        .map(|(name, entry)| {
            let range = [0, 1].map(|i| 8 + header + entry["data_offsets"][i].as_u64().unwrap() as usize);
            let numbers = bytes[range[0]..range[1]].chunks_exact(4);
            let numbers = numbers.map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect();
            let shape = entry["shape"]
                .as_array()
                .unwrap()
                .iter()
                .map(|d| d.as_u64().unwrap())
                .collect();
            (name.clone(), (shape, numbers))
        })
        .collect()
}

/// A hospital and a cloud as on two machines: each folder made by its own `init --as`, with the other's identity pinned.
pub struct TwoMachines {
    root: tempfile::TempDir,
}

impl TwoMachines {
    /// The cloud listens, the hospital dials; or the other way round.
    pub fn new(hospital_dials: bool) -> Self {
        let this = Self {
            root: tempfile::tempdir().unwrap(),
        };
        let machine = |party: &str| text(&this.root.path().join(party));
        succeed(&["init", &machine("hospital"), "--as", "hospital"]);
        succeed(&["init", &machine("cloud"), "--as", "cloud"]);
        for (party, other) in [("hospital", "cloud"), ("cloud", "hospital")] {
            let identity = text(&this.machine(other).join(format!("{other}.identity.toml")));
            let folder = text(&this.folder(party));
            let printed = succeed(&["roster", "add", &identity, "--to", &folder]);
            assert!(printed.contains("blake3:"), "{printed}");
        }
        let address = free_address();
        let (listener, dialler) = if hospital_dials {
            ("cloud", "hospital")
        } else {
            ("hospital", "cloud")
        };
        this.edit(listener, |local| {
            local.remove("dial");
            local.insert("listen".into(), address.clone().into());
        });
        this.edit(dialler, |local| {
            local.remove("listen");
            local.insert(
                "dial".into(),
                toml::Table::from_iter([(listener.to_owned(), address.clone().into())]).into(),
            );
        });
        this
    }

    /// What stands for a party's machine.
    pub fn machine(&self, party: &str) -> PathBuf {
        self.root.path().join(party)
    }

    /// A party's private folder.
    pub fn folder(&self, party: &str) -> PathBuf {
        self.machine(party).join(party)
    }

    pub fn run_folder(&self, party: &str) -> PathBuf {
        self.machine(party).join("run")
    }

    /// Changes a party's `local.toml`.
    pub fn edit(&self, party: &str, change: impl FnOnce(&mut toml::Table)) {
        let path = self.folder(party).join("local.toml");
        let mut local: toml::Table = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut local);
        fs::write(&path, toml::to_string(&local).unwrap()).unwrap();
    }

    /// Sets a party's deadlines in seconds.
    pub fn deadlines(&self, party: &str, connect: i64, message: i64) {
        self.edit(party, |local| {
            let both = [
                ("connect_seconds".to_owned(), connect.into()),
                ("message_seconds".to_owned(), message.into()),
            ];
            local.insert("deadlines".into(), toml::Table::from_iter(both).into());
        });
    }

    /// Sets how long a party waits for one that is gone, in seconds.
    pub fn reconnect(&self, party: &str, seconds: i64) {
        self.edit(party, |local| {
            let reconnect = [("reconnect_seconds".to_owned(), seconds.into())];
            local.insert("deadlines".into(), toml::Table::from_iter(reconnect).into());
        });
    }

    /// Starts a party that accepts the job as it is after `settings`.
    pub fn start(&self, party: &str, settings: &[&str]) -> Child {
        self.launch(party, "--run-folder", settings, &[])
    }

    /// Starts it with further arguments.
    pub fn start_with(&self, party: &str, settings: &[&str], arguments: &[&str]) -> Child {
        self.launch(party, "--run-folder", settings, arguments)
    }

    /// Starts it again in the run folder of an earlier start.
    pub fn resume(&self, party: &str, settings: &[&str]) -> Child {
        self.launch(party, "--resume", settings, &[])
    }

    fn launch(&self, party: &str, how: &str, settings: &[&str], arguments: &[&str]) -> Child {
        let job = text(&self.machine(party).join("job.toml"));
        let digest = digest(&job, settings);
        let folder = text(&self.run_folder(party));
        let mut command = command(&["party", &job, "--as", party, "--json", "--accept", &digest, how, &folder]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        command.args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs both parties to their ends, the cloud first.
    pub fn both(&self, at_hospital: &[&str], at_cloud: &[&str]) -> (Output, Output) {
        let cloud = self.start("cloud", at_cloud);
        let hospital = self.start("hospital", at_hospital);
        (hospital.wait_with_output().unwrap(), cloud.wait_with_output().unwrap())
    }
}

/// The digest that a party would be asked to accept.
fn digest(job: &str, settings: &[&str]) -> String {
    let mut command = command(&["party", job, "--as", "hospital"]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    let stderr = stderr(&command.output().unwrap());
    let line = stderr
        .lines()
        .find_map(|line| line.strip_prefix("job "))
        .unwrap_or_else(|| panic!("{stderr}"));
    line.to_owned()
}

/// A loopback address that was free a moment ago.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
