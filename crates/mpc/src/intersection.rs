//! Private set intersection on distinct 32-byte ids; semi-honest. Every party ends with the places of the common ids in its own set, all in one order
//! that depends on the parties' secrets: to others, the order of rows says nothing about ids.
//!
//! | module | parties | papers | messages |
//! |---|---|---|---|
//! | [`ecdh`] | 2 | Meadows (S&P 1986); Huberman, Franklin, Hogg (EC 1999), on ristretto255 | 48 B for each id, both ways |
//! | [`oprf`] | 2 | [`crate::oprf`] | 70 B for each id of the receiver, up to 12 B for each of the sender |
//! | [`multiparty`] | 3 and more | Kolesnikov, Matania, Pinkas, Rosulek, Trieu (CCS 2017), unconditional zero-sharing | about 90 B for each id and ordered pair |
//!
//! | who | learns |
//! |---|---|
//! | every party | the common ids of *all* parties, and the number of ids of each |
//! | any parties together, all but one | besides that: the common ids of any of their own sets; nothing more about the others' |
//!
//! An empty intersection is a result like any other here. A dishonest party can put ids into its set that it does not have, or give the others wrong results.

pub mod ecdh;
#[cfg(any(test, feature = "testing"))]
pub mod ideal;
pub mod multiparty;
pub mod oprf;
#[cfg(test)]
mod tests;

/// The places of the common ids in a party's own set, in the order that all parties share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intersection {
    /// Indices into the ids that the party gave.
    pub places: Vec<usize>,
}
