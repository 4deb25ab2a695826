//! A worker's script: it computes what it is asked for, on whatever device it has.

use cloven_accel::{
    AccelError,
    job::{Accelerator, Worker},
};
use cloven_wire::{Channel, Link, Message, WireError};

use super::msg::{WorkerAnswer, WorkerJob, refused_job};
use crate::{Event, Observe, ProtocolError};

/// Bytes of the largest job.
pub(super) const MAX_JOB: usize = 1 << 30;

/// Computes until the enclave ends the work.
///
/// # Errors
/// [`ProtocolError`], naming the enclave whose job cannot be, or asks for more than the limits; [`ProtocolError::Acceleration`] where the device fails.
pub async fn worker<A: Accelerator, C: Channel>(
    mut worker: Worker<A>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    for round in 1.. {
        let WorkerJob(job) = link.receive(round, &MAX_JOB).await?;
        if job.0.is_empty() {
            break;
        }
        let answer = worker.run(job).map_err(|cause| refused(link, round, cause))?;
        link.send(round, &WorkerAnswer(answer)).await?;
        let (jobs, traffic) = (round, link.traffic());
        observe(Event::Computed { jobs, traffic })?;
    }
    Ok(())
}

/// Whose fault it is that a job is not answered.
fn refused<C: Channel>(link: &Link<C>, round: u64, cause: AccelError) -> ProtocolError {
    if cause.is_of_the_device() {
        return cause.into();
    }
    let cause = refused_job(cause.to_string());
    ProtocolError::Wire(WireError::Malformed {
        party: link.peer().clone(),
        round,
        what: WorkerJob::NAME,
        cause,
    })
}
