//! A party's log cut into pieces that repeat, and the log of a whole training put together from them.

use std::collections::BTreeMap;

use cloven_protocols::Schedule;
use serde::{Deserialize, Serialize};

use super::recorder::{Action, Mark, Noted, Step};

/// What a piece of a log is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Before the first batch.
    Setup,
    /// The first training batch of an epoch.
    FirstBatch,
    /// A training batch.
    Batch,
    /// A training batch that follows a checkpoint within the epoch.
    AfterCheckpoint,
    /// The last training batch of an epoch, where it is smaller.
    LastBatch,
    /// The end of an epoch's training: what a protocol does once an epoch.
    End,
    /// The first evaluation batch.
    FirstEvaluation,
    /// An evaluation batch.
    Evaluation,
    /// The last evaluation batch, where it is smaller.
    LastEvaluation,
    /// The work on the outputs of all test rows.
    Evaluated,
    /// Keeping the checkpoint at the end of an epoch.
    Settle,
}

/// What one party does on one link: for each kind of piece the steps, with the median of the times they took.
pub type Pieces = BTreeMap<Kind, Vec<Step>>;

/// The work on one link, of a rehearsal or of the job itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Workload {
    pub(super) schedule: Schedule,
    pub(super) train_rows: usize,
    pub(super) test_rows: usize,
}

/// More full batches than this, of training and of evaluation, need not be told apart.
const MANY: [usize; 2] = [32, 3];

impl Workload {
    /// The kinds of the rounds of an epoch (from 1), in order; round 0 is the set-up.
    fn epoch(&self, epoch: u32) -> Vec<Kind> {
        let schedule = &self.schedule;
        let evaluations = match schedule.evaluates_after(epoch) {
            true => self.test_rows.div_ceil(schedule.evaluation_batch),
            false => 0,
        };
        let training = self.batches().map(|(kind, _)| kind);
        let evaluating = (0..evaluations).map(|index| match index {
            0 => Kind::FirstEvaluation,
            last if last + 1 == evaluations && !self.test_rows.is_multiple_of(schedule.evaluation_batch) => Kind::LastEvaluation,
            _ => Kind::Evaluation,
        });
        let settling = (schedule.checkpoint_every > 0).then_some(Kind::Settle);
        training.chain([Kind::End]).chain(evaluating).chain(settling).collect()
    }

    /// The kinds of an epoch's training batches and their numbers, from 0.
    fn batches(&self) -> impl Iterator<Item = (Kind, usize)> + use<> {
        let (schedule, rows) = (self.schedule, self.train_rows);
        let batches = schedule.batches(rows);
        (0..batches).map(move |index| {
            let kind = match index {
                0 => Kind::FirstBatch,
                last if last + 1 == batches && !rows.is_multiple_of(schedule.batch) => Kind::LastBatch,
                later if checkpoint_before(&schedule, later) => Kind::AfterCheckpoint,
                _ => Kind::Batch,
            };
            (kind, index)
        })
    }

    /// What the sizes of its batches are, and whether there are many or few; the same for workloads that can be rehearsed as one.
    pub(super) fn sizes(&self) -> String {
        let of = |rows: usize, batch: usize, many: usize| (rows % batch, (rows / batch).min(many));
        let schedule = &self.schedule;
        format!(
            "{:?} {:?}",
            of(self.train_rows, schedule.batch, MANY[0]),
            of(self.test_rows, schedule.evaluation_batch, MANY[1])
        )
    }

    /// How often each kind of piece occurs in an epoch that is evaluated, its end and settling not counted.
    pub(super) fn counts(&self) -> BTreeMap<Kind, u64> {
        let mut counts = BTreeMap::new();
        for kind in self.epoch(self.schedule.epochs) {
            *counts.entry(kind).or_default() += 1;
        }
        counts
    }
}

fn checkpoint_before(schedule: &Schedule, batch: usize) -> bool {
    schedule.checkpoint_every > 0 && batch.is_multiple_of(schedule.checkpoint_every as usize)
}

/// Cuts a log of `workload` into pieces. The first epoch is a warm-up and is left out where there are more.
pub(super) fn cut(log: &[Noted], workload: &Workload) -> Pieces {
    let kinds: Vec<(Kind, u32)> = (1..=workload.schedule.epochs)
        .flat_map(|epoch| workload.epoch(epoch).into_iter().map(move |kind| (kind, epoch)))
        .collect();
    let mut found: BTreeMap<Kind, Vec<(u32, Vec<Step>)>> = BTreeMap::new();
    let mut open: Option<(Option<u64>, Kind, u32, Vec<Step>)> = None;
    let mut epoch_now = 1;
    for Noted { round, step } in log {
        let (kind, epoch) = match (round, step.action) {
            (Some(0), _) | (None, Action::Mark(Mark::Started)) => (Kind::Setup, 1),
            (Some(round), _) => kinds.get(*round as usize - 1).copied().unwrap_or((Kind::Setup, 0)),
            (None, Action::Mark(Mark::Evaluated)) => (Kind::Evaluated, epoch_now),
            (None, _) => (Kind::End, epoch_now),
        };
        epoch_now = epoch;
        match &mut open {
            // An end of epoch may have messages, and always has a mark.
            Some((at, same, _, steps)) if *same == kind && (*at == *round || kind == Kind::End || kind == Kind::Setup) => {
                steps.push(*step)
            }
            _ => {
                if let Some((_, kind, epoch, steps)) = open.take() {
                    found.entry(kind).or_default().push((epoch, steps));
                }
                open = Some((*round, kind, epoch, vec![*step]));
            }
        }
    }
    if let Some((_, kind, epoch, steps)) = open {
        found.entry(kind).or_default().push((epoch, steps));
    }
    found.into_iter().map(|(kind, all)| (kind, typical(all))).collect()
}

/// The steps of several repetitions of a piece, each with the median of its times.
fn typical(mut all: Vec<(u32, Vec<Step>)>) -> Vec<Step> {
    if all.iter().any(|(epoch, _)| *epoch > 1) {
        all.retain(|(epoch, _)| *epoch > 1);
    }
    let Some((_, last)) = all.last().cloned() else {
        return Vec::new();
    };
    let actions = |steps: &[Step]| steps.iter().map(|step| step.action).collect::<Vec<_>>();
    all.retain(|(_, steps)| actions(steps) == actions(&last));
    let times = |index: usize| all.iter().map(|(_, steps)| steps[index].seconds).collect::<Vec<_>>();
    let typical = last.iter().enumerate().map(|(index, step)| Step {
        seconds: central(times(index)),
        action: step.action,
    });
    typical.collect()
}

/// The mean of the middle: interruptions by other programs are left out, a spread that belongs to the work is not.
fn central(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let cut = times.len() / 10;
    let middle = &times[cut..times.len() - cut];
    middle.iter().sum::<f64>() / middle.len() as f64
}

/// The steps of whole epochs of `workload`, from its start: `epochs` of them. `ends` says whether the pieces at the end of an epoch's
/// training (from 1) are done in it. No more than `most` batches an epoch are put in.
pub(super) fn compose(pieces: &Pieces, workload: &Workload, epochs: u32, ends: &dyn Fn(u32) -> bool, most: usize) -> Vec<Step> {
    let mut steps = piece(pieces, Kind::Setup).to_vec();
    for epoch in 1..=epochs {
        if epoch > 1 && workload.schedule.checkpoint_every > 0 {
            steps.extend_from_slice(piece(pieces, Kind::Settle));
        }
        for (kind, _) in workload.batches().take(most) {
            steps.extend_from_slice(piece(pieces, kind));
        }
        let end = piece(pieces, Kind::End);
        let messages = |step: &&Step| ends(epoch) || matches!(step.action, Action::Mark(_));
        steps.extend(end.iter().filter(messages));
        if workload.schedule.evaluates_after(epoch) && workload.test_rows > 0 {
            let evaluation = workload.epoch(workload.schedule.epochs);
            let evaluation = evaluation
                .into_iter()
                .skip_while(|kind| *kind != Kind::FirstEvaluation)
                .take_while(|kind| *kind != Kind::Settle);
            evaluation
                .take(most)
                .chain([Kind::Evaluated])
                .for_each(|kind| steps.extend_from_slice(piece(pieces, kind)));
        }
    }
    steps
}

/// The steps of a kind; those of the next best kind where the rehearsal had none.
fn piece(pieces: &Pieces, kind: Kind) -> &[Step] {
    let instead = match kind {
        Kind::AfterCheckpoint => [Kind::Batch, Kind::FirstBatch],
        Kind::Batch | Kind::LastBatch => [Kind::AfterCheckpoint, Kind::FirstBatch],
        Kind::Evaluation | Kind::LastEvaluation => [Kind::FirstEvaluation; 2],
        other => [other; 2],
    };
    let mut all = [kind].into_iter().chain(instead);
    all.find_map(|kind| pieces.get(&kind)).map_or(&[], Vec::as_slice)
}

/// Bytes of the frames that a piece sends, each counted by `at_socket`.
pub(super) fn bytes(pieces: &Pieces, kind: Kind, at_socket: impl Fn(u64) -> u64) -> u64 {
    let sent = piece(pieces, kind).iter().filter_map(|step| match step.action {
        Action::Send(bytes) => Some(at_socket(bytes)),
        _ => None,
    });
    sent.sum()
}
