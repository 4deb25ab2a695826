//! Bringing a product of ciphertexts back to two components: relinearisation, and the image under X -> X^-1.
//!
//! A component c that is multiplied by a polynomial t of the secret (s^2, say) is cut into digits, modulo every prime q_i to base 2^25, and a key
//! holds for each digit an encryption of its place value times t:
//!
//! ```text
//! c = sum_ij d_ij G_ij,   G_ij = 2^(25 j) modulo q_i, 0 modulo the other primes,   d_ij centred
//! key_ij = (-a_ij s + e_ij + G_ij t, a_ij)          sum_ij d_ij key_ij = c t under s, plus sum_ij d_ij e_ij
//! ```
//!
//! No special prime: the whole modulus stays with the messages. The noise has variance sigma^2 N sum_ij r_ij^2 / 12, with r_ij the range of a
//! digit: deviation 2^32 for N = 4096 and two 50-bit primes. That is for kept results at a scale such as 2^58, where it is 2^-26; an
//! operand at 2^24 would be lost.

use cloven_ring::{Evaluations, Poly, sample};
use zeroize::Zeroize;

use crate::{
    Ciphertext, LatticeError, MirroredCiphertext, MirroredTensor, Parameters, RandomnessKey, SecretKey, Tensor,
    encryption::{Power, SeededPair},
    wire::check_len,
};

/// Bits of a digit.
const DIGIT: u32 = 25;
/// Purpose of the randomness.
const PURPOSE: &str = "cloven v1 lattice purpose: key switching";

/// What turns a [`Tensor`] into a [`Ciphertext`]. Public; it rests on the encryption of s^2 under s being as safe as any other.
pub struct RelinearisationKey {
    square: SwitchingKey,
}

impl RelinearisationKey {
    /// The key of `secret`. `context` names it; the same context gives the same key.
    pub fn generate(secret: &SecretKey, key: &RandomnessKey, context: &[u8]) -> Result<Self, LatticeError> {
        let square = SwitchingKey::generate(secret, Power::Square, key, context)?;
        Ok(Self { square })
    }

    /// The same plaintext in two components.
    pub fn relinearise(&self, tensor: Tensor) -> Result<Ciphertext, LatticeError> {
        let mut sum = Ciphertext {
            c0: tensor.c0,
            c1: tensor.c1,
        };
        self.square.add_product(&mut sum, tensor.c2)?;
        Ok(sum)
    }

    /// Variance of the noise that it adds to a coefficient.
    pub fn noise_variance(&self) -> f64 {
        self.square.noise_variance()
    }

    /// The length in bytes of every encoded key.
    pub fn encoded_len(parameters: &Parameters) -> usize {
        SwitchingKey::encoded_len(parameters)
    }

    /// Appends the wire form: for every digit, seed and evaluations.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.square.encode(out);
    }

    /// Reads what [`RelinearisationKey::encode`] wrote. Every residue is checked; what it encrypts cannot be.
    pub fn decode(parameters: &Parameters, bytes: &[u8]) -> Result<Self, LatticeError> {
        let square = SwitchingKey::decode(parameters, bytes)?;
        Ok(Self { square })
    }
}

/// What brings mirrored ciphertexts and products with them back under s.
pub struct MirrorKey {
    mirror: SwitchingKey,
    both: SwitchingKey,
}

impl MirrorKey {
    /// The key of `secret`. `context` names it; the same context gives the same key.
    pub fn generate(secret: &SecretKey, key: &RandomnessKey, context: &[u8]) -> Result<Self, LatticeError> {
        Ok(Self {
            mirror: SwitchingKey::generate(secret, Power::Mirror, key, context)?,
            both: SwitchingKey::generate(secret, Power::MirrorProduct, key, context)?,
        })
    }

    /// The same plaintext under s: one key switch.
    pub fn restore(&self, mirrored: MirroredCiphertext) -> Result<Ciphertext, LatticeError> {
        let mut sum = Ciphertext {
            c1: Poly::zero(mirrored.c0.basis()),
            c0: mirrored.c0,
        };
        self.mirror.add_product(&mut sum, mirrored.c1)?;
        Ok(sum)
    }

    /// The same plaintext under s in two components: two key switches.
    pub fn relinearise(&self, tensor: MirroredTensor) -> Result<Ciphertext, LatticeError> {
        let mut sum = Ciphertext {
            c0: tensor.c0,
            c1: tensor.c1,
        };
        self.mirror.add_product(&mut sum, tensor.mirror)?;
        self.both.add_product(&mut sum, tensor.both)?;
        Ok(sum)
    }

    /// Variance of the noise that one key switch adds to a coefficient.
    pub fn noise_variance(&self) -> f64 {
        self.mirror.noise_variance()
    }

    /// The length in bytes of every encoded key.
    pub fn encoded_len(parameters: &Parameters) -> usize {
        2 * SwitchingKey::encoded_len(parameters)
    }

    /// Appends the wire form: for every digit of both switches, seed and evaluations.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.mirror.encode(out);
        self.both.encode(out);
    }

    /// Reads what [`MirrorKey::encode`] wrote. Every residue is checked; what it encrypts cannot be.
    pub fn decode(parameters: &Parameters, bytes: &[u8]) -> Result<Self, LatticeError> {
        check_len(Self::encoded_len(parameters), bytes)?;
        let (mirror, both) = bytes.split_at(bytes.len() / 2);
        Ok(Self {
            mirror: SwitchingKey::decode(parameters, mirror)?,
            both: SwitchingKey::decode(parameters, both)?,
        })
    }
}

/// Encryptions of G_ij t, prime after prime, lowest digit first.
struct SwitchingKey {
    parameters: Parameters,
    digits: Vec<SeededPair>,
}

impl SwitchingKey {
    fn generate(secret: &SecretKey, power: Power, key: &RandomnessKey, context: &[u8]) -> Result<Self, LatticeError> {
        let (parameters, key) = (secret.parameters(), key.for_purpose(PURPOSE));
        let mut digits = Vec::new();
        for (index, (prime, digit)) in places(parameters).enumerate() {
            let context = [context, &[power as u8, index as u8]].concat();
            let mut t = secret.power(power)?;
            t.scale_assign(&place_value(parameters, prime, digit))?;
            let mut plaintext = t.into_coefficients();
            let upload = secret.encrypt(&plaintext, &key, &context);
            plaintext.zeroize();
            digits.push(SeededPair::new(upload?));
        }
        Ok(Self {
            parameters: parameters.clone(),
            digits,
        })
    }

    /// `sum` += `component` t.
    fn add_product(&self, sum: &mut Ciphertext, component: Poly<Evaluations>) -> Result<(), LatticeError> {
        let (basis, component) = (self.parameters.basis(), component.into_coefficients());
        for ((prime, digit), pair) in places(&self.parameters).zip(&self.digits) {
            let modulus = &basis.moduli()[prime];
            let cut = |&c: &u64| cut(modulus.centred(c), digit, digits_of(modulus.bits()));
            let values: Vec<i64> = component.residues(prime).iter().map(cut).collect();
            let values = Poly::from_signed(basis, &values)?.into_evaluations();
            sum.c0.mul_add_assign(&values, &pair.b)?;
            sum.c1.mul_add_assign(&values, &pair.a)?;
        }
        Ok(())
    }

    fn noise_variance(&self) -> f64 {
        let range = |(prime, digit): (usize, u32)| {
            let modulus = &self.parameters.basis().moduli()[prime];
            match digit + 1 < digits_of(modulus.bits()) {
                true => 2f64.powi(DIGIT as i32),
                false => modulus.value() as f64 / 2f64.powi((DIGIT * digit) as i32),
            }
        };
        let squares: f64 = places(&self.parameters).map(|place| range(place).powi(2) / 12.0).sum();
        sample::SIGMA * sample::SIGMA * self.parameters.degree() as f64 * squares
    }

    fn encoded_len(parameters: &Parameters) -> usize {
        places(parameters).count() * SeededPair::encoded_len(parameters)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.digits.iter().for_each(|pair| pair.encode(out));
    }

    fn decode(parameters: &Parameters, bytes: &[u8]) -> Result<Self, LatticeError> {
        check_len(Self::encoded_len(parameters), bytes)?;
        let pairs = bytes.chunks(SeededPair::encoded_len(parameters));
        Ok(Self {
            parameters: parameters.clone(),
            digits: pairs
                .map(|pair| SeededPair::decode(parameters, pair))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// (prime, digit) of all digits, in order.
fn places(parameters: &Parameters) -> impl Iterator<Item = (usize, u32)> + '_ {
    let moduli = parameters.basis().moduli().iter().enumerate();
    moduli.flat_map(|(prime, modulus)| (0..digits_of(modulus.bits())).map(move |digit| (prime, digit)))
}

/// Digits of a residue of a prime of so many bits.
fn digits_of(bits: u32) -> u32 {
    bits.div_ceil(DIGIT)
}

/// G_ij.
fn place_value(parameters: &Parameters, prime: usize, digit: u32) -> Vec<u64> {
    let moduli = parameters.basis().moduli().iter().enumerate();
    let of = |(index, modulus): (usize, &cloven_ring::Modulus)| match index == prime {
        true => modulus.pow(2, (DIGIT * digit).into()),
        false => 0,
    };
    moduli.map(of).collect()
}

/// Digit number `digit` of `count`: in [-2^24, 2^24), but the last takes what is left.
fn cut(value: i64, digit: u32, count: u32) -> i64 {
    let mut rest = value;
    for _ in 0..digit {
        rest = (rest + (1 << (DIGIT - 1))) >> DIGIT;
    }
    match digit + 1 < count {
        true => (rest << (64 - DIGIT)) >> (64 - DIGIT),
        false => rest,
    }
}

#[cfg(test)]
mod tests;
