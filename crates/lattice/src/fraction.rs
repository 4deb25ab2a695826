//! Coefficients modulo q as fractions of q, in units of 2^-128.
//!
//! c / q = sum_i y_i / q_i modulo 1 with y_i = c (q / q_i)^-1 modulo q_i. With F_i = floor(2^(127+b) / q_i), b the bits of q_i, a term is
//! y_i F_i 2^-(b-1), short by less than [`SHORT`] units: y_i / 2^(b-1) < 2 from F_i, and 1 from the shift.

use cloven_ring::{Coefficients, Modulus, Poly};

use crate::LatticeError;

/// Bound on what a fraction lacks for every prime, in units.
pub(crate) const SHORT: f64 = 3.0;

/// How to read the fractions of one modulus.
#[derive(Debug, Clone)]
pub(crate) struct Fractions {
    /// (q / q_i)^-1 modulo q_i.
    inverses: Vec<u64>,
    places: Vec<Place>,
}

/// F_i in two words, and b - 1.
#[derive(Debug, Clone, Copy)]
struct Place {
    high: u64,
    low: u64,
    shift: u32,
}

impl Fractions {
    pub(crate) fn new(moduli: &[Modulus]) -> Self {
        let inverse = |modulus: &Modulus| {
            let others = moduli.iter().filter(|other| *other != modulus);
            let product = others.fold(1, |p, other| modulus.mul(p, modulus.reduce(other.value())));
            // Distinct primes: the product is not zero.
            modulus.inv(product).unwrap_or_default()
        };
        Self {
            inverses: moduli.iter().map(inverse).collect(),
            places: moduli.iter().map(Place::new).collect(),
        }
    }

    /// Multiplies every residue by its (q / q_i)^-1: what [`Fractions::read`] takes.
    pub(crate) fn prepare(&self, poly: &mut Poly<Coefficients>) -> Result<(), LatticeError> {
        Ok(poly.scale_assign(&self.inverses)?)
    }

    /// The fractions of the coefficients at `positions` of a prepared polynomial.
    pub(crate) fn read(&self, prepared: &Poly<Coefficients>, positions: impl Iterator<Item = usize>) -> Vec<u128> {
        let residues: Vec<(&Place, &[u64])> = self
            .places
            .iter()
            .enumerate()
            .map(|(i, p)| (p, prepared.residues(i)))
            .collect();
        let fraction = |at: usize| {
            residues
                .iter()
                .fold(0u128, |sum, (place, y)| sum.wrapping_add(place.term(y[at])))
        };
        positions.map(fraction).collect()
    }
}

impl Place {
    fn new(modulus: &Modulus) -> Self {
        let q = u128::from(modulus.value());
        let numerator = 1u128 << (63 + modulus.bits());
        let (high, rest) = (numerator / q, numerator % q);
        Self {
            high: high as u64,
            low: ((rest << 64) / q) as u64,
            shift: modulus.bits() - 1,
        }
    }

    fn term(&self, y: u64) -> u128 {
        let product = |word: u64| u128::from(y) * u128::from(word);
        (product(self.high) << (64 - self.shift)).wrapping_add(product(self.low) >> self.shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Parameters, centred_coefficients, stream};

    #[test]
    fn fractions_are_those_of_the_integers() {
        let parameters = Parameters::new(13, &[50, 50, 26]).unwrap();
        let basis = parameters.basis();
        let mut poly: Poly<Coefficients> =
            cloven_ring::sample::uniform(&mut stream::Stream::new(stream::Domain::Mask, &[1; 32]), basis);
        let values = centred_coefficients(&poly).unwrap();
        let q: u128 = basis.moduli().iter().map(|m| u128::from(m.value())).product();
        let fractions = Fractions::new(basis.moduli());
        fractions.prepare(&mut poly).unwrap();
        for (fraction, value) in fractions.read(&poly, 0..basis.degree()).into_iter().zip(values) {
            // floor(2^128 v / q) by long division, bit by bit.
            let (mut rest, mut slow) = (value.rem_euclid(q as i128) as u128, 0u128);
            for _ in 0..128 {
                rest *= 2;
                slow = slow << 1 | u128::from(rest >= q);
                rest -= if rest >= q { q } else { 0 };
            }
            let short = slow.wrapping_sub(fraction) as i128;
            assert!((-1..=3 * SHORT as i128).contains(&short), "{short}");
        }
    }
}
