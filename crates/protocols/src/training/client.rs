//! A client's loop.

use std::collections::BTreeMap;

use cloven_nn::Evaluation;
use cloven_wire::{Channel, Link};
use ndarray::{ArrayD, Axis, concatenate};

use super::{ClientRounds, Cohort, Task};
use crate::{Begin, Event, Observe, ProtocolError, Start};

/// Trains for the whole schedule with the server at the other end of `link`.
pub(crate) async fn client<C: Channel>(
    me: &mut impl ClientRounds<C>,
    task: &Task<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let cohort = begin(task, link).await?;
    me.begin(link, &cohort).await?;
    let (train_rows, test_rows) = (task.train.rows(), task.test.rows());
    observe(Event::Started {
        epochs: task.schedule.epochs,
        train_rows,
        test_rows,
        batches: task.schedule.batches(train_rows),
        traffic: link.traffic(),
    })?;

    let mut round = 0;
    for epoch in 1..=task.schedule.epochs {
        let loss = train(me, task, epoch, link, &mut round, observe).await?;
        round += 1;
        me.end_epoch(link, round, &cohort).await?;
        observe(Event::Epoch {
            epoch,
            loss: Some(loss),
            traffic: link.traffic(),
        })?;
        if task.schedule.evaluates_after(epoch) && test_rows > 0 {
            let outputs = test_outputs(me, task, link, &mut round).await?;
            observe(Event::Evaluated {
                epoch,
                evaluation: Some(Evaluation::new(task.loss, &outputs, &task.test.targets)?),
                subsets: evaluate_subsets(task, &outputs)?,
                traffic: link.traffic(),
            })?;
        }
    }
    Ok(())
}

/// Says how much there is to do here, and hears how much there is in all.
async fn begin<C: Channel>(task: &Task<'_>, link: &mut Link<C>) -> Result<Cohort, ProtocolError> {
    let own = task.train.rows();
    let start = Start {
        train_rows: own as u64,
        test_rows: task.test.rows() as u64,
    };
    link.send(0, &start).await?;
    let begin: Begin = link.receive(0, &(task.clients, start.train_rows)).await?;
    Ok(Cohort::of_client(own, begin))
}

/// One epoch of training; returns its mean loss.
async fn train<C: Channel>(
    me: &mut impl ClientRounds<C>,
    task: &Task<'_>,
    epoch: u32,
    link: &mut Link<C>,
    round: &mut u64,
    observe: &mut Observe<'_>,
) -> Result<f64, ProtocolError> {
    let order = task.shuffle.order(epoch, task.train.rows());
    let mut total = 0.0;
    for (index, rows) in order.chunks(task.schedule.batch).enumerate() {
        *round += 1;
        let (x, targets) = task.train.batch(rows);
        let loss = me.train(link, *round, &x, &targets).await?;
        total += loss * rows.len() as f64;
        observe(Event::Batch {
            epoch,
            batch: index + 1,
            rows: rows.len(),
            loss: Some(loss),
            traffic: link.traffic(),
        })?;
    }
    Ok(total / order.len() as f64)
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
