//! Linear layers that nobody knows: additive shares of F r modulo 2^k from shares of F and of r.
//!
//! The parties have additive shares F = sum F_j of a layer's weights and r = sum r_j of an input. Once, they encrypt F under the collective key
//! ([`SecretLinear::share`], [`SecretLinear::aggregate`], [`LayerLoader`]). Then, for every r:
//!
//! ```text
//! each j       r_j Enc(F) + a fresh encryption of zero, compressed         respond        -> aggregator
//! aggregator   the sum is Enc(F r); its c1                                 sum, query     -> each other
//! each other   a masked, smudged decryption share; keeps the mask          to_shares      -> aggregator
//! aggregator   its own share                                               last_share
//! ```
//!
//! A product may be of a batch of inputs ([`Collective::linear_batch`]): then several share a response, which saves traffic for memory.
//!
//! No party uploads its r_j: r Enc(F) is the sum of what each computes from its own part. Outputs are row-major, of [`LinearShape::outputs`] numbers; weights and
//! inputs as [`LinearShape`] says. Only coefficients that are outputs ever are in a message, but for c1, which is needed whole.
//!
//! Bytes of a product for n parties and C responses: 2 (n - 1) C c1s of N [`Collective::whole_bits`] bits, and 2 (n - 1) times
//! [`Collective::wanted_bits`] for every output. [`SecretLinear::responses`] is what counts, so the layout makes them few.
//!
//! With three primes, M polynomials of a mask and C responses, a party takes 3 M + 9 C transforms to respond and 6 C to read its share, and 6 (ciphertexts + C) products of
//! N residues where one input is multiplied at a time.

mod layer;
mod respond;

pub use layer::{EncryptedLayer, LayerLoader};

use super::{Collective, noise};
use crate::{
    LatticeError, Parameters,
    linear::{LinearShape, direct::direct, layer_layout::LayerLayout},
};

/// Most inputs of a batch.
const MOST_BATCH: usize = 1024;

/// One linear layer, as all parties compute it.
#[derive(Debug, Clone)]
pub struct SecretLinear {
    collective: Collective,
    shape: LinearShape,
    /// Inputs of a product.
    batch: usize,
    layout: LayerLayout,
}

impl Collective {
    /// A layer, one input at a time. Refused where its outputs would be noisier than what this collective smudges: it is made for one of the layers given to
    /// [`Collective::new`], or for one with no more inputs.
    pub fn linear(&self, shape: LinearShape) -> Result<SecretLinear, LatticeError> {
        self.linear_batch(shape, 1, usize::MAX)
    }

    /// A layer for `batch` inputs at a time, which share responses as far as `memory` bytes of encrypted weights allow
    /// ([`SecretLinear::memory`]; one input to a ciphertext may need more). At most [`super::CollectiveSettings::inputs`] share one.
    pub fn linear_batch(&self, shape: LinearShape, batch: usize, memory: usize) -> Result<SecretLinear, LatticeError> {
        let refused = LatticeError::Setting {
            what: "inputs of a batch",
            least: 1,
            most: MOST_BATCH as u64,
            actual: batch as u64,
        };
        if !(1..=MOST_BATCH).contains(&batch) {
            return Err(refused);
        }
        let layout = LayerLayout::new(
            shape,
            self.parameters.degree(),
            batch,
            self.settings.inputs,
            memory / ciphertext_memory(&self.parameters),
        )?;
        let actual = noise::bound(&self.settings, &[shape], layout.inputs);
        match actual <= self.noise.bound {
            true => Ok(SecretLinear {
                collective: self.clone(),
                shape,
                batch,
                layout,
            }),
            false => Err(LatticeError::Noise {
                bound: self.noise.bound,
                actual,
            }),
        }
    }
}

/// Bytes of a ciphertext in memory.
fn ciphertext_memory(parameters: &Parameters) -> usize {
    2 * size_of::<u64>() * parameters.basis().words()
}

impl SecretLinear {
    /// Inputs of one product.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Sizes of input, weights and output.
    pub fn shape(&self) -> LinearShape {
        self.shape
    }

    /// Ciphertexts of the encrypted weights.
    pub fn ciphertexts(&self) -> usize {
        self.layout.ciphertexts()
    }

    /// Bytes of a party's share of one ciphertext of the weights, and of their sum.
    pub fn share_len(&self) -> usize {
        self.collective.share_len()
    }

    /// Bytes of an [`EncryptedLayer`] in memory, about.
    pub fn memory(&self) -> usize {
        self.ciphertexts() * ciphertext_memory(&self.collective.parameters)
    }

    /// Ciphertexts of a response.
    pub fn responses(&self) -> usize {
        self.layout.responses()
    }

    /// Bytes that a party sends to the aggregator first: [`SecretLinear::respond`].
    pub fn response_len(&self) -> usize {
        self.wanted().map(|wanted| self.collective.compressed_len(wanted.len())).sum()
    }

    /// Bytes that the aggregator sends to every other party: [`SecretLinear::query`].
    pub fn query_len(&self) -> usize {
        self.responses() * self.collective.whole_len()
    }

    /// Bytes that every other party answers: the message of [`SecretLinear::to_shares`].
    pub fn answer_len(&self) -> usize {
        self.wanted().map(|wanted| self.collective.wanted_len(wanted.len())).sum()
    }

    /// Bytes of all messages of one product (of the whole batch), of all parties.
    pub fn traffic(&self) -> usize {
        (self.collective.settings.parties - 1) * (self.response_len() + self.query_len() + self.answer_len())
    }

    /// F x modulo 2^k in the clear, for words below 2^k: what a party computes of its share of the weights and an opened x.
    pub fn multiply(&self, weights: &[u64], x: &[u64]) -> Result<Vec<u64>, LatticeError> {
        direct(self.shape, self.collective.settings.ring_bits, weights, x)
    }

    fn wanted(&self) -> impl Iterator<Item = Vec<usize>> {
        (0..self.responses()).map(|response| self.wanted_of(response))
    }

    /// Coefficients of a response that are outputs.
    fn wanted_of(&self, response: usize) -> Vec<usize> {
        self.layout.wanted(response).into_iter().map(|(at, _)| at).collect()
    }

    /// The same, and which outputs.
    #[cfg(test)]
    pub(super) fn outputs_of(&self, response: usize) -> Vec<(usize, usize)> {
        self.layout.wanted(response)
    }
}
