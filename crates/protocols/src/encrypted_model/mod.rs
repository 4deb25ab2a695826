//! Split learning with an encrypted model (after "CURE: Privacy-Preserving Split Learning Done Right", arXiv 2407.08977): the server trains the
//! first layers without seeing their weights.
//!
//! **Parties.** *Client*: owner of the data, labels, encryption key, the layers after the server's, the loss, the optimiser. *Server*: holds the
//! samples, and the first layers as ciphertexts under the client's key; of the very first, a dense one, W with the bias as one more row.
//!
//! **Flow.** Once: `key`, `merge keys` (in stride layout), `samples`, `encrypted weights` Enc(W). Then per batch of rows x with targets t:
//!
//! 1. server: Enc(x W)                                                    → `encrypted output`
//! 2. client: y = Dec, loss L(tail(y), t), dy; tail is updated            → `encrypted step` Enc(-rate dy)
//! 3. server: W <- W - rate x^T dy, an addition of ciphertexts
//!
//! Evaluation is step 1. A prediction is, too, on rows in the clear or hidden ones ([`predict`]). Which rows a batch has follows from the job's seed and needs no message.
//!
//! **Several layers.** Where the server has more layers than the first (dense or convolutions, inside residual blocks too), the client decrypts each
//! layer's output, computes bias, activation, normalisation and sums in the clear and exactly, and sends the next layer's input encrypted; on the way
//! back, likewise (`products`). From the second layer on both operands are encrypted, W stays at the client too, and its optimiser with it.
//!
//! **Encryption.** [`cloven_lattice::linear::WeightProduct`]: N = 2048, one 50-bit prime (the table allows 53 bits), 128-bit classical security.
//! Updates need no rotation, rescaling, relinearisation or mask. Noise adds up in W; before its bound passes the accepted error the client
//! asks for W, decrypts it and sends it back freshly encrypted ([`EncryptedStep::refresh`]). A training that would need that after less than one
//! batch is refused with the numbers. An output beyond half of what the modulus can hold ends the training. Every ciphertext's randomness is a PRF of
//! the client's key, its context (purpose, round) and its plaintext.
//!
//! **Two layouts.** `block`: a ciphertext for each row's output and step; least work. `stride`, for slow links: several rows' steps share a
//! ciphertext, and outputs are merged into full ones with the client's Galois keys (`merge keys`), at the price of more work.
//!
//! **Weight decay.** W = s W~, where the server holds Enc(W~): the client multiplies outputs by s and divides steps by it, and asks for
//! W~ before s gets small.
//!
//! **Initial weights** of all encrypted layers are drawn from the client's secret: the server must not know them.
//!
//! **Who learns what.** [`leaks`] says it in full. The client is trusted with everything; responses are not re-randomised, so it could
//! compute the samples, which are its own. The server learns the samples; no weight, output, gradient or label.
//!
//! **Encrypted samples.** [`encrypted_samples`] is the same for a server that may not see the samples either.
//!
//! **Assumptions.** Semi-honest server; RLWE at 128 bits; authenticated links. **Non-goals.** Hiding anything from the client; the number
//! and order of batches.

mod client;
pub mod cost;
mod divided;
pub mod encrypted_samples;
mod first_layer;
mod key;
mod layer;
mod msg;
mod multiply;
mod precision;
pub mod predict;
mod product;
mod products;
mod samples;
mod server;
#[cfg(test)]
pub(crate) mod tests;

pub use client::{Client, TrainedClient, client};
pub(crate) use divided::LayerPart;
pub use key::Fingerprint;
pub use layer::{LayerEncryption, LayerKey};
pub use msg::{EncryptedOutput, EncryptedStep, EncryptedWeights, HeldWeights, InputForm, Key, MESSAGES, MergeKeys, Samples};
pub use product::{ProductEncryption, ProductKey};
pub use products::ProductLayer;

/// Where the rows of a [`ProductEncryption`] come from.
pub use cloven_lattice::linear::RowSource;
pub use server::{HeldLayers, Server, server};

use crate::Leak;

/// What each role learns.
pub fn leaks(client: &str, server: &str, initial_weights_public: bool) -> Vec<Leak> {
    let mut leaks = vec![
        Leak::new(
            server,
            "every training and test sample, in the clear, and their order; no label, and no weight, output or gradient of any layer",
        ),
        Leak::new(
            server,
            "the whole network's architecture (job file), and when the first layer's weights are encrypted anew",
        ),
        Leak::new(
            client,
            "everything: it owns the data, holds the key and can decrypt the whole network",
        ),
    ];
    if initial_weights_public {
        leaks.insert(1, initial_weights_leak(server));
    }
    leaks
}

fn initial_weights_leak(server: &str) -> Leak {
    Leak::new(
        server,
        "the initial weights of its layers: encryption.initial_weights is public, which is for comparisons only",
    )
}
