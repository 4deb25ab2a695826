//! Random polynomials; the generator is an argument. Cryptographic use asks for ChaCha20 or its equal, from a
//! 32-byte seed.
//!
//! All samplers read the generator as a stream of little-endian 64-bit words, and only words they use, so a seed gives the
//! same polynomial on every backend and machine.
//!
//! * [`uniform`]: prime after prime, residue after residue: the next word masked to the bit length of the prime, words not
//!   below the prime skipped. The number skipped is public and independent of the residues kept.
//! * [`ternary`]: four coefficients to a word, by repeated multiplication by three (Lemire); the probability of any four is
//!   1/81 within a factor of 1 +- 2^-57. Constant time.
//! * [`gaussian`]: one word to a coefficient: the lowest bit is the sign, the other 63 are compared with *every* entry of
//!   the cumulative table of the magnitude. Constant time.

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod avx2;
mod cumulative;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod ifma;

pub use cumulative::{SIGMA, TAIL};

use crate::backend::Runnable;
use crate::pointwise;
use crate::{Coefficients, Domain, Modulus, Poly, RnsBasis};
use rand::Rng;
use zeroize::Zeroize;

/// Words drawn from the generator at a time.
const CHUNK: usize = 256;
/// Ternary coefficients made of one word.
const TRITS: usize = 4;

/// Uniform residues: a uniform polynomial in either domain.
pub fn uniform<D: Domain>(rng: &mut impl Rng, basis: &RnsBasis) -> Poly<D> {
    let mut poly = Poly::unset(basis);
    uniform_into(rng, &mut poly);
    poly
}

/// [`uniform`] without an allocation.
pub fn uniform_into<D: Domain>(rng: &mut impl Rng, poly: &mut Poly<D>) {
    let basis = poly.basis().clone();
    for (prime, modulus) in basis.moduli().iter().enumerate() {
        fill_uniform(rng, modulus, poly.residues_mut(prime));
    }
}

/// Coefficients uniform in -1, 0, 1.
pub fn ternary(rng: &mut impl Rng, basis: &RnsBasis) -> Poly<Coefficients> {
    let mut poly = Poly::unset(basis);
    ternary_into(rng, &mut poly);
    poly
}

/// [`ternary`] without an allocation.
pub fn ternary_into(rng: &mut impl Rng, poly: &mut Poly<Coefficients>) {
    fill_signed(rng, poly, TRITS, |words, coefficients| {
        for (word, four) in words.iter().zip(coefficients.chunks_mut(TRITS)) {
            let mut fraction = *word;
            for c in four {
                *c = ((u128::from(fraction) * 3) >> 64) as i64 - 1;
                fraction = fraction.wrapping_mul(3);
            }
        }
    });
}

/// Coefficients from the discrete Gaussian of parameter [`SIGMA`] = 3.19 on the integers, cut at [`TAIL`].
pub fn gaussian(rng: &mut impl Rng, basis: &RnsBasis) -> Poly<Coefficients> {
    let mut poly = Poly::unset(basis);
    gaussian_into(rng, &mut poly);
    poly
}

/// [`gaussian`] without an allocation.
pub fn gaussian_into(rng: &mut impl Rng, poly: &mut Poly<Coefficients>) {
    let runnable = poly.basis().runnable();
    fill_signed(rng, poly, 1, |words, coefficients| match runnable {
        Runnable::Scalar => cumulative::fill(words, coefficients),
        #[cfg(target_arch = "x86_64")]
        Runnable::Avx2(licence) => avx2::fill(licence, words, coefficients),
        #[cfg(target_arch = "x86_64")]
        Runnable::Ifma(licence) => ifma::fill(licence, words, coefficients),
    });
}

/// Integers from the distribution of [`gaussian`], read from the generator as its coefficients are. Constant time.
pub fn gaussian_integers(rng: &mut impl Rng, integers: &mut [i64]) {
    let mut words = [0; CHUNK];
    for integers in integers.chunks_mut(CHUNK) {
        let words = &mut words[..integers.len()];
        fill_words(rng, words);
        cumulative::fill(words, integers);
    }
    words.zeroize();
}

fn fill_uniform(rng: &mut impl Rng, modulus: &Modulus, residues: &mut [u64]) {
    let mask = u64::MAX >> (u64::BITS - modulus.bits());
    let mut kept = 0;
    while kept < residues.len() {
        // As many words as are missing, so none is lost.
        let start = kept;
        let candidates = &mut residues[start..];
        fill_words(rng, candidates);
        // The sign of the difference is the comparison. Of a prime just below a power of two nearly always all are kept.
        let mut below = u64::MAX;
        for candidate in candidates {
            *candidate &= mask;
            below &= candidate.wrapping_sub(modulus.value());
        }
        if below >> 63 == 1 {
            return;
        }
        // In place: what is kept moves down.
        for i in start..residues.len() {
            let candidate = residues[i];
            residues[kept] = candidate;
            kept += usize::from(candidate < modulus.value());
        }
    }
}

/// Fills a polynomial with small signed coefficients, `per_word` of them to a random word.
fn fill_signed(rng: &mut impl Rng, poly: &mut Poly<Coefficients>, per_word: usize, draw: impl Fn(&[u64], &mut [i64])) {
    let basis = poly.basis().clone();
    let (mut words, mut coefficients) = ([0; CHUNK], [0; CHUNK]);
    for start in (0..basis.degree()).step_by(CHUNK) {
        let coefficients = &mut coefficients[..CHUNK.min(basis.degree() - start)];
        let words = &mut words[..coefficients.len().div_ceil(per_word)];
        fill_words(rng, words);
        draw(words, coefficients);
        for (prime, modulus) in basis.moduli().iter().enumerate() {
            let residues = &mut poly.residues_mut(prime)[start..start + coefficients.len()];
            if modulus.value() > TAIL as u64 {
                pointwise::residues_of(basis.runnable(), modulus, coefficients, residues);
            } else {
                residues
                    .iter_mut()
                    .zip(&*coefficients)
                    .for_each(|(r, &c)| *r = modulus.from_signed(c));
            }
        }
    }
    words.zeroize();
    coefficients.zeroize();
}

/// The next words of the stream.
fn fill_words(rng: &mut impl Rng, words: &mut [u64]) {
    rng.fill_bytes(bytemuck::cast_slice_mut(words));
    words.iter_mut().for_each(|word| *word = u64::from_le(*word));
}
