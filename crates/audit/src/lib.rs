//! What came back: attacks on a party's recorded view, each beside what chance gives.
//!
//! The attacker is the party that recorded, typically the server. The attacks get its view and nothing else; inputs and labels are used to
//! train the decoder on one half of the rows, as an attacker with data of the same kind could, and to score.
//!
//! An attack that does no better than chance **did not succeed**. That does not show that no attack can.

pub mod algebra;
mod attacks;
mod decoder;
mod dependence;
mod error;
mod finding;
mod grouping;
mod labels;
pub mod permuted;
pub mod span;
pub mod vertical;
mod view;

pub use attacks::{Truth, audit};
pub use error::AuditError;
pub use finding::{Audit, Example, Finding};
pub use labels::{Labels, label_findings};
pub use view::{Batch, Seen, Upload, View, replay};
