//! The cuts that a job's protocol can take.

use std::ops::Range;

use crate::{Error, Job};

/// A cut: the job with these layers at the server, or why the protocol refuses it.
pub(super) struct Candidate {
    pub(super) layers: Range<usize>,
    pub(super) job: Result<Job, Error>,
}

/// Every range of layers that the server could hold, of those that `wanted` lets through.
pub(super) fn candidates(job: &Job, wanted: impl Fn(&Range<usize>) -> bool) -> Result<Vec<Candidate>, Error> {
    let layers = job.cut()?.model.layers.len();
    let ranges = (0..layers).flat_map(|first| (first + 1..=layers).map(move |end| first..end));
    Ok(ranges
        .filter(wanted)
        .map(|layers| Candidate {
            job: at(job, &layers),
            layers,
        })
        .collect())
}

/// The job with another cut.
fn at(job: &Job, layers: &Range<usize>) -> Result<Job, Error> {
    let mut job = job.clone();
    job.model.server_layers = Some(layers.clone().collect());
    job.validate("cut")?;
    Ok(job)
}
