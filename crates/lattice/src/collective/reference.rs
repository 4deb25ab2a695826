//! The common reference string: where everybody's public polynomials come from.
//!
//! Two messages that one party encrypts with the same public polynomial a tell their difference to everybody. A party's own
//! randomness is bound to its data, but a is common, so it is up to the parties that a context serves one set of messages only. Where that cannot be
//! relied on (a run that may be begun again with other data), every party first sends [`super::PartySecret::contribution`] of its data, and
//! [`CommonReference::joint`] makes the string of all of them: with other data of any party it is another string.

use crate::randomness::SEED;

const JOINT: &str = "cloven v1 lattice collective: joint reference";
const MASK: &str = "cloven v1 lattice collective: public mask";

/// A public random string that all parties have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommonReference([u8; SEED]);

impl CommonReference {
    /// From 32 public uniform bytes that nobody could choose after seeing others' keys.
    pub fn new(seed: [u8; SEED]) -> Self {
        Self(seed)
    }

    /// From everybody's contribution, in the order of the parties. Each party checks that its own is there.
    pub fn joint(contributions: &[[u8; SEED]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(JOINT);
        contributions.iter().for_each(|each| {
            hasher.update(each);
        });
        Self(*hasher.finalize().as_bytes())
    }

    /// The seed of a public polynomial. `purpose` has a fixed length of its own in front, so that no two uses collide.
    pub(super) fn seed(&self, purpose: &'static str, context: &[u8], index: u64) -> [u8; SEED] {
        let mut hasher = blake3::Hasher::new_derive_key(MASK);
        hasher.update(&self.0);
        hasher
            .update(&(purpose.len() as u64).to_le_bytes())
            .update(purpose.as_bytes());
        hasher.update(&index.to_le_bytes()).update(context);
        *hasher.finalize().as_bytes()
    }
}
