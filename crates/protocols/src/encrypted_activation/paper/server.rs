//! The server's script.

use std::ops::Range;

use cloven_nn::{InputGradient as Wish, Network};
use cloven_wire::{Channel, Link};
use ndarray::ArrayD;

use super::{Gradients, InputGradient};
use crate::{
    Observe, Parts, ProtocolError, Service,
    checkpoint::part,
    encrypted_activation::{
        ServerCipher,
        server::{answer_activation, prepare},
    },
    training::{self, Cohort, ServerRounds, Sessions, average},
};

/// What the server brings: a session for each client, all with the same layer.
pub struct Server<K> {
    /// The sessions.
    pub sessions: Vec<Session<K>>,
}

/// What the server has for one client.
pub struct Session<K> {
    /// W: the server's one layer, with its optimiser.
    pub layer: Network,
    /// Multiplies what is sealed.
    pub cipher: K,
}

/// Trains with a client at the other end of each link; returns the server with its trained layer, alike in all sessions.
pub async fn server<C: Channel, K: ServerCipher>(
    mut me: Server<K>,
    service: impl Into<Service<'_>>,
    links: &mut [Link<C>],
    observe: &mut Observe<'_>,
) -> Result<Server<K>, ProtocolError> {
    me.sessions.iter_mut().try_for_each(Session::prepare)?;
    training::server(&mut me, service.into(), links, observe).await?;
    Ok(me)
}

impl<C: Channel, K: ServerCipher> Sessions<C> for Server<K> {
    type Session = Session<K>;

    fn sessions(&mut self) -> &mut [Session<K>] {
        &mut self.sessions
    }

    async fn end_epoch(&mut self, _: &mut [Link<C>], _: &[u64], cohort: &Cohort) -> Result<(), ProtocolError> {
        average(self.sessions.iter_mut().map(|session| &mut session.layer), &cohort.shares)?;
        self.sessions.iter_mut().try_for_each(Session::prepare)
    }
}

impl<C: Channel, K: ServerCipher> ServerRounds<C> for Session<K> {
    async fn train(&mut self, link: &mut Link<C>, round: u64, _: u32, rows: Range<usize>) -> Result<(), ProtocolError> {
        let rows = rows.len();
        // 2.
        answer_activation(&mut self.cipher, link, round, rows).await?;
        // 4. The gradient goes out before the update, so that the client's last step overlaps it.
        let Gradients { output: dy, layer } = link.receive(round, &Gradients::shapes(&self.layer, rows)[..]).await?;
        let da = self.input_gradient(round, dy)?;
        link.send(round, &InputGradient(da)).await?;
        self.update(layer)
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, rows: Range<usize>) -> Result<(), ProtocolError> {
        answer_activation(&mut self.cipher, link, round, rows.len()).await
    }

    async fn snapshot(&mut self) -> Result<Parts, ProtocolError> {
        Ok([("layer".to_owned(), self.layer.checkpoint()?)].into())
    }

    fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError> {
        self.layer.restore(part(parts, "layer")?)?;
        self.prepare()
    }
}

impl<K: ServerCipher> Session<K> {
    /// Hands the layer as it now is to the cipher.
    fn prepare(&mut self) -> Result<(), ProtocolError> {
        prepare(&self.layer.parameters(), &mut self.cipher)
    }

    /// dy W^T. It is what the layer's own backward pass gives, whatever its input was; the server does not know a.
    fn input_gradient(&mut self, round: u64, dy: ArrayD<f32>) -> Result<ArrayD<f32>, ProtocolError> {
        let input = ArrayD::zeros(self.layer.batch_shape(dy.shape()[0]));
        self.layer.forward_train(round, &input)?;
        Ok(self.layer.backward(&dy, Wish::Wanted)?.unwrap_or(dy))
    }

    /// One step of the server's optimiser with the client's dW and dbias; the new W is prepared for the cipher.
    fn update(&mut self, gradients: Vec<ArrayD<f32>>) -> Result<(), ProtocolError> {
        let names = self.layer.parameters().into_iter().map(|(name, _)| name);
        self.layer.set_gradients(&names.zip(gradients).collect::<Vec<_>>())?;
        self.layer.update()?;
        self.prepare()
    }
}
