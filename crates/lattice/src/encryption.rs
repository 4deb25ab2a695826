//! Secret keys and seeded symmetric encryption: (c0, c1) = (-a s + e + m, a), with a expanded from a 32-byte seed.

use cloven_ring::{Coefficients, Evaluations, Poly, sample};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroize;

use crate::{
    LatticeError, Parameters,
    bits::{pack, packed_len, unpack},
};

/// Low bits of c0 that are not sent where the modulus is one prime: they hold nothing but noise. The error this adds, uniform over 8
/// values, has deviation 2.3 beside the encryption's 3.19.
const DROPPED: u32 = 3;
/// Length of the seed of c1 in bytes.
const SEED: usize = 32;

/// A uniform ternary secret. Wiped on drop; neither `Debug` nor `Clone`.
pub struct SecretKey {
    parameters: Parameters,
    s: Poly<Evaluations>,
}

/// The key of the pseudorandom function that encryption randomness comes from. Wiped on drop.
///
/// Randomness is PRF(key, context, plaintext): the same step on the same data gives the same bytes, on other data independent ones, so a
/// retried step can never encrypt two messages under one mask.
pub struct RandomnessKey([u8; 32]);

impl RandomnessKey {
    /// Wraps 32 secret uniform bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Generators of the public mask and of the secret error for one ciphertext.
    fn derive(&self, context: &[u8], plaintext: &Poly<Coefficients>) -> ([u8; SEED], ChaCha20Rng) {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(context.len() as u64).to_le_bytes()).update(context);
        for prime in 0..plaintext.basis().moduli().len() {
            for words in plaintext.residues(prime).chunks(128) {
                let mut bytes = [0; 1024];
                words
                    .iter()
                    .zip(bytes.chunks_exact_mut(8))
                    .for_each(|(w, b)| b.copy_from_slice(&w.to_le_bytes()));
                hasher.update(&bytes[..8 * words.len()]);
            }
        }
        let mut output = hasher.finalize_xof();
        let (mut mask, mut error) = ([0; SEED], [0; 32]);
        output.fill(&mut mask);
        output.fill(&mut error);
        let generator = ChaCha20Rng::from_seed(error);
        error.zeroize();
        (mask, generator)
    }
}

impl Drop for RandomnessKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A ciphertext on its way from the key holder: the seed of c1, and c0.
pub struct Upload {
    seed: [u8; SEED],
    c0: Poly<Coefficients>,
}

/// A ciphertext ready to be multiplied.
pub struct Ciphertext {
    /// -a s + e + m.
    pub c0: Poly<Evaluations>,
    /// a.
    pub c1: Poly<Evaluations>,
}

impl SecretKey {
    /// Draws a key.
    pub fn generate(parameters: &Parameters, rng: &mut ChaCha20Rng) -> Self {
        Self {
            parameters: parameters.clone(),
            s: sample::ternary(rng, parameters.basis()).into_evaluations(),
        }
    }

    /// The parameters it belongs to.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Encrypts a scaled plaintext. `context` says what the ciphertext is for (party, purpose, round, index) and must never repeat for
    /// another purpose.
    pub fn encrypt(&self, plaintext: &Poly<Coefficients>, key: &RandomnessKey, context: &[u8]) -> Result<Upload, LatticeError> {
        let basis = self.parameters.basis();
        let (seed, mut errors) = key.derive(context, plaintext);
        let mut mask: Poly<Evaluations> = sample::uniform(&mut ChaCha20Rng::from_seed(seed), basis);
        mask.mul_assign(&self.s)?;
        let mut c0 = sample::gaussian(&mut errors, basis);
        c0.add_assign(plaintext)?;
        c0.sub_assign(&mask.into_coefficients())?;
        Ok(Upload { seed, c0 })
    }

    /// c1 s, for a c1 with small coefficients.
    pub(crate) fn times(&self, c1: Poly<Coefficients>) -> Result<Poly<Coefficients>, LatticeError> {
        let mut product = c1.into_evaluations();
        product.mul_assign(&self.s)?;
        Ok(product.into_coefficients())
    }

    /// c0 + c1 s: plaintext plus noise.
    pub fn decrypt(&self, ciphertext: &Ciphertext) -> Result<Poly<Coefficients>, LatticeError> {
        let mut sum = ciphertext.c0.clone();
        sum.mul_add_assign(&ciphertext.c1, &self.s)?;
        Ok(sum.into_coefficients())
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.s.zeroize();
    }
}

impl Upload {
    /// The length in bytes of every encoded upload.
    pub fn encoded_len(parameters: &Parameters) -> usize {
        let moduli = parameters.basis().moduli();
        let dropped = dropped(parameters);
        SEED + moduli
            .iter()
            .map(|m| packed_len(parameters.degree(), m.bits() - dropped))
            .sum::<usize>()
    }

    /// Appends the wire form: the seed, then c0's residues, bit-packed.
    pub fn encode(&self, parameters: &Parameters, out: &mut Vec<u8>) {
        let dropped = dropped(parameters);
        out.extend_from_slice(&self.seed);
        for (prime, modulus) in parameters.basis().moduli().iter().enumerate() {
            pack(
                self.c0.residues(prime).iter().map(|c| c >> dropped),
                modulus.bits() - dropped,
                out,
            );
        }
    }

    /// Reads and expands what [`Upload::encode`] wrote. Every residue is checked.
    pub fn decode(parameters: &Parameters, bytes: &[u8]) -> Result<Ciphertext, LatticeError> {
        let (dropped, basis) = (dropped(parameters), parameters.basis());
        let expected = Self::encoded_len(parameters);
        if bytes.len() != expected {
            return Err(LatticeError::Length {
                expected,
                actual: bytes.len(),
            });
        }
        let (seed, mut rest) = bytes.split_at(SEED);
        let mut c0 = Poly::<Coefficients>::zero(basis);
        for (prime, modulus) in basis.moduli().iter().enumerate() {
            let bits = modulus.bits() - dropped;
            let (packed, tail) = rest.split_at(packed_len(basis.degree(), bits));
            rest = tail;
            let residues = c0.residues_mut(prime);
            for (position, value) in unpack(packed, bits, basis.degree())?.into_iter().enumerate() {
                let residue = value << dropped;
                if residue >= modulus.value() {
                    return Err(LatticeError::Coefficient {
                        position,
                        modulus: modulus.value(),
                        actual: residue,
                    });
                }
                // The middle of the values that were rounded to this one, if it is one.
                residues[position] = (residue + ((1 << dropped) >> 1)).min(modulus.value() - 1);
            }
        }
        let mut fixed = [0; SEED];
        fixed.copy_from_slice(seed);
        let c1 = sample::uniform(&mut ChaCha20Rng::from_seed(fixed), basis);
        Ok(Ciphertext {
            c0: c0.into_evaluations(),
            c1,
        })
    }
}

fn dropped(parameters: &Parameters) -> u32 {
    if parameters.basis().moduli().len() == 1 { DROPPED } else { 0 }
}

/// Variance of a fresh ciphertext's noise, rounding of c0 included.
pub(crate) fn fresh_variance(parameters: &Parameters) -> f64 {
    let rounding = f64::from(1u32 << dropped(parameters)).powi(2) / 12.0;
    sample::SIGMA * sample::SIGMA + if dropped(parameters) == 0 { 0.0 } else { rounding }
}
