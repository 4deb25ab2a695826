//! Parameter sets and the security table.

use cloven_ring::{RnsBasis, ntt_primes};

use crate::LatticeError;

/// Largest log2(QP) for 128 bits of classical security with a uniform ternary secret and sigma 3.19, key-switching primes included, by
/// log2(N) from 10 (eprint 2024/463).
const TABLE: [u32; 6] = [26, 53, 106, 214, 430, 868];
/// Bits of the longest primes.
const LONGEST: u32 = 50;
/// log2(N) of the table's first row.
const FIRST: u32 = 10;

/// A ring degree and a modulus inside the security table; one outside it cannot be built.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    basis: RnsBasis,
    log2_degree: u32,
    log2_modulus: f64,
}

impl Parameters {
    /// Classical security of every set that can be built.
    pub const SECURITY_BITS: u32 = 128;

    /// The most bits that log2(QP) may have at this log2(N), by the table; `None` for a degree outside it.
    pub fn largest_modulus_bits(log2_degree: u32) -> Option<u32> {
        let row = log2_degree.checked_sub(FIRST)?;
        TABLE.get(row as usize).copied()
    }

    /// The set with ring degree 2^`log2_degree` and one prime of each of the given bit lengths (at most 50).
    pub fn new(log2_degree: u32, prime_bits: &[u32]) -> Result<Self, LatticeError> {
        let allowed = Self::largest_modulus_bits(log2_degree).ok_or(LatticeError::Degree { log2_degree })?;
        let degree = 1 << log2_degree;
        let mut moduli = Vec::new();
        for (index, &bits) in prime_bits.iter().enumerate() {
            // The n-th prime of a length that occurs several times.
            let nth = prime_bits[..index].iter().filter(|&&b| b == bits).count();
            moduli.extend(ntt_primes(bits, degree, nth + 1)?.pop());
        }
        let log2_modulus = moduli.iter().map(|m| (m.value() as f64).log2()).sum();
        if log2_modulus > f64::from(allowed) {
            return Err(LatticeError::Insecure {
                log2_degree,
                allowed,
                log2_modulus,
            });
        }
        Ok(Self {
            basis: RnsBasis::new(degree, &moduli)?,
            log2_degree,
            log2_modulus,
        })
    }

    /// The set of this degree with a modulus of at least 2^`log2_modulus`: as few primes as hold it, of equal length or nearly.
    pub(crate) fn of_modulus(log2_degree: u32, log2_modulus: f64) -> Result<Self, LatticeError> {
        let mut bits = log2_modulus.ceil() as u32;
        loop {
            let count = bits.div_ceil(LONGEST);
            let lengths: Vec<u32> = (0..count).rev().map(|index| (bits + index) / count).collect();
            let parameters = Self::new(log2_degree, &lengths)?;
            if parameters.log2_modulus() >= log2_modulus {
                return Ok(parameters);
            }
            bits += 1;
        }
    }

    /// Degree and primes.
    pub fn basis(&self) -> &RnsBasis {
        &self.basis
    }

    /// The ring degree N.
    pub fn degree(&self) -> usize {
        self.basis.degree()
    }

    /// log2(N).
    pub fn log2_degree(&self) -> u32 {
        self.log2_degree
    }

    /// log2 of the whole modulus.
    pub fn log2_modulus(&self) -> f64 {
        self.log2_modulus
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sets_inside_the_table_can_be_built() {
        for (log2_degree, bits) in [(10, &[26][..]), (11, &[50]), (12, &[50, 50]), (13, &[50, 50, 50, 50])] {
            assert!(Parameters::new(log2_degree, bits).is_ok(), "{log2_degree} {bits:?}");
        }
        for (log2_degree, bits) in [(10, &[27][..]), (11, &[30, 30]), (12, &[50, 50, 20])] {
            let error = Parameters::new(log2_degree, bits).unwrap_err();
            assert!(
                matches!(error, LatticeError::Insecure { .. }),
                "{log2_degree} {bits:?}: {error}"
            );
        }
        assert!(matches!(Parameters::new(9, &[20]), Err(LatticeError::Degree { .. })));
        assert!(matches!(Parameters::new(16, &[50]), Err(LatticeError::Degree { .. })));
        assert!(Parameters::new(11, &[]).is_err());
    }
}
