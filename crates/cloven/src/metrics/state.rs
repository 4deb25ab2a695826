//! What is known of a party, out of its updates.

mod service;
mod show;

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use cloven_nn::Evaluation;
use cloven_wire::{Party, Traffic};

pub(super) use self::service::ServiceState;
use crate::{Error, Job, Role, Stamped, Update};

/// Progress of one party. Counters count in this process: those of one that was killed begin anew, as Prometheus expects.
pub(super) struct State {
    party: Party,
    role: Role,
    job: JobFacts,
    begun: f64,
    updated: f64,
    stage: Stage,
    exit_code: Option<u8>,
    plan: Plan,
    /// The epoch at work or done last.
    epoch: u32,
    epochs_done: u32,
    /// Of the epoch.
    batches_done: usize,
    /// Of the epoch, in this process.
    rows_done: usize,
    batches: u64,
    rows: u64,
    batch_loss: Option<f64>,
    epoch_loss: Option<f64>,
    evaluations: BTreeMap<String, Evaluation>,
    phases: [Phase; 3],
    /// Seconds after the party's start, and bytes on the connections of now, up to which `phases` counts.
    counted: (f64, Traffic),
    connected: BTreeMap<Party, bool>,
    lost: BTreeMap<Party, u64>,
    turned_away: u64,
    checkpoints: u64,
    resumes: u64,
}

struct JobFacts {
    protocol: String,
    digest: String,
    dataset: String,
    model: String,
}

#[derive(Default)]
struct Plan {
    epochs: u32,
    batches: usize,
    train_rows: usize,
    test_rows: usize,
}

#[derive(Clone, Copy, Default)]
struct Phase {
    seconds: f64,
    traffic: Traffic,
}

/// What a party is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Training,
    Waiting,
    Finished,
    Failed,
}

/// Places in `phases`.
const SETUP: usize = 0;
const TRAINING: usize = 1;
const EVALUATION: usize = 2;

impl State {
    pub(super) fn new(job: &Job, party: &Party, now: SystemTime) -> Result<Self, Error> {
        let role = job.role(party)?;
        let peers = job.peers(party);
        let begun = seconds(now);
        Ok(Self {
            party: party.clone(),
            role,
            job: JobFacts {
                protocol: job.protocol.name().to_owned(),
                digest: job.digest_hex(),
                dataset: job.data.name.clone(),
                model: job.model_name(),
            },
            begun,
            updated: begun,
            stage: Stage::Connecting,
            exit_code: None,
            plan: Plan {
                epochs: job.training.epochs,
                ..Plan::default()
            },
            epoch: 0,
            epochs_done: 0,
            batches_done: 0,
            rows_done: 0,
            batches: 0,
            rows: 0,
            batch_loss: None,
            epoch_loss: None,
            evaluations: BTreeMap::new(),
            phases: Default::default(),
            counted: Default::default(),
            connected: peers.clone().map(|peer| (peer.clone(), false)).collect(),
            lost: peers.map(|peer| (peer.clone(), 0)).collect(),
            turned_away: 0,
            checkpoints: 0,
            resumes: 0,
        })
    }

    /// The party failed.
    pub(super) fn fail(&mut self, exit_code: u8, now: SystemTime) {
        (self.stage, self.exit_code, self.updated) = (Stage::Failed, Some(exit_code), seconds(now));
    }

    /// Takes an update in.
    pub(super) fn absorb(&mut self, Stamped { at, update, .. }: &Stamped, now: SystemTime) {
        self.updated = seconds(now);
        match update {
            Update::Connected { peer } => drop(self.connected.insert(peer.clone(), true)),
            Update::TurnedAway { .. } => self.turned_away += 1,
            Update::Lost { peer, .. } => self.lose(peer),
            Update::Checkpoint { written, .. } => self.checkpoints = *written,
            Update::Alone => (self.resumes, self.epochs_done) = (self.resumes + 1, self.plan.epochs),
            Update::Finished { .. } => (self.stage, self.exit_code) = (Stage::Finished, Some(0)),
            Update::Failed { exit_code, .. } => self.fail(*exit_code, now),
            training => self.train(*at, training),
        }
    }

    /// All connections begin anew.
    fn lose(&mut self, peer: &Party) {
        self.stage = Stage::Waiting;
        *self.lost.entry(peer.clone()).or_default() += 1;
        self.connected.values_mut().for_each(|connected| *connected = false);
        self.counted.1 = Traffic::default();
    }

    fn train(&mut self, at: f64, update: &Update) {
        match update {
            Update::Started {
                epochs,
                train_rows,
                test_rows,
                batches,
                from,
                connection,
            } => {
                self.plan = Plan {
                    epochs: *epochs,
                    batches: *batches,
                    train_rows: *train_rows,
                    test_rows: *test_rows,
                };
                self.stage = Stage::Training;
                self.resumes += u64::from(*from != Default::default());
                (self.epoch, self.epochs_done) = (from.epoch.min(*epochs), from.epoch - 1);
                (self.batches_done, self.rows_done) = (from.batch as usize, 0);
                self.counted.0 = at;
                self.count(SETUP, at, *connection);
            }
            Update::Batch {
                epoch,
                batch,
                rows,
                loss,
                traffic,
            } => {
                self.epoch = *epoch;
                self.advance(*batch, *rows);
                self.batch_loss = loss.or(self.batch_loss);
                self.count(TRAINING, at, *traffic);
            }
            Update::Epoch {
                epoch,
                loss,
                rows,
                connection,
                ..
            } => {
                self.advance(self.plan.batches, *rows);
                (self.epoch, self.epochs_done) = (*epoch, *epoch);
                (self.batches_done, self.rows_done) = (0, 0);
                self.epoch_loss = loss.or(self.epoch_loss);
                self.count(TRAINING, at, *connection);
            }
            Update::Evaluated {
                evaluation,
                subsets,
                connection,
                ..
            } => {
                self.count(EVALUATION, at, *connection);
                let all = evaluation.iter().map(|evaluation| ("all".to_owned(), evaluation.clone()));
                self.evaluations.extend(subsets.clone());
                self.evaluations.extend(all);
            }
            _ => (),
        }
    }

    fn advance(&mut self, batch: usize, rows: usize) {
        self.batches += batch.saturating_sub(self.batches_done) as u64;
        self.rows += rows.saturating_sub(self.rows_done) as u64;
        (self.batches_done, self.rows_done) = (batch, rows);
    }

    /// What has passed since the last time belongs to a phase.
    fn count(&mut self, phase: usize, at: f64, traffic: Traffic) {
        let (then, before) = std::mem::replace(&mut self.counted, (at, traffic));
        let phase = &mut self.phases[phase];
        phase.seconds += (at - then).max(0.0);
        phase.traffic.sent += traffic.sent.saturating_sub(before.sent);
        phase.traffic.received += traffic.received.saturating_sub(before.received);
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests;
