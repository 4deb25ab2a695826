//! The loop that every training protocol between one client and one server shares: epochs, batches, evaluation, progress.
//! What happens inside a batch is the protocol's own.

use std::collections::BTreeMap;

use cloven_nn::{BatchTargets, Evaluation, Loss};
use cloven_wire::{Channel, Link};
use ndarray::{ArrayD, Axis, concatenate};

use crate::{Event, Examples, Observe, ProtocolError, Schedule, Shuffle, Start, Subset};

/// What a client trains on and how.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// Training rows.
    pub train: &'a Examples,
    /// Test rows; may be none.
    pub test: &'a Examples,
    /// Named subsets of the test rows that are evaluated as well.
    pub subsets: &'a [Subset],
    /// The loss at the network's output.
    pub loss: Loss,
    /// The job's schedule.
    pub schedule: Schedule,
    /// The order of the training rows.
    pub shuffle: Shuffle,
}

/// A client's part in a batch. `round` is fresh for each call, the same at both parties.
pub(crate) trait ClientRounds<C: Channel> {
    /// Trains on a batch; returns its mean loss.
    async fn train(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>, t: &BatchTargets) -> Result<f64, ProtocolError>;

    /// The network's outputs on a batch.
    async fn outputs(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>) -> Result<ArrayD<f32>, ProtocolError>;

    /// After the last batch of an epoch of `rows` rows, in a round of its own.
    async fn end_epoch(&mut self, _: &mut Link<C>, _round: u64, _rows: usize) -> Result<(), ProtocolError> {
        Ok(())
    }
}

/// A server's part in a batch of `rows` rows; the counterparts of [`ClientRounds`].
pub(crate) trait ServerRounds<C: Channel> {
    async fn train(&mut self, link: &mut Link<C>, round: u64, rows: usize) -> Result<(), ProtocolError>;

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, rows: usize) -> Result<(), ProtocolError>;

    async fn end_epoch(&mut self, _: &mut Link<C>, _round: u64, _rows: usize) -> Result<(), ProtocolError> {
        Ok(())
    }
}

/// Trains for the whole schedule with the server at the other end of `link`.
pub(crate) async fn client<C: Channel>(
    me: &mut impl ClientRounds<C>,
    task: &Task<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let (train_rows, test_rows) = (task.train.rows(), task.test.rows());
    let schedule = task.schedule;
    link.send(
        0,
        &Start {
            train_rows: train_rows as u64,
            test_rows: test_rows as u64,
        },
    )
    .await?;
    let batches = schedule.batches(train_rows);
    observe(Event::Started {
        epochs: schedule.epochs,
        train_rows,
        test_rows,
        batches,
        traffic: link.traffic(),
    })?;

    let mut round = 0;
    for epoch in 1..=schedule.epochs {
        let order = task.shuffle.order(epoch, train_rows);
        let mut total = 0.0;
        for (index, rows) in order.chunks(schedule.batch).enumerate() {
            round += 1;
            let (x, targets) = task.train.batch(rows);
            let loss = me.train(link, round, &x, &targets).await?;
            total += loss * rows.len() as f64;
            let (batch, rows, loss) = (index + 1, rows.len(), Some(loss));
            observe(Event::Batch {
                epoch,
                batch,
                rows,
                loss,
                traffic: link.traffic(),
            })?;
        }
        round += 1;
        me.end_epoch(link, round, train_rows).await?;
        observe(Event::Epoch {
            epoch,
            loss: Some(total / train_rows as f64),
            traffic: link.traffic(),
        })?;
        if schedule.evaluates_after(epoch) && test_rows > 0 {
            let outputs = test_outputs(me, task, link, &mut round).await?;
            let evaluation = Some(Evaluation::new(task.loss, &outputs, &task.test.targets)?);
            let subsets = evaluate_subsets(task, &outputs)?;
            observe(Event::Evaluated {
                epoch,
                evaluation,
                subsets,
                traffic: link.traffic(),
            })?;
        }
    }
    Ok(())
}

/// Trains for the whole schedule with the client at the other end of `link`.
pub(crate) async fn server<C: Channel>(
    me: &mut impl ServerRounds<C>,
    schedule: Schedule,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let Start { train_rows, test_rows } = link.receive(0, &()).await?;
    let (train_rows, test_rows) = (train_rows as usize, test_rows as usize);
    let batches = schedule.batches(train_rows);
    observe(Event::Started {
        epochs: schedule.epochs,
        train_rows,
        test_rows,
        batches,
        traffic: link.traffic(),
    })?;

    let mut round = 0;
    for epoch in 1..=schedule.epochs {
        for (index, rows) in schedule.training_sizes(train_rows).enumerate() {
            round += 1;
            me.train(link, round, rows).await?;
            observe(Event::Batch {
                epoch,
                batch: index + 1,
                rows,
                loss: None,
                traffic: link.traffic(),
            })?;
        }
        round += 1;
        me.end_epoch(link, round, train_rows).await?;
        observe(Event::Epoch {
            epoch,
            loss: None,
            traffic: link.traffic(),
        })?;
        if schedule.evaluates_after(epoch) && test_rows > 0 {
            for rows in schedule.evaluation_sizes(test_rows) {
                round += 1;
                me.outputs(link, round, rows).await?;
            }
            observe(Event::Evaluated {
                epoch,
                evaluation: None,
                subsets: BTreeMap::new(),
                traffic: link.traffic(),
            })?;
        }
    }
    Ok(())
}

/// The network's outputs on all test rows, in order: `[rows, outputs]`.
async fn test_outputs<C: Channel>(
    me: &mut impl ClientRounds<C>,
    task: &Task<'_>,
    link: &mut Link<C>,
    round: &mut u64,
) -> Result<ArrayD<f32>, ProtocolError> {
    let all: Vec<usize> = (0..task.test.rows()).collect();
    let mut parts = Vec::new();
    for rows in all.chunks(task.schedule.evaluation_batch) {
        *round += 1;
        let (x, _) = task.test.batch(rows);
        parts.push(me.outputs(link, *round, &x).await?);
    }
    let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
    Ok(concatenate(Axis(0), &views).expect("every part has the network's output shape"))
}

fn evaluate_subsets(task: &Task<'_>, outputs: &ArrayD<f32>) -> Result<BTreeMap<String, Evaluation>, ProtocolError> {
    task.subsets
        .iter()
        .map(|subset| {
            let outputs = outputs.select(Axis(0), &subset.rows);
            let evaluation = Evaluation::new(task.loss, &outputs, &task.test.targets.select(&subset.rows))?;
            Ok((subset.name.clone(), evaluation))
        })
        .collect()
}
