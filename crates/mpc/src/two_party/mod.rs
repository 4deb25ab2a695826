//! Non-linear layers between a user and a gateway, who alone gets the outputs: ReLU, max-pooling, truncation and argmax with half gates.
//!
//! *Mishra, Lehmkuhl, Srinivasan, Zheng, Popa, "Delphi", USENIX Security 2020: the first layers of a network whose weights the gateway has in the clear. Zahur,
//! Rosulek, Evans, "Two Halves Make a Whole", Eurocrypt 2015, for the garbling.* The gateway garbles, the user evaluates.
//!
//! User and gateway have additive shares u and g modulo 2^k of signed words y. The user knows u, and a fresh uniform word r for each output, before g exists.
//! For each output, w words in a row, the gateway alone receives
//!
//! z = op(floor(y_1 / 2^f), ..., floor(y_w / 2^f)) - r modulo 2^k
//!
//! [`Operation::ArgMax`](crate::nonlinear::Operation::ArgMax) instead gives each of them a XOR share of the place of the largest, which nobody opens. Everything is exact:
//! [`crate::ideal::nonlinear`] gives the same words, with the masks r and the gateway's zero.
//!
//! | party | learns |
//! |---|---|
//! | gateway | z, or its share of the place |
//! | user | nothing, or its share of the place |
//!
//! Semi-honest. r must be uniform, fresh and the user's own: it is all that hides the output from the gateway.
//!
//! **Rounding** is the caller's: 2^(f-1) added to one party's words before rounds to nearest, and costs nothing.
//!
//! **Masks** are not subtracted in the circuit, which would take k - 1 ANDs and k more labels of the user's. The gateway gives the user a short word for each
//! output bit b of weight 2^i, which a label turns into b + d modulo 2^(k-i) where d is the gateway's alone (projection gates; Ball, Malkin,
//! Rosulek, CCS 2016). The user adds them up, subtracts r and sends the sum; the gateway subtracts its own. 50 ANDs instead of 81 at k = 32, f = 12.
//!
//! Costs of an output at k = 32, f = 12 (0 before the argmax), in bytes, besides 8 in each message; [`Layer::cost`] gives them for any layer:
//!
//! | operation | ANDs | prepared: user's message | gateway's message | online: gateway's message | user's message | kept by the user | by the gateway |
//! |---|---|---|---|---|---|---|---|
//! | ReLU | 50 | 128 | 1654.6 | 512 | 4 | 2174.6 | 8 |
//! | truncation alone | 31 | 128 | 1048.3 | 512 | 4 | 1568.3 | 8 |
//! | max-pooling of 4, with ReLU | 263 | 512 | 8470.6 | 2048 | 4 | 10526.6 | 8 |
//! | max-pooling of 9, with ReLU | 618 | 1152 | 19830.6 | 4608 | 4 | 24446.6 | 8 |
//! | argmax of 10 | 861 | 1280 | 27552 | 5120 | 0 | 32672 | 8 |
//!
//! The set-up is 4.1 KB from the user and 4 KB from the gateway, once a session. Times on one thread with AES and AVX-512 instructions (`cargo bench -p cloven-mpc
//! --bench two_party`), without the network:
//!
//! | | gateway | user |
//! |---|---|---|
//! | set-up | 9 ms | 6 ms |
//! | 2,304 ReLUs, preparation | 12 ms | 3 ms |
//! | 2,304 ReLUs, online | 1.6 ms | 4 ms |
//!
//! The phases, each a loop of exchanges ([`Next`](crate::nonlinear::Next)) with one other party:
//!
//! 1. [`gateway::Setup`] and [`user::Setup`], once a session.
//! 2. [`gateway::Preparer::prepare`] and [`user::Preparer::prepare`], for each of the [`Layer::chunks`]: two messages. The user's labels are correlated transfers whose
//!    choices are its words and whose offset is the garbling's. Memory is bounded by the chunk. A chunk is used once, by value.
//! 3. [`gateway::Online::start`] and [`user::Online::start`], any number of a layer's chunks at once: the labels of the gateway's words, and the user's answer
//!    (none for an argmax). Nothing of public-key cryptography or garbling is left for this phase.
//!
//! **The offset** of free XOR is the transfers' own and so that of the session: another one for each chunk would be another set-up for each. That is safe since no
//! label and no hash comes twice: labels of 0 are fresh for each chunk (pseudorandom functions of a fresh seed, or the transfers' words), and the tweak of each hash
//! has a number of its instance that no other of the session has, which is what the tweakable circular correlation-robust hash of Guo, Katz, Wang and Yu (S&P 2020) asks for
//! across many circuits under one offset. What would give the offset away is two labels of one wire: a gateway that gives labels of two words for one chunk. Chunks are
//! therefore taken by value, a run that breaks off is not begun again with the same ones, and a [`Session`](crate::Session)'s context never comes again.
//!
//! Messages carry 8 bytes that tell session, chunk, layer and size: parties out of step get [`MpcError::OutOfStep`](crate::MpcError::OutOfStep) instead of nonsense.
//! Non-goals: a party that deviates (a user that does may learn bits of the offset, a gateway may garble another circuit); hiding layers or their sizes.
//!
//! ```
//! use cloven_mpc::nonlinear::{Next, Operation, Outcome, Resume, Ring};
//! use cloven_mpc::two_party::{Layer, gateway, user};
//! use cloven_mpc::{MpcError, PartySecret, Session};
//! use std::sync::mpsc::{Receiver, Sender, channel};
//!
//! type Peer = (Sender<Vec<u8>>, Receiver<Vec<u8>>);
//!
//! /// Any phase of either party.
//! fn drive<S: Resume>(mut next: Next<S>, peer: &Peer) -> Result<S::Output, MpcError> {
//!     loop {
//!         match next {
//!             Next::Done(output) => return Ok(output),
//!             Next::Exchange(mut exchange) => {
//!                 exchange.outgoing().into_iter().filter(|message| !message.is_empty()).for_each(|message| peer.0.send(message).unwrap());
//!                 let message = if exchange.expected()[0] == 0 { vec![] } else { peer.1.recv().unwrap() };
//!                 next = exchange.receive(&[message])?;
//!             }
//!         }
//!     }
//! }
//!
//! fn user(layer: &Layer, peer: &Peer, words: &[u64], masks: &[u64]) -> Result<(), MpcError> {
//!     let session = Session::new(&PartySecret::new([1; 32]), b"session 1");
//!     let mut preparer = drive(user::Setup::start(&session)?, peer)?;
//!     let (mut prepared, mut at) = (Vec::new(), 0);
//!     for outputs in layer.chunks(words.len())? {
//!         let chunk = at..at + outputs;
//!         prepared.push(drive(preparer.prepare(layer, &words[chunk.clone()], &masks[chunk])?, peer)?);
//!         at += outputs;
//!     }
//!     drive(user::Online::start(layer, prepared)?, peer).map(|_| ())
//! }
//!
//! fn gateway(layer: &Layer, peer: &Peer, words: &[u64]) -> Result<Vec<u64>, MpcError> {
//!     let session = Session::new(&PartySecret::new([0; 32]), b"session 1");
//!     let mut preparer = drive(gateway::Setup::start(&session)?, peer)?;
//!     let mut prepared = Vec::new();
//!     for outputs in layer.chunks(words.len())? {
//!         prepared.push(drive(preparer.prepare(layer, outputs)?, peer)?);
//!     }
//!     match drive(gateway::Online::start(layer, prepared, words)?, peer)? {
//!         Outcome::Opened(words) => Ok(words),
//!         Outcome::Shares(_) => unreachable!("a ReLU is opened"),
//!     }
//! }
//!
//! let layer = Layer::new(Operation::Relu, Ring { bits: 32, truncation: 10 })?;
//! let ((to_user, from_gateway), (to_gateway, from_user)) = (channel(), channel());
//! let other = layer.clone();
//! let thread = std::thread::spawn(move || user(&other, &(to_gateway, from_gateway), &[5 << 10, 7], &[11, 22]));
//! let opened = gateway(&layer, &(to_user, from_user), &[1 << 10, (1 << 32) - (9 << 10)])?;
//! assert_eq!(opened, [6 - 11, 0 - 22].map(|word: i64| word as u64 % (1 << 32)));
//! thread.join().unwrap()?;
//! # Ok::<(), MpcError>(())
//! ```

pub mod gateway;
mod layer;
mod numbers;
#[cfg(test)]
mod tests;
pub mod user;

pub use layer::{Cost, Layer, SETUP_DOWN, SETUP_UP};
