//! The server's script.

use std::ops::Range;

use cloven_nn::{InputGradient as Wish, Network};
use cloven_wire::{Channel, Link};

use super::{
    msg::{Activation, InputGradient, Output, OutputGradient},
    predict,
};
use crate::{
    Observe, Parts, ProtocolError, Service,
    checkpoint::part,
    training::{self, Cohort, ServerRounds, Sessions, average},
};

/// What the server brings.
pub struct Server {
    /// The server's layers: a copy for each client, all alike.
    pub middle: Vec<Network>,
}

/// Trains with a client at the other end of each link; returns the server with its trained layers, all copies alike.
pub async fn server<C: Channel>(
    mut me: Server,
    service: impl Into<Service<'_>>,
    links: &mut [Link<C>],
    observe: &mut Observe<'_>,
) -> Result<Server, ProtocolError> {
    training::server(&mut me, service.into(), links, observe).await?;
    Ok(me)
}

impl<C: Channel> ServerRounds<C> for Network {
    async fn train(&mut self, link: &mut Link<C>, round: u64, _: u32, rows: Range<usize>) -> Result<(), ProtocolError> {
        let rows = rows.len();
        // 2.
        let Activation(a) = link.receive(round, &self.batch_shape(rows)[..]).await?;
        let y = Output(self.forward_train(round, &a)?);
        link.send(round, &y).await?;
        // 4. The gradient goes out before the update, so that the client's last step overlaps it.
        let OutputGradient(dy) = link.receive(round, y.0.shape()).await?;
        let da = self.backward(&dy, Wish::Wanted)?.unwrap_or(dy);
        link.send(round, &InputGradient(da)).await?;
        Ok(self.update()?)
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, rows: Range<usize>) -> Result<(), ProtocolError> {
        predict::answer(self, link, round, rows.len()).await
    }

    async fn snapshot(&mut self) -> Result<Parts, ProtocolError> {
        Ok([("middle".to_owned(), self.checkpoint()?)].into())
    }

    fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError> {
        Ok(Self::restore(self, part(parts, "middle")?)?)
    }
}

impl<C: Channel> Sessions<C> for Server {
    type Session = Network;

    fn sessions(&mut self) -> &mut [Network] {
        &mut self.middle
    }

    async fn end_epoch(&mut self, _: &mut [Link<C>], _: &[u64], cohort: &Cohort) -> Result<(), ProtocolError> {
        average(self.middle.iter_mut(), &cohort.shares)
    }
}
