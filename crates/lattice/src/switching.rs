//! Bringing a product of ciphertexts back to two components: relinearisation.
//!
//! A component c that is multiplied by a polynomial t of the secret (s^2, say) is cut into digits of w bits, modulo every prime q_i, and a key
//! holds for each digit an encryption of its place value times t:
//!
//! ```text
//! c = sum_ij d_ij G_ij,   G_ij = 2^(w j) modulo q_i, 0 modulo the other primes,   d_ij centred
//! key_ij = (-a_ij s + e_ij + G_ij t, a_ij)          sum_ij d_ij key_ij = c t under s, plus sum_ij d_ij e_ij
//! ```
//!
//! No special prime: the whole modulus stays with the messages. The noise has variance sigma^2 N sum_ij r_ij^2 / 12, with r_ij the range of a
//! digit. For N = 2048, one 50-bit prime and w = 17 the deviation is 2^23, beside a product at 2^40: 2^-17. For N = 4096, two such primes
//! and w = 25 it is 2^32.

use cloven_ring::{Evaluations, Poly, sample};
use zeroize::Zeroize;

use crate::{Ciphertext, LatticeError, Parameters, RandomnessKey, SecretKey, Tensor, encryption::SeededPair, wire::check_len};

/// Most bits of a digit.
const MAX_DIGIT: u32 = 25;
/// Purpose of the randomness.
const PURPOSE: &str = "cloven v1 lattice purpose: key switching";

/// What turns a [`Tensor`] into a [`Ciphertext`]. Public; it rests on the encryption of s^2 under s being as safe as any other.
pub struct RelinearisationKey {
    square: SwitchingKey,
}

impl RelinearisationKey {
    /// The key of `secret`, with digits of `digit` bits (1 to 25): fewer bits, less noise and more work. `context` names it; the same context
    /// gives the same key.
    pub fn generate(secret: &SecretKey, digit: u32, key: &RandomnessKey, context: &[u8]) -> Result<Self, LatticeError> {
        let context = |index: u8| [context, &[index]].concat();
        let square = SwitchingKey::generate(secret, secret.square()?, digit, &key.for_purpose(PURPOSE), context)?;
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
        noise_variance(&self.square.parameters, self.square.digit)
    }

    /// The length in bytes of every encoded key.
    pub fn encoded_len(parameters: &Parameters, digit: u32) -> usize {
        SwitchingKey::encoded_len(parameters, digit)
    }

    /// Appends the wire form: for every digit, seed and evaluations.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.square.encode(out);
    }

    /// Reads what [`RelinearisationKey::encode`] wrote. Every residue is checked; what it encrypts cannot be.
    pub fn decode(parameters: &Parameters, digit: u32, bytes: &[u8]) -> Result<Self, LatticeError> {
        let square = SwitchingKey::decode(parameters, digit, bytes)?;
        Ok(Self { square })
    }
}

/// Encryptions of G_ij t, prime after prime, lowest digit first.
pub(crate) struct SwitchingKey {
    parameters: Parameters,
    /// Bits of a digit.
    digit: u32,
    digits: Vec<SeededPair>,
}

impl SwitchingKey {
    /// Of the secret polynomial `t`, which is wiped. `key` serves no other purpose; `context` names every digit.
    pub(crate) fn generate(
        secret: &SecretKey,
        mut t: Poly<Evaluations>,
        digit: u32,
        key: &RandomnessKey,
        context: impl Fn(u8) -> Vec<u8>,
    ) -> Result<Self, LatticeError> {
        let parameters = secret.parameters();
        check_digit(digit)?;
        let mut digits = Vec::new();
        for (index, (prime, place)) in places(parameters, digit).enumerate() {
            let mut scaled = t.clone();
            scaled.scale_assign(&place_value(parameters, prime, digit * place))?;
            let mut plaintext = scaled.into_coefficients();
            let pair = secret.encrypt_pair(&plaintext, key, &context(index as u8));
            plaintext.zeroize();
            digits.push(pair?);
        }
        t.zeroize();
        Ok(Self {
            parameters: parameters.clone(),
            digit,
            digits,
        })
    }

    /// `sum` += `component` t.
    pub(crate) fn add_product(&self, sum: &mut Ciphertext, component: Poly<Evaluations>) -> Result<(), LatticeError> {
        let (basis, component) = (self.parameters.basis(), component.into_coefficients());
        let mut pairs = self.digits.iter();
        let mut values = vec![0; basis.degree()];
        for (prime, modulus) in basis.moduli().iter().enumerate() {
            let mut rest: Vec<i64> = component.residues(prime).iter().map(|&c| modulus.centred(c)).collect();
            let count = digits_of(modulus.bits(), self.digit);
            for (place, pair) in (0..count).zip(&mut pairs) {
                match place + 1 < count {
                    true => cut(&mut rest, self.digit, &mut values),
                    false => values.copy_from_slice(&rest),
                }
                let values = Poly::from_signed(basis, &values)?.into_evaluations();
                sum.c0.mul_add_assign(&values, &pair.b)?;
                sum.c1.mul_add_assign(&values, &pair.a)?;
            }
        }
        Ok(())
    }

    pub(crate) fn encoded_len(parameters: &Parameters, digit: u32) -> usize {
        places(parameters, digit).count() * SeededPair::encoded_len(parameters)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.digits.iter().for_each(|pair| pair.encode(out));
    }

    pub(crate) fn decode(parameters: &Parameters, digit: u32, bytes: &[u8]) -> Result<Self, LatticeError> {
        check_digit(digit)?;
        check_len(Self::encoded_len(parameters, digit), bytes)?;
        let pairs = bytes.chunks(SeededPair::encoded_len(parameters));
        Ok(Self {
            parameters: parameters.clone(),
            digit,
            digits: pairs
                .map(|pair| SeededPair::decode(parameters, pair))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Variance of the noise of one switch with digits of `digit` bits.
pub(crate) fn noise_variance(parameters: &Parameters, digit: u32) -> f64 {
    let range = |(prime, place): (usize, u32)| {
        let modulus = &parameters.basis().moduli()[prime];
        match place + 1 < digits_of(modulus.bits(), digit) {
            true => 2f64.powi(digit as i32),
            false => modulus.value() as f64 / 2f64.powi((digit * place) as i32),
        }
    };
    let squares: f64 = places(parameters, digit).map(|place| range(place).powi(2) / 12.0).sum();
    sample::SIGMA * sample::SIGMA * parameters.degree() as f64 * squares
}

fn check_digit(digit: u32) -> Result<(), LatticeError> {
    match (1..=MAX_DIGIT).contains(&digit) {
        true => Ok(()),
        false => Err(LatticeError::Wide {
            what: "digit of a switching key",
            allowed: MAX_DIGIT,
            actual: digit,
        }),
    }
}

/// (prime, place) of all digits, in order.
fn places(parameters: &Parameters, digit: u32) -> impl Iterator<Item = (usize, u32)> + '_ {
    let moduli = parameters.basis().moduli().iter().enumerate();
    moduli.flat_map(move |(prime, modulus)| (0..digits_of(modulus.bits(), digit)).map(move |place| (prime, place)))
}

/// Digits of a residue of a prime of so many bits.
fn digits_of(bits: u32, digit: u32) -> u32 {
    bits.div_ceil(digit.max(1))
}

/// 2^`bits` modulo `prime`, 0 modulo the others: G_ij.
fn place_value(parameters: &Parameters, prime: usize, bits: u32) -> Vec<u64> {
    let moduli = parameters.basis().moduli().iter().enumerate();
    let of = |(index, modulus): (usize, &cloven_ring::Modulus)| match index == prime {
        true => modulus.pow(2, bits.into()),
        false => 0,
    };
    moduli.map(of).collect()
}

/// Takes the lowest digit, in [-2^(w-1), 2^(w-1)), off every number.
fn cut(rest: &mut [i64], digit: u32, values: &mut [i64]) {
    for (rest, value) in rest.iter_mut().zip(values) {
        *value = (*rest << (64 - digit)) >> (64 - digit);
        *rest = (*rest - *value) >> digit;
    }
}

#[cfg(test)]
mod tests;
