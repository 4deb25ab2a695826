//! A client's loop.

use std::collections::BTreeMap;

use cloven_nn::Evaluation;
use cloven_wire::{Channel, Link};
use ndarray::{ArrayD, Axis, concatenate};

use super::{ClientRounds, Cohort, Task};
use crate::{AllSettled, Begin, Event, Observe, Parts, Position, ProtocolError, Settled, Start, checkpoint::number};

/// The part of a checkpoint that is the sum of the losses of the epoch's rows so far.
const LOSS: &str = "loss";

/// Trains for the whole schedule with the server at the other end of `link`.
pub(crate) async fn client<C: Channel>(
    me: &mut impl ClientRounds<C>,
    task: &Task<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let (schedule, train_rows, test_rows) = (task.schedule, task.train.rows(), task.test.rows());
    if task.alone {
        return restore(me, task, schedule.end()).map(drop);
    }
    let (cohort, from) = begin(task, link).await?;
    if from == schedule.end() {
        restore(me, task, from)?;
        return Ok(task.keep.map_or(Ok(()), |keep| keep.complete())?);
    }
    me.begin(link, &cohort).await?;
    let mut loss = restore(me, task, from)?;
    observe(Event::Started {
        epochs: schedule.epochs,
        train_rows,
        test_rows,
        batches: schedule.batches(train_rows),
        from,
        traffic: link.traffic(),
    })?;

    let mut round = schedule.rounds_before(from, train_rows, test_rows);
    for epoch in from.epoch..=schedule.epochs {
        let first = if epoch == from.epoch { from.batch } else { 0 };
        train(
            me,
            task,
            Position { epoch, batch: first },
            link,
            &mut round,
            &mut loss,
            observe,
        )
        .await?;
        round += 1;
        me.end_epoch(link, round, &cohort).await?;
        observe(Event::Epoch {
            epoch,
            loss: Some(std::mem::take(&mut loss) / train_rows as f64),
            traffic: link.traffic(),
        })?;
        if schedule.evaluates_after(epoch) && test_rows > 0 {
            let outputs = test_outputs(me, task, link, &mut round).await?;
            observe(Event::Evaluated {
                epoch,
                evaluation: Some(Evaluation::new(task.weighted_loss(), &outputs, &task.test.targets)?),
                subsets: evaluate_subsets(task, &outputs)?,
                traffic: link.traffic(),
            })?;
        }
        if schedule.checkpoint_every > 0 {
            round += 1;
            settle(me, task, epoch + 1, link, round).await?;
        }
    }
    Ok(())
}

/// Says how much there is to do here and where this party could go on; hears how much there is in all, and where to go on.
async fn begin<C: Channel>(task: &Task<'_>, link: &mut Link<C>) -> Result<(Cohort, Position), ProtocolError> {
    let own = task.train.rows();
    let mut positions = task.keep.map(|keep| keep.positions()).unwrap_or_default();
    // The newest are of use; the oldest of the last epoch is its beginning and comes first among them.
    positions.sort_unstable();
    positions.drain(..positions.len().saturating_sub(Start::MAX_POSITIONS));
    let start = Start {
        train_rows: own as u64,
        test_rows: task.test.rows() as u64,
        positions,
    };
    link.send(0, &start).await?;
    let begin: Begin = link.receive(0, &(task.clients, start)).await?;
    Ok((Cohort::of_client([own, task.test.rows()], begin), begin.from))
}

/// Goes back to a checkpoint; returns the sum of the epoch's losses so far.
fn restore<C: Channel>(me: &mut impl ClientRounds<C>, task: &Task<'_>, from: Position) -> Result<f64, ProtocolError> {
    let (Some(keep), true) = (task.keep, from != Position::START) else {
        return Ok(0.0);
    };
    let parts = keep.load(from)?;
    me.restore(&parts)?;
    number(&parts, LOSS).map(f64::from_bits)
}

fn snapshot<C: Channel>(me: &impl ClientRounds<C>, loss: f64) -> Result<Parts, ProtocolError> {
    let mut parts = me.snapshot()?;
    parts.insert(LOSS.to_owned(), loss.to_bits().to_le_bytes().to_vec());
    Ok(parts)
}

/// Keeps the end of an epoch, and waits until every party has.
async fn settle<C: Channel>(
    me: &impl ClientRounds<C>,
    task: &Task<'_>,
    epoch: u32,
    link: &mut Link<C>,
    round: u64,
) -> Result<(), ProtocolError> {
    if let Some(keep) = task.keep {
        keep.save(Position::of_epoch(epoch), snapshot(me, 0.0)?)?;
        keep.flush()?;
    }
    link.send(round, &Settled { epoch }).await?;
    let AllSettled { .. } = link.receive(round, &epoch).await?;
    let Some(keep) = task.keep else { return Ok(()) };
    if Position::of_epoch(epoch) == task.schedule.end() {
        keep.complete()?;
    }
    Ok(keep.settled(epoch)?)
}

/// The rest of an epoch's training; adds to the sum of its losses.
async fn train<C: Channel>(
    me: &mut impl ClientRounds<C>,
    task: &Task<'_>,
    Position { epoch, batch: done }: Position,
    link: &mut Link<C>,
    round: &mut u64,
    loss: &mut f64,
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let order = task.shuffle.order(epoch, task.train.rows());
    let batches = task.schedule.batches(order.len());
    for (rows, batch) in order.chunks(task.schedule.batch).zip(1..).skip(done as usize) {
        *round += 1;
        let (x, targets) = task.train.batch(rows);
        let mean = me.train(link, *round, &x, &targets).await?;
        *loss += mean * rows.len() as f64;
        observe(Event::Batch {
            epoch,
            batch,
            rows: rows.len(),
            loss: Some(mean),
            traffic: link.traffic(),
        })?;
        if let Some(keep) = task.keep.filter(|_| task.schedule.keeps_after(batch, batches)) {
            let batch = batch as u32;
            keep.save(Position { epoch, batch }, snapshot(me, *loss)?)?;
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
            let evaluation = Evaluation::new(task.weighted_loss(), &outputs, &task.test.targets.select(&subset.rows))?;
            Ok((subset.name.clone(), evaluation))
        })
        .collect()
}
