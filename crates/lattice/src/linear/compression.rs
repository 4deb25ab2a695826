//! How a response travels: switched to the modulus 2^B, all of c1 but only the wanted coefficients of c0, bit-packed.

use cloven_ring::{Coefficients, Modulus, Poly};

use crate::{
    LatticeError, Parameters, SecretKey,
    bits::{pack, packed_len, unpack},
    wire::check_len,
};

/// The form of responses of one product.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Compression {
    parameters: Parameters,
    bits: u32,
}

impl Compression {
    /// The form with modulus 2^`bits`. c1 s is computed over the integers, modulo the first prime: N 2^(B-1) must stay below its half.
    pub(super) fn new(parameters: &Parameters, bits: u32) -> Result<Self, LatticeError> {
        let first = parameters.basis().moduli()[0].bits();
        let allowed = (first - 1).saturating_sub(parameters.log2_degree());
        match (1..=allowed).contains(&bits) {
            true => Ok(Self {
                parameters: parameters.clone(),
                bits,
            }),
            false => Err(LatticeError::Wide {
                what: "response precision",
                allowed,
                actual: bits,
            }),
        }
    }

    /// Bytes of a response with so many wanted coefficients.
    pub(super) fn len(&self, wanted: usize) -> usize {
        packed_len(self.parameters.degree() + wanted, self.bits)
    }

    /// Appends a response.
    pub(super) fn write(
        &self,
        c0: &Poly<Coefficients>,
        c1: &Poly<Coefficients>,
        wanted: impl Iterator<Item = usize>,
        out: &mut Vec<u8>,
    ) {
        let mut values = Vec::with_capacity(2 * self.parameters.degree());
        match self.parameters.basis().moduli() {
            [modulus] => {
                let switch = Switch::new(modulus.value(), self.bits);
                let residues = c0.residues(0);
                values.extend(c1.residues(0).iter().map(|&c| switch.apply(c)));
                values.extend(wanted.map(|at| switch.apply(residues[at])));
            }
            moduli => {
                let switch = RnsSwitch::new(moduli, self.bits);
                values.extend((0..self.parameters.degree()).map(|at| switch.apply(c1, at)));
                values.extend(wanted.map(|at| switch.apply(c0, at)));
            }
        }
        pack(&values, self.bits, out);
    }

    /// The wanted coefficients of c0 + c1 s modulo 2^B, centred: multiples of [`Compression::unit`].
    pub(super) fn read(
        &self,
        packed: &[u8],
        wanted: impl ExactSizeIterator<Item = usize>,
        secret: &SecretKey,
    ) -> Result<Vec<i64>, LatticeError> {
        check_len(self.len(wanted.len()), packed)?;
        let degree = self.parameters.degree();
        let values = unpack(packed, self.bits, degree + wanted.len())?;
        let (c1, c0) = values.split_at(degree);
        let modulus = self.parameters.basis().moduli()[0];
        let product = self.times_secret(c1, secret, modulus)?;
        let sum = |(at, &c0): (usize, &u64)| modulus.centred(product.residues(0)[at]).wrapping_add(c0 as i64);
        Ok(wanted.zip(c0).map(|pair| centre(sum(pair), self.bits)).collect())
    }

    /// Plaintext integers to one step of a response: q / 2^B.
    pub(super) fn unit(&self) -> f64 {
        2f64.powf(self.parameters.log2_modulus() - f64::from(self.bits))
    }

    /// Variance of the rounding, in plaintext integers: of c0, and of c1 times the secret.
    pub(super) fn variance(&self) -> f64 {
        self.unit().powi(2) * (1.0 + self.parameters.degree() as f64 * 2.0 / 3.0) / 12.0
    }

    /// c1 s over the integers, for c1 modulo 2^B taken centred; only its residues modulo the first prime mean anything.
    fn times_secret(&self, c1: &[u64], secret: &SecretKey, first: Modulus) -> Result<Poly<Coefficients>, LatticeError> {
        let (half, lift) = (1 << (self.bits - 1), first.value() - (1 << self.bits));
        let mut centred = Poly::zero(self.parameters.basis());
        for (residue, &c) in centred.residues_mut(0).iter_mut().zip(c1) {
            *residue = c + if c < half { 0 } else { lift };
        }
        secret.times(centred)
    }
}

/// The representative of `value` modulo 2^bits in [-2^(bits-1), 2^(bits-1)).
fn centre(value: i64, bits: u32) -> i64 {
    (value << (64 - bits)) >> (64 - bits)
}

/// round(c 2^B / q) modulo 2^B for c < q < 2^50, in floating point: the product is off by less than 2^-20, which moves a rounding only
/// where it was undecided to that precision anyway.
struct Switch {
    factor: f64,
    mask: u64,
}

impl Switch {
    /// 2^52: adding it to a number below 2^51 leaves the number, rounded, in the low bits.
    const MAGIC: f64 = 4_503_599_627_370_496.0;

    fn new(modulus: u64, bits: u32) -> Self {
        Self {
            factor: 2f64.powi(bits as i32) / modulus as f64,
            mask: (1 << bits) - 1,
        }
    }

    fn apply(&self, c: u64) -> u64 {
        let exact = f64::from_bits(c | Self::MAGIC.to_bits()) - Self::MAGIC;
        (exact * self.factor + Self::MAGIC).to_bits() & self.mask
    }
}

/// The same for several primes: c / q = sum_i y_i / q_i modulo 1 with y_i = c (q / q_i)^-1 modulo q_i, each term in units of 2^-64. A term
/// is short by at most 2 of them, far below a step of 2^(64-B).
struct RnsSwitch {
    /// For every prime: itself, (q / q_i)^-1, and floor(2^(63 + its bits) / q_i).
    primes: Vec<(Modulus, u64, u64)>,
    bits: u32,
}

impl RnsSwitch {
    fn new(moduli: &[Modulus], bits: u32) -> Self {
        let prime = |modulus: &Modulus| {
            let others = moduli.iter().filter(|other| *other != modulus);
            let product = others.fold(1, |p, other| modulus.mul(p, modulus.reduce(other.value())));
            let fraction = (1u128 << (63 + modulus.bits())) / u128::from(modulus.value());
            // Distinct primes: the product is not zero.
            (*modulus, modulus.inv(product).unwrap_or_default(), fraction as u64)
        };
        Self {
            primes: moduli.iter().map(prime).collect(),
            bits,
        }
    }

    fn apply(&self, poly: &Poly<Coefficients>, at: usize) -> u64 {
        let term = |(prime, (modulus, inverse, fraction)): (usize, &(Modulus, u64, u64))| {
            let y = modulus.mul(poly.residues(prime)[at], *inverse);
            ((u128::from(y) * u128::from(*fraction)) >> (modulus.bits() - 1)) as u64
        };
        let sum = self.primes.iter().enumerate().map(term).fold(0, u64::wrapping_add);
        sum.wrapping_add(1 << (63 - self.bits)) >> (64 - self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crt::centred_coefficients;

    #[test]
    fn several_primes_switch_as_one_integer_does() {
        let parameters = Parameters::new(12, &[50, 26]).unwrap();
        let basis = parameters.basis();
        let poly: Poly<Coefficients> =
            cloven_ring::sample::uniform(&mut crate::stream::Stream::new(crate::stream::Domain::Mask, &[1; 32]), basis);
        let values = centred_coefficients(&poly).unwrap();
        for bits in [8, 20, 30] {
            let switch = RnsSwitch::new(basis.moduli(), bits);
            for (at, &value) in values.iter().enumerate() {
                let exact = (value as f64 / parameters.log2_modulus().exp2() * f64::from(bits).exp2()).round() as i64;
                let difference = centre(switch.apply(&poly, at) as i64 - exact, bits);
                assert!(difference.abs() <= 1, "{bits} {at}: {difference}");
            }
        }
    }

    #[test]
    fn a_precision_that_the_first_prime_cannot_read_is_refused() {
        let parameters = Parameters::new(11, &[48]).unwrap();
        assert!(Compression::new(&parameters, 36).is_ok());
        for bits in [0, 37, 64] {
            let error = Compression::new(&parameters, bits).unwrap_err();
            assert!(matches!(error, LatticeError::Wide { allowed: 36, .. }), "{error}");
        }
    }
}
