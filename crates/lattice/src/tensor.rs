//! Products of two ciphertexts under one key, decrypted without relinearisation.
//!
//! (c0 + c1 s)(d0 + d1 s) = c0 d0 + (c0 d1 + c1 d0) s + c1 d1 s^2: the key holder decrypts the three components with (1, s, s^2). The other
//! party needs no evaluation key, and sums of products cost no more to decrypt than one.
//!
//! The noise is e_c m_d + m_c e_d + e_c e_d: each message multiplies the other's noise, so both need a scale far above the noise. With x at
//! 2^24 and W at 2^58 modulo two 50-bit primes (N = 4096), an output has deviation sigma |W| 2^-24, where |W| is the Euclidean norm of
//! all of W's coefficients in the product, not of one column.

use cloven_ring::{Coefficients, Evaluations, Poly};
use zeroize::Zeroize;

use crate::{Ciphertext, LatticeError, Parameters};

/// A sum of products of ciphertexts.
pub struct Tensor {
    /// c0 d0.
    pub c0: Poly<Evaluations>,
    /// c0 d1 + c1 d0, multiplied by s.
    pub c1: Poly<Evaluations>,
    /// c1 d1, multiplied by s^2.
    pub c2: Poly<Evaluations>,
}

impl Tensor {
    /// An empty sum.
    pub fn zero(parameters: &Parameters) -> Self {
        let zero = || Poly::zero(parameters.basis());
        Self {
            c0: zero(),
            c1: zero(),
            c2: zero(),
        }
    }

    /// Adds the product of two ciphertexts.
    pub fn mul_add_assign(&mut self, left: &Ciphertext, right: &Ciphertext) -> Result<(), LatticeError> {
        self.c0.mul_add_assign(&left.c0, &right.c0)?;
        self.c1.mul_add_assign(&left.c0, &right.c1)?;
        self.c1.mul_add_assign(&left.c1, &right.c0)?;
        Ok(self.c2.mul_add_assign(&left.c1, &right.c1)?)
    }

    /// Adds another sum.
    pub fn add_assign(&mut self, other: &Self) -> Result<(), LatticeError> {
        self.c0.add_assign(&other.c0)?;
        self.c1.add_assign(&other.c1)?;
        Ok(self.c2.add_assign(&other.c2)?)
    }

    /// c0 + (c1 + c2 s) s.
    pub(crate) fn at(&self, s: &Poly<Evaluations>) -> Result<Poly<Coefficients>, LatticeError> {
        let mut inner = self.c1.clone();
        inner.mul_add_assign(&self.c2, s)?;
        let mut sum = self.c0.clone();
        sum.mul_add_assign(&inner, s)?;
        // With the ciphertext, it tells c2 s and so s.
        inner.zeroize();
        Ok(sum.into_coefficients())
    }
}

#[cfg(test)]
mod tests;
