//! The client's script.

use cloven_nn::{Evaluation, InputGradient as Wish, Loss, Network};
use cloven_wire::{Channel, Link};
use ndarray::{ArrayD, Axis, concatenate};

use super::msg::{Activation, InputGradient, Output, OutputGradient, Start};
use crate::{Event, Examples, Observe, ProtocolError, Schedule, Shuffle, Subset};

/// What the client brings.
pub struct Client<'a> {
    /// The layers before the server's.
    pub front: Network,
    /// The layers after the server's; may be empty.
    pub tail: Network,
    /// The loss at the tail's output.
    pub loss: Loss,
    /// Training rows.
    pub train: &'a Examples,
    /// Test rows.
    pub test: &'a Examples,
    /// Named subsets of the test rows that are evaluated as well.
    pub subsets: &'a [Subset],
    /// The job's schedule.
    pub schedule: Schedule,
    /// The order of the training rows.
    pub shuffle: Shuffle,
}

/// Trains with the server at the other end of `link`; returns the client with its trained layers.
pub async fn client<'a, C: Channel>(
    mut me: Client<'a>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<Client<'a>, ProtocolError> {
    let (train_rows, test_rows) = (me.train.rows(), me.test.rows());
    let schedule = me.schedule;
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
        let order = me.shuffle.order(epoch, train_rows);
        let mut total = 0.0;
        for (index, rows) in order.chunks(schedule.batch).enumerate() {
            round += 1;
            let loss = me.train_batch(link, round, rows).await?;
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
        observe(Event::Epoch {
            epoch,
            loss: Some(total / train_rows as f64),
            traffic: link.traffic(),
        })?;
        if schedule.evaluates_after(epoch) && test_rows > 0 {
            let outputs = me.outputs(link, &mut round).await?;
            let evaluation = Some(Evaluation::new(me.loss, &outputs, &me.test.targets)?);
            let subsets = me.evaluate_subsets(&outputs)?;
            observe(Event::Evaluated {
                epoch,
                evaluation,
                subsets,
                traffic: link.traffic(),
            })?;
        }
    }
    Ok(me)
}

impl Client<'_> {
    /// One training batch; returns its mean loss.
    async fn train_batch<C: Channel>(&mut self, link: &mut Link<C>, round: u64, rows: &[usize]) -> Result<f64, ProtocolError> {
        let (x, targets) = self.train.batch(rows);
        // 1.
        let a = Activation(self.front.forward_train(round, &x)?);
        link.send(round, &a).await?;
        // 2.
        let Output(y) = link.receive(round, &self.output_shape(rows.len())[..]).await?;
        // 3.
        let z = self.tail.forward_train(round, &y)?;
        let (loss, dz) = self.loss.value_and_gradient(&z, &targets)?;
        let dy = self.tail.backward(&dz, Wish::Wanted)?.unwrap_or(dz);
        link.send(round, &OutputGradient(dy)).await?;
        self.tail.update()?;
        // 5.
        let InputGradient(da) = link.receive(round, a.0.shape()).await?;
        self.front.backward(&da, Wish::NotWanted)?;
        self.front.update()?;
        Ok(loss)
    }

    /// The network's outputs on all test rows, in order: `[rows, outputs]`.
    async fn outputs<C: Channel>(&self, link: &mut Link<C>, round: &mut u64) -> Result<ArrayD<f32>, ProtocolError> {
        let all: Vec<usize> = (0..self.test.rows()).collect();
        let mut parts = Vec::new();
        for rows in all.chunks(self.schedule.evaluation_batch) {
            *round += 1;
            let (x, _) = self.test.batch(rows);
            link.send(*round, &Activation(self.front.forward(&x)?)).await?;
            let Output(y) = link.receive(*round, &self.output_shape(rows.len())[..]).await?;
            parts.push(self.tail.forward(&y)?);
        }
        let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
        Ok(concatenate(Axis(0), &views).expect("every part has the tail's output shape"))
    }

    fn evaluate_subsets(&self, outputs: &ArrayD<f32>) -> Result<std::collections::BTreeMap<String, Evaluation>, ProtocolError> {
        self.subsets
            .iter()
            .map(|subset| {
                let outputs = outputs.select(Axis(0), &subset.rows);
                let evaluation = Evaluation::new(self.loss, &outputs, &self.test.targets.select(&subset.rows))?;
                Ok((subset.name.clone(), evaluation))
            })
            .collect()
    }

    fn output_shape(&self, rows: usize) -> Vec<usize> {
        [&[rows], self.tail.input_shape()].concat()
    }
}
