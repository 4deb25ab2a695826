//! What tells chunks and runs apart, so that parties out of step find out.

use super::Layer;

const MARKS: &str = "cloven mpc 2026 nonlinear marks";

/// The marks of a session's chunks, in order: the same at all parties that prepare the same chunks.
pub(crate) struct Marks {
    key: [u8; 32],
    number: u64,
}

impl Marks {
    /// The marks of the session with this public key.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, number: 0 }
    }

    /// What tells the next chunk from every other of the session.
    pub fn next(&mut self, layer: &Layer, outputs: usize) -> u64 {
        let mut hasher = blake3::Hasher::new_derive_key(MARKS);
        hasher.update(&self.key).update(&self.number.to_le_bytes());
        hasher
            .update(&(outputs as u64).to_le_bytes())
            .update(layer.describe().as_bytes());
        self.number += 1;
        shortened(&hasher)
    }
}

/// What tells a layer's run from every other: the marks of its chunks.
pub(crate) fn joined(marks: impl Iterator<Item = u64>) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key(MARKS);
    marks.for_each(|mark| {
        hasher.update(&mark.to_le_bytes());
    });
    shortened(&hasher)
}

fn shortened(hasher: &blake3::Hasher) -> u64 {
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
