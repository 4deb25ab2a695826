//! Split learning with encrypted activations, mode `sealed` (after "A More Secure Split", arXiv 2309.08697, with its leaks closed).
//! The published message flow, leaks and all, is mode `paper`: module [`paper`].
//!
//! **Parties.** *Client*: data, labels, encryption key, the layers before and after the cut, the loss, the optimiser. *Server*: one dense
//! layer. There may be several clients, each with a key of its own; they share the server's layer (`crate::training`).
//!
//! **The layer is W = U + V** (and its bias likewise). The server holds U; the client holds V, what it has not revealed yet, zero at the
//! start, and the optimiser's state.
//!
//! **Flow**, per batch of b rows (x, t):
//!
//! 1. client: a = front(x)                                      → `sealed activation` Enc(a)
//! 2. server: Enc(a U + bias)                                   → `sealed output`
//! 3. client: y = Dec + a V, loss L(tail(y), t), dy; tail is updated   → `sealed gradient` Enc(dy)
//! 4. server: Enc(dy U^T)                                       → `sealed input gradient`
//! 5. client: da = Dec + dy V^T; front and V are updated
//!
//! After an epoch, once at least [`REVEAL_AFTER`] samples went into it, V moves into U: the client sends it in the clear (`reveal`) and starts
//! again from zero. Of several clients each sends its V, times its share of all rows, under masks that cancel in the sum (`secure_sum`): the server
//! learns the sum, over at least as many samples of all clients. Evaluation is steps 1 and 2. With an exact encryption this is step by step the training of `plain` (a test).
//!
//! **Encryption.** [`cloven_lattice::linear::Product`]: N = 2048, one 50-bit prime (the table allows 53 bits), 128-bit classical security.
//! Responses are not re-randomised, because the client may learn U (below). Every ciphertext's randomness is a PRF of the client's own key,
//! its context (direction, round) and its plaintext.
//!
//! **Who learns what.** [`leaks`] says it in full. Server: sizes and times, and the sums V, each over at least [`REVEAL_AFTER`] samples;
//! no activation, gradient or label. A sum over samples is no per-sample guarantee: only differential privacy, which this mode does not yet
//! add, is. V is computed from decrypted values whose error depends on the key; the server, which knows no plaintext, cannot
//! separate that error, but a server with knowledge of the client's rows is outside what the encryption is proved for (IND-CPA-D).
//! Client: U, from c1 of a single response.
//!
//! **Rounds and bytes.** Two round trips per training batch, one per evaluation batch; [`cost`] declares the bytes.
//!
//! **Assumptions.** Semi-honest parties; RLWE at 128 bits; authenticated links. **Non-goals.** Hiding U from the client; a server that must
//! learn nothing at all.

mod cipher;
mod client;
pub mod cost;
mod msg;
pub mod paper;
pub mod predict;
mod secure_sum;
mod server;

pub use cipher::{
    ClientCipher, Direction, HelpedLattice, IdealCipher, LatticeCipher, SealedLen, Sealing, ServerCipher, ServerLattice,
};
pub use client::{Client, client};
pub use msg::{
    MESSAGES, MaskKey, MaskKeys, MaskedReveal, Reveal, SealedActivation, SealedGradient, SealedInputGradient, SealedOutput,
};
pub use secure_sum::Fellows;
pub use server::{Server, server};

use crate::{Leak, Parts, ProtocolError, checkpoint::number};

/// V is revealed only when at least this many samples contributed to it. A sum over a handful still contains, late in training, columns
/// parallel to one sample's activation.
pub const REVEAL_AFTER: usize = 1024;

/// Whether V is revealed after `epoch` (from 1) in a job whose clients have `rows` training rows together.
pub fn reveals_after(epoch: u32, rows: u64) -> bool {
    let every = (REVEAL_AFTER as u64).div_ceil(rows.max(1));
    u64::from(epoch).is_multiple_of(every)
}

/// What each role learns.
pub fn leaks(clients: &[&str], server: &str) -> Vec<Leak> {
    let mut leaks = vec![
        Leak::new(
            server,
            "the change of its layer's weights after each epoch, summed over at least 1,024 samples: a statement about all of them together, without a per-sample guarantee",
        ),
        Leak::new(
            server,
            "the whole network's architecture (job file) and the numbers of training and test rows; no activation, gradient or label",
        ),
    ];
    let of_client = "the weights of the server's layer: from the first response it decrypts";
    leaks.extend(clients.iter().map(|client| Leak::new(client, of_client)));
    leaks.extend(Leak::of_shared_layer(clients));
    leaks
}

/// Counts samples and says after which epochs V is revealed; the same at both parties.
#[derive(Debug, Default)]
pub(crate) struct Reveals {
    samples: u64,
}

impl Reveals {
    const PART: &str = "unrevealed samples";

    /// As a part of a checkpoint.
    fn part(&self) -> (String, Vec<u8>) {
        (Self::PART.to_owned(), self.samples.to_le_bytes().to_vec())
    }

    fn of(parts: &Parts) -> Result<Self, ProtocolError> {
        let samples = number(parts, Self::PART)?;
        Ok(Self { samples })
    }

    /// An epoch of `rows` rows, of all clients, has ended: whether V is revealed now.
    fn after_epoch(&mut self, rows: u64, least: usize) -> bool {
        self.samples += rows;
        let due = self.samples >= least as u64;
        if due {
            self.samples = 0;
        }
        due
    }
}

#[cfg(test)]
mod attack;
#[cfg(test)]
mod tests;
