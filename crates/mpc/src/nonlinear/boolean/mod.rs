//! On shared bits: triples and shared random bits ahead, then a round per layer of ANDs, one that opens the masked output bits, one that opens the words.
//!
//! The output bits b become additive shares without ANDs: of a random bit rho the parties have both kinds of shares ([`Conversion`]); they open d = b ^ rho,
//! and b = d + (1 - 2d) rho.

mod preparing;
mod running;

pub(super) use preparing::{Material, Preparing};
pub(super) use running::Running;
