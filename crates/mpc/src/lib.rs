//! Secure computation on shares, tables and sets: the local steps only. What travels between parties is bytes that a step makes and a peer's
//! step checks; who sends them when is a script's affair (`cloven-protocols`).
//!
//! | item | what it is |
//! |---|---|
//! | [`Session`] | where the randomness of one run comes from |
//! | [`transfer`] | oblivious transfer: correlated, random and chosen |
//! | [`ids`] | columns of ids as 32-byte digests |
//! | [`oprf`] | an oblivious pseudorandom function |
//! | [`intersection`] | private set intersection for two parties and for more |
//!
//! `unsafe` is confined to one module: the calls of portable code that was compiled a second time for wider vectors.

mod bits;
mod error;
mod hash;
pub mod ids;
pub mod intersection;
pub mod oprf;
mod prg;
mod session;
pub mod transfer;
mod transposition;
mod wire;
#[allow(unsafe_code)]
mod words;

pub use bits::Bits;
pub use error::MpcError;
pub use session::{PartySecret, Session};
