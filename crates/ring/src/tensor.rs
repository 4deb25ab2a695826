//! Sums of products of pairs of polynomials: (a0 + a1 s)(b0 + b1 s) = a0 b0 + (a0 b1 + a1 b0) s + a1 b1 s^2.
//!
//! That is what a product of two ciphertexts is. With AVX-512 IFMA three products a term are enough (Karatsuba: the middle component is
//! (a0 + a1)(b0 + b1) less the two others; a sum of two residues still fits the 52-bit multiplier), their low and high halves are summed
//! unreduced, and each slot is reduced once, at the end.

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod ifma;

use crate::backend::Runnable;
use crate::words::Words;
use crate::{Evaluations, Poly, RingError, RnsBasis};

/// Slots that a kernel takes at a time.
const TILE: usize = 64;
/// Words that hold the unreduced sums of one slot: low and high half of the outer two components and of the product of the sums.
const HALVES: usize = 6;
/// Most terms between two reductions: the high half of a product of sums is below 2^50, and 2^9 of them below 2^59.
const MAX_TERMS: usize = 512;
/// Terms for which the sums are loaded and stored once.
const TOGETHER: usize = 8;

/// Two polynomials: the factors of 1 and of s.
pub type Pair<'a> = [&'a Poly<Evaluations>; 2];

/// A sum of products of pairs.
pub struct TensorSum {
    basis: RnsBasis,
    form: Form,
}

enum Form {
    /// The three components.
    Reduced(Box<[Poly<Evaluations>; 3]>),
    /// For every prime and every eight slots, [`HALVES`] vectors, none before the first terms; and the number of terms in them.
    #[cfg(target_arch = "x86_64")]
    Unreduced(Option<Words>, usize, crate::backend::Ifma),
}

/// One prime's residues of the four polynomials of a term.
type Residues<'a> = [&'a [u64]; 4];

impl TensorSum {
    /// An empty sum.
    pub fn zero(basis: &RnsBasis) -> Self {
        let form = match basis.runnable() {
            #[cfg(target_arch = "x86_64")]
            Runnable::Ifma(licence) if basis.degree().is_multiple_of(TILE) => Form::Unreduced(None, 0, licence),
            _ => Form::Reduced(Box::new([(); 3].map(|()| Poly::zero(basis)))),
        };
        Self {
            basis: basis.clone(),
            form,
        }
    }

    /// Adds the products of all pairs of `left` with their partners in `right`: several in one call cost less than one by one.
    pub fn add_products(&mut self, left: &[Pair<'_>], right: &[Pair<'_>]) -> Result<(), RingError> {
        self.check(left, right)?;
        for (left, right) in left.chunks(TOGETHER).zip(right.chunks(TOGETHER)) {
            self.add_few(left, right)?;
        }
        Ok(())
    }

    /// The components: the factors of 1, s and s^2.
    pub fn into_components(self) -> [Poly<Evaluations>; 3] {
        self.reduced(&[], &[])
    }

    /// [`TensorSum::add_products`] and then [`TensorSum::into_components`], for less: the unreduced sums of the last few terms are never stored.
    pub fn into_components_with(mut self, left: &[Pair<'_>], right: &[Pair<'_>]) -> Result<[Poly<Evaluations>; 3], RingError> {
        self.check(left, right)?;
        let before = (left.len().div_ceil(TOGETHER).saturating_sub(1)) * TOGETHER;
        for (left, right) in left[..before].chunks(TOGETHER).zip(right[..before].chunks(TOGETHER)) {
            self.add_few(left, right)?;
        }
        let (left, right) = (&left[before..], &right[before..]);
        match &self.form {
            #[cfg(target_arch = "x86_64")]
            Form::Unreduced(_, terms, _) if terms + left.len() <= MAX_TERMS => Ok(self.reduced(left, right)),
            _ => {
                self.add_few(left, right)?;
                Ok(self.reduced(&[], &[]))
            }
        }
    }

    /// The components of what was added and, where sums are kept unreduced, of these few terms.
    fn reduced(self, left: &[Pair<'_>], right: &[Pair<'_>]) -> [Poly<Evaluations>; 3] {
        match self.form {
            Form::Reduced(components) => *components,
            #[cfg(target_arch = "x86_64")]
            Form::Unreduced(sums, _, licence) => {
                let mut components = [(); 3].map(|()| Poly::zero(&self.basis));
                let words = HALVES * self.basis.degree();
                for (prime, modulus) in self.basis.moduli().iter().enumerate() {
                    let sums = sums.as_ref().map(|sums| &sums.as_slice()[prime * words..][..words]);
                    let residues = components.each_mut().map(|poly| poly.residues_mut(prime));
                    ifma::reduce(licence, modulus, sums, &terms_of(left, right, prime), residues);
                }
                components
            }
        }
    }

    fn check(&self, left: &[Pair<'_>], right: &[Pair<'_>]) -> Result<(), RingError> {
        if left.len() != right.len() {
            return Err(RingError::Length {
                what: "right factors of a sum of products",
                expected: left.len(),
                actual: right.len(),
            });
        }
        let mut polys = left.iter().chain(right).flatten();
        polys.try_for_each(|poly| self.basis.check_same(poly.basis()))
    }

    fn add_few(&mut self, left: &[Pair<'_>], right: &[Pair<'_>]) -> Result<(), RingError> {
        match &mut self.form {
            Form::Reduced(components) => {
                let [c0, c1, c2] = components.as_mut();
                for ([a0, a1], [b0, b1]) in left.iter().zip(right) {
                    c0.mul_add_assign(a0, b0)?;
                    c1.mul_add_assign(a0, b1)?;
                    c1.mul_add_assign(a1, b0)?;
                    c2.mul_add_assign(a1, b1)?;
                }
            }
            #[cfg(target_arch = "x86_64")]
            Form::Unreduced(sums, terms, licence) => {
                let words = HALVES * self.basis.degree();
                let sums = sums.get_or_insert_with(|| Words::zeros(HALVES * self.basis.words()));
                let full = *terms + left.len() > MAX_TERMS;
                *terms = left.len() + if full { 1 } else { *terms };
                let moduli = self.basis.moduli().iter().enumerate();
                for ((prime, modulus), sums) in moduli.zip(sums.as_mut_slice().chunks_exact_mut(words)) {
                    if full {
                        ifma::shrink(*licence, modulus, sums);
                    }
                    ifma::add(*licence, sums, &terms_of(left, right, prime));
                }
            }
        }
        Ok(())
    }
}

#[cfg(target_arch = "x86_64")]
fn terms_of<'a>(left: &[Pair<'a>], right: &[Pair<'a>], prime: usize) -> Vec<Residues<'a>> {
    let residues = |(a, b): (&Pair<'a>, &Pair<'a>)| [a[0], a[1], b[0], b[1]].map(|poly| poly.residues(prime));
    left.iter().zip(right).map(residues).collect()
}
