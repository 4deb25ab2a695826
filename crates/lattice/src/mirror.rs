//! Images of ciphertexts under X -> X^-1, and products with them.
//!
//! An image costs nothing but is under s(X^-1), and the noise of a key switch would drown an operand. So products with images are summed
//! first, in four components, and then brought back under s by two key switches ([`crate::MirrorKey`]).

use cloven_ring::{Evaluations, Poly};

use crate::{Ciphertext, LatticeError, Parameters};

/// The image of a ciphertext under X -> X^-1: an encryption of the image of its plaintext, under s(X^-1).
pub struct MirroredCiphertext {
    pub(crate) c0: Poly<Evaluations>,
    pub(crate) c1: Poly<Evaluations>,
}

impl Ciphertext {
    /// Its image under X -> X^-1.
    pub fn mirrored(&self) -> MirroredCiphertext {
        MirroredCiphertext {
            c0: self.c0.clone().mirrored(),
            c1: self.c1.clone().mirrored(),
        }
    }
}

impl MirroredCiphertext {
    /// Times X^`exponent`, 0 to N - 1.
    pub fn shift(&mut self, exponent: usize) -> Result<(), LatticeError> {
        let mut monomial = vec![0; self.c0.basis().degree()];
        let at = exponent % monomial.len();
        monomial[at] = 1;
        let monomial = Poly::from_signed(self.c0.basis(), &monomial)?.into_evaluations();
        self.c0.mul_assign(&monomial)?;
        Ok(self.c1.mul_assign(&monomial)?)
    }
}

/// A sum of products of ciphertexts with mirrored ciphertexts.
pub struct MirroredTensor {
    pub(crate) c0: Poly<Evaluations>,
    /// Multiplied by s.
    pub(crate) c1: Poly<Evaluations>,
    /// Multiplied by s(X^-1).
    pub(crate) mirror: Poly<Evaluations>,
    /// Multiplied by s s(X^-1).
    pub(crate) both: Poly<Evaluations>,
}

impl MirroredTensor {
    /// An empty sum.
    pub fn zero(parameters: &Parameters) -> Self {
        let zero = || Poly::zero(parameters.basis());
        Self {
            c0: zero(),
            c1: zero(),
            mirror: zero(),
            both: zero(),
        }
    }

    /// Adds a product.
    pub fn mul_add_assign(&mut self, left: &Ciphertext, right: &MirroredCiphertext) -> Result<(), LatticeError> {
        self.c0.mul_add_assign(&left.c0, &right.c0)?;
        self.c1.mul_add_assign(&left.c1, &right.c0)?;
        self.mirror.mul_add_assign(&left.c0, &right.c1)?;
        Ok(self.both.mul_add_assign(&left.c1, &right.c1)?)
    }
}
