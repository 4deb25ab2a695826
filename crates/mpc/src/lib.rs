//! Secure computation on shares, tables and sets: the local steps only. What travels between parties is bytes that a step makes and a peer's
//! step checks; who sends them when is a script's affair (`cloven-protocols`).
//!
//! | item | what it is |
//! |---|---|
//! | [`Session`] | where the randomness of one run comes from |
//! | [`transfer`] | oblivious transfer: correlated, random and chosen |
//! | [`shares`] | additive shares of matrices over Z_2^64, fixed point, matrix products, shares of zero |
//! | [`triples`] | products of one holder's fixed data with another's operand: one-sided matrix triples |
//! | [`ids`] | columns of ids as 32-byte digests |
//! | [`oprf`] | an oblivious pseudorandom function |
//! | [`intersection`] | private set intersection for two parties and for more |
//! | [`circuit`] | Boolean circuits, written once and run by every engine |
//! | [`activation`] | ReLU of additively shared values, for a third party's eyes only |
//! | [`nonlinear`] | ReLU, max-pooling, truncation and argmax of words that n parties share, with re-masking |
//! | [`two_party`] | the same layers between a user and a gateway, who alone gets the words |
//! | [`boolean`] | circuits on shared bits, by oblivious transfer (GMW) |
//! | [`garbling`] | garbled circuits: two parties (half gates), or more (BMR) |
//! | [`BitMatrix`] | packed bits: inputs, outputs and shares of many instances of a circuit |
//! | [`correlation`] | correlated transfers, as the engines use them |
//! | [`Batches`], [`Batch`] | numbers for instances, given once |
//! | [`ideal`] | a trusted party, for tests |
//!
//! `unsafe` is confined to three places: the calls of portable code that was compiled a second time for wider vectors, and the vector instructions
//! of matrix products and of AES.

pub mod activation;
mod batch;
mod bits;
pub mod boolean;
mod cipher;
pub mod circuit;
pub mod correlation;
mod error;
pub mod garbling;
mod hash;
pub mod ideal;
pub mod ids;
pub mod intersection;
mod matrix;
pub mod nonlinear;
pub mod oprf;
mod prg;
mod session;
pub mod shares;
pub mod transfer;
mod transposition;
pub mod triples;
pub mod two_party;
mod wire;
#[allow(unsafe_code)]
mod words;

pub use batch::{Batch, Batches};
pub use bits::Bits;
pub use error::{MessageFault, MpcError};
pub use matrix::BitMatrix;
pub use session::{PartySecret, Session};
