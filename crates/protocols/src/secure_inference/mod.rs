//! Secure inference across a hierarchy of servers (SECO): a user's input and a provider's network, neither of which any server sees.
//!
//! Paper: "SECO: Secure Inference With Model Splitting Across Multi-Server Hierarchy" (arXiv 2404.16232).
//!
//! **Parties.** *Users*, each of whom talks to the gateway only; a *gateway* and at least two *remote servers*, every two of them connected. Semi-honest; any
//! coalition that leaves out one server, users included, learns no more than its members' own inputs and outputs tell.
//!
//! **Numbers** are fixed-point integers modulo 2^k. Weights and biases are shared additively among all servers by the network's owner, so that no server knows any of
//! them (in the paper the remote servers know all of them together, without the gateway).
//!
//! **When the servers meet** ([`worker`]): a collective key over a common random string; the encrypted weights, of which each server sends its share under the
//! string's own polynomials; oblivious transfers between every two. Everything is made anew when a server comes back: no mask, key or transfer outlives a meeting.
//!
//! **Before an input is known** ([`preparation`]; paper: the offline phase). For every value that will be opened, the input and what leaves an activation, each server
//! draws its share r^j of a mask. For every product with weights F:
//!
//! 1. each server: Enc(F) r^j, re-randomised under the collective key and flooded  → the gateway
//! 2. gateway: the sum, Enc(F r); its public half                                   → all
//! 3. each server: its masked and smudged decryption share                          → the gateway; all end with additive shares E^j of F r
//!
//! So the encrypted weights travel once, and per inference no upload is needed (the paper multiplies two ciphertexts). For every activation the servers prepare what its
//! circuit consumes ([`cloven_mpc::nonlinear`]).
//!
//! **An inference** ([`online`]; paper: the online phase).
//!
//! 1. user: additive shares of x, all but the gateway's as seeds, sealed            → gateway → all ([`boxes`])
//! 2. all servers open x - r
//! 3. product: server j's share is F^j (x - r) + E^j + b^j. No message
//! 4. activation: a circuit on the shares opens y - r' to all servers; where two branches meet, r'^j (the gateway: y - r' + r'^0) is a share of y
//! 5. shares of the scores, or of the number of the largest, sealed                → gateway → user
//!
//! **Who learns what.** [`Terms::leaks`] says it in full.
//!
//! **Assumptions.** Servers follow the protocol, and one of them keeps to itself what it sees. **Non-goals.** Servers that deviate; hiding how often users ask, or from
//! the servers the shapes of layers; limiting what a user finds out about the network by asking often.

mod boxes;
mod desk;
mod first_layers;
mod gateway;
mod mesh;
mod msg;
mod online;
mod plan;
mod preparation;
mod remote;
mod seal;
mod terms;
mod user;
mod words;
mod worker;

#[cfg(test)]
mod tests;

pub use desk::{Desk, Requests, Session, desk};
pub use first_layers::FirstLayers;
pub use gateway::{Work, gateway};
pub use msg::{
    ActivationPreparation, ActivationStep, Command, GatewayLayers, KeyStep, MESSAGES, MaskedInput, Meeting, ProductStep,
    RemoteKey, SealedInput, SealedOutput, SealedShare, ServerKeys, TransferStep, UserActivation, UserInput, UserKey, UserProduct,
    UserStep, UserTransfer, WeightStep,
};
pub use remote::remote;
pub use terms::{Engine, Output, Terms};
pub use user::{User, user};

use cloven_nn::fixed_point::ModelShare;
use cloven_wire::tcp::Identity;

/// A server, the gateway or another one.
pub struct Server<'a> {
    /// Its name and key.
    pub identity: &'a Identity,
    /// Its share of the network.
    pub model: &'a ModelShare,
    /// Fresh whenever the servers meet.
    pub secret: &'a [u8; 32],
}
