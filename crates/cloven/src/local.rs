//! What one party keeps to itself: paths, addresses, key, caps. Never sent, never digested.

use std::{
    collections::BTreeMap,
    num::NonZero,
    ops::Range,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use cloven_wire::{Party, tcp::Emulation};
use serde::{Deserialize, Serialize};

pub use self::{data::LocalData, table::TableSource};
use crate::{Accelerator, Error, Job, MetricsAddress, files::read_toml, identity};

mod data;
mod table;

/// A parsed `local.toml`. Relative paths count from the file's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Local {
    /// Private key, mode 0600.
    #[serde(default = "key")]
    pub key: PathBuf,
    /// This party's certificate.
    #[serde(default = "certificate")]
    pub certificate: PathBuf,
    /// The pins of the other parties.
    #[serde(default = "roster")]
    pub roster: PathBuf,
    /// Where others may dial in, such as `0.0.0.0:7443`. Absent: this party opens no port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Where this party's metrics can be read while it trains or serves: `9100` is port 9100 of 127.0.0.1. Absent: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsAddress>,
    /// The link to imitate on what this party sends, such as `100Mbps,rtt=50ms`; for measuring on one machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emulate: Option<Emulation>,
    /// Addresses of the parties this one dials.
    #[serde(default)]
    pub dial: BTreeMap<Party, String>,
    /// Where this party's data are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<LocalData>,
    /// Train on this part of the training rows only: `1/3` is every third row, from the first. For trying several clients on one data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Of the features, only those with these numbers (`0..12`: the first twelve), and the rows in an order of its own. For trying several
    /// holders on one data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<ColumnRange>,
    /// `enclave`: the client's file of what an enclave must be to get anything; `deploy/` has examples. Needed unless attestation is simulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation_policy: Option<PathBuf>,
    /// The weights that this party's layers begin with, instead of random ones: safetensors with PyTorch's names, numbered as in the job. Layers of
    /// others in it are left alone. Not under `vertical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<PathBuf>,
    /// This server's share of the network, in a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<PathBuf>,
    /// What this worker computes its products on: `cpu` unless given, `wgpu` or `cuda` for a GPU, `wgpu:1` for another one than the first.
    #[serde(default)]
    pub accelerator: Accelerator,
    /// Caps.
    #[serde(default)]
    pub limits: Limits,
    /// How long each kind of wait may take.
    #[serde(default)]
    pub deadlines: Deadlines,
}

/// One of several equal parts of the training rows, as `2/3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Part {
    /// From 1.
    number: usize,
    of: usize,
}

impl Part {
    /// The part of one of several clients that divide one data set among them.
    pub(crate) fn of_client(job: &Job, client: &Party) -> Option<Self> {
        let place = job.clients().position(|other| other == client)?;
        let of = job.clients().count();
        (of > 1).then_some(Self { number: place + 1, of })
    }

    /// Every `of`-th row.
    fn rows(self, rows: usize) -> Vec<usize> {
        (self.number - 1..rows).step_by(self.of).collect()
    }
}

impl TryFrom<String> for Part {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(number, of)| Some((number.trim().parse().ok()?, of.trim().parse().ok()?)));
        parts
            .filter(|(number, of)| (1..=*of).contains(number))
            .map(|(number, of)| Self { number, of })
            .ok_or_else(|| format!("expected a part such as \"1/3\", got {text:?}"))
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        format!("{}/{}", part.number, part.of)
    }
}

/// Some of a table's features, as `0..12`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ColumnRange(pub(crate) Range<usize>);

impl TryFrom<String> for ColumnRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let ends = text
            .split_once("..")
            .and_then(|(from, to)| Some(from.trim().parse().ok()?..to.trim().parse().ok()?));
        ends.filter(|range| range.start <= range.end)
            .map(Self)
            .ok_or_else(|| format!("expected numbers of columns such as \"0..12\", got {text:?}"))
    }
}

impl From<ColumnRange> for String {
    fn from(ColumnRange(range): ColumnRange) -> Self {
        format!("{}..{}", range.start, range.end)
    }
}

/// Caps on what a party's process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Threads for computing on ciphertexts; every core unless given. The network's layers compute on one thread, which any cap allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Resident memory in MB (10^6 bytes) at which the run stops with an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
    /// Size in MB (10^6 bytes) at which `--record` stops recording; 1,000 if absent. The run goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording_mb: Option<u64>,
}

impl Limits {
    /// Applies the cap on threads to this process, once. The calling thread is one of them: it computes instead of waking another one and waiting for it.
    pub(crate) fn cap_threads(&self) {
        let all = || thread::available_parallelism().map_or(1, NonZero::get);
        let threads = self.threads.unwrap_or_else(all);
        let mut pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        // A pool of nothing but this thread would have nobody for another thread's work.
        if threads > 1 {
            pool = pool.use_current_thread();
        }
        // An error means that a pool is there already: this process computed before, under the same cap.
        let _ = pool.build_global();
    }
}

/// How long each kind of wait may take, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deadlines {
    /// For the other parties to be reached.
    pub connect_seconds: u64,
    /// For any one message, or for the sign that the other party is still at work.
    pub message_seconds: u64,
    /// For any one message, however many such signs come.
    pub total_seconds: u64,
    /// For a party that was connected and is gone, where the job keeps checkpoints; 0: its loss ends the run.
    pub reconnect_seconds: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect_seconds: 60,
            message_seconds: 120,
            total_seconds: 3600,
            reconnect_seconds: 600,
        }
    }
}

impl Deadlines {
    pub(crate) fn connect(&self) -> Duration {
        Duration::from_secs(self.connect_seconds)
    }

    pub(crate) fn message(&self) -> Duration {
        Duration::from_secs(self.message_seconds)
    }

    pub(crate) fn reconnect(&self) -> Duration {
        Duration::from_secs(self.reconnect_seconds)
    }

    pub(crate) fn total(&self) -> Duration {
        Duration::from_secs(self.total_seconds)
    }
}

fn key() -> PathBuf {
    identity::KEY.into()
}

fn certificate() -> PathBuf {
    identity::CERTIFICATE.into()
}

fn roster() -> PathBuf {
    identity::ROSTER.into()
}

impl Local {
    /// The file name inside a party's folder.
    pub const FILE: &str = "local.toml";

    /// Reads the file and makes its paths absolute or relative to the working directory.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut local: Self = read_toml(path)?;
        let base = path.parent().unwrap_or(Path::new("."));
        for file in [&mut local.key, &mut local.certificate, &mut local.roster] {
            *file = base.join(&*file);
        }
        for file in [&mut local.share, &mut local.attestation_policy, &mut local.initial_weights]
            .into_iter()
            .flatten()
        {
            *file = base.join(&*file);
        }
        if let Some(data) = &mut local.data {
            data.resolve(base);
        }
        if local.limits.threads == Some(0) {
            return Err(Error::configuration(path.display(), "limits.threads must be at least 1"));
        }
        let Deadlines {
            connect_seconds,
            message_seconds,
            total_seconds,
            reconnect_seconds: _,
        } = local.deadlines;
        if [connect_seconds, message_seconds, total_seconds].contains(&0) {
            return Err(Error::configuration(path.display(), "deadlines must be at least 1 second"));
        }
        Ok(local)
    }
}

impl Default for Local {
    fn default() -> Self {
        Self {
            key: key(),
            certificate: certificate(),
            roster: roster(),
            listen: None,
            metrics: None,
            emulate: None,
            dial: BTreeMap::new(),
            data: None,
            part: None,
            columns: None,
            attestation_policy: None,
            initial_weights: None,
            share: None,
            accelerator: Accelerator::default(),
            limits: Limits::default(),
            deadlines: Deadlines::default(),
        }
    }
}
