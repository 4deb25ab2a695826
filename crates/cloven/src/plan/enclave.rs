//! What a job with an enclave costs, by the shapes of its products. Nothing is rehearsed: seconds of computing are not forecast.

use cloven_protocols::{
    Leak,
    enclave::cost::{StepCount, at_work, training_step},
};
use cloven_wire::{Party, tcp::Emulation};
use serde::{Deserialize, Serialize};

use super::{ClientRows, PlanOptions};
use crate::{Error, Job};

/// The costs of a job with an enclave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnclavePlan {
    /// The version of cloven.
    pub version: String,
    /// Digest of the job.
    pub job: String,
    /// The protocol.
    pub protocol: String,
    /// The line; null for all parties on this machine.
    pub link: Option<Emulation>,
    /// Training and test rows.
    pub rows: [usize; 2],
    /// Training batches in an epoch.
    pub batches_per_epoch: u64,
    /// Workers, by name.
    pub workers: Vec<Party>,
    /// Operations of an epoch's training inside matrix products, in the clear: what workers do.
    pub product_operations_per_epoch: u64,
    /// Operations of the enclave in an epoch's training: what layers compute beside products, hiding operands and finding results, checking.
    pub enclave_operations_per_epoch: [u64; 3],
    /// The enclave's operations over those of doing everything inside.
    pub share_of_enclave: f64,
    /// Bytes of operands to all workers and of results from them, in an epoch's training.
    pub worker_bytes_per_epoch: [u64; 2],
    /// Exchanges with the workers of a whole training batch, one after the other.
    pub exchanges_per_batch: u64,
    /// Seconds of an epoch that the line takes at least: the exchanges, each a round trip, the bytes from the enclave and those from a worker. Null without a line.
    pub seconds_of_line_per_epoch: Option<f64>,
    /// Seconds of an epoch: not forecast, always null.
    pub seconds_per_epoch: Option<f64>,
    /// What each party learns.
    pub leaks: Vec<Leak>,
    /// What the figures assume.
    pub notes: Vec<String>,
}

/// Plans a job with an enclave; its rows are those of `options`, or counted in the client's data.
///
/// # Errors
/// What is wrong with the job or the data.
pub fn plan_enclave(job: &Job, options: &PlanOptions) -> Result<EnclavePlan, Error> {
    if !options.cuts.is_empty() {
        let problem = "under protocol enclave the enclave has all layers: there is no cut";
        return Err(Error::configuration("--cut", problem));
    }
    let rows = ClientRows::find(job, options)?.rows;
    let (terms, cut) = (job.enclave_terms()?, job.cut()?);
    let mut epoch = StepCount::default();
    let mut exchanges_per_batch = 0;
    let mut batches = 0;
    for size in job.schedule().training_sizes(rows[0]) {
        let step = training_step(&cut.model, size, &job.training.optimiser, &terms);
        let step = step.map_err(|cause| Error::configuration("model", cause))?;
        exchanges_per_batch = step.exchanges;
        batches += 1;
        epoch = epoch.and(&step);
    }
    // Operands leave by the enclave's one line, results come by one of each worker's.
    let bytes = epoch.sent + epoch.received / at_work(&terms).max(1) as u64;
    let line = options.link.map(|link| {
        let waits = epoch.exchanges as f64 * link.rtt().as_secs_f64();
        waits + 8.0 * bytes as f64 / link.bits_per_second() as f64
    });
    Ok(EnclavePlan {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        job: job.digest_hex(),
        protocol: job.protocol.name().to_owned(),
        link: options.link,
        rows,
        batches_per_epoch: batches,
        workers: terms.workers,
        product_operations_per_epoch: epoch.products,
        enclave_operations_per_epoch: [epoch.layers, epoch.blinding, epoch.checks],
        share_of_enclave: epoch.share_of_enclave(),
        worker_bytes_per_epoch: [epoch.sent, epoch.received],
        exchanges_per_batch,
        seconds_of_line_per_epoch: line,
        seconds_per_epoch: None,
        leaks: job.leaks(),
        notes: notes(options),
    })
}

fn notes(options: &PlanOptions) -> Vec<String> {
    let mut notes = vec![
        "operations and bytes are counted by the shapes of the products; seconds of computing are not forecast for protocol enclave".to_owned(),
    ];
    if !options.memory.is_empty() {
        notes.push("caps on memory are not compared".into());
    }
    notes
}
