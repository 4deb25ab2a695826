//! The check of one worker's answer, on the shares that it was sent: after a decoded product was wrong, this names who lied.

use crate::{AccelError, Kind, PRIMES, Residues, Shape, error::expect, residue_products, residues::largest};
use rand::CryptoRng;

/// Coefficients for each prime: a wrong residue passes one with a probability of at most 1/233, all six with 2^-47.
const VECTORS: usize = 6;

/// That every product of a batch is that of its operands modulo each of the four primes. A wrong answer passes with a probability of at most 2^-47; draw
/// `rng` afresh after it came. Of a folded answer ([`crate::convolution`]) ask for the patches, or compute it again.
pub fn check_residues(
    kind: Kind,
    left: &Residues,
    right: &Residues,
    answer: &Residues,
    rng: &mut impl CryptoRng,
) -> Result<(), AccelError> {
    let (dimensions, _) = super::orient(kind, left.shape(), right.shape(), answer.shape())?;
    let shape = Shape::new(dimensions.batch, dimensions.columns, VECTORS)?;
    let coefficients = uniform(shape, rng);
    // R r and L (R r), for factors that are stored as they are or transposed.
    let inner = residue_products(transposed_if(kind == Kind::InputGradient), right, &coefficients)?;
    let expected = residue_products(transposed_if(kind == Kind::WeightGradient), left, &inner)?;
    let actual = residue_products(Kind::Forward, answer, &coefficients)?;
    expect("products", expected.values().len(), actual.values().len())?;
    let size = dimensions.rows * VECTORS;
    for (index, (expected, actual)) in expected.values().iter().zip(actual.values()).enumerate() {
        if expected != actual {
            let index = index % (dimensions.batch * size) / size;
            return Err(AccelError::WrongProduct { index });
        }
    }
    Ok(())
}

/// The kind of product whose left factor is stored so.
fn transposed_if(transposed: bool) -> Kind {
    match transposed {
        true => Kind::WeightGradient,
        false => Kind::Forward,
    }
}

/// Uniform residues.
fn uniform(shape: Shape, rng: &mut impl CryptoRng) -> Residues {
    let mut values = Vec::with_capacity(PRIMES.len() * shape.elements());
    for prime in 0..PRIMES.len() {
        values.extend((0..shape.elements()).map(|_| residue(prime, rng)));
    }
    Residues::from_centred(shape, values)
}

fn residue(prime: usize, rng: &mut impl CryptoRng) -> i8 {
    loop {
        let byte = rng.next_u32() as i8;
        if byte.unsigned_abs() <= largest(prime).unsigned_abs() {
            return byte;
        }
    }
}
