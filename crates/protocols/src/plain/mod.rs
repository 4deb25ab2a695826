//! Ordinary split learning with the labels at the client ("U-shaped"): no protection of the cut.
//!
//! It is the oracle that every other protocol is compared with, and the baseline that every cost is a ratio of.
//!
//! **Parties.** *Client*: data, labels, the layers before and after the server's, the loss. *Server*: the layers in between.
//!
//! **Flow**, per batch of b rows (x, t), with x the inputs and t the labels:
//!
//! 1. client: a = front(x)                                        → `activation` a
//! 2. server: y = middle(a)                                       → `output` y
//! 3. client: loss L(tail(y), t), dy = dL/dy, tail is updated     → `output gradient` dy
//! 4. server: da = dL/da                                          → `input gradient` da; middle is updated
//! 5. client: front is updated
//!
//! Evaluation is steps 1 and 2. Before the first batch the client sends `start`: the numbers of rows.
//! Trained so, the network is bit for bit the one that [`unsplit`] training gives (a test).
//!
//! **Who learns what.** [`leaks`] says it in full. The server sees every activation and, from dy, in effect every label. There is no
//! privacy beyond that the raw inputs stay at the client.
//!
//! **Rounds and bytes.** Two round trips per training batch, one per evaluation batch; [`cost`] declares the bytes.
//!
//! **Assumptions.** The links are authenticated and encrypted (`wire::tcp`). **Non-goals.** Any protection of one party from the other.

mod client;
pub mod cost;
mod msg;
pub mod predict;
mod server;
mod unsplit;

pub use client::{Client, client};
pub use msg::{Activation, InputGradient, MESSAGES, Output, OutputGradient};
pub use server::{Server, server};
pub use unsplit::{Unsplit, unsplit};

use crate::Leak;

/// What each role learns. `front_layers` is the number of layers between the data and the cut.
pub fn leaks(clients: &[&str], server: &str, front_layers: usize) -> Vec<Leak> {
    let activation = match front_layers {
        0 => "every input row in the clear: no layer stands before the cut",
        _ => "the activation of every training and test row in the clear; inputs can often be reconstructed from them",
    };
    let mut leaks = vec![
        Leak::new(server, activation),
        Leak::new(
            server,
            "the gradient of every training row at its output, which in effect gives away the row's label",
        ),
        Leak::new(
            server,
            "the whole network's architecture (job file) and the numbers of training and test rows",
        ),
    ];
    let of_client =
        "the outputs and gradients of the server's layers on its own rows; enough of them give the server's weights away";
    leaks.extend(clients.iter().map(|client| Leak::new(client, of_client)));
    leaks.extend(Leak::of_shared_layer(clients));
    leaks
}

#[cfg(test)]
mod tests;
