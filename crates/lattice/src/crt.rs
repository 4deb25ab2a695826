//! Reading coefficients modulo several primes as one integer.

use cloven_ring::{Coefficients, Modulus, Poly};

use crate::LatticeError;

/// Bits that a whole modulus may have so that a centred coefficient and every step to it fit 128.
const BITS: u32 = 126;

/// How many of these primes, from the first, can be read as one integer.
pub(crate) fn primes_within(moduli: &[Modulus]) -> usize {
    let sums = moduli.iter().scan(0, |sum, m| {
        *sum += m.bits();
        Some(*sum)
    });
    sums.take_while(|&sum| sum <= BITS).count()
}

/// The centred coefficients modulo the product of all primes, X^0 first.
///
/// Mixed radix: c = d0 + q0 (d1 + q1 (d2 + ...)), where d_i = (c_i - d0 - q0 d1 - ...) / (q0 ... q_(i-1)) modulo q_i.
pub fn centred_coefficients(poly: &Poly<Coefficients>) -> Result<Vec<i128>, LatticeError> {
    let moduli = poly.basis().moduli();
    let bits: u32 = moduli.iter().map(Modulus::bits).sum();
    if bits > BITS {
        return Err(LatticeError::Wide {
            what: "modulus of a coefficient read as an integer",
            allowed: BITS,
            actual: bits,
        });
    }
    let whole: u128 = moduli.iter().map(|m| u128::from(m.value())).product();
    let mut values = vec![0u128; poly.basis().degree()];
    // The product of the primes before this one.
    let mut radix = 1u128;
    for (prime, modulus) in moduli.iter().enumerate() {
        let residue = |value: u128| (value % u128::from(modulus.value())) as u64;
        // Distinct primes: the product of the others is never zero modulo this one.
        let inverse = modulus.inv(residue(radix)).unwrap_or_default();
        for (value, &c) in values.iter_mut().zip(poly.residues(prime)) {
            let digit = modulus.mul(modulus.sub(c, residue(*value)), inverse);
            *value += radix * u128::from(digit);
        }
        radix *= u128::from(modulus.value());
    }
    let centre = |value: u128| value as i128 - if value > whole / 2 { whole as i128 } else { 0 };
    Ok(values.into_iter().map(centre).collect())
}

/// The centred coefficients modulo the product of all primes, however many, to the precision of f64.
///
/// Mixed radix as above; (Q - 1) / 2 has the digits (q_i - 1) / 2, and -c those of Q - 1 - c, plus one.
pub(crate) fn centred_floats(poly: &Poly<Coefficients>) -> Vec<f64> {
    let moduli = poly.basis().moduli();
    let radices: Vec<Vec<u64>> = moduli
        .iter()
        .enumerate()
        .map(|(prime, m)| radices(m, &moduli[..prime]))
        .collect();
    // Distinct primes: the product of others is never zero modulo this one.
    let last = |(m, radices): (&Modulus, &Vec<u64>)| m.inv(radices[radices.len() - 1]).unwrap_or_default();
    let inverses: Vec<u64> = moduli.iter().zip(&radices).map(last).collect();
    let mut digits = vec![0; moduli.len()];
    let float = |at: usize| {
        for (prime, modulus) in moduli.iter().enumerate() {
            let found = digits[..prime].iter().zip(&radices[prime]);
            let less = |rest, (&digit, &radix)| modulus.sub(rest, modulus.mul(radix, modulus.reduce(digit)));
            digits[prime] = modulus.mul(found.fold(poly.residues(prime)[at], less), inverses[prime]);
        }
        number(&digits, moduli)
    };
    (0..poly.basis().degree()).map(float).collect()
}

/// 1 and the products of the first of `others`, modulo `modulus`.
fn radices(modulus: &Modulus, others: &[Modulus]) -> Vec<u64> {
    let mut radices = vec![1];
    for (index, other) in others.iter().enumerate() {
        radices.push(modulus.mul(radices[index], modulus.reduce(other.value())));
    }
    radices
}

/// The centred number with these digits, lowest first.
fn number(digits: &[u64], moduli: &[Modulus]) -> f64 {
    let places = || digits.iter().zip(moduli).rev();
    let differs = places().find(|(d, m)| **d != m.value() / 2);
    let negative = differs.is_some_and(|(d, m)| *d > m.value() / 2);
    let sum = places().fold(0.0, |sum, (&d, m)| {
        let digit = if negative { m.value() - 1 - d } else { d };
        sum * m.value() as f64 + digit as f64
    });
    if negative { -(sum + 1.0) } else { sum }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Parameters;

    proptest! {
        #[test]
        fn integers_come_back(values in proptest::collection::vec(any::<i128>(), 8), primes in 1usize..4) {
            let parameters = Parameters::new(13, &[41, 42, 43][..primes]).unwrap();
            let moduli = parameters.basis().moduli();
            let whole: i128 = moduli.iter().map(|m| i128::from(m.value())).product();
            let mut poly = Poly::zero(parameters.basis());
            let values: Vec<i128> = values.iter().map(|v| v % (whole / 2 + 1)).collect();
            for (prime, modulus) in moduli.iter().enumerate() {
                for (residue, value) in poly.residues_mut(prime).iter_mut().zip(&values) {
                    *residue = value.rem_euclid(i128::from(modulus.value())) as u64;
                }
            }
            prop_assert_eq!(&centred_coefficients(&poly).unwrap()[..8], &values[..]);
            for (float, value) in centred_floats(&poly).iter().zip(&values) {
                prop_assert!((float / *value as f64 - 1.0).abs() < 1e-14 || *float == *value as f64);
            }
        }
    }

    #[test]
    fn a_modulus_that_does_not_fit_is_refused() {
        let parameters = Parameters::new(13, &[50, 50, 50]).unwrap();
        let error = centred_coefficients(&Poly::zero(parameters.basis())).unwrap_err();
        assert!(matches!(error, LatticeError::Wide { actual: 150, .. }));
    }
}
