//! A party's progress as log lines: counts, losses and names, never a row, a weight or a message.

use cloven_protocols::Event;
use tracing::{debug, info, warn};

use crate::Update;

/// Logs what is told a few times a second at most.
pub(super) fn update(update: &Update) {
    match update {
        Update::Warning { text } => warn!("{text}"),
        Update::Listening { address } => info!(address, "listening"),
        Update::Waiting { peer, address } => info!(%peer, address, "waiting for a party"),
        Update::TurnedAway { from, why } => warn!(from, why, "turned a connection away"),
        Update::Connected { peer } => info!(%peer, "connected"),
        Update::Lost { peer, why, seconds } => warn!(%peer, why, seconds, "lost a party; waiting for it"),
        Update::Started {
            epochs,
            train_rows,
            test_rows,
            batches,
            from,
            ..
        } => info!(
            epochs,
            train_rows,
            test_rows,
            batches,
            epoch = from.epoch,
            batch = from.batch,
            "training begins"
        ),
        Update::Epoch {
            epoch,
            loss,
            seconds,
            traffic,
            ..
        } => debug!(
            epoch,
            loss,
            seconds,
            sent = traffic.sent,
            received = traffic.received,
            "epoch done"
        ),
        Update::Evaluated {
            epoch,
            evaluation,
            seconds,
            ..
        } => {
            let (loss, accuracy) = evaluation.as_ref().map(|e| (e.loss, e.accuracy)).unzip();
            debug!(epoch, loss, accuracy = accuracy.flatten(), seconds, "evaluated");
        }
        Update::Aligned { alignment } => info!(
            rows = alignment.rows,
            missing_ids = alignment.missing_ids,
            repeated = alignment.repeated_ids,
            distinct = alignment.distinct_ids,
            common = alignment.common_ids,
            "rows that all holders have"
        ),
        Update::Alone => info!("the training was complete: finishing from the last checkpoint"),
        Update::Unreached { peer, seconds } => warn!(%peer, seconds, "finished; a party could not be told"),
        Update::Asked { rows } => info!(rows, "prediction begins"),
        Update::Recorded { path, messages, .. } => info!(path, messages, "recorded what was received"),
        Update::Met { .. } => info!("the servers have met"),
        Update::Prepared { ready, wanted, .. } => debug!(ready, wanted, "inferences are prepared"),
        Update::Answered { inferences, ready, .. } => debug!(inferences, ready, "inferences are answered"),
        Update::Desk { users, waiting, .. } => debug!(users, waiting, "users of the service"),
        Update::UserLeft { user, why } => warn!(%user, why, "a user left early"),
        Update::Computed { jobs, .. } => debug!(jobs, "jobs of an enclave are done"),
        Update::WorkerDropped { worker, why } => warn!(%worker, why, "a worker failed; going on without it"),
        Update::Finished { .. } | Update::PredictionFinished { .. } | Update::Served { .. } | Update::AnswersFinished { .. } => {
            info!("finished")
        }
        // Told by others, or logged as they happen.
        Update::Metrics { .. }
        | Update::Restarted
        | Update::Adjusted { .. }
        | Update::Batch { .. }
        | Update::Checkpoint { .. }
        | Update::Predicted { .. }
        | Update::Failed { .. } => (),
    }
}

/// Logs every step.
pub(super) fn event(event: &Event) {
    match event {
        Event::Batch {
            epoch,
            batch,
            rows,
            loss,
            traffic,
        } => debug!(
            epoch,
            batch,
            rows,
            loss,
            sent = traffic.sent,
            received = traffic.received,
            "batch done"
        ),
        Event::Predicted { rows, traffic } => debug!(rows, sent = traffic.sent, received = traffic.received, "batch predicted"),
        _ => (),
    }
}
