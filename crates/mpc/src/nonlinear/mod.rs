//! Non-linear layers on words that n parties share: ReLU, max-pooling, truncation, argmax.
//!
//! n >= 2 parties have additive shares modulo 2^k of signed words y (k of 24 to 48). For each output, w words in a row, all parties receive
//!
//! z = op(floor(y_1 / 2^f), ..., floor(y_w / 2^f)) - (r_0 + ... + r_(n-1)) modulo 2^k
//!
//! in the open, where r_j is a uniform word of party j: what the next linear layer of shared inference takes. [`Operation::ArgMax`] instead gives each
//! party a XOR share of the place of the largest, which nobody opens. Everything is exact: [`crate::ideal::nonlinear`] gives the same words.
//!
//! | party | learns |
//! |---|---|
//! | any n - 1 of the n together | z, or their shares of the place; besides nothing but their own words and masks |
//!
//! Semi-honest. The masks must be uniform, fresh and each party's own: an opened word is hidden by one mask that the others do not know.
//!
//! **Rounding** is the caller's: 2^(f-1) added to one party's words before rounds to nearest, and costs nothing.
//!
//! **Masks** are not subtracted in the circuit, which would take another 92 ANDs of three parties (three words in carry-save form, and k - 1 for the difference).
//! The parties share random bits both by XOR and additively, made by n (n - 1) / 2 transfers each; opened XORs of the output bits with
//! them make the output additive, and masks are subtracted locally. Only the bits of the shifted word are converted, 21 for a ReLU of 32 bits.
//!
//! Two engines run the one circuit:
//!
//! * [`Engine::Boolean`]: GMW ([`crate::boolean`]) on triples; a round per layer of ANDs, one for the masked output bits, one for the words.
//! * [`Engine::Garbled`]: BMR ([`crate::garbling::bmr`]) with parties 0 to n - 2 garbling and the last evaluating; three rounds, or two for an argmax. n >= 3.
//!
//! Costs of one output at k = 32, f = 10 (no truncation before the argmax): ANDs, transfers between all parties, rounds online. ANDs of a layer with one operand in
//! common, like the sign of a ReLU, share their transfers, and words that are one party's need fewer ([`Circuit::transfers`](crate::circuit::Circuit::transfers));
//! an output that is opened takes n (n - 1) / 2 besides for each of its bits. Garbling has the ANDs of `FewAnds`.
//!
//! | n | operation | `FewAnds` | `LowDepth` |
//! |---|---|---|---|
//! | 2 | ReLU | 52, 63, 34 | 165, 143, 9 |
//! | 3 | ReLU | 82, 279, 34 | 194, 603, 9 |
//! | 5 | ReLU | 142, 1696, 34 | 252, 2736, 10 |
//! | 3 | truncation alone | 61, 273, 33 | 173, 597, 8 |
//! | 3 | max-pooling of 4, with ReLU | 397, 1512, 59 | 956, 3450, 22 |
//! | 3 | max-pooling of 9, with ReLU | 922, 3567, 105 | 2226, 8211, 36 |
//! | 3 | argmax of 10 | 1161, 4512, 132 | 2864, 10530, 33 |
//!
//! Bytes of a ReLU that all three parties together send, besides 8 in each first message:
//!
//! | engine | prepared | online | rounds of a chunk's preparation |
//! |---|---|---|---|
//! | boolean, `FewAnds` | 1626 | 148 | 3 |
//! | boolean, `LowDepth` | 3047 | 272 | 3 |
//! | garbled | 17808 | 3104 | 4 |
//!
//! Until it runs, a prepared ReLU takes the evaluator of three 9 KB and a garbler 2 KB, a party with shared bits 0.2 KB.
//!
//! The phases, each a loop of exchanges ([`Next`]):
//!
//! 1. [`Setup`], once a session: transfers between every two parties (8 KiB each to each).
//! 2. [`Preparer::prepare`], for each of the [`Layer::chunks`], before words are known; memory is bounded by the chunk. A chunk is used once, by value.
//! 3. [`Online::start`], all chunks of a layer at once: one message to each party and round.
//!
//! First messages carry 8 bytes that tell session, chunk, layer and size: parties out of step get [`MpcError::OutOfStep`](crate::MpcError::OutOfStep) instead of nonsense.
//! Non-goals: malicious parties; hiding layers or their sizes.
//!
//! ```
//! use cloven_mpc::circuit::{Goal, Party};
//! use cloven_mpc::nonlinear::{Engine, Layer, Next, Online, Operation, Outcome, Resume, Ring, Setup};
//! use cloven_mpc::{MpcError, PartySecret, Session};
//! use std::sync::mpsc::{Receiver, Sender, channel};
//!
//! /// Any phase: `peers` is a way to and from each other party.
//! fn drive<S: Resume>(mut next: Next<S>, peers: &[(Sender<Vec<u8>>, Receiver<Vec<u8>>)]) -> Result<S::Output, MpcError> {
//!     loop {
//!         match next {
//!             Next::Done(output) => return Ok(output),
//!             Next::Exchange(mut exchange) => {
//!                 let outgoing = exchange.outgoing().into_iter().zip(peers).filter(|(message, _)| !message.is_empty());
//!                 outgoing.for_each(|(message, peer)| peer.0.send(message).unwrap());
//!                 let expected = exchange.expected().iter().zip(peers);
//!                 let messages: Vec<Vec<u8>> = expected.map(|(bytes, peer)| if *bytes == 0 { vec![] } else { peer.1.recv().unwrap() }).collect();
//!                 next = exchange.receive(&messages)?;
//!             }
//!         }
//!     }
//! }
//!
//! /// A party of two: relu(words / 2^10) less both masks.
//! fn party(me: u8, peers: &[(Sender<Vec<u8>>, Receiver<Vec<u8>>)], words: &[u64], masks: &[u64]) -> Result<Vec<u64>, MpcError> {
//!     let layer = Layer::new(Operation::Relu, Ring { bits: 32, truncation: 10 }, Engine::Boolean(Goal::LowDepth), 2)?;
//!     let session = Session::new(&PartySecret::new([me; 32]), b"session 1");
//!     let mut preparer = drive(Setup::start(&session, (Party(me), 2))?, peers)?;
//!     let mut prepared = Vec::new();
//!     for outputs in layer.chunks(words.len())? {
//!         prepared.push(drive(preparer.prepare(&layer, outputs)?, peers)?);
//!     }
//!     match drive(Online::start(&layer, Party(me), prepared, words, masks)?, peers)? {
//!         Outcome::Opened(opened) => Ok(opened),
//!         Outcome::Shares(_) => unreachable!("a ReLU is opened"),
//!     }
//! }
//!
//! let ((to_one, from_zero), (to_zero, from_one)) = (channel(), channel());
//! let other = std::thread::spawn(move || party(1, &[(to_zero, from_zero)], &[5 << 10, 7], &[1, 2]));
//! let opened = party(0, &[(to_one, from_one)], &[1 << 10, (1 << 32) - (9 << 10)], &[10, 20])?;
//! assert_eq!(opened, [6 - 11, 0 - 22].map(|word: i64| word as u64 % (1 << 32)));
//! assert_eq!(other.join().unwrap()?, opened);
//! # Ok::<(), MpcError>(())
//! ```

mod boolean;
mod conversion;
pub(crate) mod exchange;
mod garbled;
mod layer;
pub(crate) mod marks;
mod online;
mod preparation;
mod setup;
#[cfg(test)]
pub(crate) mod tests;

pub use exchange::{Exchange, Next, Resume};
pub use layer::{Engine, Layer, MAX_CLASSES, MAX_OUTPUTS, MAX_WINDOW, Operation, Ring};
pub use online::{Online, Outcome};
pub use preparation::{Preparation, Prepared};
pub use setup::{Preparer, Setup};
