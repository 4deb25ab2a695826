//! How a response travels: switched to the modulus 2^B, all of c1 (and c2) but only the wanted coefficients of c0, bit-packed.

use cloven_ring::{Coefficients, Modulus, Poly, RnsBasis};
use zeroize::Zeroize;

use crate::{
    LatticeError, Parameters, SecretKey,
    bits::{MAX_BITS, pack, packed_len, unpack},
    crt::{self, centred_coefficients},
    wire::check_len,
};

/// The form of responses of one product.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Compression {
    parameters: Parameters,
    bits: u32,
    /// Components beside c0: multiplied by s, s^2, ...
    powers: u32,
    /// The first primes, as many as hold c1 s + c2 s^2 over the integers.
    reading: RnsBasis,
}

impl Compression {
    /// The form with modulus 2^`bits` and `powers` (1 or 2) components beside c0. The sum of these times powers of the secret is computed
    /// over the integers: 2^(B-1) sum_k N^k must stay below half of the product of some primes.
    pub(super) fn new(parameters: &Parameters, bits: u32, powers: u32) -> Result<Self, LatticeError> {
        let (degree, moduli) = (parameters.degree(), parameters.basis().moduli());
        let most = crt::primes_within(moduli);
        let allowed = |primes: usize| {
            let product: u32 = moduli[..primes].iter().map(|m| m.bits() - 1).sum();
            product
                .saturating_sub(powers * parameters.log2_degree() + powers - 1)
                .min(MAX_BITS)
        };
        let enough = (1..=most).find(|&primes| (1..=allowed(primes)).contains(&bits));
        let primes = enough.ok_or(LatticeError::Wide {
            what: "response precision",
            allowed: allowed(most),
            actual: bits,
        })?;
        let reading = match primes == moduli.len() {
            true => parameters.basis().clone(),
            false => RnsBasis::new(degree, &moduli[..primes])?,
        };
        Ok(Self {
            parameters: parameters.clone(),
            bits,
            powers,
            reading,
        })
    }

    /// Bytes of a response with so many wanted coefficients.
    pub(super) fn len(&self, wanted: usize) -> usize {
        packed_len(self.whole() + wanted, self.bits)
    }

    /// Appends a response: `whole` holds c1 (and c2).
    pub(super) fn write(
        &self,
        c0: &Poly<Coefficients>,
        whole: &[&Poly<Coefficients>],
        wanted: impl Iterator<Item = usize>,
        out: &mut Vec<u8>,
    ) {
        debug_assert!(whole.len() == self.powers as usize);
        let mut values = Vec::with_capacity(self.whole() + self.parameters.degree());
        match self.parameters.basis().moduli() {
            [modulus] => {
                let switch = Switch::new(modulus.value(), self.bits);
                let residues = c0.residues(0);
                for component in whole {
                    values.extend(component.residues(0).iter().map(|&c| switch.apply(c)));
                }
                values.extend(wanted.map(|at| switch.apply(residues[at])));
            }
            moduli => {
                let switch = RnsSwitch::new(moduli, self.bits);
                for component in whole {
                    values.extend((0..self.parameters.degree()).map(|at| switch.apply(component, at)));
                }
                values.extend(wanted.map(|at| switch.apply(c0, at)));
            }
        }
        pack(&values, self.bits, out);
    }

    /// The wanted coefficients of c0 + c1 s (+ c2 s^2) modulo 2^B, centred: multiples of [`Compression::unit`].
    pub(super) fn read(
        &self,
        packed: &[u8],
        wanted: impl ExactSizeIterator<Item = usize>,
        secret: &SecretKey,
    ) -> Result<Vec<i64>, LatticeError> {
        check_len(self.len(wanted.len()), packed)?;
        let values = unpack(packed, self.bits, self.whole() + wanted.len())?;
        let (whole, c0) = values.split_at(self.whole());
        let components = whole.chunks(self.parameters.degree()).map(|c| self.centred(c)).collect();
        let mut product = secret.times_powers(components)?;
        let mut integers: Vec<i64> = match self.reading.moduli() {
            [modulus] => wanted.map(|at| modulus.centred(product.residues(0)[at])).collect(),
            _ => {
                let mut all = centred_coefficients(&product)?;
                // The low bits are all that the modulus 2^B leaves.
                let integers = wanted.map(|at| all[at] as i64).collect();
                all.zeroize();
                integers
            }
        };
        // With the response, it tells the secret.
        product.zeroize();
        for (integer, &c0) in integers.iter_mut().zip(c0) {
            *integer = centre(integer.wrapping_add(c0 as i64), self.bits);
        }
        Ok(integers)
    }

    /// Plaintext integers to one step of a response: q / 2^B.
    pub(super) fn unit(&self) -> f64 {
        2f64.powf(self.parameters.log2_modulus() - f64::from(self.bits))
    }

    /// Variance of the rounding, in plaintext integers: of c0, of c1 times the secret, and of c2 times its square, whose coefficients have
    /// variance 8N/9 (each is twice a sum of N/2 products of ternary numbers).
    pub(super) fn variance(&self) -> f64 {
        let degree = self.parameters.degree() as f64;
        let square = if self.powers == 2 { degree * degree * 8.0 / 9.0 } else { 0.0 };
        self.unit().powi(2) * (1.0 + degree * 2.0 / 3.0 + square) / 12.0
    }

    /// Coefficients sent whole.
    fn whole(&self) -> usize {
        self.powers as usize * self.parameters.degree()
    }

    /// A component modulo 2^B, taken centred, as a polynomial of the reading basis.
    fn centred(&self, component: &[u64]) -> Poly<Coefficients> {
        let mut centred = Poly::zero(&self.reading);
        let half = 1 << (self.bits - 1);
        for (prime, modulus) in self.reading.moduli().iter().enumerate() {
            let pairs = centred.residues_mut(prime).iter_mut().zip(component);
            match modulus.value().checked_sub(1 << self.bits) {
                Some(lift) => pairs.for_each(|(residue, &c)| *residue = c + if c < half { 0 } else { lift }),
                None => pairs.for_each(|(residue, &c)| *residue = modulus.from_signed(centre(c as i64, self.bits))),
            }
        }
        centred
    }
}

/// The representative of `value` modulo 2^bits in [-2^(bits-1), 2^(bits-1)).
fn centre(value: i64, bits: u32) -> i64 {
    (value << (64 - bits)) >> (64 - bits)
}

/// round(c 2^B / q) modulo 2^B for c < q < 2^50, in floating point: the product is off by less than 2^-20, which moves a rounding only
/// where it was undecided to that precision anyway.
pub(super) struct Switch {
    factor: f64,
    mask: u64,
}

impl Switch {
    /// 2^52: adding it to a number below 2^51 leaves the number, rounded, in the low bits.
    const MAGIC: f64 = 4_503_599_627_370_496.0;

    pub(super) fn new(modulus: u64, bits: u32) -> Self {
        Self {
            factor: 2f64.powi(bits as i32) / modulus as f64,
            mask: (1 << bits) - 1,
        }
    }

    pub(super) fn apply(&self, c: u64) -> u64 {
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
    fn as_many_primes_are_read_as_the_precision_needs() {
        let parameters = Parameters::new(12, &[50, 50]).unwrap();
        for (bits, powers, primes) in [(37, 1, 1), (38, 1, 2), (24, 2, 1), (25, 2, 2), (57, 2, 2)] {
            let compression = Compression::new(&parameters, bits, powers).unwrap();
            assert_eq!(compression.reading.moduli().len(), primes, "{bits} {powers}");
        }
        let error = Compression::new(&parameters, 58, 1).unwrap_err();
        assert!(matches!(error, LatticeError::Wide { allowed: 57, .. }), "{error}");
        // Three primes of 50 bits are more than a coefficient is read from.
        let parameters = Parameters::new(13, &[50, 50, 50]).unwrap();
        assert_eq!(Compression::new(&parameters, 57, 2).unwrap().reading.moduli().len(), 2);
    }

    #[test]
    fn a_precision_that_the_first_prime_cannot_read_is_refused() {
        let parameters = Parameters::new(11, &[48]).unwrap();
        assert!(Compression::new(&parameters, 36, 1).is_ok());
        for bits in [0, 37, 64] {
            let error = Compression::new(&parameters, bits, 1).unwrap_err();
            assert!(matches!(error, LatticeError::Wide { allowed: 36, .. }), "{error}");
        }
    }
}
