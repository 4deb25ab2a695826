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
//!
//! Modulo one prime the lowest d bits of c may be dropped (approximate decomposition): G_j = 2^(d + w j), and what is dropped, uniform over 2^d
//! values, is multiplied by t. For t = s^2, whose coefficients have variance 8N/9, that adds 2^(2d) N (8N/9) / 12. Two digits of 18 bits of a 50-bit
//! prime, d = 14, leave 2^24.1 instead of the 2^23 of three digits of 17, for two thirds of the key and of the work.

use cloven_ring::{Evaluations, Modulus, Poly, sample};
use zeroize::Zeroize;

use crate::{Ciphertext, LatticeError, Parameters, RandomnessKey, SecretKey, Tensor, encryption::SeededPair, wire::check_len};

/// Most bits of a digit.
const MAX_DIGIT: u32 = 25;
/// Purpose of the randomness.
const PURPOSE: &str = "cloven v1 lattice purpose: key switching";

/// How a component is cut into digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gadget {
    /// w, bits of a digit, 1 to 25: fewer bits, less noise and more work.
    pub digit: u32,
    /// d, low bits that are dropped: 0 where the modulus has several primes, else less than the prime's.
    pub dropped: u32,
}

impl Gadget {
    /// Nothing dropped.
    pub fn exact(digit: u32) -> Self {
        Self { digit, dropped: 0 }
    }

    fn check(self, parameters: &Parameters) -> Result<(), LatticeError> {
        let most_dropped = match parameters.basis().moduli() {
            [modulus] => modulus.bits() - 1,
            _ => 0,
        };
        let wide = |what, allowed, actual| Err(LatticeError::Wide { what, allowed, actual });
        match self {
            Self { digit, .. } if !(1..=MAX_DIGIT).contains(&digit) => wide("digit of a switching key", MAX_DIGIT, digit),
            Self { dropped, .. } if dropped > most_dropped => {
                wide("dropped part of what a switching key multiplies", most_dropped, dropped)
            }
            _ => Ok(()),
        }
    }

    /// Digits of a residue of a prime of so many bits.
    fn digits_of(self, bits: u32) -> u32 {
        bits.saturating_sub(self.dropped).div_ceil(self.digit.max(1))
    }

    /// The bit at which digit number `index` begins.
    fn place(self, index: u32) -> u32 {
        self.dropped + self.digit * index
    }
}

/// What turns a [`Tensor`] into a [`Ciphertext`]. Public; it rests on the encryption of s^2 under s being as safe as any other.
pub struct RelinearisationKey {
    square: SwitchingKey,
}

impl RelinearisationKey {
    /// The key of `secret`. `context` names it; the same context gives the same key.
    pub fn generate(secret: &SecretKey, gadget: Gadget, key: &RandomnessKey, context: &[u8]) -> Result<Self, LatticeError> {
        let context = |index: u8| [context, &[index]].concat();
        let square = SwitchingKey::generate(secret, secret.square()?, gadget, &key.for_purpose(PURPOSE), context)?;
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
        noise_variance(&self.square.parameters, self.square.gadget)
    }

    /// The length in bytes of every encoded key.
    pub fn encoded_len(parameters: &Parameters, gadget: Gadget) -> usize {
        SwitchingKey::encoded_len(parameters, gadget)
    }

    /// Appends the wire form: for every digit, seed and evaluations.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.square.encode(out);
    }

    /// Reads what [`RelinearisationKey::encode`] wrote. Every residue is checked; what it encrypts cannot be.
    pub fn decode(parameters: &Parameters, gadget: Gadget, bytes: &[u8]) -> Result<Self, LatticeError> {
        let square = SwitchingKey::decode(parameters, gadget, bytes)?;
        Ok(Self { square })
    }
}

/// Encryptions of G_ij t, prime after prime, lowest digit first.
pub(crate) struct SwitchingKey {
    parameters: Parameters,
    gadget: Gadget,
    digits: Vec<SeededPair>,
}

impl SwitchingKey {
    /// Of the secret polynomial `t`, which is wiped. `key` serves no other purpose; `context` names every digit.
    pub(crate) fn generate(
        secret: &SecretKey,
        mut t: Poly<Evaluations>,
        gadget: Gadget,
        key: &RandomnessKey,
        context: impl Fn(u8) -> Vec<u8>,
    ) -> Result<Self, LatticeError> {
        let parameters = secret.parameters();
        gadget.check(parameters)?;
        let mut digits = Vec::new();
        for (index, (prime, place)) in places(parameters, gadget).enumerate() {
            let mut scaled = t.clone();
            scaled.scale_assign(&place_value(parameters, prime, gadget.place(place)))?;
            let mut plaintext = scaled.into_coefficients();
            let pair = secret.encrypt_pair(&plaintext, key, &context(index as u8));
            plaintext.zeroize();
            digits.push(pair?);
        }
        t.zeroize();
        Ok(Self {
            parameters: parameters.clone(),
            gadget,
            digits,
        })
    }

    /// `sum` += `component` t.
    pub(crate) fn add_product(&self, sum: &mut Ciphertext, component: Poly<Evaluations>) -> Result<(), LatticeError> {
        let (basis, component) = (self.parameters.basis(), component.into_coefficients());
        let mut pairs = self.digits.iter();
        let mut values = vec![0; basis.degree()];
        for (prime, modulus) in basis.moduli().iter().enumerate() {
            let residues = Shifted::new(modulus, self.gadget, component.residues(prime));
            for (place, pair) in (0..self.gadget.digits_of(modulus.bits())).zip(&mut pairs) {
                residues.digit(place, &mut values);
                let values = Poly::from_signed(basis, &values)?.into_evaluations();
                sum.c0.mul_add_assign(&values, &pair.b)?;
                sum.c1.mul_add_assign(&values, &pair.a)?;
            }
        }
        Ok(())
    }

    pub(crate) fn encoded_len(parameters: &Parameters, gadget: Gadget) -> usize {
        places(parameters, gadget).count() * SeededPair::encoded_len(parameters)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.digits.iter().for_each(|pair| pair.encode(out));
    }

    pub(crate) fn decode(parameters: &Parameters, gadget: Gadget, bytes: &[u8]) -> Result<Self, LatticeError> {
        gadget.check(parameters)?;
        check_len(Self::encoded_len(parameters, gadget), bytes)?;
        let pairs = bytes.chunks(SeededPair::encoded_len(parameters));
        Ok(Self {
            parameters: parameters.clone(),
            gadget,
            digits: pairs
                .map(|pair| SeededPair::decode(parameters, pair))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Variance of the noise of one switch; where bits are dropped, of a component of s^2.
pub(crate) fn noise_variance(parameters: &Parameters, gadget: Gadget) -> f64 {
    let range = |(prime, place): (usize, u32)| {
        let modulus = &parameters.basis().moduli()[prime];
        match place + 1 < gadget.digits_of(modulus.bits()) {
            true => 2f64.powi(gadget.digit as i32),
            false => modulus.value() as f64 / 2f64.powi(gadget.place(place) as i32),
        }
    };
    let degree = parameters.degree() as f64;
    let squares: f64 = places(parameters, gadget).map(|place| range(place).powi(2) / 12.0).sum();
    let dropped = match gadget.dropped {
        0 => 0.0,
        bits => 4f64.powi(bits as i32) / 12.0 * (8.0 / 9.0) * degree,
    };
    degree * (sample::SIGMA * sample::SIGMA * squares + dropped)
}

/// (prime, place) of all digits, in order.
fn places(parameters: &Parameters, gadget: Gadget) -> impl Iterator<Item = (usize, u32)> + '_ {
    let moduli = parameters.basis().moduli().iter().enumerate();
    moduli.flat_map(move |(prime, modulus)| (0..gadget.digits_of(modulus.bits())).map(move |place| (prime, place)))
}

/// 2^`bits` modulo `prime`, 0 modulo the others: G_ij.
fn place_value(parameters: &Parameters, prime: usize, bits: u32) -> Vec<u64> {
    let moduli = parameters.basis().moduli().iter().enumerate();
    let of = |(index, modulus): (usize, &Modulus)| match index == prime {
        true => modulus.pow(2, bits.into()),
        false => 0,
    };
    moduli.map(of).collect()
}

/// Centred residues of one prime plus half of every part below the top digit and 2^(bits - 1): positive, so that a digit is a shift, a mask and a
/// subtraction.
struct Shifted {
    values: Vec<u64>,
    gadget: Gadget,
    bits: u32,
}

impl Shifted {
    fn new(modulus: &Modulus, gadget: Gadget, residues: &[u64]) -> Self {
        let (q, bits) = (modulus.value(), modulus.bits());
        let below_top = 0..gadget.digits_of(bits).saturating_sub(1);
        let halves: u64 = below_top.map(|index| 1 << (gadget.place(index) + gadget.digit - 1)).sum();
        let shift = halves + (1 << gadget.dropped >> 1) + (1 << (bits - 1));
        // Without a branch: c - q where c is above q / 2.
        let centred = |&c: &u64| c.wrapping_sub(q & ((q >> 1).wrapping_sub(c) >> 63).wrapping_neg());
        Self {
            values: residues.iter().map(|c| centred(c).wrapping_add(shift)).collect(),
            gadget,
            bits,
        }
    }

    /// Digit number `index`, in [-2^(w-1), 2^(w-1)) but for the top one, of every residue.
    fn digit(&self, index: u32, digits: &mut [i64]) {
        let place = self.gadget.place(index);
        let (mask, half) = match index + 1 < self.gadget.digits_of(self.bits) {
            true => ((1 << self.gadget.digit) - 1, 1 << (self.gadget.digit - 1)),
            false => (u64::MAX, 1 << (self.bits - 1 - place)),
        };
        for (digit, value) in digits.iter_mut().zip(&self.values) {
            *digit = (value >> place & mask) as i64 - half;
        }
    }
}

#[cfg(test)]
mod tests;
