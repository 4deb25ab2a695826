//! The weights, transformed once.

use cloven_ring::{Evaluations, Poly};
use zeroize::{Zeroize, Zeroizing};

use super::PrivateInputLinear;
use crate::{LatticeError, linear::fixed::check_size, parallel};

/// Purpose of the digest.
const DIGEST: &str = "cloven v1 lattice private input: weights";
/// Nanoseconds to a residue of a polynomial of weights.
const PREPARE: usize = 8;

/// Weights ready to be multiplied, as often as one likes. Wiped on drop.
pub struct PreparedWeights {
    /// Polynomial of the input b, group c of output channels at index b * groups + c.
    pub(super) blocks: Vec<Poly<Evaluations>>,
    /// Of the weights.
    pub(super) digest: [u8; 32],
    /// Of the layer that they were prepared for.
    layer: [u8; 32],
}

impl PreparedWeights {
    /// Bytes in memory, about.
    pub fn memory(&self) -> usize {
        self.blocks.iter().map(|block| size_of::<u64>() * block.basis().words()).sum()
    }

    /// Refuses to serve another layer.
    pub(super) fn check(&self, layer: &PrivateInputLinear) -> Result<(), LatticeError> {
        match self.layer == layer.digest {
            true => Ok(()),
            false => Err(LatticeError::OtherProduct { what: "weights" }),
        }
    }
}

impl Drop for PreparedWeights {
    fn drop(&mut self) {
        self.blocks.iter_mut().for_each(Zeroize::zeroize);
    }
}

impl PrivateInputLinear {
    /// Transforms the weights: words below 2^k, read as integers from -2^(k-1), in the order of [`LinearShape`](super::LinearShape). One of more bits than
    /// the layer was made for is refused: its noise might show through the flooding.
    pub fn prepare(&self, weights: &[u64]) -> Result<PreparedWeights, LatticeError> {
        check_size("weights", self.shape.weights(), weights.len())?;
        self.encoding.check_words("weights", weights)?;
        self.check_range(weights)?;
        let groups = self.layout.outputs();
        let blocks = parallel::map(
            self.layout.ciphertexts(),
            PREPARE * self.parameters.basis().words(),
            |index| {
                let (block, outputs) = (index / groups, index % groups);
                let placed = Zeroizing::new(self.layout.weights(weights, block, outputs, self.secrecy.ring_bits));
                Ok(self.encoding.centred(placed.iter().copied()).into_evaluations())
            },
        );
        Ok(PreparedWeights {
            blocks: blocks?,
            digest: digest(weights),
            layer: self.digest,
        })
    }

    /// Without an early exit: that all are in range is not secret, the weights are.
    fn check_range(&self, weights: &[u64]) -> Result<(), LatticeError> {
        let bound = self.secrecy.weight_bound();
        let lift = u64::BITS - self.secrecy.ring_bits;
        let signed = |word: u64| (word << lift) as i64 >> lift;
        let outside = |word: u64| signed(word).unsigned_abs() > bound;
        match weights.iter().fold(false, |any, &word| any | outside(word)) {
            false => Ok(()),
            true => {
                let position = weights.iter().position(|&word| outside(word)).unwrap_or_default();
                Err(LatticeError::Range {
                    what: "weights",
                    position,
                    value: signed(weights[position]) as f64,
                    bound: bound as f64,
                })
            }
        }
    }
}

fn digest(weights: &[u64]) -> [u8; 32] {
    let mut words = Zeroizing::new(weights.to_vec());
    words.iter_mut().for_each(|word| *word = word.to_le());
    let mut hasher = blake3::Hasher::new_derive_key(DIGEST);
    *hasher.update(bytemuck::cast_slice(&words)).finalize().as_bytes()
}
