//! From what was rehearsed to the figures of the whole job.

use std::collections::BTreeMap;

use cloven_protocols::{encrypted_activation, encrypted_model};
use cloven_wire::{Traffic, tcp::at_socket};

use super::{
    cache::Extra,
    link::{Carriage, Line, Link},
    pieces::{Kind, Pieces, Workload, bytes, compose},
    recorder::{Mark, Step},
    rehearsal::Rehearsed,
    replay::{Passed, Session, replay},
};
use crate::{
    Job,
    job::{Mode, Protocol, Samples},
};

/// So many batches an epoch are simulated at most; more take in proportion.
const MOST_BATCHES: usize = 20_000;
/// The same when asking what a limit costs.
const FEW_BATCHES: usize = 300;

/// What a rehearsed job will take.
pub(super) struct Forecast<'a> {
    pub(super) job: &'a Job,
    pub(super) rehearsed: &'a Rehearsed,
    /// Training and test rows of each client.
    pub(super) rows: [usize; 2],
    pub(super) link: &'a Link,
    /// Processes that can work at the same time.
    pub(super) cores: usize,
    /// What an epoch costs besides.
    pub(super) extra: Extra,
}

/// How one party spends the seconds of an epoch's training.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Spent {
    pub(super) working: f64,
    pub(super) carrying: f64,
    pub(super) waiting: f64,
}

/// Seconds, each the mean over the job's epochs but for the set-up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seconds {
    pub(super) setup: f64,
    pub(super) training: f64,
    pub(super) evaluation: f64,
    /// Of one client, and of the server.
    pub(super) spent: [Spent; 2],
}

/// What an epoch's time is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Client,
    Server,
    Bandwidth,
    Latency,
    Messages,
}

impl Part {
    pub(super) const ALL: [Self; 5] = [Self::Client, Self::Server, Self::Bandwidth, Self::Latency, Self::Messages];
}

impl Forecast<'_> {
    /// Seconds of the job.
    pub(super) fn seconds(&self) -> Seconds {
        self.play(self.rehearsed, self.link, MOST_BATCHES)
    }

    /// The seconds that an epoch would be shorter without each part.
    pub(super) fn parts(&self) -> BTreeMap<Part, f64> {
        let whole = self.play(self.rehearsed, self.link, FEW_BATCHES).training;
        let idle = |pieces: &Pieces| -> Pieces {
            let idle = |steps: &Vec<Step>| steps.iter().map(|step| Step { seconds: 0.0, ..*step }).collect();
            pieces.iter().map(|(kind, steps)| (*kind, idle(steps))).collect()
        };
        let on_line = |change: fn(&mut Line)| {
            let mut link = self.link.clone();
            link.line.iter_mut().for_each(change);
            link
        };
        let without = |part| {
            let mut rehearsed = self.rehearsed.clone();
            let mut link = self.link.clone();
            match part {
                Part::Client => rehearsed.client = idle(&rehearsed.client),
                Part::Server => rehearsed.server = idle(&rehearsed.server),
                Part::Bandwidth => link = on_line(|line| line.bytes_per_second = f64::INFINITY),
                Part::Latency => link = on_line(|line| line.delay = 0.0),
                Part::Messages => link.carriage = Carriage::free(),
            }
            self.play(&rehearsed, &link, FEW_BATCHES).training
        };
        Part::ALL.map(|part| (part, (whole - without(part)).max(0.0))).into()
    }

    fn workload(&self) -> Workload {
        Workload {
            schedule: self.job.schedule(),
            train_rows: self.rows[0],
            test_rows: self.rows[1],
        }
    }

    fn clients(&self) -> usize {
        self.job.clients().count()
    }

    /// Simulates three epochs: the first, one like all later ones, and one at whose end the protocol does what it does once in a while.
    fn play(&self, rehearsed: &Rehearsed, link: &Link, most: usize) -> Seconds {
        let workload = self.workload();
        let steps = [&rehearsed.client, &rehearsed.server].map(|pieces| compose(pieces, &workload, 3, &|epoch| epoch == 3, most));
        let clients = self.clients();
        let sessions: Vec<Session<'_>> = (0..2 * clients)
            .map(|index| match index < clients {
                true => Session {
                    process: index,
                    peer: index + clients,
                    steps: &steps[0],
                },
                false => Session {
                    process: clients,
                    peer: index - clients,
                    steps: &steps[1],
                },
            })
            .collect();
        let passed = replay(&sessions, link, self.cores);
        let scale = (workload.schedule.batches(self.rows[0]) as f64 / most as f64).max(1.0);
        let epochs = f64::from(workload.schedule.epochs);
        let ends = (1..=workload.schedule.epochs).filter(|epoch| self.ends(*epoch)).count() as f64;
        // All clients do the same; of the server's sessions any tells when the server's epochs end.
        let phases = [0, clients].map(|index| phases(&passed[index]));
        let mean = |of: &[f64]| {
            let at = |epoch: usize| of.get(epoch).copied().unwrap_or(0.0);
            (at(0) + (epochs - 1.0) * at(1) + ends * (at(2) - at(1))) / epochs
        };
        let training = phases.iter().map(|phases| mean(&phases.training)).fold(0.0, f64::max) + self.extra(epochs) / scale;
        let spent = [0, 1].map(|side| {
            let Phases { working, carrying, .. } = &phases[side];
            // A server works for all its clients.
            let share = if side == 1 { clients as f64 } else { 1.0 };
            let (working, carrying) = (mean(working) * share, mean(carrying) * share);
            Spent {
                working: working * scale,
                carrying: carrying * scale,
                waiting: (training - working - carrying).max(0.0) * scale,
            }
        });
        Seconds {
            setup: phases[0].started * self.uploads(),
            training: training * scale,
            evaluation: phases[0]
                .evaluation
                .get(1)
                .or(phases[0].evaluation.first())
                .copied()
                .unwrap_or(0.0),
            spent,
        }
    }

    /// How much longer the set-up is than the rehearsed one: as much as it has more bytes.
    fn uploads(&self) -> f64 {
        let rehearsed = self.traffic([(Kind::Setup, 1)]).sent.max(1) as f64;
        self.uploaded().map_or(1.0, |bytes| (bytes as f64 / rehearsed).max(1.0))
    }

    /// What an epoch costs besides, the mean: before the first there is nothing to report or to keep.
    fn extra(&self, epochs: f64) -> f64 {
        let Extra { reporting, settling } = self.extra;
        let settling = if self.job.training.checkpoint_every > 0 {
            settling
        } else {
            0.0
        };
        (reporting + settling) * (epochs - 1.0) / epochs
    }

    /// Whether a protocol does at the end of `epoch` what it does once an epoch or more seldom.
    fn ends(&self, epoch: u32) -> bool {
        match (self.job.protocol, self.job.mode()) {
            (Protocol::EncryptedActivation, Mode::Sealed) => {
                encrypted_activation::reveals_after(epoch, (self.rows[0] * self.clients()) as u64)
            }
            _ => true,
        }
    }

    /// Bytes at the socket that one client sends, and receives, in all training of the job.
    pub(super) fn training_bytes(&self) -> Traffic {
        let epochs = self.job.training.epochs;
        let counts = self.workload().counts();
        let of = |kind: &Kind| u64::from(epochs) * counts.get(kind).copied().unwrap_or(0);
        let ends = (1..=epochs).filter(|epoch| self.ends(*epoch)).count() as u64;
        // The last checkpoint is kept after the last training.
        let settles = if self.job.training.checkpoint_every > 0 {
            u64::from(epochs) - 1
        } else {
            0
        };
        let batches = [Kind::FirstBatch, Kind::Batch, Kind::AfterCheckpoint, Kind::LastBatch];
        let all = batches.map(|kind| (kind, of(&kind)));
        self.traffic(all.into_iter().chain([(Kind::End, ends), (Kind::Settle, settles)]))
    }

    /// The same of one evaluation.
    pub(super) fn evaluation_bytes(&self) -> Traffic {
        let counts = self.workload().counts();
        let kinds = [Kind::FirstEvaluation, Kind::Evaluation, Kind::LastEvaluation];
        self.traffic(kinds.into_iter().map(|kind| (kind, counts.get(&kind).copied().unwrap_or(0))))
    }

    /// The same before the first batch.
    pub(super) fn setup_bytes(&self) -> Traffic {
        let rehearsed = self.traffic([(Kind::Setup, 1)]);
        Traffic {
            sent: self.uploaded().unwrap_or(rehearsed.sent),
            ..rehearsed
        }
    }

    /// What a client sends before the first batch where that depends on the number of rows, of which a rehearsal has few.
    fn uploaded(&self) -> Option<u64> {
        let cost = match (self.job.protocol, self.job.samples()) {
            (Protocol::Plain | Protocol::EncryptedActivation | Protocol::Vertical, _) => return None,
            (_, Samples::Clear) => {
                let (first, inner) = (self.job.layer_encryption().ok()?, self.job.product_layers().ok()?);
                encrypted_model::cost::set_up(&first, &inner, self.rows)
            }
            (_, Samples::Encrypted) => {
                encrypted_model::encrypted_samples::cost::set_up(&self.job.product_layers().ok()?, self.rows)
            }
        };
        let messages = cost.client_messages.max(1);
        Some(messages * at_socket(cost.client_bytes / messages))
    }

    fn traffic(&self, all: impl IntoIterator<Item = (Kind, u64)>) -> Traffic {
        let of = |(kind, times): (Kind, u64)| {
            let one = |pieces| {
                if times == 0 {
                    0
                } else {
                    times * bytes(pieces, kind, at_socket)
                }
            };
            Traffic {
                sent: one(&self.rehearsed.client),
                received: one(&self.rehearsed.server),
            }
        };
        all.into_iter().map(of).sum()
    }
}

/// What one session's marks say, epoch by epoch.
struct Phases {
    started: f64,
    training: Vec<f64>,
    evaluation: Vec<f64>,
    working: Vec<f64>,
    carrying: Vec<f64>,
}

fn phases(passed: &[Passed]) -> Phases {
    let mut phases = Phases {
        started: 0.0,
        training: Vec::new(),
        evaluation: Vec::new(),
        working: Vec::new(),
        carrying: Vec::new(),
    };
    let mut before: Option<&Passed> = None;
    for now in passed {
        let since = |of: fn(&Passed) -> f64| of(now) - before.map_or(0.0, of);
        match now.mark {
            Mark::Started => phases.started = now.at,
            Mark::Epoch => {
                phases.training.push(since(|p| p.at));
                phases.working.push(since(|p| p.working));
                phases.carrying.push(since(|p| p.carrying));
            }
            Mark::Evaluated => phases.evaluation.push(since(|p| p.at)),
        }
        before = Some(now);
    }
    phases
}
