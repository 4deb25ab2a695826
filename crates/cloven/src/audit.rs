//! `cloven audit`: attacks on the recorded views of a run folder.

mod enclave;
mod vertical;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cloven_audit::{AuditError, Truth, Upload, View, replay};
use cloven_data::{Samples, Targets};
use cloven_nn::{LayerSpec, Loss, Network};
use cloven_wire::{
    Party,
    recording::{Recording, RecordingError},
};
use ndarray::{Array2, ArrayD, Axis};
use serde::{Deserialize, Serialize};

pub use cloven_audit::{Audit, Example, Finding};

use crate::{
    Error, Job, Local, Record, Role, catalogue, files,
    job::{self, Cut, Mode, Protocol},
};

/// How [`audit()`] goes about it.
#[derive(Debug, Clone)]
pub struct AuditOptions {
    /// The client's `local.toml`, for data that are not known by name.
    pub local: Option<PathBuf>,
    /// The first so many training rows are looked at.
    pub rows: usize,
}

/// The attacks on one party's view, and how much of the view is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartyAudit {
    /// How the recording ends.
    pub recording: String,
    /// The attacks.
    #[serde(flatten)]
    pub audit: Audit,
}

/// `audit.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audits {
    /// Digest of the job.
    pub job: String,
    /// The protocol.
    pub protocol: String,
    /// Its mode; null where there is one only.
    pub mode: Option<Mode>,
    /// By attacking party.
    pub parties: BTreeMap<Party, PartyAudit>,
}

impl Audits {
    /// Its file in a run folder.
    pub const FILE: &str = "audit.json";
}

/// Attacks the server's recorded view, of an enclave its workers', with the client's data at hand to score by, and writes `audit.json` into the run folder. Rows are those
/// of the first epoch's first batches.
///
/// # Errors
/// [`Error::Configuration`] when nothing is recorded, a recording is damaged or of another job, or the job has several clients;
/// [`Error::Data`] when the client's data cannot be loaded.
pub fn audit(run_folder: &Path, options: &AuditOptions) -> Result<Audits, Error> {
    let path = run_folder.join("job.toml");
    let job = Job::read(&path, &[])?;
    if job.protocol == Protocol::Vertical {
        let parties = vertical::parties(run_folder, &job, options)?;
        return written(run_folder, &job, parties);
    }
    if job.protocol == Protocol::Enclave {
        let (cut, rows) = (job.cut()?, Rows::load(&job, options)?);
        let first = rows.sizes.first().copied().unwrap_or(0);
        let beginning = enclave::Beginning {
            // What whoever has the job can compute, whether the client began with it or not.
            network: Network::new(&cut.model, cut.server, job.seed)?,
            batch: rows.samples.x.slice_axis(Axis(0), (..first).into()).to_owned(),
        };
        let workers: Vec<Party> = job.of_role(Role::Worker).cloned().collect();
        let parties = enclave::parties(run_folder, job.digest(), &workers, beginning)?;
        return written(run_folder, &job, parties);
    }
    let of_role = |role: Role| job.parties.iter().filter(move |(_, r)| **r == role).map(|(party, _)| party);
    let (Some(client), None) = (of_role(Role::Client).next(), of_role(Role::Client).nth(1)) else {
        return Err(Error::configuration(path.display(), "an audit needs a job with one client"));
    };
    let rows = Rows::load(&job, options)?;
    let theirs = read_view(run_folder, client, &job, &rows)?;
    let mut parties = BTreeMap::new();
    for server in of_role(Role::Server) {
        let Some((view, recording)) = read_view(run_folder, server, &job, &rows)? else {
            continue;
        };
        let truth = rows.truth(&job, &view, theirs.as_ref().map(|(view, _)| view))?;
        let audit = cloven_audit::audit(&view, &truth).map_err(|e| failed(run_folder, e))?;
        parties.insert(server.clone(), PartyAudit { recording, audit });
    }
    written(run_folder, &job, parties)
}

/// Writes `audit.json`.
fn written(run_folder: &Path, job: &Job, parties: BTreeMap<Party, PartyAudit>) -> Result<Audits, Error> {
    if parties.is_empty() {
        let problem = "no party's view is recorded: run with --record";
        return Err(Error::configuration(run_folder.display(), problem));
    }
    let audits = Audits {
        job: job.digest_hex(),
        protocol: job.protocol.name().to_owned(),
        mode: job.mode_if_any(),
        parties,
    };
    let text = serde_json::to_string_pretty(&audits).expect("audits have only string keys");
    // It holds examples of the client's data.
    files::write(&run_folder.join(Audits::FILE), format!("{text}\n").as_bytes(), true)?;
    Ok(audits)
}

fn failed(place: &Path, error: AuditError) -> Error {
    match error {
        AuditError::Model(error) => Error::Model(error),
        other => Error::configuration(place.display(), other),
    }
}

/// A party's view and how its recording ends; `None` where there is no recording.
fn read_view(run_folder: &Path, party: &Party, job: &Job, rows: &Rows) -> Result<Option<(View, String)>, Error> {
    let path = Record::path(run_folder, party);
    if !path.exists() {
        return Ok(None);
    }
    let wrong = |e: RecordingError| Error::configuration(path.display(), e);
    let mut recording = Recording::open(&path).map_err(wrong)?;
    if recording.job() != job.digest() || recording.party() != party {
        return Err(Error::configuration(
            path.display(),
            format!("expected {party}'s view of this run's job, got another"),
        ));
    }
    let view = match job.protocol {
        Protocol::EncryptedModel => {
            let (row_len, order) = (uploaded_row_len(job)?, &rows.order);
            View::read_with_upload(recording.by_ref(), &rows.sizes, Upload { row_len, order })
        }
        _ => View::read(recording.by_ref(), &rows.sizes),
    };
    let view = view.map_err(|e| failed(&path, e))?;
    // What was not needed; only its end is.
    recording.by_ref().try_for_each(|message| message.map(drop)).map_err(wrong)?;
    Ok(Some((view, how_it_ends(&recording))))
}

fn how_it_ends<R: std::io::Read>(recording: &Recording<R>) -> String {
    recording.end().map_or_else(
        || "it was cut: the party's process was ended from outside".to_owned(),
        |e| e.to_string(),
    )
}

/// Bytes of a row that the client of `encrypted-model` uploads.
fn uploaded_row_len(job: &Job) -> Result<usize, Error> {
    Ok(match job.samples() {
        // As 16-bit integers.
        job::Samples::Clear => 2 * job.layer_encryption()?.inputs(),
        job::Samples::Encrypted => job.first_product()?.row_len(),
    })
}

/// The client's training rows in the order of the first epoch.
struct Rows {
    samples: Samples,
    /// Their places in the client's data.
    order: Vec<usize>,
    /// Rows of each batch.
    sizes: Vec<usize>,
}

impl Rows {
    fn load(job: &Job, options: &AuditOptions) -> Result<Self, Error> {
        let local = options.local.as_deref().map(Local::read).transpose()?;
        let data = match local.and_then(|local| local.data) {
            Some(data) => data,
            None => catalogue::find(&job.data.name)?,
        };
        let train = data.load(job, None)?.train;
        let (batch, mut order) = (job.training.batch, job.shuffle().order(1, train.rows()));
        // Whole batches.
        order.truncate(options.rows.div_ceil(batch).saturating_mul(batch));
        Ok(Self {
            sizes: order.chunks(batch).map(<[usize]>::len).collect(),
            samples: train.select(&order),
            order,
        })
    }

    fn truth(&self, job: &Job, view: &View, client: Option<&View>) -> Result<Truth, Error> {
        let cut = job.cut()?;
        let rows = self.samples.rows();
        let width = self.samples.x.len() / rows.max(1);
        let x = self.samples.x.as_standard_layout();
        let flat = Array2::from_shape_vec((rows, width), x.iter().copied().collect());
        // Only a view with the weight's gradients allows an attack on activations.
        let solvable = view.batches.iter().any(|batch| batch.weight_gradient.is_some());
        let activations = match client.filter(|_| solvable) {
            Some(client) => self.activations(job, &cut, client)?,
            None => Vec::new(),
        };
        Ok(Truth {
            inputs: flat.unwrap_or_else(|_| Array2::zeros((0, 0))),
            shape: self.samples.sample_shape().to_vec(),
            labels: match &self.samples.targets {
                Targets::Classes { index, .. } => Some(index.clone()),
                Targets::Labels { .. } | Targets::Values(_) => None,
            },
            classes: job.data.classes.unwrap_or(0),
            map: map_shape(&cut)?,
            logits: job.training.loss == Loss::CrossEntropy && cut.server.end == cut.model.layers.len(),
            activations,
        })
    }

    fn activations(&self, job: &Job, cut: &Cut, client: &View) -> Result<Vec<Array2<f64>>, Error> {
        let front = Network::new(&cut.model, 0..cut.server.start, job.seed)?.with_optimiser(job.training.optimiser.clone())?;
        let mut first = 0;
        let batches = self.sizes.iter().map(|size| {
            first += size;
            let rows: Vec<usize> = (first - size..first).collect();
            self.samples.x.select(Axis(0), &rows)
        });
        let batches: Vec<ArrayD<f32>> = batches.collect();
        replay(front, &batches, client).map_err(|e| failed(Path::new("replay of the client's layers"), e))
    }
}

/// The shape at the cut, before it was flattened.
fn map_shape(cut: &Cut) -> Result<Vec<usize>, Error> {
    let shapes = cut.model.shapes()?;
    let flattened = |at: usize| matches!(cut.model.layers[at], LayerSpec::Flatten {});
    let at = (0..cut.server.start).rev().find(|at| !flattened(*at)).map_or(0, |at| at + 1);
    Ok(shapes[at].clone())
}
