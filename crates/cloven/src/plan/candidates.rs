//! The cuts that a job's protocol can take.

use std::ops::Range;

use crate::{Error, Job, job::Protocol};

/// A cut: the job with these layers at the server, or why the protocol refuses it.
pub(super) struct Candidate {
    pub(super) layers: Range<usize>,
    pub(super) job: Result<Job, Error>,
}

/// Packings of an encrypted model that are tried beside the job's own: none, and a few of those that slow links may want.
const PACKINGS: [Option<usize>; 4] = [None, Some(4), Some(8), Some(16)];

impl Candidate {
    /// The cut itself and, where the protocol has several layouts of ciphertexts, the cut in each of the others.
    pub(super) fn in_every_layout(self) -> Vec<Self> {
        let Ok(job) = &self.job else { return vec![self] };
        if job.protocol != Protocol::EncryptedModel {
            return vec![self];
        }
        let (own, layers) = (packing(job), self.layers.clone());
        let others = PACKINGS.into_iter().filter(|packing| *packing != own);
        let others = others.map(|packing| {
            let mut job = job.clone();
            job.encryption.get_or_insert_default().packing = packing;
            Self {
                layers: layers.clone(),
                job: job.validate("packing").map(|()| job),
            }
        });
        let mut all: Vec<_> = others.filter(|candidate| candidate.job.is_ok()).collect();
        all.insert(0, self);
        all
    }
}

/// Rows whose steps share a ciphertext, under `encrypted-model` in stride layout.
pub(super) fn packing(job: &Job) -> Option<usize> {
    job.encryption.and_then(|encryption| encryption.packing)
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
