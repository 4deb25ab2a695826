//! Helpers: further processes of one party, on other machines perhaps, to which it hands heavy work. The protocol between parties does not know of them:
//! what a party with helpers sends is, bit for bit, what it sends without.
//!
//! | work | who divides it | state at a helper |
//! |---|---|---|
//! | products and updates of an encrypted layer on samples in the clear | `encrypted_model`, server: by blocks of inputs | its blocks of Enc(W) |
//! | products of sealed batches | `encrypted_activation` `sealed`, server: by clients | the layer |
//! | encryption of a data set | `encrypted_model::encrypted_samples`, client: by rows | the key |
//!
//! A party asks ([`Request`]), a helper answers ([`Helper::answer`]); who starts helpers and carries the bytes is a [`Helpers`]. **Loss.** A helper that dies
//! is replaced by one that knows nothing, or its work goes to another: the party has kept what it must be told first ([`Station`]), and only what was
//! this helper's is computed again. **Trust.** A helper is this party itself: it sees what the party sees, keys included, and the party believes its
//! answers. Bytes of *other* parties are checked before they are passed on, so that a refusal is a helper's own failure.

mod helper;
mod request;
mod station;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::{future::Future, pin::Pin};

pub use self::helper::Helper;
pub(crate) use self::{
    request::{LayerForm, Request},
    station::Station,
};

/// A party's helpers.
pub trait Helpers {
    /// How many there are: at least one.
    fn count(&self) -> usize;

    /// Has helper number `helper` (from 0) answer a request, as [`Helper::answer`] does. Requests to one helper are answered in order. After a loss, the next
    /// request goes to another process.
    fn ask(&self, helper: usize, request: &[u8]) -> Answer<'_>;
}

/// A helper's answer, once it is there.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, NoAnswer>> + 'a>>;

/// Why a helper does not answer, for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It will not answer any more; another one may.
    #[error("{0}")]
    Lost(String),
    /// There is none to be had: asking again is of no use.
    #[error("{0}")]
    Unavailable(String),
}
