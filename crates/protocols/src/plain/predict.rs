//! Predicting with a network that `plain` trained: for each batch steps 1 and 2 of training, exactly as in evaluation.
//!
//! 1. client: a = front(x)     → `activation` a
//! 2. server: y = middle(a)    → `output` y; the client's result is tail(y)
//!
//! Before the first batch the client sends `ask`, the number of rows.
//!
//! **Who learns what.** [`leaks`] says it in full. The server sees the activation of every row in the clear, and where no layer with weights
//! stands after its own, the predictions themselves. No label or gradient is sent. The client learns the outputs of the server's layers on its rows.

use cloven_nn::Network;
use cloven_wire::{Channel, Link, Message};
use ndarray::ArrayD;

use super::msg::{Activation, Output};
use crate::{Ask, Leak, Observe, ProtocolError, Queries, inference};

/// The name and kind of every message, in the order of first use.
pub const MESSAGES: [(&str, u8); 3] = [
    (Ask::NAME, Ask::KIND),
    (Activation::NAME, Activation::KIND),
    (Output::NAME, Output::KIND),
];

/// The network's outputs on the client's rows, in order: `[rows, outputs]`, bit for bit those of the unsplit network in the same batches.
/// `front` and `tail` are the client's layers before and after the server's.
pub async fn client<C: Channel>(
    [front, tail]: [&Network; 2],
    queries: Queries<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<ArrayD<f32>, ProtocolError> {
    inference::client(queries, link, observe, async |link: &mut Link<C>, round, x: &ArrayD<f32>| {
        outputs([front, tail], link, round, x).await
    })
    .await
}

/// Answers until the client has all it asked for; `middle` are the server's layers, `batch` is the job's.
pub async fn server<C: Channel>(
    middle: &Network,
    batch: usize,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    inference::server(batch, link, observe, async |link: &mut Link<C>, round, rows| {
        answer(middle, link, round, rows).await
    })
    .await
}

/// What each role learns by predicting. `around` are the number of layers before the server's and the number of layers with weights after
/// them.
pub fn leaks(client: &str, server: &str, around: [usize; 2]) -> Vec<Leak> {
    let leak = |party: &str, learns: &str| Leak {
        party: party.to_owned(),
        learns: learns.to_owned(),
    };
    let [front, tail] = around;
    let activation = match front {
        0 => "every input row in the clear: no layer stands before the cut",
        _ => "the activation of every row in the clear; inputs can often be reconstructed from them",
    };
    let mut all = vec![leak(server, activation)];
    if tail == 0 {
        let outputs = "the prediction for every row: no layer with weights stands after the server's";
        all.push(leak(server, outputs));
    }
    all.push(leak(server, "the number of rows"));
    all.push(leak(
        client,
        "the outputs of the server's layers on its own rows; enough of them give the server's weights away",
    ));
    all
}

/// The client's part in a batch.
pub(super) async fn outputs<C: Channel>(
    [front, tail]: [&Network; 2],
    link: &mut Link<C>,
    round: u64,
    x: &ArrayD<f32>,
) -> Result<ArrayD<f32>, ProtocolError> {
    // 1.
    let a = Activation(front.forward(x)?);
    link.send(round, &a).await?;
    // 2.
    let Output(y) = link.receive(round, &tail.batch_shape(a.0.shape()[0])[..]).await?;
    Ok(tail.forward(&y)?)
}

/// The server's part in a batch of `rows` rows.
pub(super) async fn answer<C: Channel>(
    middle: &Network,
    link: &mut Link<C>,
    round: u64,
    rows: usize,
) -> Result<(), ProtocolError> {
    let Activation(a) = link.receive(round, &middle.batch_shape(rows)[..]).await?;
    Ok(link.send(round, &Output(middle.forward(&a)?)).await?)
}

#[cfg(test)]
mod tests;
