//! Polynomials of R_q, with what their residues mean in the type.
//!
//! Two polynomials meet only in one domain, by their types, and only in one basis, which every operation checks, in release
//! builds too: it is one pointer comparison against at least N additions, and what reaches this crate may come from a peer's
//! parameters, so a mismatch is an error and not a panic.
//!
//! ```compile_fail,E0308
//! # use cloven_ring::{Coefficients, Evaluations, Poly, RnsBasis, ntt_primes};
//! # let basis = RnsBasis::new(16, &ntt_primes(50, 16, 1).unwrap()).unwrap();
//! let mut a = Poly::<Coefficients>::zero(&basis);
//! let b = Poly::<Evaluations>::zero(&basis);
//! a.add_assign(&b).unwrap(); // the domains differ: no such program
//! ```

use crate::pointwise::{self, Binary, BlockTerm, Former, MAX_TERMS};
use crate::words::{Words, check_reduced};
use crate::{Automorphism, RingError, RnsBasis, Runs};
use std::fmt;
use std::marker::PhantomData;
use zeroize::Zeroize;

/// What the residues of a polynomial are: [`Coefficients`] or [`Evaluations`], and nothing else.
pub trait Domain: sealed::Sealed {
    /// The name used in messages.
    const NAME: &'static str;
}

/// The residues are the coefficients, X^0 first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coefficients;

/// The residues are the values at the 2N-th roots of unity, in the order of [`crate::NttPlan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluations;

impl Domain for Coefficients {
    const NAME: &'static str = "coefficients";
}

impl Domain for Evaluations {
    const NAME: &'static str = "evaluations";
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Coefficients {}
    impl Sealed for super::Evaluations {}
}

/// A polynomial: N residues for every prime of its basis, prime after prime, each below its prime.
///
/// It may be secret: `Debug` shows no residue, and [`Zeroize`] wipes them (the polynomial is then zero). Comparison with
/// `==` takes time that depends on the residues.
#[derive(Clone)]
pub struct Poly<D: Domain> {
    basis: RnsBasis,
    words: Words,
    domain: PhantomData<D>,
}

impl<D: Domain> Poly<D> {
    /// Zero.
    pub fn zero(basis: &RnsBasis) -> Self {
        Self::from_words(basis.clone(), Words::zeros(basis.words()))
    }

    /// Any words, for whoever writes all of them.
    pub(crate) fn unset(basis: &RnsBasis) -> Self {
        Self::from_words(basis.clone(), Words::unset(basis.words()))
    }

    /// From residues, prime after prime; every one is checked.
    pub fn from_residues(basis: &RnsBasis, residues: &[u64]) -> Result<Self, RingError> {
        if residues.len() != basis.words() {
            return Err(RingError::Length {
                what: "residues",
                expected: basis.words(),
                actual: residues.len(),
            });
        }
        for (of_prime, modulus) in residues.chunks_exact(basis.degree()).zip(basis.moduli()) {
            check_reduced(of_prime, modulus)?;
        }
        Ok(Self::from_words(basis.clone(), residues.into()))
    }

    /// The basis.
    pub fn basis(&self) -> &RnsBasis {
        &self.basis
    }

    /// The N residues modulo prime number `prime` of the basis.
    ///
    /// # Panics
    /// If the basis has no such prime.
    pub fn residues(&self, prime: usize) -> &[u64] {
        let degree = self.basis.degree();
        &self.words.as_slice()[prime * degree..(prime + 1) * degree]
    }

    /// The same, to write. The writer keeps every word below the prime: operations on others give wrong residues, and
    /// panic in debug builds, but touch no other memory.
    ///
    /// # Panics
    /// If the basis has no such prime.
    pub fn residues_mut(&mut self, prime: usize) -> &mut [u64] {
        let degree = self.basis.degree();
        &mut self.words.as_mut_slice()[prime * degree..(prime + 1) * degree]
    }

    /// `self += other`.
    pub fn add_assign(&mut self, other: &Self) -> Result<(), RingError> {
        self.binary(Binary::Add, other)
    }

    /// `self -= other`.
    pub fn sub_assign(&mut self, other: &Self) -> Result<(), RingError> {
        self.binary(Binary::Sub, other)
    }

    /// `self = -self`.
    pub fn neg_assign(&mut self) {
        let basis = self.basis.clone();
        for (prime, modulus) in basis.moduli().iter().enumerate() {
            pointwise::neg_assign(basis.runnable(), modulus, self.residues_mut(prime));
        }
    }

    /// `self = factor * self`, one reduced factor for every prime (an integer, or a constant of the residue system).
    pub fn scale_assign(&mut self, factors: &[u64]) -> Result<(), RingError> {
        let basis = self.basis.clone();
        if factors.len() != basis.moduli().len() {
            return Err(RingError::Length {
                what: "factors",
                expected: basis.moduli().len(),
                actual: factors.len(),
            });
        }
        for (&factor, modulus) in factors.iter().zip(basis.moduli()) {
            check_reduced(&[factor], modulus)?;
        }
        for (prime, (&factor, modulus)) in factors.iter().zip(basis.moduli()).enumerate() {
            pointwise::scale_assign(basis.runnable(), modulus, self.residues_mut(prime), factor);
        }
        Ok(())
    }

    /// Zero, in either domain, in the memory of this polynomial.
    pub fn into_zero<E: Domain>(mut self) -> Poly<E> {
        self.words.as_mut_slice().fill(0);
        Poly::from_words(self.basis, self.words)
    }

    fn binary(&mut self, op: Binary, other: &Self) -> Result<(), RingError> {
        self.basis.check_same(&other.basis)?;
        for (prime, modulus) in other.basis.moduli().iter().enumerate() {
            let runnable = self.basis.runnable();
            pointwise::assign(runnable, modulus, op, self.residues_mut(prime), other.residues(prime));
        }
        Ok(())
    }

    fn from_words(basis: RnsBasis, words: Words) -> Self {
        Self {
            basis,
            words,
            domain: PhantomData,
        }
    }
}

impl Poly<Coefficients> {
    /// The polynomial with these N small coefficients, X^0 first: each below every prime in absolute value for constant
    /// time, any others are reduced.
    pub fn from_signed(basis: &RnsBasis, coefficients: &[i64]) -> Result<Self, RingError> {
        if coefficients.len() != basis.degree() {
            return Err(RingError::Length {
                what: "coefficients",
                expected: basis.degree(),
                actual: coefficients.len(),
            });
        }
        let mut poly = Self::unset(basis);
        for (prime, modulus) in basis.moduli().iter().enumerate() {
            let (q, residues) = (modulus.value() as i64, poly.residues_mut(prime));
            // Without an early exit: the coefficients may be secret, that all are small is not.
            // The sign of either difference is set where one is not; wrapped around, where it is of any size.
            let signs = |&c: &i64| c.wrapping_add(q - 1) | (q - 1).wrapping_sub(c);
            if coefficients.iter().fold(0, |all, c| all | signs(c)) >= 0 {
                pointwise::residues_of(basis.runnable(), modulus, coefficients, residues);
            } else {
                pointwise::multiples_of(basis.runnable(), modulus, 1, coefficients, residues);
            }
        }
        Ok(poly)
    }

    /// The transform, in place.
    pub fn into_evaluations(mut self) -> Poly<Evaluations> {
        for (words, plan) in self
            .words
            .as_mut_slice()
            .chunks_exact_mut(self.basis.degree())
            .zip(self.basis.plans())
        {
            plan.forward(words);
        }
        Poly::from_words(self.basis, self.words)
    }
}

impl Poly<Evaluations> {
    /// The inverse transform, in place.
    pub fn into_coefficients(mut self) -> Poly<Coefficients> {
        for (words, plan) in self
            .words
            .as_mut_slice()
            .chunks_exact_mut(self.basis.degree())
            .zip(self.basis.plans())
        {
            plan.inverse(words);
        }
        Poly::from_words(self.basis, self.words)
    }

    /// The inverse transform, in place, for some coefficients; all others are zero ([`crate::NttPlan::inverse_runs`]).
    ///
    /// # Panics
    /// If the stride of the runs is longer than the degree.
    pub fn into_runs(mut self, runs: &Runs) -> Poly<Coefficients> {
        let words = self.words.as_mut_slice().chunks_exact_mut(self.basis.degree());
        words
            .zip(self.basis.plans())
            .for_each(|(words, plan)| plan.inverse_runs(words, runs));
        Poly::from_words(self.basis, self.words)
    }

    /// f(X^g) for f(X).
    pub fn image(&self, automorphism: &Automorphism) -> Result<Self, RingError> {
        let mut image = Self::zero(&self.basis);
        for prime in 0..self.basis.moduli().len() {
            automorphism.apply(self.residues(prime), image.residues_mut(prime))?;
        }
        Ok(image)
    }

    /// `self *= other`, the product of the ring.
    pub fn mul_assign(&mut self, other: &Self) -> Result<(), RingError> {
        self.binary(Binary::Mul, other)
    }

    /// `self *= other`, of which the first primes are those of `self`.
    ///
    /// # Errors
    /// [`RingError::BasisMismatch`] when they are not.
    pub fn mul_assign_by_wider(&mut self, other: &Self) -> Result<(), RingError> {
        self.basis.check_first(&other.basis)?;
        let basis = self.basis.clone();
        for (prime, modulus) in basis.moduli().iter().enumerate() {
            pointwise::assign(
                basis.runnable(),
                modulus,
                Binary::Mul,
                self.residues_mut(prime),
                other.residues(prime),
            );
        }
        Ok(())
    }

    /// `out = self * other`.
    pub fn mul_into(&self, other: &Self, out: &mut Self) -> Result<(), RingError> {
        out.basis.check_same(&self.basis)?;
        out.words.as_mut_slice().copy_from_slice(self.words.as_slice());
        out.mul_assign(other)
    }

    /// `self += left * right`.
    pub fn mul_add_assign(&mut self, left: &Self, right: &Self) -> Result<(), RingError> {
        self.basis.check_same(&left.basis)?;
        self.basis.check_same(&right.basis)?;
        for (prime, modulus) in left.basis.moduli().iter().enumerate() {
            let runnable = self.basis.runnable();
            let (left, right) = (left.residues(prime), right.residues(prime));
            pointwise::mul_add_assign(runnable, modulus, self.residues_mut(prime), left, right);
        }
        Ok(())
    }

    /// The sum of `block * poly` over all terms.
    ///
    /// # Errors
    /// [`RingError::BasisMismatch`] when a term is of another basis.
    pub fn sum_of_block_products(basis: &RnsBasis, terms: &[(&BlockConstant, &Self)]) -> Result<Self, RingError> {
        for (block, poly) in terms {
            basis.check_same(&block.basis)?;
            basis.check_same(&poly.basis)?;
        }
        let mut sum = Self::unset(basis);
        for (prime, modulus) in basis.moduli().iter().enumerate() {
            let residues = sum.residues_mut(prime);
            let of_prime: Vec<BlockTerm<'_>> = terms.iter().map(|(block, poly)| block.term(prime, poly)).collect();
            let (first, others) = of_prime.split_at(of_prime.len().min(MAX_TERMS));
            pointwise::block_products(basis.runnable(), modulus, residues, first, Former::Replaced);
            for terms in others.chunks(MAX_TERMS) {
                pointwise::block_products(basis.runnable(), modulus, residues, terms, Former::Added);
            }
        }
        Ok(sum)
    }

    /// `self += left * right` for every pair: several in one call cost less than one by one.
    pub fn add_products<'a>(&mut self, pairs: impl IntoIterator<Item = [&'a Self; 2]>) -> Result<(), RingError> {
        let pairs: Vec<[&Self; 2]> = pairs.into_iter().collect();
        let mut factors = pairs.iter().flatten();
        factors.try_for_each(|factor| self.basis.check_same(&factor.basis))?;
        let basis = self.basis.clone();
        for (prime, modulus) in basis.moduli().iter().enumerate() {
            let terms: Vec<[&[u64]; 2]> = pairs.iter().map(|pair| pair.map(|factor| factor.residues(prime))).collect();
            pointwise::add_products(basis.runnable(), modulus, self.residues_mut(prime), &terms);
        }
        Ok(())
    }
}

/// A polynomial whose evaluations are the same over blocks of neighbouring slots, one word for each: one in X^w, of w slots to a block
/// ([`crate::NttPlan`]). May be secret: never printed.
pub struct BlockConstant {
    basis: RnsBasis,
    log2_width: u32,
    /// Prime after prime.
    words: Vec<u64>,
}

impl BlockConstant {
    /// From N / `width` residues for each prime, prime after prime; `width` is a power of two, at most N. Every residue is checked.
    ///
    /// # Errors
    /// [`RingError`] for another width, another number of words or a word that is no residue.
    pub fn new(basis: &RnsBasis, width: usize, words: Vec<u64>) -> Result<Self, RingError> {
        if !width.is_power_of_two() || width > basis.degree() {
            return Err(RingError::Shape {
                expected: "blocks of a power of two of slots",
                actual: width,
            });
        }
        if words.len() != basis.words() / width {
            return Err(RingError::Length {
                what: "residues",
                expected: basis.words() / width,
                actual: words.len(),
            });
        }
        for (of_prime, modulus) in words.chunks_exact(basis.degree() / width).zip(basis.moduli()) {
            check_reduced(of_prime, modulus)?;
        }
        Ok(Self {
            basis: basis.clone(),
            log2_width: width.trailing_zeros(),
            words,
        })
    }

    /// Words in memory.
    pub fn words(&self) -> usize {
        self.words.len()
    }

    fn term<'a>(&'a self, prime: usize, poly: &'a Poly<Evaluations>) -> BlockTerm<'a> {
        let blocks = self.basis.degree() >> self.log2_width;
        BlockTerm {
            constants: &self.words[prime * blocks..(prime + 1) * blocks],
            log2_width: self.log2_width,
            values: poly.residues(prime),
        }
    }
}

impl<D: Domain> Zeroize for Poly<D> {
    fn zeroize(&mut self) {
        self.words.zeroize();
    }
}

impl<D: Domain> PartialEq for Poly<D> {
    fn eq(&self, other: &Self) -> bool {
        self.basis == other.basis && self.words.as_slice() == other.words.as_slice()
    }
}

impl<D: Domain> Eq for Poly<D> {}

impl<D: Domain> fmt::Debug for Poly<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Poly({}, {:?})", D::NAME, self.basis)
    }
}
