//! Oblivious transfer: a sender has two messages, a receiver gets the one it chooses; semi-honest.
//!
//! Papers: base transfers by Chou and Orlandi (LATINCRYPT 2015); extension by Roy (CRYPTO 2022), "SoftSpokenOT", whose [`Width`] 1 is that of Ishai,
//! Kilian, Nissim and Petrank (CRYPTO 2003). Both give *correlated* transfers with one global delta; [`Sender::random`] and
//! [`Sender::encrypt`] make random and chosen ones of them with the tweakable hash of Guo, Katz, Wang and Yu (S&P 2020).
//!
//! | who | learns |
//! |---|---|
//! | sender | the number of transfers; nothing about a choice |
//! | receiver | the message of its choice; nothing about the other one, nor delta |
//!
//! Messages: [`ReceiverSetup::new`] -> [`SenderSetup::new`] -> [`ReceiverSetup::finish`] -> [`SenderSetup::finish`], once (32 B, 4 KiB, 4 KiB); then any
//! number of times [`Receiver::extend`] -> [`Sender::extend`], with 16 B / `width` for each transfer; chosen messages take 32 B more, back.
//!
//! Assumptions: computational Diffie-Hellman on ristretto255 and a random oracle for the base, AES-128 as pseudorandom function and, under a fixed key, as
//! ideal permutation for the extension. Non-goals: a party that deviates from the protocol (a receiver may learn bits of delta); hiding
//! the number of transfers. Whatever bytes come, a step gives an error or values that are of no use to the peer's partner.
//!
//! ```
//! use cloven_mpc::{Bits, PartySecret, Session, transfer::{Delta, ReceiverSetup, SenderSetup, Width}};
//! # fn main() -> Result<(), cloven_mpc::MpcError> {
//! let alice = Session::new(&PartySecret::new([1; 32]), b"job 7, run 1, alice to bob");
//! let bob = Session::new(&PartySecret::new([2; 32]), b"job 7, run 1, alice to bob");
//!
//! let (receiver, message) = ReceiverSetup::new(&bob, Width::IKNP);
//! let (sender, message) = SenderSetup::new(&alice, Width::IKNP, Delta::random(&alice), &message)?;
//! let (mut receiver, message) = receiver.finish(&message)?;
//! let mut sender = sender.finish(&message)?;
//!
//! let choices = Bits::from_bools(&[false, true, true]);
//! let (pads, message) = receiver.random(&choices)?;
//! let message = sender.encrypt(&[[10, 11], [20, 21], [30, 31]], &message)?;
//! assert_eq!(*pads.decrypt(&message)?, [10, 21, 31]);
//! # Ok(())
//! # }
//! ```

pub(crate) mod base;
mod correlated;
#[cfg(any(test, feature = "testing"))]
pub mod ideal;
mod messages;
#[cfg(test)]
mod tests;
mod tree;

pub use correlated::{Delta, MAX_CHUNK, Receiver, ReceiverSetup, Sender, SenderSetup, Width};
pub use messages::{ReceiverPads, SenderPads};
