//! What a prediction cost and gave.

use std::{collections::BTreeMap, path::PathBuf};

use cloven_nn::{Evaluation, Network};
use cloven_protocols::{
    Leak, encrypted_activation,
    encrypted_model::{self, EncryptedWeights, HeldWeights},
    plain, vertical,
};
use cloven_wire::{Message, MessageTraffic, Party, Traffic};
use serde::{Deserialize, Serialize};

use super::Prediction;
use crate::{
    EncryptionParameters, Error, Job, Role,
    job::{Mode, Protocol, Samples},
};

/// What one party has to report of a prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartyPrediction {
    /// Its role.
    pub role: Role,
    /// Rows predicted.
    pub rows: usize,
    /// Seconds from the connection to the end.
    pub seconds_total: f64,
    /// Seconds from the first row to the last.
    pub seconds_predicting: f64,
    /// Bytes at the socket in all.
    pub traffic: Traffic,
    /// Messages and their bytes (header and payload, before TLS) that this party sent, by name.
    pub sent_by_message: BTreeMap<String, MessageTraffic>,
    /// Largest resident memory of the process, where the system tells.
    pub peak_rss_bytes: Option<u64>,
    /// What the client alone knows.
    pub outcome: Option<Outcome>,
}

/// The predictions in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Names of classes or labels in the order of their numbers; nothing for regression.
    pub classes: Option<Vec<String>>,
    /// How many rows each class was predicted for; nothing for regression.
    pub predicted: Option<BTreeMap<String, u64>>,
    /// Rows for which the input carried a label.
    pub labelled_rows: usize,
    /// How good the predictions of these rows are.
    pub evaluation: Option<Evaluation>,
}

/// A whole prediction, as `--json` gives it. Of one party alone, `bytes_sent`, `messages_sent` and `peak_rss_bytes` hold that party only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictionSummary {
    /// The version of cloven.
    pub version: String,
    /// Digest of the job that trained the network.
    pub job: String,
    /// Its protocol.
    pub protocol: String,
    /// Its mode; null where there is one only.
    pub mode: Option<Mode>,
    /// The name of the data set that the network was trained on.
    pub dataset: String,
    /// The model's name.
    pub model: String,
    /// Rows predicted.
    pub rows: usize,
    /// Names of classes or labels in the order of their numbers; null for regression or where this party does not know them.
    pub classes: Option<Vec<String>>,
    /// How many rows each class was predicted for; null for regression or where this party does not know it.
    pub predicted: Option<BTreeMap<String, u64>>,
    /// Rows for which the input carried a label.
    pub labelled_rows: usize,
    /// Accuracy on these; null where there are none or no classes.
    pub accuracy: Option<f64>,
    /// Area under the ROC curve on these.
    pub auc: Option<f64>,
    /// Mean loss on these.
    pub loss: Option<f64>,
    /// Wall time in all.
    pub seconds_total: f64,
    /// Wall time from the first row to the last.
    pub seconds_predicting: f64,
    /// The same, for one row.
    pub seconds_per_row: f64,
    /// Bytes each party sent, at the socket.
    pub bytes_sent: BTreeMap<Party, u64>,
    /// Messages and bytes (before TLS) by party and message name.
    pub messages_sent: BTreeMap<Party, BTreeMap<String, MessageTraffic>>,
    /// Largest resident memory of each party's process.
    pub peak_rss_bytes: BTreeMap<Party, Option<u64>>,
    /// Parameters of the encryption; null without one.
    pub params: Option<EncryptionParameters>,
    /// What each party learns by predicting.
    pub leaks: Vec<Leak>,
    /// Where the predictions are.
    pub output: Option<PathBuf>,
    /// The predictions themselves, where no output file was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictions: Option<Vec<Prediction>>,
}

impl PredictionSummary {
    /// Combines what the parties report. `client` is the one whose rows were predicted; `seconds_total` is the caller's own measurement.
    pub fn new(job: &Job, client: &Party, parties: &BTreeMap<Party, PartyPrediction>, seconds_total: f64) -> Self {
        let outcome = parties.values().find_map(|p| p.outcome.as_ref());
        let evaluation = outcome.and_then(|outcome| outcome.evaluation.as_ref());
        let rows = parties.values().map(|p| p.rows).max().unwrap_or(0);
        let seconds_predicting = parties.values().map(|p| p.seconds_predicting).fold(0.0, f64::max);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            job: job.digest_hex(),
            protocol: job.protocol.name().to_owned(),
            mode: job.mode_if_any(),
            dataset: job.data.name.clone(),
            model: job.model_name(),
            rows,
            classes: outcome.and_then(|outcome| outcome.classes.clone()),
            predicted: outcome.and_then(|outcome| outcome.predicted.clone()),
            labelled_rows: outcome.map_or(0, |outcome| outcome.labelled_rows),
            accuracy: evaluation.and_then(|e| e.accuracy),
            auc: evaluation.and_then(|e| e.auc),
            loss: evaluation.map(|e| e.loss),
            seconds_total,
            seconds_predicting,
            seconds_per_row: seconds_predicting / rows.max(1) as f64,
            bytes_sent: parties.iter().map(|(name, p)| (name.clone(), p.traffic.sent)).collect(),
            messages_sent: parties
                .iter()
                .map(|(name, p)| (name.clone(), p.sent_by_message.clone()))
                .collect(),
            peak_rss_bytes: parties.iter().map(|(name, p)| (name.clone(), p.peak_rss_bytes)).collect(),
            params: job.encryption_parameters(None).ok().flatten(),
            leaks: leaks(job, client, hid_input(parties)),
            output: None,
            predictions: None,
        }
    }
}

/// Whether the first layer was given away to be asked about ciphertexts.
fn hid_input(parties: &BTreeMap<Party, PartyPrediction>) -> bool {
    let mut sent = parties.values().flat_map(|party| party.sent_by_message.keys());
    sent.any(|name| [HeldWeights::NAME, EncryptedWeights::NAME].contains(&name.as_str()))
}

/// What each party learns when the rows of `client` are predicted. `hide_input` is what the client asked for; a server that does not know says `false`.
pub fn leaks(job: &Job, client: &Party, hide_input: bool) -> Vec<Leak> {
    let server = job.parties.iter().find(|(_, role)| **role == Role::Server);
    let server = server.map_or("nobody", |(party, _)| party.as_str());
    match job.protocol {
        Protocol::Plain => {
            // A cut that cannot be told is described as the worst one.
            plain::predict::leaks(client.as_str(), server, around(job).unwrap_or([0, 0]))
        }
        Protocol::EncryptedActivation => encrypted_activation::predict::leaks(client.as_str(), server),
        Protocol::EncryptedModel => match job.samples() {
            Samples::Clear if hide_input => encrypted_model::predict::hidden::leaks(client.as_str(), server),
            Samples::Clear => encrypted_model::predict::leaks(client.as_str(), server),
            Samples::Encrypted => encrypted_model::encrypted_samples::predict::leaks(client.as_str(), server),
        },
        Protocol::Enclave => job.enclave_terms().map(|terms| terms.leaks()).unwrap_or_default(),
        Protocol::Vertical => job
            .vertical_terms()
            .map(|terms| vertical::predict::leaks(&terms))
            .unwrap_or_default(),
    }
}

/// The number of layers before the server's, and of arrays of weights after them.
fn around(job: &Job) -> Result<[usize; 2], Error> {
    let cut = job.cut()?;
    let tail = Network::new(&cut.model, cut.server.end..cut.model.layers.len(), job.seed)?;
    Ok([cut.server.start, tail.parameters().len()])
}
