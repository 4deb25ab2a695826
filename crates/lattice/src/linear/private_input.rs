//! A linear layer with weights in the clear on an encrypted input: additive shares of F x modulo 2^k.
//!
//! The linear step of secure inference in the manner of DELPHI (Mishra et al., USENIX Security 2020), without rotations. The *key holder* has x, the *responder* the
//! weights F. The key holder sends Enc(x); the responder multiplies, adds a uniform mask R and answers; the key holder decrypts F x + R, the responder keeps -R:
//!
//! ```text
//! key holder   Enc(x) under its own key                       encrypt   -> responder
//! responder    Enc(F x) + R, re-randomised and flooded        respond   -> key holder
//! key holder   F x + R                                        decrypt
//! ```
//!
//! For preprocessing x is random, and the layer's real input less x meets F in the clear ([`PrivateInputLinear::multiply`]).
//!
//! # Who learns what
//!
//! | party | learns |
//! |---|---|
//! | responder | nothing of x: ciphertexts under a key that it does not have (RLWE) |
//! | key holder | F x + R modulo 2^k, uniform; that what it sees says more of F has statistical distance 2^-40 over all `revealed` coefficients of the job, beside RLWE |
//!
//! The shape, k, `weight_bits` and `revealed` are public. Both parties follow the protocol. Of one that does not:
//!
//! - A key holder can learn F: an upload with more noise than [`PrivateInputLinear::encrypt`] puts there makes F times that noise stick out of the flooding, and a
//!   [`PublicKey`](crate::PublicKey) that is no encryption of zero undoes the re-randomisation (with (0, 0), c1 is a known polynomial times F). Nothing here proves that
//!   uploads and keys are honest; weights are safe from users who keep to the program.
//! - A responder learns nothing of x, but can answer anything: shares then add up to something else. If it sees what comes of that, it may learn of x from it.
//! - Nothing authenticates messages. That a response is of this upload is up to the channel.
//!
//! # How
//!
//! **Encoding** is scale-invariant (`encoding`): x stands as round(q x / 2^k). Weights are integers, |w| <= 2^(`weight_bits` - 1).
//!
//! **Layout** is that of `layer_layout`, one input: convolutions natively, strides by phases. U polynomials of x go up, V responses come back, and U V polynomials of
//! weights are multiplied; U V is about P C D / N for P pieces, C output channels and spacing D, however it is split up. An upload takes N log2(q) bits and a seed, a response
//! N (k + 12) bits and k + 3 for every output (`noise`): 2.8 to 1 at k = 32. [`PrivateInputLinear::for_shapes`] takes the number of output channels to a
//! response with the fewest bytes both ways, and of N = 4096 and 8192 what takes fewer (4096 has 106 bits of modulus: enough for small k or few bits of weights).
//!
//! **Response.** As [`ExactProduct`](super::ExactProduct)'s: c1 + a u + e1 under the receiver's public key (b, a) is uniform to whoever does not know u, c0 + b u
//! is flooded with a spline ([`crate::spline`]) of t = 126 - k bits in fractions of 2^-128, which hides all noise that depends on F. Then both are rounded to powers of two: all of c1, and
//! of c0 the coefficients that are outputs.
//!
//! **Randomness** is PRF(own key, context, layer, data): a repeated step repeats its bytes, and two of different data share no mask even where the context is the same.
//!
//! # Counts
//!
//! For n primes (three for k = 32 and 20-bit weights):
//!
//! | step | transforms | products of N residues | samples |
//! |---|---|---|---|
//! | encrypt | n U forward | n U | n N uniform and N Gaussian an upload |
//! | prepare, once | n U V forward | | |
//! | respond | n V forward, 2n V inverse | 2 n U V + 2 n V | n N uniform an upload; N ternary, N Gaussian a response, 7 words an output |
//! | decrypt | n V forward, n V inverse | n V | |
//!
//! Ciphertexts and bytes with k = 32, 20-bit weights, M = 2^30, for the layers of two known models with common parameters (N = 8192, log2(q) = 122, three primes),
//! and milliseconds of processor time of one thread (AVX-512; means of 120 runs on a busy machine) to prepare, encrypt, respond and decrypt. Wall time:
//! `cargo bench -p cloven-lattice --bench private_input`.
//!
//! | layer | up | down | prepare | encrypt | respond | decrypt |
//! |---|---|---|---|---|---|---|
//! | convolution 1 to 16, 5 x 5 on 28 x 28 | 1: 124,960 | 2: 130,432 | 0.10 | 0.17 | 1.5 | 1.3 |
//! | convolution 16 to 16, 5 x 5 on 12 x 12 | 2: 249,920 | 3: 139,648 | 0.42 | 0.37 | 2.3 | 1.8 |
//! | dense 256 x 100 | 1: 124,960 | 4: 180,664 | 1.0 | 0.23 | 3.1 | 2.2 |
//! | dense 100 x 10 | 1: 124,960 | 1: 45,100 | 0.07 | 0.19 | 0.5 | 0.5 |
//! | convolution 20 to 50, 5 x 5 on 12 x 12 | 3: 374,880 | 7: 329,392 | 3.4 | 0.57 | 5.0 | 3.8 |
//! | dense 800 x 500 | 5: 624,800 | 10: 452,750 | 15.7 | 0.80 | 5.7 | 5.5 |
//!
//! ```
//! use cloven_lattice::{PublicKey, RandomnessKey, SecretKey, linear::{LinearShape, PrivateInputLinear}};
//! use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//!
//! # fn main() -> Result<(), cloven_lattice::LatticeError> {
//! // Both: what is agreed on. k = 32, weights of 20 bits, 2^30 coefficients in the whole job.
//! let shape = LinearShape::Dense { inputs: 2, outputs: 1 };
//! let layer = &PrivateInputLinear::for_shapes(&[shape], 32, 20, 1 << 30)?[0];
//! // Key holder: keys, once, and an input.
//! let secret = SecretKey::generate(layer.parameters(), &mut ChaCha20Rng::from_seed([1; 32]));
//! let key = RandomnessKey::new([2; 32]);
//! let public = PublicKey::generate(&secret, &key, b"job 1")?;
//! let upload = layer.encrypt(&[10, 1], &secret, &key, b"inference 1, layer 1")?;
//! // Responder: weights (5, -1), once; then its share and an answer.
//! let weights = layer.prepare(&[5, u64::from(u32::MAX)])?;
//! let own = RandomnessKey::new([3; 32]);
//! let answer = layer.respond(&weights, &upload, &public, &own, b"inference 1, layer 1")?;
//! // Key holder: its share.
//! let share = layer.decrypt(&answer.response, &secret)?;
//! assert_eq!((share[0] + answer.share[0]) % (1 << 32), 5 * 10 - 1);
//! # Ok(())
//! # }
//! ```

mod keyholder;
mod noise;
mod responder;
#[cfg(test)]
mod tests;
mod weights;

use noise::Secrecy;
pub use responder::MaskedResponse;
pub use weights::PreparedWeights;

use super::{LinearShape, direct::direct, layer_layout::LayerLayout};
use crate::{LatticeError, Parameters, encoding::Encoding, encryption::SeededPair, wire::fractions_len};

/// log2(N), to choose from.
const LOG2_DEGREES: [u32; 2] = [12, 13];
/// Purpose of the digest.
const DIGEST: &str = "cloven v1 lattice private input: layer";

/// A linear layer with weights in the clear on an encrypted input modulo 2^k, as both parties compute it.
///
/// The *key holder* encrypts x ([`PrivateInputLinear::encrypt`]), the *responder* has the weights ([`PrivateInputLinear::prepare`]) and answers
/// ([`PrivateInputLinear::respond`]), the key holder reads its share ([`PrivateInputLinear::decrypt`]); both shares add up to F x modulo 2^k. The responder learns nothing of x,
/// the key holder nothing of F but its share, which is uniform. That holds for parties who follow the protocol: a key holder who puts more noise into its uploads, or hands
/// out a public key that encrypts no zero, can learn F; a responder can answer wrongly, not learn x.
#[derive(Debug, Clone)]
pub struct PrivateInputLinear {
    shape: LinearShape,
    secrecy: Secrecy,
    parameters: Parameters,
    layout: LayerLayout,
    encoding: Encoding,
    /// Tells this layer from all others, and these parameters.
    digest: [u8; 32],
}

impl PrivateInputLinear {
    /// All layers of a network with common parameters, so that one key serves them. k is `ring_bits`, 16 to 48. Weights are integers from -2^(`weight_bits`-1) to
    /// 2^(`weight_bits`-1), at most k bits. `revealed` is the number of outputs that the key holder decrypts in the whole job, of all layers and under whatever keys, at most
    /// 2^40.
    pub fn for_shapes(
        shapes: &[LinearShape],
        ring_bits: u32,
        weight_bits: u32,
        revealed: u64,
    ) -> Result<Vec<Self>, LatticeError> {
        let secrecy = Secrecy::new(ring_bits, weight_bits, revealed)?;
        let [small, large] = LOG2_DEGREES.map(|log2_degree| Self::of_degree(shapes, log2_degree, secrecy));
        match (small, large) {
            (Ok(small), Ok(large)) if bytes(&large) < bytes(&small) => Ok(large),
            (Ok(small), _) => Ok(small),
            (Err(_), large) => large,
        }
    }

    fn of_degree(shapes: &[LinearShape], log2_degree: u32, secrecy: Secrecy) -> Result<Vec<Self>, LatticeError> {
        let layout =
            |&shape: &LinearShape| LayerLayout::cheapest(shape, 1 << log2_degree, |layout| cost(layout, log2_degree, secrecy));
        let layouts: Vec<LayerLayout> = shapes.iter().map(layout).collect::<Result<_, _>>()?;
        let needed = layouts.iter().map(|layout| secrecy.log2_modulus(layout, 1 << log2_degree));
        let Some(needed) = needed.reduce(f64::max) else {
            return Ok(Vec::new());
        };
        let parameters = Parameters::of_modulus(log2_degree, needed)?;
        let of_layout = |(&shape, layout)| Self {
            shape,
            secrecy,
            encoding: Encoding::new(parameters.basis(), secrecy.ring_bits),
            digest: digest(&parameters, secrecy, &layout),
            parameters: parameters.clone(),
            layout,
        };
        Ok(shapes.iter().zip(layouts).map(of_layout).collect())
    }

    /// Ring degree and primes: what the keys are made for ([`crate::SecretKey::generate`], [`crate::PublicKey::generate`]).
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Sizes of input, weights and output.
    pub fn shape(&self) -> LinearShape {
        self.shape
    }

    /// k.
    pub fn ring_bits(&self) -> u32 {
        self.secrecy.ring_bits
    }

    /// Tells it from every other, so that both parties can see whether they agree.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Ciphertexts that the key holder sends.
    pub fn uploads(&self) -> usize {
        self.layout.blocks()
    }

    /// Ciphertexts that come back.
    pub fn responses(&self) -> usize {
        self.layout.responses()
    }

    /// Bytes of [`PrivateInputLinear::encrypt`].
    pub fn upload_len(&self) -> usize {
        self.uploads() * SeededPair::encoded_len(&self.parameters)
    }

    /// Bytes of a response.
    pub fn response_len(&self) -> usize {
        (0..self.responses())
            .map(|response| self.one_len(self.layout.wanted(response).len()))
            .sum()
    }

    /// Bytes of a response's ciphertext with so many outputs.
    fn one_len(&self, wanted: usize) -> usize {
        self.whole_len() + fractions_len(wanted, self.secrecy.wanted_bits())
    }

    /// Bytes of its c1.
    fn whole_len(&self) -> usize {
        fractions_len(self.parameters.degree(), self.secrecy.whole_bits(self.parameters.degree()))
    }

    /// F x modulo 2^k in the clear, for words below 2^k.
    pub fn multiply(&self, weights: &[u64], x: &[u64]) -> Result<Vec<u64>, LatticeError> {
        direct(self.shape, self.secrecy.ring_bits, weights, x)
    }
}

/// Bytes both ways of one input through all layers.
fn bytes(layers: &[PrivateInputLinear]) -> usize {
    layers.iter().map(|layer| layer.upload_len() + layer.response_len()).sum()
}

/// By how many bits a layout's modulus is too long for the security table, and its bytes both ways. What is wanted of c0 is the same in all layouts.
fn cost(layout: &LayerLayout, log2_degree: u32, secrecy: Secrecy) -> (u64, u64) {
    let degree = 1 << log2_degree;
    let log2_modulus = secrecy.log2_modulus(layout, degree);
    let allowed = Parameters::largest_modulus_bits(log2_degree).unwrap_or_default();
    let missing = (log2_modulus - f64::from(allowed)).ceil().max(0.0);
    let bits = layout.blocks() as f64 * log2_modulus + layout.responses() as f64 * f64::from(secrecy.whole_bits(degree));
    (missing as u64, (bits * degree as f64 / 8.0) as u64)
}

fn digest(parameters: &Parameters, secrecy: Secrecy, layout: &LayerLayout) -> [u8; 32] {
    let primes = parameters.basis().moduli().iter().map(|modulus| modulus.value());
    let mut hasher = blake3::Hasher::new_derive_key(DIGEST);
    let numbers = secrecy.numbers().into_iter().chain(layout.all_numbers()).chain(primes);
    numbers.for_each(|number| {
        hasher.update(&number.to_le_bytes());
    });
    *hasher.finalize().as_bytes()
}
