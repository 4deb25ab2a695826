//! Progress of one party as values: shown, recorded in `metrics.jsonl`, and passed from a party's process to `cloven run`.

use std::collections::BTreeMap;

use cloven_data::ColumnCount;
use cloven_nn::Evaluation;
use cloven_protocols::Position;
use cloven_wire::{Particulars, Party, Traffic};
use serde::{Deserialize, Serialize};

use crate::{
    Alignment, PartySummary,
    predict::PartyPrediction,
    reporter::ServiceFigures,
    service::{ServerReport, UserReport},
};

/// An update, who it is from and when it happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    /// The party.
    pub party: Party,
    /// Seconds since the party started.
    pub at: f64,
    /// What happened.
    #[serde(flatten)]
    pub update: Update,
}

/// Something that happened at a party.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Update {
    /// It accepts connections.
    Listening {
        /// Host and port.
        address: String,
    },
    /// Its metrics can be read.
    Metrics {
        /// Host and port of the page `/metrics`.
        address: String,
    },
    /// It waits for a peer.
    Waiting {
        /// The peer.
        peer: Party,
        /// Where.
        address: String,
    },
    /// It turned a connection away.
    TurnedAway {
        /// The other address.
        from: String,
        /// Why.
        why: String,
    },
    /// Something that whoever runs this party must know at every start.
    Warning {
        /// A sentence or two.
        text: String,
    },
    /// A peer is connected.
    Connected {
        /// The peer.
        peer: Party,
    },
    /// A peer is gone; it is waited for.
    Lost {
        /// The peer.
        peer: Party,
        /// What happened.
        why: String,
        /// How long it is waited for.
        seconds: u64,
    },
    /// Its process died and is started again.
    Restarted,
    /// A holder found the rows that all holders have.
    Aligned {
        /// In numbers.
        alignment: Alignment,
    },
    /// Values of a holder's rows were filled in, not known, or moved to the limit.
    Adjusted {
        /// By column; names are the holder's own affair, so this is shown to its operator and goes into no file.
        columns: Vec<ColumnCount>,
    },
    /// Work begins.
    Started {
        /// Epochs to train.
        epochs: u32,
        /// Training rows.
        train_rows: usize,
        /// Test rows.
        test_rows: usize,
        /// Batches in an epoch.
        batches: usize,
        /// Where training begins, or goes on.
        #[serde(default)]
        from: Position,
        /// Bytes on the connections of now, so far.
        #[serde(default)]
        connection: Traffic,
    },
    /// Some batches are done; sent a few times a second, not once per batch.
    Batch {
        /// Epoch, from 1.
        epoch: u32,
        /// Batch in the epoch, from 1.
        batch: usize,
        /// Rows so far in this epoch.
        rows: usize,
        /// Loss of the last batch, where known.
        #[serde(skip_serializing_if = "Option::is_none")]
        loss: Option<f64>,
        /// Bytes on the connections of now, so far.
        traffic: Traffic,
    },
    /// Checkpoints were written; told a few times a second within an epoch, and at its end.
    Checkpoint {
        /// The newest.
        position: Position,
        /// How many this process has written.
        written: u64,
    },
    /// An epoch of training is done.
    Epoch {
        /// Epoch, from 1.
        epoch: u32,
        /// Mean loss, where known.
        #[serde(skip_serializing_if = "Option::is_none")]
        loss: Option<f64>,
        /// Seconds the epoch's training took.
        seconds: f64,
        /// Bytes of the epoch's training.
        traffic: Traffic,
        /// Rows of this epoch since its beginning or, after a resume, since then.
        #[serde(default)]
        rows: usize,
        /// Bytes on the connections of now, so far.
        #[serde(default)]
        connection: Traffic,
    },
    /// The test rows were evaluated.
    Evaluated {
        /// After this epoch.
        epoch: u32,
        /// The result, where known.
        #[serde(skip_serializing_if = "Option::is_none")]
        evaluation: Option<Evaluation>,
        /// The same on named subsets of the test rows.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        subsets: BTreeMap<String, Evaluation>,
        /// Seconds it took.
        seconds: f64,
        /// Bytes it took.
        traffic: Traffic,
        /// Bytes on the connections of now, so far.
        #[serde(default)]
        connection: Traffic,
    },
    /// A prediction begins.
    Asked {
        /// Rows to predict.
        rows: usize,
    },
    /// The servers of a service have met, and can work.
    Met {
        /// All that this server has done.
        figures: ServiceFigures,
    },
    /// One more inference of a service is prepared.
    Prepared {
        /// So many wait to be used.
        ready: usize,
        /// So many are kept, at the gateway.
        wanted: usize,
        /// All that this server has done.
        figures: ServiceFigures,
    },
    /// A server has answered one more inference.
    Answered {
        /// So many.
        inferences: u64,
        /// So many prepared ones wait to be used.
        ready: usize,
        /// All that this server has done.
        figures: ServiceFigures,
    },
    /// A user of a service came, went, or got an answer.
    Desk {
        /// Users that are connected.
        users: usize,
        /// Inputs that came and are not answered.
        waiting: usize,
        /// Bytes of all users so far.
        traffic: Traffic,
    },
    /// A user of a service is gone before it had all answers, or sent what it may not.
    UserLeft {
        /// The user.
        user: Party,
        /// What happened.
        why: String,
    },
    /// An enclave's worker is at work; told a few times a second.
    Computed {
        /// Jobs so far.
        jobs: u64,
        /// Bytes on the connection of now, so far.
        traffic: Traffic,
    },
    /// An enclave does without a worker from here on.
    WorkerDropped {
        /// The worker.
        worker: Party,
        /// What it did.
        why: String,
    },
    /// Some batches of a prediction are done; sent a few times a second.
    Predicted {
        /// Rows done so far.
        rows: usize,
        /// Bytes so far.
        traffic: Traffic,
    },
    /// The training was done and every party had agreed on it: the party writes its weights from its last checkpoint, without the others.
    Alone,
    /// The party is done, but could not tell another that it may finish too: it keeps its checkpoints.
    Unreached {
        /// The other party.
        peer: Party,
        /// How long it was waited for.
        seconds: u64,
    },
    /// What the party received is recorded.
    Recorded {
        /// The file.
        path: String,
        /// Messages in it.
        messages: u64,
        /// Its bytes.
        bytes: u64,
        /// Whether everything is in it, or which limit ended it.
        end: String,
    },
    /// The party is done.
    Finished {
        /// What it has to report.
        summary: Box<PartySummary>,
    },
    /// The party is done with a prediction.
    PredictionFinished {
        /// What it has to report.
        report: Box<PartyPrediction>,
    },
    /// The server of a service is done.
    Served {
        /// What it has to report.
        report: Box<ServerReport>,
    },
    /// The user of a service has its answers.
    AnswersFinished {
        /// What it has to report.
        report: Box<UserReport>,
    },
    /// The party failed.
    Failed {
        /// One sentence.
        message: String,
        /// Its exit code.
        exit_code: u8,
        /// What the error is about.
        #[serde(default)]
        particulars: Box<Particulars>,
    },
}

impl Update {
    /// Whether the update belongs into `metrics.jsonl`.
    pub fn is_metric(&self) -> bool {
        matches!(
            self,
            Self::Aligned { .. } | Self::Started { .. } | Self::Epoch { .. } | Self::Evaluated { .. }
        )
    }
}
