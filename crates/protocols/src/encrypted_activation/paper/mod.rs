//! Mode `paper`: the message flow that "A More Secure Split" (arXiv 2309.08697) publishes, kept for comparison and for the audit.
//! **It does not protect what it encrypts**; [`super`] (mode `sealed`) does.
//!
//! **Parties.** *Client*: data, labels, encryption key, the layers before and after the cut, the loss. *Server*: one dense layer W with its
//! bias and its optimiser.
//!
//! **Flow**, per batch of b rows (x, t):
//!
//! 1. client: a = front(x)                                             → `sealed activation` Enc(a)
//! 2. server: Enc(a W + bias)                                          → `sealed output`
//! 3. client: y = Dec, loss L(tail(y), t), dy, dW, dbias; tail is updated → `gradients` dy, dW, dbias in the clear
//! 4. server: da = dy W^T                                              → `input gradient` in the clear; W is updated and prepared for the
//!    cipher again
//! 5. client: front is updated
//!
//! Evaluation is steps 1 and 2, the same messages as in `sealed`. Step 4 uses W as it was in step 2, so that da is the gradient. With an
//! exact encryption this is bit for bit the training of `plain` (a test). The published code puts a softmax before a loss that contains one
//! and gives the two sides different optimisers; the flow here does not need to copy either.
//!
//! **Who learns what.** [`leaks`] says it in full. With dW laid out as `[outputs, inputs]`, dW = dy^T a, and the server is sent both dW and
//! dy: a = pinv(dy^T) dW is *exactly* the activations whenever the rows of dy are linearly independent, which takes b <= outputs. Where the
//! layer's outputs go straight into softmax and cross-entropy, every row of dy sums to zero, and it takes b <= outputs - 1. The published
//! setting, b = 4 and five classes, is within both. There, the label of a row is the class where dy is negative. The client learns W, as in
//! `sealed`. The tests in `attack.rs` do all this from the server's messages, and attempt the same on `sealed`.
//!
//! **Rounds and bytes.** Two round trips per training batch, one per evaluation batch; [`cost`] declares the bytes.
//!
//! **Assumptions.** Authenticated links; nothing else holds. **Non-goals.** Privacy of activations and labels.

mod client;
pub mod cost;
mod msg;
mod server;

pub use client::{Client, client};
pub use msg::{Gradients, InputGradient, MESSAGES};
pub use server::{Server, Session, server};

use crate::Leak;

/// What each role learns.
pub fn leaks(clients: &[&str], server: &str) -> Vec<Leak> {
    let mut leaks = vec![
        Leak::new(
            server,
            "the activation of every training row exactly, whenever a batch has no more rows than the layer has outputs (with cross-entropy at \
             the layer's output: fewer rows than outputs), from two messages and a pseudo-inverse; inputs can often be reconstructed from \
             activations",
        ),
        Leak::new(
            server,
            "in a larger batch, the sums of its activations weighted by the gradients, which narrow the activations down",
        ),
        Leak::new(
            server,
            "the gradient of every training row at the layer's output in the clear, which in effect gives away the row's label",
        ),
        Leak::new(
            server,
            "the whole network's architecture (job file) and the numbers of training and test rows; of test rows nothing else",
        ),
    ];
    let of_client = "the weights of the server's layer: from the first response it decrypts";
    leaks.extend(clients.iter().map(|client| Leak::new(client, of_client)));
    leaks.extend(Leak::of_shared_layer(clients));
    leaks
}

#[cfg(test)]
pub(super) mod tests;
