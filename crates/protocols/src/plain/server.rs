//! The server's script.

use cloven_nn::{InputGradient as Wish, Network};
use cloven_wire::{Channel, Link};

use super::msg::{Activation, InputGradient, Output, OutputGradient};
use crate::{
    Observe, ProtocolError, Schedule,
    training::{self, ServerRounds},
};

/// What the server brings.
pub struct Server {
    /// The server's layers.
    pub middle: Network,
}

/// Trains with the client at the other end of `link`; returns the server with its trained layers.
pub async fn server<C: Channel>(
    mut me: Server,
    schedule: Schedule,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<Server, ProtocolError> {
    training::server(&mut me, schedule, link, observe).await?;
    Ok(me)
}

impl<C: Channel> ServerRounds<C> for Server {
    async fn train(&mut self, link: &mut Link<C>, round: u64, rows: usize) -> Result<(), ProtocolError> {
        // 2.
        let Activation(a) = link.receive(round, &self.middle.batch_shape(rows)[..]).await?;
        let y = Output(self.middle.forward_train(round, &a)?);
        link.send(round, &y).await?;
        // 4. The gradient goes out before the update, so that the client's last step overlaps it.
        let OutputGradient(dy) = link.receive(round, y.0.shape()).await?;
        let da = self.middle.backward(&dy, Wish::Wanted)?.unwrap_or(dy);
        link.send(round, &InputGradient(da)).await?;
        self.middle.update()?;
        Ok(())
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, rows: usize) -> Result<(), ProtocolError> {
        let Activation(a) = link.receive(round, &self.middle.batch_shape(rows)[..]).await?;
        Ok(link.send(round, &Output(self.middle.forward(&a)?)).await?)
    }
}
