//! The client's script.

use cloven_nn::{BatchTargets, InputGradient as Wish, Network, WeightedLoss};
use cloven_wire::{Channel, Link};
use ndarray::ArrayD;

use super::{
    msg::{Activation, InputGradient, Output, OutputGradient},
    predict,
};
use crate::{
    Observe, Parts, ProtocolError, Task,
    checkpoint::part,
    training::{self, ClientRounds},
};

/// What the client brings.
pub struct Client {
    /// The layers before the server's.
    pub front: Network,
    /// The layers after the server's; may be empty.
    pub tail: Network,
}

/// Trains with the server at the other end of `link`; returns the client with its trained layers.
pub async fn client<C: Channel>(
    me: Client,
    task: Task<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<Client, ProtocolError> {
    let mut rounds = Rounds {
        me,
        loss: task.weighted_loss(),
    };
    training::client(&mut rounds, &task, link, observe).await?;
    Ok(rounds.me)
}

struct Rounds {
    me: Client,
    loss: WeightedLoss,
}

impl<C: Channel> ClientRounds<C> for Rounds {
    async fn train(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>, t: &BatchTargets) -> Result<f64, ProtocolError> {
        let Client { front, tail } = &mut self.me;
        // 1.
        let a = Activation(front.forward_train(round, x)?);
        link.send(round, &a).await?;
        // 2.
        let Output(y) = link.receive(round, &tail.batch_shape(t.len())[..]).await?;
        // 3.
        let z = tail.forward_train(round, &y)?;
        let (loss, dz) = self.loss.value_and_gradient(&z, t)?;
        let dy = tail.backward(&dz, Wish::Wanted)?.unwrap_or(dz);
        link.send(round, &OutputGradient(dy)).await?;
        tail.update()?;
        // 5.
        let InputGradient(da) = link.receive(round, a.0.shape()).await?;
        front.backward(&da, Wish::NotWanted)?;
        front.update()?;
        Ok(loss)
    }

    fn snapshot(&self) -> Result<Parts, ProtocolError> {
        let Client { front, tail } = &self.me;
        Ok([
            ("front".to_owned(), front.checkpoint()?),
            ("tail".to_owned(), tail.checkpoint()?),
        ]
        .into())
    }

    fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError> {
        self.me.front.restore(part(parts, "front")?)?;
        Ok(self.me.tail.restore(part(parts, "tail")?)?)
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>) -> Result<ArrayD<f32>, ProtocolError> {
        predict::outputs([&self.me.front, &self.me.tail], link, round, x).await
    }
}
