//! The server's script.

use cloven_nn::Network;
use cloven_wire::{Channel, Link};

use super::{
    Reveals,
    cipher::{Direction, ServerCipher},
    msg::{Reveal, SealedActivation, SealedGradient, SealedInputGradient, SealedOutput},
};
use crate::{
    Observe, ProtocolError, Schedule,
    error::malformed,
    training::{self, ServerRounds},
};

/// What the server brings.
pub struct Server<K> {
    /// U: the server's one layer.
    pub layer: Network,
    /// Multiplies what is sealed.
    pub cipher: K,
    /// Samples that must have contributed before V is revealed; the same as the client's.
    pub reveal_after: usize,
}

/// Trains with the client at the other end of `link`; returns the server with its trained layer.
pub async fn server<C: Channel, K: ServerCipher>(
    mut me: Server<K>,
    schedule: Schedule,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<Server<K>, ProtocolError> {
    prepare(&me.layer, &mut me.cipher)?;
    let mut rounds = Rounds {
        me,
        reveals: Reveals::default(),
    };
    training::server(&mut rounds, schedule, link, observe).await?;
    Ok(rounds.me)
}

struct Rounds<K> {
    me: Server<K>,
    reveals: Reveals,
}

impl<C: Channel, K: ServerCipher> ServerRounds<C> for Rounds<K> {
    async fn train(&mut self, link: &mut Link<C>, round: u64, rows: usize) -> Result<(), ProtocolError> {
        // 2.
        answer_activation(&mut self.me.cipher, link, round, rows).await?;
        // 4.
        let cipher = &mut self.me.cipher;
        let SealedGradient(sealed) = link.receive(round, &cipher.sealed_len(Direction::Backward, rows)).await?;
        let answer = cipher.answer(Direction::Backward, &sealed, rows);
        let answer = answer.map_err(|cause| malformed(link.peer(), round, "sealed gradient", cause))?;
        Ok(link.send(round, &SealedInputGradient(answer)).await?)
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, rows: usize) -> Result<(), ProtocolError> {
        answer_activation(&mut self.me.cipher, link, round, rows).await
    }

    async fn end_epoch(&mut self, link: &mut Link<C>, round: u64, rows: usize) -> Result<(), ProtocolError> {
        if !self.reveals.after_epoch(rows, self.me.reveal_after) {
            return Ok(());
        }
        let mut parameters = self.me.layer.parameters();
        let shapes: Vec<Vec<usize>> = parameters.iter().map(|(_, value)| value.shape().to_vec()).collect();
        let Reveal(values) = link.receive(round, &shapes[..]).await?;
        parameters.iter_mut().zip(&values).for_each(|((_, u), v)| *u += v);
        self.me.layer.set_parameters(&parameters)?;
        prepare(&self.me.layer, &mut self.me.cipher)
    }
}

/// Hands the layer as it now is to the cipher.
pub(super) fn prepare(layer: &Network, cipher: &mut impl ServerCipher) -> Result<(), ProtocolError> {
    let parameters = layer.parameters();
    let mut values = parameters.iter().map(|(_, value)| value);
    if let Some(weight) = values.next() {
        cipher.set_layer(weight, values.next())?;
    }
    Ok(())
}

/// Step 2: a sealed activation in, the sealed output out.
pub(super) async fn answer_activation<C: Channel>(
    cipher: &mut impl ServerCipher,
    link: &mut Link<C>,
    round: u64,
    rows: usize,
) -> Result<(), ProtocolError> {
    let SealedActivation(sealed) = link.receive(round, &cipher.sealed_len(Direction::Forward, rows)).await?;
    let answer = cipher.answer(Direction::Forward, &sealed, rows);
    let answer = answer.map_err(|cause| malformed(link.peer(), round, "sealed activation", cause))?;
    Ok(link.send(round, &SealedOutput(answer)).await?)
}
