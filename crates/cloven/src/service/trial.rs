//! Training a network in the clear, whole and in this process, so that a service can be tried out: its owner would bring a trained one.

use cloven_nn::{Evaluation, InputGradient, Network};
use cloven_protocols::Examples;

use super::job::{ServiceJob, Trial};
use crate::{Error, catalogue, party::ClientData};

/// A network trained for a trial, and the rows that it was not trained on.
pub(super) struct Trained {
    pub(super) network: Network,
    pub(super) train: Examples,
    pub(super) test: Examples,
    /// On the test rows.
    pub(super) evaluation: Evaluation,
}

/// Trains on the data set that the job names.
///
/// # Errors
/// [`Error`] for unknown data, or a training that diverges.
pub(super) fn train(job: &ServiceJob, trial: &Trial) -> Result<Trained, Error> {
    let job = job.trial_job(trial)?;
    let data = ClientData::new(&catalogue::find(&job.data.name)?, None, &job)?;
    job.check_batches(data.train.rows())?;
    let cut = job.cut()?;
    let network = Network::new(&cut.model, 0..cut.model.layers.len(), job.seed)?;
    let mut network = network.with_optimiser(job.training.optimiser.clone())?;
    let (loss, shuffle, mut step) = (job.training.loss, job.shuffle(), 0);
    for epoch in 1..=job.training.epochs {
        for rows in shuffle.order(epoch, data.train.rows()).chunks(job.training.batch) {
            step += 1;
            let (x, targets) = data.train.batch(rows);
            let outputs = network.forward_train(step, &x)?;
            let (_, gradient) = loss.value_and_gradient(&outputs, &targets)?;
            network.backward(&gradient, InputGradient::NotWanted)?;
            network.update()?;
        }
    }
    let outputs = network.forward(&data.test.x)?;
    let evaluation = Evaluation::new(loss, &outputs, &data.test.targets)?;
    Ok(Trained {
        network,
        train: data.train,
        test: data.test,
        evaluation,
    })
}
