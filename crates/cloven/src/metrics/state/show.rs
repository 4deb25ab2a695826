//! The page.

use std::collections::BTreeMap;

use cloven_nn::Evaluation;
use cloven_wire::Party;

use super::{
    super::page::{Kind::Counter, Kind::Gauge, Page},
    JobFacts, Phase, Stage, State,
};
use crate::reporter::memory_bytes;

const STAGES: [(Stage, &str); 5] = [
    (Stage::Connecting, "connecting"),
    (Stage::Training, "training"),
    (Stage::Waiting, "waiting"),
    (Stage::Finished, "finished"),
    (Stage::Failed, "failed"),
];

/// In the order of `State::phases`.
const PHASES: [&str; 3] = ["setup", "training", "evaluation"];

impl State {
    /// The page.
    pub(in super::super) fn page(&self) -> String {
        let common = [("party", self.party.as_str()), ("protocol", &self.job.protocol)];
        let mut page = Page::new(&common);
        self.about(&mut page);
        self.progress(&mut page);
        self.results(&mut page);
        self.cost(&mut page);
        self.links(&mut page);
        page.finish()
    }

    fn about(&self, page: &mut Page<'_>) {
        let JobFacts {
            digest, dataset, model, ..
        } = &self.job;
        let facts = [
            ("job", &**digest),
            ("role", self.role.name()),
            ("dataset", dataset),
            ("model", model),
        ];
        let stages = STAGES.map(|(stage, name)| (name, stage == self.stage));
        about(page, &facts, [self.begun, self.updated], &stages, self.exit_code);
    }

    fn progress(&self, page: &mut Page<'_>) {
        let mut gauge = |name, help, value: usize| {
            page.family(name, Gauge, help).sample(&[], value as f64);
        };
        gauge("cloven_epochs_planned", "Epochs of the job.", self.plan.epochs as usize);
        gauge(
            "cloven_epochs_done",
            "Epochs whose training is done.",
            self.epochs_done as usize,
        );
        gauge("cloven_epoch", "The epoch at work or done last, from 1.", self.epoch as usize);
        gauge("cloven_epoch_batches", "Batches of an epoch.", self.plan.batches);
        gauge(
            "cloven_epoch_batches_done",
            "Batches of the epoch at work that are done.",
            self.batches_done,
        );
        gauge("cloven_train_rows", "Training rows.", self.plan.train_rows);
        gauge("cloven_test_rows", "Test rows.", self.plan.test_rows);
        let mut counter = |name, help, value: u64| {
            page.family(name, Counter, help).sample(&[], value as f64);
        };
        counter(
            "cloven_batches_total",
            "Training batches that this process has done.",
            self.batches,
        );
        counter(
            "cloven_rows_total",
            "Training rows that this process has been through.",
            self.rows,
        );
        counter(
            "cloven_checkpoints_written_total",
            "Checkpoints that this process has written.",
            self.checkpoints,
        );
        counter(
            "cloven_resumes_total",
            "How often this process went on from a checkpoint.",
            self.resumes,
        );
    }

    fn results(&self, page: &mut Page<'_>) {
        page.family(
            "cloven_batch_loss",
            Gauge,
            "Mean loss of the last batch, where this party knows it.",
        )
        .known(&[], self.batch_loss);
        page.family(
            "cloven_epoch_loss",
            Gauge,
            "Mean loss of the last epoch, where this party knows it.",
        )
        .known(&[], self.epoch_loss);
        let mut of_tests = |name, help, of: fn(&Evaluation) -> Option<f64>| {
            let mut family = page.family(name, Gauge, help);
            for (rows, evaluation) in &self.evaluations {
                family.known(&[("rows", rows)], of(evaluation));
            }
        };
        of_tests("cloven_test_loss", "Mean loss on the test rows, or a subset of them.", |e| {
            Some(e.loss)
        });
        of_tests(
            "cloven_test_accuracy_ratio",
            "Share of the test rows, or of a subset of them, that is classified rightly.",
            |e| e.accuracy,
        );
        of_tests(
            "cloven_test_auroc_ratio",
            "Area under the ROC curve on the test rows, or a subset of them.",
            |e| e.auc,
        );
        of_tests(
            "cloven_test_average_precision_ratio",
            "Average precision on the test rows, or a subset of them.",
            |e| e.average_precision,
        );
    }

    fn cost(&self, page: &mut Page<'_>) {
        // With several peers, updates have the sum only.
        let peer = match self.connected.len() {
            1 => self.connected.keys().next().map(|peer| ("peer", peer.as_str())),
            _ => None,
        };
        let mut by_phase = |name, help, of: fn(&Phase) -> f64, peer: Option<(&str, &str)>| {
            let mut family = page.family(name, Counter, help);
            for (name, phase) in PHASES.iter().zip(&self.phases) {
                let labels: Vec<_> = peer.into_iter().chain([("phase", *name)]).collect();
                family.sample(&labels, of(phase));
            }
        };
        by_phase(
            "cloven_sent_bytes_total",
            "Bytes sent at the socket, below TLS.",
            |phase| phase.traffic.sent as f64,
            peer,
        );
        by_phase(
            "cloven_received_bytes_total",
            "Bytes received at the socket, below TLS.",
            |phase| phase.traffic.received as f64,
            peer,
        );
        by_phase(
            "cloven_phase_seconds_total",
            "Seconds spent, waiting for other parties included.",
            |phase| phase.seconds,
            None,
        );
        memory(page);
    }

    fn links(&self, page: &mut Page<'_>) {
        links(page, &self.connected, &self.lost, self.turned_away);
    }
}

/// The program, the job, and what the party does: when it began and was last heard of, which of the states is its own, and how it ended.
pub(super) fn about(
    page: &mut Page<'_>,
    facts: &[(&str, &str)],
    [begun, updated]: [f64; 2],
    stages: &[(&str, bool)],
    exit_code: Option<u8>,
) {
    let version = env!("CARGO_PKG_VERSION");
    page.family("cloven_build_info", Gauge, "The program; always 1.")
        .sample(&[("version", version)], 1.0);
    let help = "The job by its digest, and this party's role; always 1.";
    page.family("cloven_job_info", Gauge, help).sample(facts, 1.0);
    let help = "When the party's process began, in seconds since 1970.";
    page.family("cloven_start_time_seconds", Gauge, help).sample(&[], begun);
    let help = "When the party last made progress, in seconds since 1970.";
    page.family("cloven_last_update_time_seconds", Gauge, help)
        .sample(&[], updated);
    let help = "What the party does: 1 for one state, 0 for the others. While it waits, it has lost another party.";
    let mut states = page.family("cloven_run_state", Gauge, help);
    for (name, own) in stages {
        states.sample(&[("state", name)], f64::from(*own));
    }
    let help = "The exit code, once the party has finished or failed.";
    page.family("cloven_exit_code", Gauge, help)
        .known(&[], exit_code.map(f64::from));
}

/// Memory of this process.
pub(super) fn memory(page: &mut Page<'_>) {
    let memory = memory_bytes();
    page.family("cloven_resident_memory_bytes", Gauge, "Resident memory of the process.")
        .known(&[], memory.now.map(|bytes| bytes as f64));
    let help = "Largest resident memory of the process so far.";
    page.family("cloven_resident_memory_peak_bytes", Gauge, help)
        .known(&[], memory.peak.map(|bytes| bytes as f64));
}

/// The other parties, and strangers.
pub(super) fn links(page: &mut Page<'_>, connected: &BTreeMap<Party, bool>, lost: &BTreeMap<Party, u64>, turned_away: u64) {
    let mut family = page.family("cloven_peer_connected", Gauge, "Whether the other party is connected.");
    for (peer, connected) in connected {
        family.sample(&[("peer", peer.as_str())], f64::from(*connected));
    }
    let mut family = page.family("cloven_peer_lost_total", Counter, "How often the other party was lost.");
    for (peer, times) in lost {
        family.sample(&[("peer", peer.as_str())], *times as f64);
    }
    let help = "Connections that were turned away: of strangers, or of parties that are not awaited.";
    page.family("cloven_connections_turned_away_total", Counter, help)
        .sample(&[], turned_away as f64);
}
