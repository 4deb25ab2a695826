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

/// Bits of a digit of these keys.
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
        let square = SwitchingKey::of_power(secret, Power::Square, key, context)?;
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
        SwitchingKey::encoded_len(parameters, DIGIT)
    }

    /// Appends the wire form: for every digit, seed and evaluations.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.square.encode(out);
    }

    /// Reads what [`RelinearisationKey::encode`] wrote. Every residue is checked; what it encrypts cannot be.
    pub fn decode(parameters: &Parameters, bytes: &[u8]) -> Result<Self, LatticeError> {
        let square = SwitchingKey::decode(parameters, DIGIT, bytes)?;
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
            mirror: SwitchingKey::of_power(secret, Power::Mirror, key, context)?,
            both: SwitchingKey::of_power(secret, Power::MirrorProduct, key, context)?,
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
        2 * SwitchingKey::encoded_len(parameters, DIGIT)
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
            mirror: SwitchingKey::decode(parameters, DIGIT, mirror)?,
            both: SwitchingKey::decode(parameters, DIGIT, both)?,
        })
    }
}

/// Encryptions of G_ij t, prime after prime, lowest digit first.
pub(crate) struct SwitchingKey {
    parameters: Parameters,
    /// Bits of a digit.
    width: u32,
    digits: Vec<SeededPair>,
}

impl SwitchingKey {
    fn of_power(secret: &SecretKey, power: Power, key: &RandomnessKey, context: &[u8]) -> Result<Self, LatticeError> {
        let context = |index: u8| [context, &[power as u8, index]].concat();
        Self::generate(secret, secret.power(power)?, DIGIT, &key.for_purpose(PURPOSE), context)
    }

    /// The key of `t`, a polynomial of the secret, in digits of `width` bits. `key` serves no other purpose; `context` names every digit.
    pub(crate) fn generate(
        secret: &SecretKey,
        mut t: Poly<Evaluations>,
        width: u32,
        key: &RandomnessKey,
        context: impl Fn(u8) -> Vec<u8>,
    ) -> Result<Self, LatticeError> {
        let parameters = secret.parameters();
        let mut digits = Vec::new();
        for (index, (prime, digit)) in places(parameters, width).enumerate() {
            let mut plaintext = t.clone();
            let scaled = plaintext.scale_assign(&place_value(parameters, prime, width * digit));
            let mut plaintext = plaintext.into_coefficients();
            let upload = secret.encrypt(&plaintext, key, &context(index as u8));
            plaintext.zeroize();
            scaled?;
            digits.push(SeededPair::new(upload?));
        }
        t.zeroize();
        Ok(Self {
            parameters: parameters.clone(),
            width,
            digits,
        })
    }

    /// `sum` += `component` t.
    pub(crate) fn add_product(&self, sum: &mut Ciphertext, component: Poly<Evaluations>) -> Result<(), LatticeError> {
        let (basis, component) = (self.parameters.basis(), component.into_coefficients());
        let mut pairs = self.digits.iter();
        for (prime, modulus) in basis.moduli().iter().enumerate() {
            let mut rest: Vec<i64> = component.residues(prime).iter().map(|&c| modulus.centred(c)).collect();
            for (digit, pair) in (0..digits_of(modulus.bits(), self.width)).zip(&mut pairs) {
                let last = digit + 1 == digits_of(modulus.bits(), self.width);
                let values: Vec<i64> = match last {
                    true => std::mem::take(&mut rest),
                    false => rest.iter_mut().map(|rest| cut(rest, self.width)).collect(),
                };
                let values = Poly::from_signed(basis, &values)?.into_evaluations();
                sum.c0.mul_add_assign(&values, &pair.b)?;
                sum.c1.mul_add_assign(&values, &pair.a)?;
            }
        }
        Ok(())
    }

    fn noise_variance(&self) -> f64 {
        noise_variance(&self.parameters, self.width)
    }

    pub(crate) fn encoded_len(parameters: &Parameters, width: u32) -> usize {
        places(parameters, width).count() * SeededPair::encoded_len(parameters)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.digits.iter().for_each(|pair| pair.encode(out));
    }

    pub(crate) fn decode(parameters: &Parameters, width: u32, bytes: &[u8]) -> Result<Self, LatticeError> {
        check_len(Self::encoded_len(parameters, width), bytes)?;
        let pairs = bytes.chunks(SeededPair::encoded_len(parameters));
        Ok(Self {
            parameters: parameters.clone(),
            width,
            digits: pairs
                .map(|pair| SeededPair::decode(parameters, pair))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Variance of the noise of a key switch with digits of `width` bits.
pub(crate) fn noise_variance(parameters: &Parameters, width: u32) -> f64 {
    let range = |(prime, digit): (usize, u32)| {
        let modulus = &parameters.basis().moduli()[prime];
        match digit + 1 < digits_of(modulus.bits(), width) {
            true => 2f64.powi(width as i32),
            false => modulus.value() as f64 / 2f64.powi((width * digit) as i32),
        }
    };
    let squares: f64 = places(parameters, width).map(|place| range(place).powi(2) / 12.0).sum();
    sample::SIGMA * sample::SIGMA * parameters.degree() as f64 * squares
}

/// (prime, digit) of all digits, in order.
fn places(parameters: &Parameters, width: u32) -> impl Iterator<Item = (usize, u32)> + '_ {
    let moduli = parameters.basis().moduli().iter().enumerate();
    moduli.flat_map(move |(prime, modulus)| (0..digits_of(modulus.bits(), width)).map(move |digit| (prime, digit)))
}

/// Digits of a residue of a prime of so many bits.
fn digits_of(bits: u32, width: u32) -> u32 {
    bits.div_ceil(width)
}

/// 2^`log2` modulo one prime, 0 modulo the others: G_ij.
fn place_value(parameters: &Parameters, prime: usize, log2: u32) -> Vec<u64> {
    let moduli = parameters.basis().moduli().iter().enumerate();
    let of = |(index, modulus): (usize, &cloven_ring::Modulus)| match index == prime {
        true => modulus.pow(2, log2.into()),
        false => 0,
    };
    moduli.map(of).collect()
}

/// The lowest digit of `rest`, in [-2^(width-1), 2^(width-1)), which is taken off; the last digit of all is what is left.
fn cut(rest: &mut i64, width: u32) -> i64 {
    let digit = (*rest << (64 - width)) >> (64 - width);
    *rest = (*rest - digit) >> width;
    digit
}

#[cfg(test)]
mod tests;
