//! Secure computation on shares, tables and sets: the local steps only. What travels between parties is bytes that a step makes and a peer's
//! step checks; who sends them when is a script's affair (`cloven-protocols`).

mod error;

pub use error::MpcError;
