//! The protocols, one folder each, with the same file names in every folder:
//!
//! | file | what it holds |
//! |---|---|
//! | `mod.rs` | parties, flow, who learns what, bytes, assumptions, non-goals |
//! | `msg.rs` | the messages |
//! | `client.rs`, `server.rs` ... | one script per role: an `async fn`, generic over the channel |
//! | `predict.rs` | the scripts of predicting with a network that was trained so, and what they give away |
//! | `cost.rs` | declared messages and bytes, compared with the channel's counters by a test |
//! | `tests.rs` | the test ladder |
//!
//! A script has no socket, file, clock or global random number generator inside. What happens is told to an observer as [`Event`]s.

mod checkpoint;
mod cost;
mod error;
mod event;
mod examples;
mod inference;
mod linear_shape;
mod message;
mod schedule;
mod signed_key;
#[cfg(test)]
mod testing;
mod training;

pub mod enclave;
pub mod encrypted_activation;
pub mod encrypted_model;
pub mod helpers;
pub mod plain;
pub mod secure_inference;
pub mod vertical;

pub use checkpoint::{CheckpointError, Keep, Parts, Position, superseded};
pub use cost::Cost;
pub use error::{Halted, ProtocolError};
pub use event::{Event, LayerBytes, Observe};
pub use examples::{Examples, Subset};
pub use inference::{Ask, Queries};
pub use message::{AllSettled, Begin, Settled, Start};
pub use schedule::{Schedule, Shuffle};
pub use signed_key::SignedKey;
pub use training::{Service, Task, release};

/// Parameters of the lattice encryption that a protocol uses.
pub use cloven_lattice::Parameters as EncryptionSet;

/// What one role learns by taking part in a protocol, in words for the people who have to agree to it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Leak {
    /// The role or party.
    pub party: String,
    /// One sentence.
    pub learns: String,
}

impl Leak {
    fn new(party: &str, learns: &str) -> Self {
        Self {
            party: party.to_owned(),
            learns: learns.to_owned(),
        }
    }

    /// What every one of several clients learns beyond what one alone would, from the server's layer as it stands after an epoch.
    fn of_shared_layer(clients: &[&str]) -> Vec<Self> {
        let rows = "the number of training rows of all clients together";
        let change = match clients.len() {
            1 => return Vec::new(),
            2 => {
                "after every epoch, the change that the other client made to the server's layer (the layer's change less its own part)"
            }
            _ => {
                "after every epoch, the sum of the changes that the other clients made to the server's layer (the layer's change less its own part)"
            }
        };
        let of = |client: &&str| [Self::new(client, change), Self::new(client, rows)];
        clients.iter().flat_map(of).collect()
    }
}
