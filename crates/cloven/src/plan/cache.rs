//! Measurements kept between plans: one small JSON file each, under the user's cache folder.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{link::Carriage, pieces::Workload, rehearsal::Rehearsed};
use crate::{
    Job, Program, Role,
    files::{self, read_text},
};

/// What a file of another form says.
const VERSION: u32 = 1;

/// Where measurements are kept. What was measured by another version of the program, on another machine or for other work has other names.
pub struct Cache {
    folder: Option<PathBuf>,
    /// The digest of program and machine.
    here: String,
    /// Measure again.
    fresh: bool,
    notes: RefCell<Vec<String>>,
}

/// What is measured of the machine once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) carriage: Carriage,
    /// Resident memory of a party's process, without anything that depends on the job.
    pub(super) base: Base,
    /// What an epoch costs besides the scripts and the link, where the parties are processes of this machine.
    pub(super) extra: Extra,
}

/// Seconds of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Extra {
    /// Reporting to `cloven run`, which has to be woken.
    pub(super) reporting: f64,
    /// Keeping checkpoints on a disk that the parties share.
    pub(super) settling: f64,
}

/// By role; nothing where the system does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Base {
    pub(super) client: Option<u64>,
    pub(super) server: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct File<T> {
    version: u32,
    name: String,
    measured: T,
}

impl Cache {
    /// In `folder`, if it is given; `program` is what runs the parties.
    pub fn new(folder: Option<PathBuf>, program: &Program, fresh: bool) -> Self {
        Self {
            folder,
            here: digest(&(env!("CARGO_PKG_VERSION"), files_of(program), machine())),
            fresh,
            notes: RefCell::default(),
        }
    }

    /// `$CLOVEN_CACHE`, or `cloven` under `$XDG_CACHE_HOME` or `~/.cache`; nothing where the system says neither.
    pub fn default_folder() -> Option<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("CLOVEN_CACHE")
            .or_else(|| Some(set("XDG_CACHE_HOME")?.join("cloven")))
            .or_else(|| Some(set("HOME")?.join(".cache").join("cloven")))
    }

    /// What there is to say about files that could not be used, or not be written.
    pub(super) fn notes(&self) -> Vec<String> {
        self.notes.borrow().clone()
    }

    /// What was measured of this machine, if it was.
    pub(super) fn machine(&self) -> Option<Machine> {
        self.read("machine")
    }

    pub(super) fn keep_machine(&self, machine: &Machine) {
        self.write("machine", machine);
    }

    /// What was rehearsed for this job, if it was.
    pub(super) fn rehearsed(&self, job: &Job, rows: [usize; 2]) -> Option<Rehearsed> {
        self.read(&rehearsal_name(job, rows))
    }

    pub(super) fn keep_rehearsed(&self, job: &Job, rows: [usize; 2], rehearsed: &Rehearsed) {
        self.write(&rehearsal_name(job, rows), rehearsed);
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        let name = digest(&(&self.here, name));
        Some(self.folder.as_ref()?.join(format!("plan-{}.json", &name[..32])))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.path(name).filter(|path| !self.fresh && path.exists())?;
        let unusable = |why: String| {
            let note = format!("{} cannot be used ({why}): measured again", path.display());
            self.notes.borrow_mut().push(note);
        };
        let text = read_text(&path).map_err(|e| unusable(e.to_string())).ok()?;
        let file: File<T> = serde_json::from_str(&text).map_err(|e| unusable(e.to_string())).ok()?;
        match (file.version, file.name == name) {
            (VERSION, true) => Some(file.measured),
            _ => {
                unusable("it is of something else".into());
                None
            }
        }
    }

    /// A measurement that cannot be kept is still one.
    fn write<T: Serialize>(&self, name: &str, measured: &T) {
        let Some(path) = self.path(name) else { return };
        let file = File {
            version: VERSION,
            name: name.to_owned(),
            measured,
        };
        let text = serde_json::to_string(&file).expect("measurements have only string keys");
        if let Err(error) = files::write(&path, text.as_bytes(), true) {
            let note = format!("what was measured is not kept: {error}");
            self.notes.borrow_mut().push(note);
        }
    }
}

/// Says what a rehearsal depends on: the job without what changes only how often things are done, and the sizes of the last batches.
fn rehearsal_name(job: &Job, rows: [usize; 2]) -> String {
    let workload = Workload {
        schedule: job.schedule(),
        train_rows: rows[0],
        test_rows: rows[1],
    };
    let mut job = job.clone();
    job.seed = 0;
    (job.training.epochs, job.training.evaluate_every) = (1, 1);
    (job.data.train_rows, job.data.test_rows, job.data.test_fraction) = (None, None, 0.0);
    job.data.name.clear();
    let clients = job.parties.values().filter(|role| **role == Role::Client).count();
    let names: BTreeMap<_, _> = std::mem::take(&mut job.parties);
    let lengths: Vec<usize> = names.keys().map(|party| party.as_str().len()).collect();
    let job = serde_json::to_string(&job).expect("a job has only string keys and finite numbers");
    format!("rehearsal {} {clients} {lengths:?} {job}", workload.sizes())
}

/// Size and time of change of the program's files: a build of the same version may be another program.
fn files_of(program: &Program) -> Vec<Option<(u64, std::time::SystemTime)>> {
    let of = |path: &Path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.len(), file.modified().ok()?))
    };
    program.files().map(of).collect()
}

/// What the processor calls itself and what it can do, and how many threads it has.
fn machine() -> (Vec<String>, usize) {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let wanted = |line: &&str| ["model name", "flags", "Features"].iter().any(|key| line.starts_with(key));
    let mut lines: Vec<String> = cpu.lines().filter(wanted).map(str::to_owned).collect();
    lines.dedup();
    lines.truncate(2);
    lines.push(std::env::consts::ARCH.to_owned());
    (lines, super::cores())
}

fn digest(of: &impl Serialize) -> String {
    let text = serde_json::to_vec(of).unwrap_or_default();
    blake3::hash(&text).to_hex().to_string()
}
