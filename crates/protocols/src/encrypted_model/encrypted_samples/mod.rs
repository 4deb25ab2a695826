//! `encrypted_model` with encrypted samples: the server sees no sample either.
//!
//! **Parties.** As in the parent module, but the client keeps the server's layer in the clear and runs its optimiser; the server does its
//! multiplications.
//!
//! **Flow.** Once: `upload` (which key, which rows), `rows held`, Enc(x) of the rows that the server has not yet, the `relinearisation key`, Enc(W).
//! Then per batch of rows x with targets t:
//!
//! 1. server: Enc(x W)                                                           → `encrypted output`
//! 2. client: y = Dec + bias, loss L(tail(y), t), dy                               → `encrypted delta` Enc(2^e dy)
//! 3. server: Enc(2^e x^T dy)                                                     → `encrypted gradient`
//! 4. client: dW = 2^-e Dec, one step of the optimiser                            → `encrypted weights` Enc(W)
//!
//! Evaluation is step 1. A prediction encrypts its rows as well. Where the server has several layers (dense or convolutions, inside residual
//! blocks too), what goes for each is in `products`.
//!
//! **Encryption.** [`cloven_lattice::linear::EncryptedProduct`] with one row a ciphertext; N = 2048, one 50-bit prime, 128-bit classical security. Dense
//! layers after the first: [`cloven_lattice::linear::SharedTraining`].
//! Products are linear in dy: the client multiplies it by the power of two that uses the range, from the batch's rows and dy, so that small
//! gradients keep their precision. What would leave the range ends the training.
//!
//! **Rows** are uploaded once and kept by the server in a [`RowStore`]. A row of 784 numbers for 128 outputs takes 629 kB. A connection that was lost goes on where the
//! store ends; rows of another key or other rows are refused.
//!
//! **Who learns what.** [`leaks`] says it in full. The client learns nothing that it does not have. **Assumptions.** Those of the parent module,
//! and that an encryption of s^2 under s is as safe as any other.

mod client;
pub mod cost;
mod msg;
pub mod predict;
mod server;
mod store;
#[cfg(test)]
pub(crate) mod tests;

pub use client::{Client, client};
pub use msg::{
    EncryptedDelta, EncryptedGradient, EncryptedInputGradient, EncryptedRows, MESSAGES, Relinearisation, RowsHeld, Upload,
};
pub use server::{Server, server};
pub use store::RowStore;

use crate::Leak;

/// What each role learns.
pub fn leaks(client: &str, server: &str, initial_weights_public: bool) -> Vec<Leak> {
    let mut leaks = vec![
        Leak::new(
            server,
            "the numbers of training and test rows and the order of the batches; no sample, no label, and no weight, output or gradient of any layer",
        ),
        Leak::new(server, "the whole network's architecture (job file)"),
        Leak::new(client, "everything: it owns the data, the key and the whole network"),
    ];
    if initial_weights_public {
        leaks.insert(1, super::initial_weights_leak(server));
    }
    leaks
}
