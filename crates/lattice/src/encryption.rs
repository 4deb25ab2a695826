//! Secret keys and seeded symmetric encryption: (c0, c1) = (-a s + e + m, a), with a expanded from a 32-byte seed.

use cloven_ring::{Automorphism, Coefficients, Evaluations, Poly, RnsBasis, sample};
use rand_chacha::ChaCha20Rng;
use zeroize::Zeroize;

use crate::{
    LatticeError, Parameters, RandomnessKey, Tensor,
    randomness::SEED,
    stream::{Domain, Stream},
    wire::{check_len, read_residues, read_residues_into, residues_len, write_residues},
};

/// Low bits of c0 that are not sent where the modulus is one prime: they hold nothing but noise. The error this adds, uniform over 8
/// values, has deviation 2.3 beside the encryption's 3.19.
const DROPPED: u32 = 3;

/// A uniform ternary secret. Wiped on drop; neither `Debug` nor `Clone`.
pub struct SecretKey {
    parameters: Parameters,
    s: Poly<Evaluations>,
    /// -s.
    minus_s: Poly<Evaluations>,
}

/// A ciphertext on its way from the key holder: the seed of c1, and c0.
pub struct Upload {
    seed: [u8; SEED],
    c0: Poly<Coefficients>,
}

/// A ciphertext ready to be multiplied.
#[derive(Clone)]
pub struct Ciphertext {
    /// -a s + e + m.
    pub c0: Poly<Evaluations>,
    /// a.
    pub c1: Poly<Evaluations>,
}

impl SecretKey {
    /// Draws a key.
    pub fn generate(parameters: &Parameters, rng: &mut ChaCha20Rng) -> Self {
        let s = sample::ternary(rng, parameters.basis()).into_evaluations();
        let mut minus_s = s.clone();
        minus_s.neg_assign();
        Self {
            parameters: parameters.clone(),
            s,
            minus_s,
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
        let mut mask = expand(basis, seed);
        mask.mul_assign(&self.s)?;
        let mut mask = mask.into_coefficients();
        let mut c0 = sample::gaussian(&mut errors, basis);
        c0.add_assign(plaintext)?;
        c0.sub_assign(&mask)?;
        // a s gives the key away: a is public.
        mask.zeroize();
        Ok(Upload { seed, c0 })
    }

    /// The same in evaluations: what is kept, or sent with all bits, in that form. Same key, context and plaintext, same ciphertext.
    pub(crate) fn encrypt_pair(
        &self,
        plaintext: &Poly<Coefficients>,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<SeededPair, LatticeError> {
        let (seed, mut errors) = key.derive(context, plaintext);
        self.encrypt_pair_from(plaintext, seed, &mut errors)
    }

    /// The same from the randomness of [`RandomnessKey::derive_from_words`], which must depend on all that the plaintext does.
    pub(crate) fn encrypt_pair_from(
        &self,
        plaintext: &Poly<Coefficients>,
        seed: [u8; SEED],
        errors: &mut Stream,
    ) -> Result<SeededPair, LatticeError> {
        let basis = self.parameters.basis();
        let a = expand(basis, seed);
        let mut noisy = sample::gaussian(errors, basis);
        noisy.add_assign(plaintext)?;
        let mut b = noisy.into_evaluations();
        // a s alone, which would give the key away, is never in memory.
        b.mul_add_assign(&a, &self.minus_s)?;
        Ok(SeededPair { seed, b, a })
    }

    /// s^2, which a relinearisation key hides.
    pub(crate) fn square(&self) -> Result<Poly<Evaluations>, LatticeError> {
        let mut square = self.s.clone();
        square.mul_assign(&self.s)?;
        Ok(square)
    }

    /// s(X^g).
    pub(crate) fn image(&self, automorphism: &Automorphism) -> Result<Poly<Evaluations>, LatticeError> {
        Ok(self.s.image(automorphism)?)
    }

    /// c1 s + c2 s^2 + ... for `components` c1, c2, ..., one at least, in a basis of the first primes of the key's own.
    pub(crate) fn times_powers(&self, components: Vec<Poly<Coefficients>>) -> Result<Poly<Coefficients>, LatticeError> {
        self.evaluated_powers(components).map(Poly::into_coefficients)
    }

    /// [`Self::times_powers`], before it is transformed back.
    pub(crate) fn evaluated_powers(&self, components: Vec<Poly<Coefficients>>) -> Result<Poly<Evaluations>, LatticeError> {
        let mut components = components.into_iter().rev().map(Poly::into_evaluations);
        let mut sum = components.next().unwrap_or_else(|| Poly::zero(self.parameters.basis()));
        for component in components {
            sum.mul_assign_by_wider(&self.s)?;
            sum.add_assign(&component)?;
        }
        sum.mul_assign_by_wider(&self.s)?;
        Ok(sum)
    }

    /// The plaintext of a sum of products of ciphertexts, plus noise.
    pub fn decrypt_tensor(&self, tensor: &Tensor) -> Result<Poly<Coefficients>, LatticeError> {
        tensor.at(&self.s)
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
        self.minus_s.zeroize();
    }
}

impl Upload {
    /// The length in bytes of every encoded upload.
    pub fn encoded_len(parameters: &Parameters) -> usize {
        SEED + residues_len(parameters.basis(), dropped(parameters))
    }

    /// Appends the wire form: the seed, then c0's residues, bit-packed.
    pub fn encode(&self, parameters: &Parameters, out: &mut Vec<u8>) {
        self.write(dropped(parameters), out);
    }

    /// Reads and expands what [`Upload::encode`] wrote. Every residue is checked.
    pub fn decode(parameters: &Parameters, bytes: &[u8]) -> Result<Ciphertext, LatticeError> {
        Self::read(parameters, dropped(parameters), bytes)
    }

    /// Refuses what [`Upload::decode`] would refuse.
    pub(crate) fn check(parameters: &Parameters, bytes: &[u8]) -> Result<(), LatticeError> {
        check_len(Self::encoded_len(parameters), bytes)?;
        read_residues::<Evaluations>(parameters.basis(), dropped(parameters), &bytes[SEED..]).map(drop)
    }

    /// The length of the wire form with all bits of c0.
    pub(crate) fn exact_len(parameters: &Parameters) -> usize {
        SEED + residues_len(parameters.basis(), 0)
    }

    /// Appends the wire form with all bits of c0: for what is summed many times, where the rounding's mean of half a unit would add up.
    pub(crate) fn encode_exact(&self, out: &mut Vec<u8>) {
        self.write(0, out);
    }

    /// Reads and expands what [`Upload::encode_exact`] wrote.
    pub(crate) fn decode_exact(parameters: &Parameters, bytes: &[u8]) -> Result<Ciphertext, LatticeError> {
        Self::read(parameters, 0, bytes)
    }

    /// Refuses what [`Upload::decode_exact`] would refuse.
    pub(crate) fn check_exact(parameters: &Parameters, bytes: &[u8]) -> Result<(), LatticeError> {
        check_len(Self::exact_len(parameters), bytes)?;
        read_residues::<Evaluations>(parameters.basis(), 0, &bytes[SEED..]).map(drop)
    }

    /// [`Upload::decode_exact`] into the memory of another ciphertext, which is of no use after an error.
    pub(crate) fn decode_exact_into(parameters: &Parameters, bytes: &[u8], out: &mut Ciphertext) -> Result<(), LatticeError> {
        Self::read_into(parameters, 0, bytes, out)
    }

    fn write(&self, dropped: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.seed);
        write_residues(&self.c0, dropped, out);
    }

    fn read(parameters: &Parameters, dropped: u32, bytes: &[u8]) -> Result<Ciphertext, LatticeError> {
        let mut ciphertext = Ciphertext::zero(parameters);
        Self::read_into(parameters, dropped, bytes, &mut ciphertext)?;
        Ok(ciphertext)
    }

    fn read_into(parameters: &Parameters, dropped: u32, bytes: &[u8], out: &mut Ciphertext) -> Result<(), LatticeError> {
        let basis = parameters.basis();
        check_len(SEED + residues_len(basis, dropped), bytes)?;
        let (seed, packed) = bytes.split_at(SEED);
        read_residues_into(basis, dropped, packed, &mut out.c0)?;
        for (prime, plan) in basis.plans().iter().enumerate() {
            plan.forward(out.c0.residues_mut(prime));
        }
        let mut fixed = [0; SEED];
        fixed.copy_from_slice(seed);
        sample::uniform_into(&mut Stream::new(Domain::Mask, &fixed), &mut out.c1);
        Ok(())
    }
}

impl Ciphertext {
    /// Zero, without any noise.
    pub(crate) fn zero(parameters: &Parameters) -> Self {
        let zero = || Poly::zero(parameters.basis());
        Self { c0: zero(), c1: zero() }
    }

    /// The length in bytes of every encoded ciphertext.
    pub fn encoded_len(parameters: &Parameters) -> usize {
        2 * residues_len(parameters.basis(), 0)
    }

    /// Appends the wire form of a ciphertext without a seed: the evaluations of c0, then those of c1.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_residues(&self.c0, 0, out);
        write_residues(&self.c1, 0, out);
    }

    /// Reads what [`Ciphertext::encode`] wrote. Every residue is checked.
    pub fn decode(parameters: &Parameters, bytes: &[u8]) -> Result<Self, LatticeError> {
        check_len(Self::encoded_len(parameters), bytes)?;
        let (c0, c1) = bytes.split_at(bytes.len() / 2);
        Ok(Self {
            c0: read_residues(parameters.basis(), 0, c0)?,
            c1: read_residues(parameters.basis(), 0, c1)?,
        })
    }

    /// The sum of the plaintexts.
    pub fn add_assign(&mut self, other: &Self) -> Result<(), LatticeError> {
        self.c0.add_assign(&other.c0)?;
        Ok(self.c1.add_assign(&other.c1)?)
    }
}

/// A ciphertext kept in evaluations together with the seed of its second half, so that it can be sent on.
pub(crate) struct SeededPair {
    pub(crate) seed: [u8; SEED],
    /// -a s + e + m.
    pub(crate) b: Poly<Evaluations>,
    /// From the seed.
    pub(crate) a: Poly<Evaluations>,
}

impl SeededPair {
    /// The length in bytes of every encoded pair.
    pub(crate) fn encoded_len(parameters: &Parameters) -> usize {
        SEED + residues_len(parameters.basis(), 0)
    }

    /// Appends the wire form: the seed of a, then the evaluations of b, bit-packed.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.seed);
        write_residues(&self.b, 0, out);
    }

    /// Refuses what [`SeededPair::decode`] would refuse.
    pub(crate) fn check(parameters: &Parameters, bytes: &[u8]) -> Result<(), LatticeError> {
        check_len(Self::encoded_len(parameters), bytes)?;
        read_residues::<Evaluations>(parameters.basis(), 0, &bytes[SEED..]).map(drop)
    }

    /// Reads and expands what [`SeededPair::encode`] wrote. Every residue is checked.
    pub(crate) fn decode(parameters: &Parameters, bytes: &[u8]) -> Result<Self, LatticeError> {
        check_len(Self::encoded_len(parameters), bytes)?;
        let (head, packed) = bytes.split_at(SEED);
        let mut seed = [0; SEED];
        seed.copy_from_slice(head);
        Ok(Self {
            seed,
            b: read_residues(parameters.basis(), 0, packed)?,
            a: expand(parameters.basis(), seed),
        })
    }
}

/// The public polynomial of a seed.
pub(crate) fn expand(basis: &RnsBasis, seed: [u8; SEED]) -> Poly<Evaluations> {
    sample::uniform(&mut Stream::new(Domain::Mask, &seed), basis)
}

fn dropped(parameters: &Parameters) -> u32 {
    if parameters.basis().moduli().len() == 1 { DROPPED } else { 0 }
}

/// Variance of the noise of a fresh ciphertext sent with all bits.
pub(crate) fn exact_variance() -> f64 {
    sample::SIGMA * sample::SIGMA
}

/// Mean of a fresh ciphertext's noise: the dropped bits are read as the middle of an even number of values.
pub(crate) fn fresh_mean(parameters: &Parameters) -> f64 {
    if dropped(parameters) == 0 { 0.0 } else { 0.5 }
}

/// Variance of a fresh ciphertext's noise, rounding of c0 included.
pub(crate) fn fresh_variance(parameters: &Parameters) -> f64 {
    let rounding = f64::from(1u32 << dropped(parameters)).powi(2) / 12.0;
    exact_variance() + if dropped(parameters) == 0 { 0.0 } else { rounding }
}
