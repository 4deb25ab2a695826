//! The weights: shared, encrypted, loaded.

use cloven_ring::{Evaluations, Poly};
use zeroize::Zeroize;

use super::SecretLinear;
use crate::{
    Ciphertext, LatticeError,
    collective::{CommonReference, PartySecret},
    linear::fixed::check_size,
    wire::write_residues,
};

/// Purpose of the digest.
const DIGEST: &str = "cloven v1 lattice collective: encrypted layer";

/// Enc(F), ready to be multiplied: [`SecretLinear::memory`] bytes.
pub struct EncryptedLayer {
    /// Block b, group c of output channels at index b * groups + c.
    pub(super) ciphertexts: Vec<Ciphertext>,
    /// Of everything that was read.
    pub(super) digest: [u8; 32],
}

/// Takes the sums of shares, one ciphertext after the other.
pub struct LayerLoader<'a> {
    linear: &'a SecretLinear,
    reference: &'a CommonReference,
    context: &'a [u8],
    ciphertexts: Vec<Ciphertext>,
    hasher: blake3::Hasher,
}

impl SecretLinear {
    /// A party's share of ciphertext `index` (of [`SecretLinear::ciphertexts`]) of its additive share of the weights, words below 2^k. `context` names the layer
    /// and must never serve for other weights (see [`CommonReference`]).
    pub fn share(
        &self,
        index: usize,
        weights: &[u64],
        secret: &PartySecret,
        reference: &CommonReference,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        check_size("weights", self.shape.weights(), weights.len())?;
        self.check_index(index)?;
        self.collective.encoding.check_words("weights", weights)?;
        let (block, outputs) = (index / self.layout.outputs(), index % self.layout.outputs());
        let bits = self.collective.settings.ring_bits;
        let mut placed = self.layout.weights(weights, block, outputs, bits);
        let share = self
            .collective
            .encryption_share_at(placed.iter().copied(), secret, reference, context, index as u64);
        placed.iter_mut().for_each(|(_, value)| value.zeroize());
        share
    }

    /// One ciphertext from the shares of all parties: the sum, as long as a share. It is what every party loads.
    pub fn aggregate(&self, shares: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, LatticeError> {
        let sum: Poly<Evaluations> = self.collective.sum_of_shares("shares of a layer", shares)?;
        let mut out = Vec::with_capacity(self.share_len());
        write_residues(&sum, 0, &mut out);
        Ok(out)
    }

    /// Whether bytes are a share, or a sum of shares.
    pub fn check_share(&self, bytes: &[u8]) -> Result<(), LatticeError> {
        self.collective.check_share(bytes)
    }

    /// Begins to load; `reference` and `context` are those of [`SecretLinear::share`].
    pub fn loader<'a>(&'a self, reference: &'a CommonReference, context: &'a [u8]) -> LayerLoader<'a> {
        LayerLoader {
            linear: self,
            reference,
            context,
            ciphertexts: Vec::new(),
            hasher: blake3::Hasher::new_derive_key(DIGEST),
        }
    }

    fn check_index(&self, index: usize) -> Result<(), LatticeError> {
        match index < self.ciphertexts() {
            true => Ok(()),
            false => Err(LatticeError::Size {
                what: "ciphertexts of a layer",
                expected: self.ciphertexts(),
                actual: index + 1,
            }),
        }
    }
}

impl LayerLoader<'_> {
    /// Takes the next of [`SecretLinear::aggregate`]. Every residue is checked.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), LatticeError> {
        let index = self.ciphertexts.len();
        self.linear.check_index(index)?;
        let collective = &self.linear.collective;
        let c0 = collective.read_share(bytes)?;
        self.hasher.update(bytes);
        let c1 = collective.mask(self.reference, self.context, index as u64);
        self.ciphertexts.push(Ciphertext { c0, c1 });
        Ok(())
    }

    /// The layer, if no ciphertext is missing.
    pub fn finish(self) -> Result<EncryptedLayer, LatticeError> {
        check_size("ciphertexts of a layer", self.linear.ciphertexts(), self.ciphertexts.len())?;
        Ok(EncryptedLayer {
            ciphertexts: self.ciphertexts,
            digest: *self.hasher.finalize().as_bytes(),
        })
    }
}
