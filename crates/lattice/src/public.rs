//! Public keys: an encryption of zero that anybody can turn into encryptions of anything.
//!
//! With b = -a s + e, a ternary u and Gaussian e0 and e1,
//!
//! ```text
//! (c0, c1) = (b u + e0 + m,  a u + e1)        c0 + c1 s = m + e u + e0 + e1 s
//! ```
//!
//! A coefficient of e u sums N products of deviation sigma sqrt(2/3), and so does one of e1 s: the noise has variance
//! sigma^2 (1 + 4N/3).

use cloven_ring::{Coefficients, Evaluations, Poly, Runs, sample};
use zeroize::Zeroize;

use crate::{
    Ciphertext, LatticeError, Parameters, RandomnessKey, SecretKey,
    encryption::SeededPair,
    stream::{Domain, Stream},
};

/// Purposes of randomness, apart from each other and from symmetric encryption.
const KEY: &str = "cloven v1 lattice purpose: public key";
const DIGEST: &str = "cloven v1 lattice public key: digest";
const ENCRYPTION: &str = "cloven v1 lattice purpose: public-key encryption";

/// An encryption (b, a) of zero, in evaluations; a comes from a seed.
pub struct PublicKey {
    parameters: Parameters,
    pair: SeededPair,
    /// Of the wire form.
    digest: [u8; 32],
}

impl PublicKey {
    /// A public key of `secret`. `context` names the key; the same context gives the same key.
    pub fn generate(secret: &SecretKey, key: &RandomnessKey, context: &[u8]) -> Result<Self, LatticeError> {
        let parameters = secret.parameters().clone();
        let zero = Poly::zero(parameters.basis());
        let pair = secret.encrypt_pair(&zero, &key.for_purpose(KEY), context)?;
        Ok(Self::of(parameters, pair))
    }

    /// From its parts.
    pub(crate) fn of(parameters: Parameters, pair: SeededPair) -> Self {
        let mut bytes = Vec::with_capacity(Self::encoded_len(&parameters));
        pair.encode(&mut bytes);
        let digest = blake3::Hasher::new_derive_key(DIGEST).update(&bytes).finalize();
        Self {
            parameters,
            pair,
            digest: *digest.as_bytes(),
        }
    }

    /// Tells it from every other key.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The parameters it belongs to.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Encrypts a scaled plaintext. `context` as in [`SecretKey::encrypt`]; `key` is the encryptor's own, and the same `key` may serve
    /// symmetric encryption under the same contexts.
    pub fn encrypt(
        &self,
        plaintext: &Poly<Coefficients>,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Ciphertext, LatticeError> {
        let mut randomness = key.for_purpose(ENCRYPTION).stream(Domain::Public, context, &[plaintext]);
        let mut ciphertext = self.zero(&mut randomness)?;
        let mut message = plaintext.clone().into_evaluations();
        let sum = ciphertext.c0.add_assign(&message);
        message.zeroize();
        sum?;
        Ok(ciphertext)
    }

    /// A fresh encryption of zero; whoever knows the randomness can undo it.
    pub(crate) fn zero(&self, randomness: &mut Stream) -> Result<Ciphertext, LatticeError> {
        let basis = self.parameters.basis();
        let mut u = sample::ternary(randomness, basis).into_evaluations();
        let mut c0 = sample::gaussian(randomness, basis).into_evaluations();
        let mut c1 = sample::gaussian(randomness, basis).into_evaluations();
        c0.mul_add_assign(&self.pair.b, &u)?;
        c1.mul_add_assign(&self.pair.a, &u)?;
        u.zeroize();
        Ok(Ciphertext { c0, c1 })
    }

    /// A product plus (b u, a u + e1), in coefficients, of c0 some: c1 is uniform to whoever does not know u. c0 gets no error of its own: the caller floods it.
    pub(crate) fn randomise(
        &self,
        mut product: Ciphertext,
        wanted: &Runs,
        randomness: &mut Stream,
    ) -> Result<(Poly<Coefficients>, Poly<Coefficients>), LatticeError> {
        let basis = self.parameters.basis();
        let mut u: Poly<Evaluations> = sample::ternary(randomness, basis).into_evaluations();
        let added = self.add_multiple(&u, &mut product);
        u.zeroize();
        added?;
        let (c0, mut c1) = (product.c0.into_runs(wanted), product.c1.into_coefficients());
        let mut error = sample::gaussian(randomness, basis);
        let added = c1.add_assign(&error);
        error.zeroize();
        added?;
        Ok((c0, c1))
    }

    /// Adds (b u, a u).
    pub(crate) fn add_multiple(&self, u: &Poly<Evaluations>, sum: &mut Ciphertext) -> Result<(), LatticeError> {
        sum.c0.mul_add_assign(&self.pair.b, u)?;
        Ok(sum.c1.mul_add_assign(&self.pair.a, u)?)
    }

    /// Variance of the noise of an encryption.
    pub fn noise_variance(&self) -> f64 {
        noise_variance(&self.parameters)
    }

    /// The length in bytes of every encoded key.
    pub fn encoded_len(parameters: &Parameters) -> usize {
        SeededPair::encoded_len(parameters)
    }

    /// Appends the wire form: the seed of a, then the evaluations of b, bit-packed.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.pair.encode(out);
    }

    /// Reads and expands what [`PublicKey::encode`] wrote. Every residue is checked; that the key encrypts zero cannot be.
    pub fn decode(parameters: &Parameters, bytes: &[u8]) -> Result<Self, LatticeError> {
        Ok(Self::of(parameters.clone(), SeededPair::decode(parameters, bytes)?))
    }
}

/// Variance of the noise of a public-key encryption: sigma^2 (1 + 4N/3).
pub(crate) fn noise_variance(parameters: &Parameters) -> f64 {
    sample::SIGMA * sample::SIGMA * (1.0 + 4.0 * parameters.degree() as f64 / 3.0)
}

#[cfg(test)]
mod tests;
