//! Secret keys and seeded symmetric encryption: (c0, c1) = (-a s + e + m, a), with a expanded from a 32-byte seed.

use cloven_ring::{Coefficients, Evaluations, Poly, sample};
use rand_chacha::ChaCha20Rng;
use zeroize::Zeroize;

use crate::{
    LatticeError, Parameters,
    bits::{pack, packed_len, unpack},
    stream::{Domain, Stream},
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

    /// The seed of the public mask and the stream of the secret error for one ciphertext.
    fn derive(&self, context: &[u8], plaintext: &Poly<Coefficients>) -> ([u8; SEED], Stream) {
        let mut bytes = Vec::with_capacity(8 * plaintext.basis().words());
        for prime in 0..plaintext.basis().moduli().len() {
            plaintext
                .residues(prime)
                .iter()
                .for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        }
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(context.len() as u64).to_le_bytes()).update(context);
        // In one piece: the hash is fastest on many blocks at once.
        hasher.update(&bytes);
        bytes.zeroize();
        let mut output = hasher.finalize_xof();
        let (mut mask, mut error) = ([0; SEED], [0; 32]);
        output.fill(&mut mask);
        output.fill(&mut error);
        let errors = Stream::new(Domain::Error, &error);
        error.zeroize();
        (mask, errors)
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
        let mut mask: Poly<Evaluations> = sample::uniform(&mut Stream::new(Domain::Mask, &seed), basis);
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
            let kept: Vec<u64> = self.c0.residues(prime).iter().map(|c| c >> dropped).collect();
            pack(&kept, modulus.bits() - dropped, out);
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
        let c1 = sample::uniform(&mut Stream::new(Domain::Mask, &fixed), basis);
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
