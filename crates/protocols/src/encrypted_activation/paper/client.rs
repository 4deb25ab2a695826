//! The client's script.

use cloven_nn::{BatchTargets, InputGradient as Wish, Network, WeightedLoss};
use cloven_wire::{Channel, Link};
use ndarray::ArrayD;

use super::{Gradients, InputGradient};
use crate::{
    Observe, Parts, ProtocolError, Task,
    checkpoint::part,
    encrypted_activation::{
        ClientCipher, Direction,
        client::open,
        msg::{SealedActivation, SealedOutput},
        predict::Forward,
    },
    training::{self, ClientRounds},
};

/// What the client brings.
pub struct Client<K> {
    /// The layers before the server's.
    pub front: Network,
    /// A network of the server's one layer, which works out dW = a^T dy. Its weights play no part in that and stay as they are.
    pub layer: Network,
    /// The layers after the server's; may be empty.
    pub tail: Network,
    /// Seals the activations.
    pub cipher: K,
}

/// Trains with the server at the other end of `link`; returns the client with its trained layers.
pub async fn client<C: Channel, K: ClientCipher>(
    me: Client<K>,
    task: Task<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<Client<K>, ProtocolError> {
    let mut rounds = Rounds {
        me,
        loss: task.weighted_loss(),
    };
    training::client(&mut rounds, &task, link, observe).await?;
    Ok(rounds.me)
}

struct Rounds<K> {
    me: Client<K>,
    loss: WeightedLoss,
}

impl<C: Channel, K: ClientCipher> ClientRounds<C> for Rounds<K> {
    async fn train(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>, t: &BatchTargets) -> Result<f64, ProtocolError> {
        let me = &mut self.me;
        // 1.
        let a = me.front.forward_train(round, x)?;
        let sealed = me.cipher.seal(Direction::Forward, round, &a)?;
        link.send(round, &SealedActivation(sealed)).await?;
        // Of step 3, what needs no answer: the layer keeps a for dW.
        me.layer.forward_train(round, &a)?;
        // 2.
        let SealedOutput(answer) = link
            .receive(round, &me.cipher.answer_len(Direction::Forward, t.len()))
            .await?;
        let y = open(&mut me.cipher, link, Direction::Forward, round, &answer, t.len())?;
        // 3.
        let z = me.tail.forward_train(round, &y)?;
        let (loss, dz) = self.loss.value_and_gradient(&z, t)?;
        let output = me.tail.backward(&dz, Wish::Wanted)?.unwrap_or(dz);
        me.layer.backward(&output, Wish::NotWanted)?;
        let layer = me.layer.gradients().into_iter().map(|(_, gradient)| gradient).collect();
        link.send(round, &Gradients { output, layer }).await?;
        me.tail.update()?;
        // 5.
        let InputGradient(da) = link.receive(round, a.shape()).await?;
        me.front.backward(&da, Wish::NotWanted)?;
        me.front.update()?;
        Ok(loss)
    }

    fn snapshot(&self) -> Result<Parts, ProtocolError> {
        let Client { front, tail, .. } = &self.me;
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
        let Client { front, tail, cipher, .. } = &mut self.me;
        Forward {
            front,
            unrevealed: None,
            tail,
        }
        .outputs(cipher, link, round, x)
        .await
    }
}
