//! The server's script.

use cloven_nn::{InputGradient as Wish, Network};
use cloven_wire::{Channel, Link};

use super::msg::{Activation, InputGradient, Output, OutputGradient, Start};
use crate::{Event, Observe, ProtocolError, Schedule};

/// What the server brings.
pub struct Server {
    /// The server's layers.
    pub middle: Network,
    /// The job's schedule.
    pub schedule: Schedule,
}

/// Trains with the client at the other end of `link`; returns the server with its trained layers.
pub async fn server<C: Channel>(mut me: Server, link: &mut Link<C>, observe: &mut Observe<'_>) -> Result<Server, ProtocolError> {
    let Start { train_rows, test_rows } = link.receive(0, &()).await?;
    let (train_rows, test_rows) = (train_rows as usize, test_rows as usize);
    let schedule = me.schedule;
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
            me.train_batch(link, round, rows).await?;
            observe(Event::Batch {
                epoch,
                batch: index + 1,
                rows,
                loss: None,
                traffic: link.traffic(),
            })?;
        }
        observe(Event::Epoch {
            epoch,
            loss: None,
            traffic: link.traffic(),
        })?;
        if schedule.evaluates_after(epoch) && test_rows > 0 {
            for rows in schedule.evaluation_sizes(test_rows) {
                round += 1;
                let Activation(a) = link.receive(round, &me.input_shape(rows)[..]).await?;
                link.send(round, &Output(me.middle.forward(&a)?)).await?;
            }
            observe(Event::Evaluated {
                epoch,
                evaluation: None,
                subsets: Default::default(),
                traffic: link.traffic(),
            })?;
        }
    }
    Ok(me)
}

impl Server {
    async fn train_batch<C: Channel>(&mut self, link: &mut Link<C>, round: u64, rows: usize) -> Result<(), ProtocolError> {
        // 2.
        let Activation(a) = link.receive(round, &self.input_shape(rows)[..]).await?;
        let y = Output(self.middle.forward_train(round, &a)?);
        link.send(round, &y).await?;
        // 4. The gradient goes out before the update, so that the client's last step overlaps it.
        let OutputGradient(dy) = link.receive(round, y.0.shape()).await?;
        let da = self.middle.backward(&dy, Wish::Wanted)?.unwrap_or(dy);
        link.send(round, &InputGradient(da)).await?;
        self.middle.update()?;
        Ok(())
    }

    fn input_shape(&self, rows: usize) -> Vec<usize> {
        [&[rows], self.middle.input_shape()].concat()
    }
}
