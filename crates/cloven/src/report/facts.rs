//! What a run folder says, in the form that a report shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use cloven_nn::Evaluation;
use cloven_wire::{Particulars, Party, Traffic};
use serde::{Deserialize, Serialize};

use crate::{Error, Stamped, Summary, Update, files::read_text};

/// No `metrics.jsonl` is read beyond this.
const MAX_METRICS: u64 = 256 << 20;
/// No line of it is longer.
const MAX_LINE: u64 = 1 << 20;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// It has a summary.
    Complete,
    /// It has none, but says why.
    Failed(Failure),
    /// It has neither: interrupted, killed, or still going on.
    Unfinished,
}

/// Why a run failed; `failure.json` of a run folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One sentence.
    pub message: String,
    /// The exit code.
    pub exit_code: u8,
    /// What the error is about.
    #[serde(flatten, default)]
    pub particulars: Particulars,
}

impl Failure {
    /// Of an error.
    pub fn of(error: &Error) -> Self {
        Self {
            message: error.to_string(),
            exit_code: error.exit_code(),
            particulars: error.particulars(),
        }
    }
}

/// One epoch, all parties together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EpochRow {
    /// From 1.
    pub epoch: u32,
    /// Mean training loss, by the party that knows it.
    pub loss: BTreeMap<Party, f64>,
    /// Training time of the slowest party.
    pub seconds: f64,
    /// Bytes of training, all messages of all parties at the socket.
    pub bytes: u64,
    /// Loss on the test rows, where evaluated and known.
    pub test_loss: Option<f64>,
    /// Accuracy on the test rows, where evaluated and known.
    pub accuracy: Option<f64>,
    /// The same on named subsets.
    pub subsets: BTreeMap<String, f64>,
}

/// What one party spent in one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseRow {
    /// The party.
    pub party: Party,
    /// `training` or `evaluation`.
    pub phase: String,
    /// Wall time.
    pub seconds: f64,
    /// Bytes at the party's socket.
    pub traffic: Traffic,
}

/// What is recorded of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// How it ended.
    #[serde(flatten)]
    pub state: State,
    /// The parties that recorded anything.
    pub parties: BTreeSet<Party>,
    /// Training and test rows, where work began.
    pub rows: Option<[usize; 2]>,
    /// By epoch.
    pub epochs: Vec<EpochRow>,
    /// By party and phase.
    pub phases: Vec<PhaseRow>,
    /// The last evaluation.
    pub evaluation: Option<Evaluation>,
    /// `summary.json`.
    pub summary: Option<Summary>,
}

impl Facts {
    /// Reads `summary.json`, `failure.json` and `metrics.jsonl`, each if it is there.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let summary: Option<Summary> = read_json(&folder.join("summary.json"))?;
        let failure: Option<Failure> = read_json(&folder.join(Failure::FILE))?;
        let mut facts = Self {
            state: match (&summary, failure) {
                (Some(_), _) => State::Complete,
                (None, Some(failure)) => State::Failed(failure),
                (None, None) => State::Unfinished,
            },
            parties: BTreeSet::new(),
            rows: None,
            epochs: Vec::new(),
            phases: Vec::new(),
            evaluation: None,
            summary,
        };
        let metrics = read_metrics(&folder.join("metrics.jsonl"))?;
        facts.parties = metrics.iter().map(|stamped| stamped.party.clone()).collect();
        metrics.into_iter().for_each(|stamped| facts.absorb(stamped));
        if let Some(summary) = &facts.summary {
            facts.parties.extend(summary.bytes_sent.keys().cloned());
        }
        Ok(facts)
    }

    fn absorb(&mut self, Stamped { party, update, .. }: Stamped) {
        match update {
            Update::Started {
                train_rows, test_rows, ..
            } => self.rows = Some([train_rows, test_rows]),
            Update::Epoch {
                epoch,
                loss,
                seconds,
                traffic,
                ..
            } => {
                self.spend(&party, "training", seconds, traffic);
                let alone = self.parties.len() == 1;
                let row = self.row(epoch);
                row.seconds = row.seconds.max(seconds);
                let received = if alone { traffic.received } else { 0 };
                row.bytes = row.bytes.saturating_add(traffic.sent).saturating_add(received);
                row.loss.extend(loss.map(|loss| (party, loss)));
            }
            Update::Evaluated {
                epoch,
                evaluation,
                subsets,
                seconds,
                traffic,
                ..
            } => {
                self.spend(&party, "evaluation", seconds, traffic);
                let row = self.row(epoch);
                if let Some(evaluation) = evaluation {
                    (row.test_loss, row.accuracy) = (Some(evaluation.loss), evaluation.accuracy);
                    let known = subsets.into_iter().filter_map(|(name, e)| Some((name, e.accuracy?)));
                    row.subsets = known.collect();
                    self.evaluation = Some(evaluation);
                }
            }
            _ => (),
        }
    }

    fn row(&mut self, epoch: u32) -> &mut EpochRow {
        let at = self
            .epochs
            .binary_search_by_key(&epoch, |row| row.epoch)
            .unwrap_or_else(|at| {
                let row = EpochRow {
                    epoch,
                    ..EpochRow::default()
                };
                self.epochs.insert(at, row);
                at
            });
        &mut self.epochs[at]
    }

    fn spend(&mut self, party: &Party, phase: &str, seconds: f64, traffic: Traffic) {
        let known = self.phases.iter_mut().find(|row| row.party == *party && row.phase == phase);
        match known {
            Some(row) => {
                row.seconds += seconds;
                row.traffic.sent = row.traffic.sent.saturating_add(traffic.sent);
                row.traffic.received = row.traffic.received.saturating_add(traffic.received);
            }
            None => self.phases.push(PhaseRow {
                party: party.clone(),
                phase: phase.to_owned(),
                seconds,
                traffic,
            }),
        }
    }
}

impl Failure {
    pub(crate) const FILE: &str = "failure.json";
}

/// A JSON file; `None` where there is none.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    if !path.exists() {
        return Ok(None);
    }
    let value = serde_json::from_str(&read_text(path)?).map_err(|e| Error::configuration(path.display(), e))?;
    Ok(Some(value))
}

/// The metrics; a last line without its end was being written when the run ended and is left out.
fn read_metrics(path: &Path) -> Result<Vec<Stamped>, Error> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let file = File::open(path).map_err(Error::file(path))?;
    let mut lines = BufReader::new(file.take(MAX_METRICS));
    let mut metrics = Vec::new();
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        lines
            .by_ref()
            .take(MAX_LINE)
            .read_line(&mut line)
            .map_err(Error::file(path))?;
        if !line.ends_with('\n') {
            break;
        }
        let place = || format!("{}:{number}", path.display());
        metrics.push(serde_json::from_str(&line).map_err(|e| Error::configuration(place(), e))?);
    }
    Ok(metrics)
}
