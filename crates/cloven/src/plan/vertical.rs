//! What a vertical job sends, shows and holds, by its declared messages. Nothing is rehearsed: seconds of computing are not forecast.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use cloven_protocols::{
    Leak,
    vertical::{
        Terms,
        cost::{Cost, Frame, counted},
    },
};
use cloven_wire::{
    Party,
    tcp::{Emulation, at_socket},
};
use serde::{Deserialize, Serialize};

use super::PlanOptions;
use crate::{EncryptionParameters, Error, Job, Role, orchestrate, party::HolderRows};

/// The costs of a vertical job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerticalPlan {
    /// The version of cloven.
    pub version: String,
    /// Digest of the job.
    pub job: String,
    /// The protocol.
    pub protocol: String,
    /// The line; null for all parties on this machine.
    pub link: Option<Emulation>,
    /// Training and test rows that all holders have.
    pub rows: [usize; 2],
    /// Training batches in an epoch.
    pub batches_per_epoch: u64,
    /// Bytes of all parties in an epoch's training, at the socket.
    pub bytes_per_epoch: u64,
    /// Of these, what depends on no weights and no gradients.
    pub preprocessing_bytes_per_epoch: u64,
    /// Bytes of all parties in one evaluation.
    pub bytes_per_evaluation: u64,
    /// Bytes of all parties before the first batch, but for the alignment, handshakes and what is small.
    pub bytes_before: u64,
    /// The same by sender and receiver.
    pub pairs: Vec<PairPlan>,
    /// Messages of a whole training batch that wait for each other, one way after the other.
    pub one_way_messages_per_batch: usize,
    /// Seconds of an epoch that the line alone takes: these messages, each half a round trip, and the bytes from one party to another where they are
    /// most. Null without a line.
    pub seconds_of_line_per_epoch: Option<f64>,
    /// Seconds of an epoch: not forecast, always null.
    pub seconds_per_epoch: Option<f64>,
    /// Bytes of rows, masks and masked columns that each holder keeps; its process takes more.
    pub held_bytes: BTreeMap<Party, u64>,
    /// What the server can find out in the long run.
    pub span: Span,
    /// Parameters of the encryption; null without one.
    pub params: Option<EncryptionParameters>,
    /// What each party learns.
    pub leaks: Vec<Leak>,
    /// What the figures assume.
    pub notes: Vec<String>,
}

/// What one party sends another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairPlan {
    /// The sender.
    pub from: Party,
    /// The receiver.
    pub to: Party,
    /// Messages in an epoch's training.
    pub messages_per_epoch: u64,
    /// Bytes in an epoch's training, at the socket.
    pub bytes_per_epoch: u64,
    /// Of these, what depends on no weights and no gradients.
    pub preprocessing_bytes_per_epoch: u64,
    /// Bytes in one evaluation.
    pub bytes_per_evaluation: u64,
    /// Bytes before the first batch.
    pub bytes_before: u64,
}

/// When the server has seen as many outputs of the first layer of each row as there are columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// After so many passes over the same rows.
    pub passes: u32,
    /// Columns of all holders.
    pub columns: usize,
    /// Outputs of the first layer.
    pub width: usize,
    /// Passes that the job makes.
    pub epochs: u32,
    /// Whether the job gets there; then it says so in `acknowledge`.
    pub reached: bool,
}

/// Plans a vertical job; its rows are those of `options`, or found in the tables of all holders if those are on this machine.
///
/// # Errors
/// What is wrong with the job or the data; [`Error::Configuration`] where the rows cannot be counted here.
pub fn plan_vertical(job: &Job, options: &PlanOptions) -> Result<VerticalPlan, Error> {
    if !options.cuts.is_empty() {
        let problem =
            "under protocol vertical the first layer is the holders' and the last ones are the label holder's: there is one cut";
        return Err(Error::configuration("--cut", problem));
    }
    let terms = job.vertical_terms()?;
    let rows = match options.rows {
        Some(rows) => rows,
        None => common_rows(job, &options.job_folder)?,
    };
    if rows[0] == 0 {
        return Err(Error::configuration("--rows", "expected at least one training row"));
    }
    let cut = job.cut()?;
    let hidden = cut.model.shapes()?[cut.server.end - 1].clone();
    let wrong = |cause| Error::configuration("vertical", cause);
    let cost = Cost::new(&terms, rows, &hidden).map_err(wrong)?;
    let mut pairs = Pairs::default();
    let schedule = terms.schedule;
    for (size, times) in counted(schedule.training_sizes(rows[0])) {
        pairs.add(
            &cost.training_batch(size).map_err(wrong)?,
            times,
            |pair, bytes, times, frame| {
                pair.messages_per_epoch += times;
                pair.bytes_per_epoch += bytes;
                pair.preprocessing_bytes_per_epoch += if frame.preprocessing { bytes } else { 0 };
            },
        );
    }
    for (size, times) in counted(schedule.evaluation_sizes(rows[1])) {
        pairs.add(&cost.evaluation_batch(size).map_err(wrong)?, times, |pair, bytes, _, _| {
            pair.bytes_per_evaluation += bytes;
        });
    }
    pairs.add(&cost.before().map_err(wrong)?, 1, |pair, bytes, _, _| {
        pair.bytes_before += bytes
    });
    let pairs = pairs.sorted();
    let sum = |of: fn(&PairPlan) -> u64| pairs.iter().map(of).sum::<u64>();
    let one_way = cost.one_way_messages(schedule.batch.min(rows[0])).map_err(wrong)?;
    let batches = schedule.batches(rows[0]) as u64;
    Ok(VerticalPlan {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        job: job.digest_hex(),
        protocol: job.protocol.name().to_owned(),
        link: options.link,
        rows,
        batches_per_epoch: batches,
        bytes_per_epoch: sum(|pair| pair.bytes_per_epoch),
        preprocessing_bytes_per_epoch: sum(|pair| pair.preprocessing_bytes_per_epoch),
        bytes_per_evaluation: sum(|pair| pair.bytes_per_evaluation),
        bytes_before: sum(|pair| pair.bytes_before),
        one_way_messages_per_batch: one_way,
        seconds_of_line_per_epoch: options.link.map(|line| {
            let most = pairs.iter().map(|pair| pair.bytes_per_epoch).max().unwrap_or(0);
            let waits = batches as f64 * one_way as f64 * line.rtt().as_secs_f64() / 2.0;
            waits + 8.0 * most as f64 / line.bits_per_second() as f64
        }),
        seconds_per_epoch: None,
        held_bytes: terms
            .columns
            .keys()
            .map(|holder| (holder.clone(), cost.held_bytes(holder)))
            .collect(),
        span: span(&terms),
        params: job.encryption_parameters(Some(rows))?,
        leaks: job.leaks(),
        notes: notes(options),
        pairs,
    })
}

fn span(terms: &Terms) -> Span {
    let passes = terms.passes_until_span();
    Span {
        passes,
        columns: terms.features(),
        width: terms.width,
        epochs: terms.schedule.epochs,
        reached: terms.schedule.epochs >= passes,
    }
}

fn notes(options: &PlanOptions) -> Vec<String> {
    let mut notes = vec![
        "seconds of computing are not forecast for protocol vertical; run a few epochs, or see the ratios in README.md"
            .to_owned(),
        "bytes of the alignment, of handshakes and of agreements at the ends of epochs come on top".to_owned(),
    ];
    if !options.memory.is_empty() {
        notes.push("caps on memory are not compared: what a holder keeps is a part of what its process takes".into());
    }
    notes
}

/// Rows that all holders have, where the tables of all are on this machine.
fn common_rows(job: &Job, job_folder: &Path) -> Result<[usize; 2], Error> {
    let locals = orchestrate::locals(job, job_folder, None)?;
    let mut tables = Vec::new();
    for (party, local) in &locals {
        let role = job.role(party)?;
        if matches!(role, Role::Holder | Role::LabelHolder) {
            let table = HolderRows::load(job, party, role, local);
            tables.push(table.map_err(|error| {
                let problem = format!(
                    "the rows that all holders have cannot be counted here ({error}): say how many there are, --rows 24000,6000"
                );
                Error::configuration("rows", problem)
            })?);
        }
    }
    let Some((first, others)) = tables.split_first() else {
        return Err(Error::configuration("parties", "the job has no holder"));
    };
    let mut seen: HashMap<_, usize> = HashMap::new();
    for id in others.iter().flat_map(|other| other.digests()) {
        *seen.entry(id).or_default() += 1;
    }
    let everywhere = |place: &usize| seen.get(&first.digests()[*place]).copied().unwrap_or(0) == others.len();
    let places: Vec<usize> = (0..first.digests().len()).filter(everywhere).collect();
    let (_, parts) = first.divided(job, &places)?;
    Ok(parts.map(|part| part.len()))
}

#[derive(Default)]
struct Pairs(BTreeMap<(Party, Party), PairPlan>);

impl Pairs {
    /// Adds messages that are sent so many times; `add` hears of a message's bytes at the socket, all times together.
    fn add(&mut self, frames: &[Frame], times: u64, add: impl Fn(&mut PairPlan, u64, u64, &Frame)) {
        for frame in frames {
            let pair = self.0.entry((frame.from.clone(), frame.to.clone()));
            let pair = pair.or_insert_with(|| PairPlan {
                from: frame.from.clone(),
                to: frame.to.clone(),
                messages_per_epoch: 0,
                bytes_per_epoch: 0,
                preprocessing_bytes_per_epoch: 0,
                bytes_per_evaluation: 0,
                bytes_before: 0,
            });
            add(pair, times * at_socket(frame.bytes), times, frame);
        }
    }

    /// Those with the most bytes first.
    fn sorted(self) -> Vec<PairPlan> {
        let mut pairs: Vec<PairPlan> = self.0.into_values().collect();
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.bytes_per_epoch));
        pairs
    }
}
