//! `summary.json`: what a run cost and reached.

use std::collections::BTreeMap;

use cloven_nn::Evaluation;
use cloven_protocols::Leak;
use cloven_wire::{MessageTraffic, Party, Traffic, tcp::Emulation};
use serde::{Deserialize, Serialize};

use crate::{
    AdjustedValues, Alignment, Job, Role,
    job::{Mode, Protocol},
    plan::Predicted,
};

/// What one party has to report of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartySummary {
    /// Its role.
    pub role: Role,
    /// The link it imitated on what it sent.
    #[serde(default)]
    pub emulate: Option<Emulation>,
    /// Seconds from the connection to the end.
    pub seconds_total: f64,
    /// Seconds of training in all epochs; evaluation not counted.
    pub seconds_training: f64,
    /// Bytes at the socket in all.
    pub traffic: Traffic,
    /// Bytes at the socket in training only.
    pub training_traffic: Traffic,
    /// Bytes at the socket in evaluation only.
    pub evaluation_traffic: Traffic,
    /// Of all this, what depends on no weights and no gradients.
    #[serde(default)]
    pub preprocessing_traffic: PreprocessingTraffic,
    /// Messages and their bytes (header and payload, before TLS) that this party sent, by name.
    pub sent_by_message: BTreeMap<String, MessageTraffic>,
    /// Largest resident memory of the process, where the system tells.
    pub peak_rss_bytes: Option<u64>,
    /// Processor time of the process, all its threads, where the system tells; from the last start of the process on.
    #[serde(default)]
    pub cpu_seconds: Option<f64>,
    /// Training and test rows of the job, where the party heard of them.
    #[serde(default)]
    pub rows: Option<[usize; 2]>,
    /// `vertical`: how a holder's rows were found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<Alignment>,
    /// `vertical`: what became of a holder's values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjusted: Option<AdjustedValues>,
    /// The last evaluation, where this party knows it.
    pub evaluation: Option<Evaluation>,
    /// The same on named subsets of the test rows.
    #[serde(default)]
    pub subsets: BTreeMap<String, Evaluation>,
    /// Parties that may still need this one to finish, and its checkpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreached: Vec<Party>,
}

/// Bytes at the socket that depend on no weights and no gradients, such as those of random numbers that products are computed with later: they could be sent before
/// anybody has any. By the phase that they crossed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PreprocessingTraffic {
    /// Before the first batch.
    pub setup: Traffic,
    /// In training.
    pub training: Traffic,
    /// In evaluation.
    pub evaluation: Traffic,
}

/// Parameters of the encryption, where the protocol has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncryptionParameters {
    /// Base-2 logarithm of the ring degree.
    pub log2_n: u32,
    /// Base-2 logarithm of the whole modulus, key-switching primes included.
    pub log2_qp: f64,
    /// Classical security by the table.
    pub security_bits: u32,
    /// Where plaintexts are integers modulo a power of two: that power.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring_bits: Option<u32>,
    /// Where numbers are fixed-point ones: bits after the point of the columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction_bits: Option<u32>,
}

/// The whole run, as `summary.json` and `--json` give it. In a run of one party alone, `bytes_sent` and `peak_rss_bytes` hold that
/// party only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of cloven.
    pub version: String,
    /// Digest of the job.
    pub job: String,
    /// The protocol.
    pub protocol: String,
    /// Its mode; null where there is one only.
    pub mode: Option<Mode>,
    /// The data set's name.
    pub dataset: String,
    /// The model's name.
    pub model: String,
    /// The job's seed.
    pub seed: u64,
    /// Epochs trained.
    pub epochs: u32,
    /// Accuracy on the test rows after the last epoch; absent where there are no classes or this party does not know it. Of several clients,
    /// here and below, the mean.
    pub test_accuracy: Option<f64>,
    /// The same of each of several clients, each with its own layers and on its own test rows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub test_accuracy_by_client: BTreeMap<Party, f64>,
    /// Area under the ROC curve (two classes), or its mean over classes, each against the rest.
    pub auc: Option<f64>,
    /// The area of each class against the rest, or of each label; of one output, its only area. Null for a class that the test rows lack
    /// or have only; not given for several clients.
    #[serde(default)]
    pub auc_by_class: Option<Vec<Option<f64>>>,
    /// Average precision: the area under the curve of precision against recall, where a rare class shows more than under the ROC curve; or its mean
    /// over classes, each against the rest.
    #[serde(default)]
    pub average_precision: Option<f64>,
    /// Recall of each class; not given for several clients.
    pub recall: Option<Vec<Option<f64>>>,
    /// Accuracy on named subsets of the test rows.
    pub test_accuracy_subsets: BTreeMap<String, f64>,
    /// Mean loss on the test rows.
    pub test_loss: Option<f64>,
    /// Accuracy of plain split learning of the same job, with `--compare-plain`.
    pub test_accuracy_plain: Option<f64>,
    /// The link that was imitated; null for the link there is.
    #[serde(default)]
    pub emulate: Option<Emulation>,
    /// Wall time of the whole run.
    pub seconds_total: f64,
    /// Wall time of an epoch's training, the slowest party's mean.
    pub seconds_per_epoch: f64,
    /// The same of plain split learning, with `--compare-plain`.
    pub seconds_per_epoch_plain: Option<f64>,
    /// What `cloven plan` predicts, where its measurements for this job, machine and link are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted: Option<Predicted>,
    /// Bytes each party sent, at the socket, in the whole run.
    pub bytes_sent: BTreeMap<Party, u64>,
    /// Bytes of all messages of all parties, at the socket, in an epoch's training (mean).
    pub bytes_per_epoch: u64,
    /// Bytes of all parties by phase, at the socket. Where there is a phase `preprocessing`, it holds what depends on no weights and no gradients (random
    /// numbers; with triples by encryption, also the columns that they are multiplied by), whenever it
    /// crossed, and the other phases hold the rest.
    pub bytes_by_phase: BTreeMap<String, u64>,
    /// Messages and bytes (before TLS) by party and message name.
    pub messages_sent: BTreeMap<Party, BTreeMap<String, MessageTraffic>>,
    /// Largest resident memory of each party's process.
    pub peak_rss_bytes: BTreeMap<Party, Option<u64>>,
    /// Processor time of each party's process, all its threads.
    #[serde(default)]
    pub cpu_seconds: BTreeMap<Party, Option<f64>>,
    /// The same of all parties together in plain split learning, with `--compare-plain`.
    #[serde(default)]
    pub cpu_seconds_plain: Option<f64>,
    /// `vertical`: how each holder's rows were found.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alignment: BTreeMap<Party, Alignment>,
    /// `vertical`: values of each holder that did not enter the network as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub adjusted_values: BTreeMap<Party, AdjustedValues>,
    /// Parameters of the encryption; null without one.
    pub params: Option<EncryptionParameters>,
    /// What each party learns.
    pub leaks: Vec<Leak>,
}

impl Summary {
    /// Combines what the parties report. `seconds_total` is the caller's own measurement.
    pub fn new(job: &Job, parties: &BTreeMap<Party, PartySummary>, seconds_total: f64) -> Self {
        let witnesses = &witnesses(job, parties);
        let know: Vec<&PartySummary> = parties.values().filter(|p| p.evaluation.is_some()).collect();
        let evaluations = || know.iter().filter_map(|p| p.evaluation.as_ref());
        let only = evaluations().next().filter(|_| know.len() == 1);
        let slowest = parties.values().map(|p| p.seconds_training).fold(0.0, f64::max);
        let total = |of: fn(&PartySummary) -> Traffic| all_bytes(witnesses, of);
        let (training, evaluating) = (total(|p| p.training_traffic), total(|p| p.evaluation_traffic));
        let setup = total(|p| p.traffic) - training - evaluating;
        let phases = phases(witnesses, [setup, training, evaluating]);
        let rows = parties.values().find_map(|p| p.rows);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            job: job.digest_hex(),
            protocol: job.protocol.name().to_owned(),
            mode: job.mode_if_any(),
            dataset: job.data.name.clone(),
            model: job.model_name(),
            seed: job.seed,
            epochs: job.training.epochs,
            test_accuracy: mean(evaluations().map(|e| e.accuracy)),
            test_accuracy_by_client: match job.clients().count() {
                0 | 1 => BTreeMap::new(),
                _ => accuracies(parties),
            },
            auc: mean(evaluations().map(|e| e.auc)),
            auc_by_class: only.map(|e| e.auc_by_class.clone()).filter(|areas| !areas.is_empty()),
            average_precision: mean(evaluations().map(|e| e.average_precision)),
            recall: only.filter(|e| e.accuracy.is_some()).map(|e| e.recall.clone()),
            test_accuracy_subsets: know
                .iter()
                .flat_map(|p| p.subsets.keys())
                .filter_map(|name| Some((name.clone(), mean(know.iter().map(|p| p.subsets.get(name)?.accuracy))?)))
                .collect(),
            test_loss: mean(evaluations().map(|e| Some(e.loss))),
            test_accuracy_plain: None,
            emulate: parties.values().find_map(|p| p.emulate),
            seconds_total,
            seconds_per_epoch: slowest / f64::from(job.training.epochs),
            seconds_per_epoch_plain: None,
            predicted: None,
            bytes_sent: parties.iter().map(|(name, p)| (name.clone(), p.traffic.sent)).collect(),
            bytes_per_epoch: training / u64::from(job.training.epochs),
            bytes_by_phase: phases,
            messages_sent: parties
                .iter()
                .map(|(name, p)| (name.clone(), p.sent_by_message.clone()))
                .collect(),
            peak_rss_bytes: parties.iter().map(|(name, p)| (name.clone(), p.peak_rss_bytes)).collect(),
            cpu_seconds: parties.iter().map(|(name, p)| (name.clone(), p.cpu_seconds)).collect(),
            cpu_seconds_plain: None,
            alignment: known(parties, |p| p.alignment.clone()),
            adjusted_values: known(parties, |p| p.adjusted),
            params: job.encryption_parameters(rows).ok().flatten(),
            leaks: job.leaks(),
        }
    }

    /// Adds the figures of a plain run of the same job.
    pub fn compare_plain(&mut self, plain: &Self) {
        self.test_accuracy_plain = plain.test_accuracy;
        self.seconds_per_epoch_plain = Some(plain.seconds_per_epoch);
        self.cpu_seconds_plain = plain.all_cpu_seconds();
    }

    /// Processor time of all parties, where that of each is known.
    pub fn all_cpu_seconds(&self) -> Option<f64> {
        self.cpu_seconds.values().copied().sum()
    }
}

/// Bytes by phase, of set-up, training and evaluation.
fn phases(parties: &BTreeMap<Party, PartySummary>, all: [u64; 3]) -> BTreeMap<String, u64> {
    let total = |of: fn(&PartySummary) -> Traffic| all_bytes(parties, of);
    let prepared = [
        total(|p| p.preprocessing_traffic.setup),
        total(|p| p.preprocessing_traffic.training),
        total(|p| p.preprocessing_traffic.evaluation),
    ];
    let names = ["setup", "training", "evaluation"];
    let rest = names.into_iter().zip(all).zip(prepared);
    let rest = rest.map(|((name, all), prepared)| (name, all.saturating_sub(prepared)));
    let before = prepared.iter().sum::<u64>();
    let before = (before > 0).then_some(("preprocessing", before));
    rest.chain(before).map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

/// What some parties have to tell.
fn known<T>(parties: &BTreeMap<Party, PartySummary>, of: impl Fn(&PartySummary) -> Option<T>) -> BTreeMap<Party, T> {
    let known = parties.iter().filter_map(|(name, party)| Some((name.clone(), of(party)?)));
    known.collect()
}

/// The mean, where all are known and there is at least one.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn accuracies(parties: &BTreeMap<Party, PartySummary>) -> BTreeMap<Party, f64> {
    let accuracy = |(name, party): (&Party, &PartySummary)| Some((name.clone(), party.evaluation.as_ref()?.accuracy?));
    parties.iter().filter_map(accuracy).collect()
}

/// Whose counts of bytes tell all: with an enclave its own, as every link is one of its and its workers know of no phases.
fn witnesses(job: &Job, parties: &BTreeMap<Party, PartySummary>) -> BTreeMap<Party, PartySummary> {
    let enclave =
        |(party, summary): (&Party, &PartySummary)| (summary.role == Role::Server).then(|| (party.clone(), summary.clone()));
    match (job.protocol, parties.iter().find_map(enclave)) {
        (Protocol::Enclave, Some(only)) => [only].into(),
        _ => parties.clone(),
    }
}

/// All bytes on all links. One party alone sees its links from both directions (and counts a message that arrives early in the phase
/// before); of several, each counts what it sent.
fn all_bytes(parties: &BTreeMap<Party, PartySummary>, of: fn(&PartySummary) -> Traffic) -> u64 {
    let mut each = parties.values().map(of);
    match (each.next(), each.len()) {
        (Some(only), 0) => only.sent + only.received,
        (first, _) => first.into_iter().chain(each).map(|t| t.sent).sum(),
    }
}
