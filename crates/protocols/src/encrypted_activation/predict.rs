//! Predicting with a network that `encrypted_activation` trained, in either mode: for each batch steps 1 and 2 of training, exactly as in
//! evaluation.
//!
//! 1. client: a = front(x)                → `sealed activation` Enc(a)
//! 2. server: Enc(a U + bias)             → `sealed output`
//! 3. client: y = Dec + a V; its result is tail(y)
//!
//! Before the first batch the client sends `ask`, the number of rows. V is what the client had not revealed when training ended: without it
//! the outputs are those of another network. In mode `paper` the server holds the whole layer and there is no V. What gives activations away
//! in that mode's training are its gradients, and a prediction has none.
//!
//! **Encryption.** As in training, under a fresh secret key and a fresh randomness key for each prediction: nothing of either is kept, and
//! no randomness of training, or of an earlier prediction, can be used a second time.
//!
//! **Who learns what.** [`leaks`] says it in full. The server learns the number of rows and no activation or output. Nothing that the client
//! decrypts goes back to the server, so the error in decrypted values, which depends on the key, stays with the client. The client learns U,
//! as in training.

use cloven_nn::Network;
use cloven_wire::{Channel, Link, Message};
use ndarray::ArrayD;

use super::{
    cipher::{ClientCipher, Direction, ServerCipher},
    client::open,
    msg::{SealedActivation, SealedOutput},
    server::{answer_activation, prepare},
};
use crate::{Ask, Leak, Observe, ProtocolError, Queries, inference};

/// The name and kind of every message, in the order of first use.
pub const MESSAGES: [(&str, u8); 3] = [
    (Ask::NAME, Ask::KIND),
    (SealedActivation::NAME, SealedActivation::KIND),
    (SealedOutput::NAME, SealedOutput::KIND),
];

/// The client's layers, as training left them.
#[derive(Clone, Copy)]
pub struct Forward<'a> {
    /// The layers before the server's.
    pub front: &'a Network,
    /// V; nothing in mode `paper`.
    pub unrevealed: Option<&'a Network>,
    /// The layers after the server's; may be empty.
    pub tail: &'a Network,
}

/// The network's outputs on the client's rows, in order: `[rows, outputs]`. `cipher` has a fresh key.
pub async fn client<C: Channel>(
    me: Forward<'_>,
    mut cipher: impl ClientCipher,
    queries: Queries<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<ArrayD<f32>, ProtocolError> {
    inference::client(queries, link, observe, async |link: &mut Link<C>, round, x: &ArrayD<f32>| {
        me.outputs(&mut cipher, link, round, x).await
    })
    .await
}

/// Answers until the client has all it asked for; `layer` is U, `batch` is the job's.
pub async fn server<C: Channel>(
    layer: &Network,
    mut cipher: impl ServerCipher,
    batch: usize,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    prepare(&layer.parameters(), &mut cipher)?;
    inference::server(batch, link, observe, async |link: &mut Link<C>, round, rows| {
        answer_activation(&mut cipher, link, round, rows).await
    })
    .await
}

/// What each role learns by predicting, in either mode.
pub fn leaks(client: &str, server: &str) -> Vec<Leak> {
    let leak = |party: &str, learns: &str| Leak {
        party: party.to_owned(),
        learns: learns.to_owned(),
    };
    vec![
        leak(server, "the number of rows; no input, activation or prediction"),
        leak(
            client,
            "the weights of the server's layer: from the first response it decrypts",
        ),
    ]
}

impl Forward<'_> {
    /// The client's part in a batch.
    pub(super) async fn outputs<C: Channel>(
        self,
        cipher: &mut impl ClientCipher,
        link: &mut Link<C>,
        round: u64,
        x: &ArrayD<f32>,
    ) -> Result<ArrayD<f32>, ProtocolError> {
        // 1.
        let a = self.front.forward(x)?;
        let rows = a.shape()[0];
        let sealed = cipher.seal(Direction::Forward, round, &a)?;
        link.send(round, &SealedActivation(sealed)).await?;
        // Of step 3, what needs no answer: a V.
        let own = self.unrevealed.map(|v| v.forward(&a)).transpose()?;
        // 2.
        let SealedOutput(answer) = link.receive(round, &cipher.answer_len(Direction::Forward, rows)).await?;
        // 3.
        let opened = open(cipher, link, Direction::Forward, round, &answer, rows)?;
        let y = match own {
            Some(own) => opened + own,
            None => opened,
        };
        Ok(self.tail.forward(&y)?)
    }
}

#[cfg(test)]
mod tests;
