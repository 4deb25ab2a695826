//! What a job will cost at each of its possible cuts, before it runs.
//!
//! Each cut is *rehearsed* (`rehearsal`): the parties' own scripts run in this process on few made-up rows, each party timed by a clock of
//! its own. That gives, for each party, a list of steps: so many seconds of work, then a message sent or awaited. A small simulation
//! (`replay`) plays the lists of a whole epoch against each other over a model of the link (`link`): what mutual TLS costs on
//! this machine, measured on loopback (`carriage`), and the bandwidth and delay of the line. So work and transfer overlap as they do in the scripts, and
//! a protocol needs no formula of its own for time or bytes. Memory (`memory`) is a formula over a measured base.

mod advice;
mod cache;
mod candidates;
mod carriage;
mod enclave;
mod link;
mod margin;
mod memory;
mod pieces;
mod predict;
mod recorder;
mod rehearsal;
mod replay;
mod small;
#[cfg(test)]
mod tests;
mod vertical;

use std::{collections::BTreeMap, ops::Range, path::PathBuf};

use cloven_protocols::Leak;
use cloven_wire::{Party, tcp::Emulation};
use serde::{Deserialize, Serialize};

pub use self::{
    cache::Cache,
    enclave::{EnclavePlan, plan_enclave},
    margin::Noise,
    vertical::{PairPlan, Span, VerticalPlan, plan_vertical},
};
use self::{
    cache::{Extra, Machine},
    candidates::{Candidate, candidates, packing},
    link::{Line, Link},
    predict::Forecast,
};
use crate::{EncryptionParameters, Error, Job, Local, Program, Protocol, Role, orchestrate};

/// All cuts together are rehearsed for about so many seconds, one for at least and at most so many.
const REHEARSALS: f64 = 10.0;
const ONE_REHEARSAL: [f64; 2] = [0.2, 1.5];

/// What [`plan`] is to look at.
pub struct PlanOptions {
    /// The `cloven` program.
    pub program: Program,
    /// The folder of the job file: a `NAME/local.toml` in it says where party NAME's data are, and its caps.
    pub job_folder: PathBuf,
    /// The line between the parties; without it they are on this machine.
    pub link: Option<Emulation>,
    /// Caps on the parties' memory, in bytes; before those of `local.toml`.
    pub memory: BTreeMap<Party, u64>,
    /// Only cuts with these layers at the server; empty: all.
    pub cuts: Vec<Range<usize>>,
    /// Training and test rows of each client; without them the data are loaded and counted.
    pub rows: Option<[usize; 2]>,
    /// Measurements kept from earlier plans.
    pub cache: Cache,
}

/// The costs of a job at each cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of cloven.
    pub version: String,
    /// Digest of the job as it is.
    pub job: String,
    /// The protocol.
    pub protocol: String,
    /// The line; null for all parties on this machine.
    pub link: Option<Emulation>,
    /// Training and test rows of each client.
    pub rows: [usize; 2],
    /// The cuts that the protocol can take.
    pub cuts: Vec<CutPlan>,
    /// Those that it cannot.
    pub refused: Vec<Refused>,
    /// Index in `cuts`: the fastest within the caps.
    pub recommended: Option<usize>,
    /// What the figures assume, and what went wrong with kept measurements.
    pub notes: Vec<String>,
}

/// Cuts that the protocol cannot take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// First and last layer at the server, of each.
    pub layers: Vec<[usize; 2]>,
    /// Why.
    pub why: String,
}

/// The costs of a job at one cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CutPlan {
    /// First and last layer at the server.
    pub layers: [usize; 2],
    /// Rows whose steps share a ciphertext, under `encrypted-model` in stride layout; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packing: Option<usize>,
    /// Whether the job has this cut as it is.
    pub of_job: bool,
    /// Seconds of an epoch's training, the mean over all epochs.
    pub seconds_per_epoch: f64,
    /// Seconds of one evaluation of the test rows.
    pub seconds_per_evaluation: f64,
    /// Seconds before the first batch, once connected.
    pub seconds_setup: f64,
    /// Seconds of the whole job.
    pub seconds_total: f64,
    /// Bytes of all messages of all parties in an epoch's training, at the socket (mean).
    pub bytes_per_epoch: u64,
    /// Bytes of all parties before the first batch, at the socket; without the handshakes.
    pub bytes_setup: u64,
    /// Bytes of all parties in one evaluation.
    pub bytes_per_evaluation: u64,
    /// Each party's part. Several clients are alike.
    pub parties: BTreeMap<Party, PartyPlan>,
    /// Seconds that an epoch would be shorter without: computing of a party, `bandwidth`, `latency`, `messages` (sockets and TLS).
    pub parts: BTreeMap<String, f64>,
    /// The largest of them, or `memory` where a cap is exceeded.
    pub limit: String,
    /// Why this cut is recommended, or why another is.
    pub why: String,
    /// Parameters of the encryption; null without one.
    pub params: Option<EncryptionParameters>,
    /// The room that the encryption leaves; null without one.
    pub noise: Option<Noise>,
    /// What each party learns.
    pub leaks: Vec<Leak>,
}

/// One party's part in a cut's costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartyPlan {
    /// Its role.
    pub role: Role,
    /// Seconds of an epoch in which it computes.
    pub working: f64,
    /// Seconds of an epoch in which it hands bytes to sockets or takes them from there.
    pub carrying: f64,
    /// The rest of an epoch.
    pub waiting: f64,
    /// Bytes it sends in an epoch's training, at the socket (mean).
    pub bytes_per_epoch: u64,
    /// Bytes it sends before the first batch.
    pub bytes_setup: u64,
    /// Largest resident memory of its process; null where the system does not tell.
    pub peak_rss_bytes: Option<u64>,
    /// The cap on it.
    pub memory_cap: Option<u64>,
}

/// The figures that a run is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// Seconds of an epoch's training.
    pub seconds_per_epoch: f64,
    /// Bytes of all messages of all parties in an epoch's training, at the socket (mean).
    pub bytes_per_epoch: u64,
}

/// Plans a job; `told` hears what is being measured.
///
/// # Errors
/// What is wrong with the job or the data, or with a cut where only that was asked for; [`Error::Configuration`] where the protocol can take
/// none of the cuts.
pub fn plan(job: &Job, options: &PlanOptions, told: &mut dyn FnMut(&str)) -> Result<Plan, Error> {
    if matches!(job.protocol, Protocol::Vertical | Protocol::Enclave) {
        return Err(Error::configuration(
            "protocol",
            "such a job is planned by its messages: plan_vertical, plan_enclave",
        ));
    }
    let clients = ClientRows::find(job, options)?;
    let machine = machine(options, told)?;
    let wanted = |layers: &Range<usize>| options.cuts.is_empty() || options.cuts.contains(layers);
    let mut all = candidates(job, wanted)?;
    if options.cuts.is_empty() {
        all = all.into_iter().flat_map(Candidate::in_every_layout).collect();
    }
    let possible = all.iter().filter(|candidate| candidate.job.is_ok()).count();
    let [least, most] = ONE_REHEARSAL;
    let seconds = (REHEARSALS / possible.max(1) as f64).clamp(least, most);
    let link = Link {
        carriage: machine.carriage.clone(),
        line: options.link.map(Line::of),
    };
    let mut refused: Vec<Refused> = Vec::new();
    let mut cuts = Vec::new();
    for candidate in all {
        let layers = [candidate.layers.start, candidate.layers.end - 1];
        let at_cut = match candidate.job {
            Ok(job) => job,
            Err(error) => {
                refuse(&mut refused, layers, error);
                continue;
            }
        };
        let rehearsed = match options.cache.rehearsed(&at_cut, clients.rows) {
            Some(kept) => kept,
            None => {
                told(&format!(
                    "rehearsing layers {} at the server",
                    described(layers, packing(&at_cut))
                ));
                let rehearsed = rehearsal::rehearse(&at_cut, clients.rows, seconds)?;
                options.cache.keep_rehearsed(&at_cut, clients.rows, &rehearsed);
                rehearsed
            }
        };
        let forecast = Forecast {
            job: &at_cut,
            rehearsed: &rehearsed,
            rows: clients.rows,
            link: &link,
            cores: processes(job, options.link),
            extra: if options.link.is_none() {
                machine.extra
            } else {
                Extra::default()
            },
        };
        let mut cut = CutPlan::new(&forecast, layers, &machine, &clients)?;
        cut.of_job = job.cut()?.server == candidate.layers && packing(job) == packing(&at_cut);
        cuts.push(cut);
    }
    if let (true, Some(first)) = (cuts.is_empty(), refused.first()) {
        return Err(Error::configuration("cut", format!("no cut is possible: {}", first.why)));
    }
    let mut plan = Plan {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        job: job.digest_hex(),
        protocol: job.protocol.name().to_owned(),
        link: options.link,
        rows: clients.rows,
        cuts,
        refused,
        recommended: None,
        notes: notes(job, options, &clients),
    };
    advice::advise(&mut plan);
    Ok(plan)
}

/// The figures of the job as it is, from kept measurements only; nothing where they are missing. All parties are on this machine.
pub fn recall(job: &Job, rows: [usize; 2], link: Option<Emulation>, cache: &Cache) -> Option<Predicted> {
    if matches!(job.protocol, Protocol::Vertical | Protocol::Enclave) {
        return None;
    }
    let machine = cache.machine()?;
    let rehearsed = cache.rehearsed(&with_layers(job).ok()?, rows)?;
    let link = Link {
        carriage: machine.carriage,
        line: link.map(Line::of),
    };
    let forecast = Forecast {
        job,
        rehearsed: &rehearsed,
        rows,
        link: &link,
        cores: cores(),
        extra: machine.extra,
    };
    Some(Predicted {
        seconds_per_epoch: forecast.seconds().training,
        bytes_per_epoch: forecast.bytes_per_epoch(),
    })
}

/// The job with its cut as numbers of layers, as every candidate has it.
fn with_layers(job: &Job) -> Result<Job, Error> {
    let mut job = job.clone();
    job.model.server_layers = Some(job.cut()?.server.collect());
    Ok(job)
}

/// A client's rows, and what they are known to take.
struct ClientRows {
    rows: [usize; 2],
    /// Memory that they take.
    held: u64,
    /// Peak of memory while they are loaded, where that was measured.
    loaded: Option<u64>,
    caps: BTreeMap<Party, u64>,
}

impl ClientRows {
    fn find(job: &Job, options: &PlanOptions) -> Result<Self, Error> {
        let (rows, rise) = match options.rows {
            Some(rows) => (rows, None),
            None => {
                let locals = orchestrate::locals(job, &options.job_folder, None)?;
                let (rows, rise) = memory::rise(|| first_client(job, &locals))?;
                (rows, rise)
            }
        };
        if rows[0] == 0 {
            return Err(Error::configuration("rows", "a client needs at least one training row"));
        }
        job.check_batches(rows[0])?;
        Ok(Self {
            rows,
            held: memory::rows(job, rows),
            loaded: rise,
            caps: caps(job, options)?,
        })
    }
}

fn first_client(job: &Job, locals: &orchestrate::Locals) -> Result<[usize; 2], Error> {
    let client = job.clients().next().and_then(|client| locals.get(client));
    let local = client.ok_or_else(|| Error::configuration("parties", "no client"))?;
    let source = local.data.as_ref().ok_or_else(|| Error::configuration("data", "no data"))?;
    let data = source.load(job, local.part)?;
    Ok([data.train.rows(), data.test.rows()])
}

/// Caps on memory: those asked for, and those of each party's `local.toml` beside the job.
fn caps(job: &Job, options: &PlanOptions) -> Result<BTreeMap<Party, u64>, Error> {
    let mut caps = BTreeMap::new();
    for party in job.parties.keys() {
        let own = options.job_folder.join(party.as_str()).join(Local::FILE);
        if own.exists() {
            caps.extend(Local::read(&own)?.limits.memory_mb.map(|mb| (party.clone(), mb * 1_000_000)));
        }
    }
    for (party, cap) in &options.memory {
        job.role(party)?;
        caps.insert(party.clone(), *cap);
    }
    Ok(caps)
}

fn machine(options: &PlanOptions, told: &mut dyn FnMut(&str)) -> Result<Machine, Error> {
    if let Some(kept) = options.cache.machine() {
        return Ok(kept);
    }
    told("measuring this machine");
    let machine = Machine::measure(&options.program)?;
    options.cache.keep_machine(&machine);
    Ok(machine)
}

fn refuse(refused: &mut Vec<Refused>, layers: [usize; 2], error: Error) {
    let why = match error {
        Error::Configuration { problem, .. } => problem,
        other => other.to_string(),
    };
    match refused.iter_mut().find(|other| other.why == why) {
        Some(same) => same.layers.push(layers),
        None => refused.push(Refused {
            layers: vec![layers],
            why,
        }),
    }
}

fn notes(job: &Job, options: &PlanOptions, clients: &ClientRows) -> Vec<String> {
    let mut notes = options.cache.notes();
    if job.clients().count() > 1 {
        let machines = match options.link {
            None => "all on this machine",
            Some(_) => "each on a machine and a line of its own",
        };
        notes.push(format!(
            "several clients: all as the first, with {} training rows each, {machines}; at the server one thread serves them in turn",
            clients.rows[0]
        ));
    }
    if options.link.is_some() {
        notes.push("every party computes as fast as this machine".into());
    }
    if clients.loaded.is_none() {
        notes.push("memory of clients: without what reading their files takes".into());
    }
    notes
}

/// First and last layer as a person writes them, and the packing if there is one: `0-1/4`.
pub fn described([first, last]: [usize; 2], packing: Option<usize>) -> String {
    let layers = match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    match packing {
        None => layers,
        Some(packing) => format!("{layers}/{packing}"),
    }
}

impl CutPlan {
    /// The cut as a person writes it.
    pub fn described(&self) -> String {
        described(self.layers, self.packing)
    }
}

/// Processes that work at the same time: those of one machine share its cores.
fn processes(job: &Job, link: Option<Emulation>) -> usize {
    match link {
        None => cores(),
        Some(_) => job.parties.len(),
    }
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Where the program is, for [`Cache::new`].
pub fn cache_for(program: &Program, folder: Option<PathBuf>, fresh: bool) -> Cache {
    Cache::new(folder.or_else(Cache::default_folder), program, fresh)
}
