//! The one error of the crate.

use thiserror::Error;

/// What can be wrong with the parameters or the operands of a ring.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RingError {
    /// A modulus is not an odd prime below 2^50.
    #[error("modulus: expected an odd prime below 2^50, got {actual}")]
    Modulus {
        /// The refused number.
        actual: u64,
    },
    /// A degree is not one of the powers of two the transforms are built for.
    #[error("degree: expected a power of two in {min}..={max}, got {actual}")]
    Degree {
        /// Smallest degree.
        min: usize,
        /// Largest degree.
        max: usize,
        /// The refused number.
        actual: usize,
    },
    /// A prime has no primitive 2N-th root of unity.
    #[error("prime {modulus}: expected 1 modulo {order}, got {actual}")]
    NoRoot {
        /// The prime.
        modulus: u64,
        /// Twice the degree.
        order: u64,
        /// The prime modulo `order`.
        actual: u64,
    },
    /// A basis names one prime twice.
    #[error("expected distinct primes, got {actual} twice")]
    RepeatedPrime {
        /// The repeated prime.
        actual: u64,
    },
    /// A bit size for primes is outside the supported range.
    #[error("prime size: expected {min}..={max} bits, got {actual}")]
    PrimeBits {
        /// Fewest bits.
        min: u32,
        /// Most bits.
        max: u32,
        /// The refused number.
        actual: u32,
    },
    /// There are fewer primes of the wanted form than asked for.
    #[error("expected {expected} primes below 2^{bits} that are 1 modulo 2 * {degree}, got {actual}")]
    TooFewPrimes {
        /// How many were asked for.
        expected: usize,
        /// How many there are.
        actual: usize,
        /// The bit size asked for.
        bits: u32,
        /// The degree asked for.
        degree: usize,
    },
    /// A slice has the wrong length.
    #[error("{what}: expected {expected} words, got {actual}")]
    Length {
        /// Which operand.
        what: &'static str,
        /// Length the shape asks for.
        expected: usize,
        /// Length found.
        actual: usize,
    },
    /// A residue is not reduced.
    #[error("residue {index}: expected less than {modulus}, got {actual}")]
    Residue {
        /// Position in the slice.
        index: usize,
        /// The prime.
        modulus: u64,
        /// The refused number.
        actual: u64,
    },
    /// Two polynomials of different bases meet.
    #[error("basis: expected {expected}, got {actual}")]
    BasisMismatch {
        /// Basis of the left operand, in words.
        expected: String,
        /// Basis of the right operand, in words.
        actual: String,
    },
    /// A basis has no prime.
    #[error("basis: expected at least one prime, got none")]
    NoPrimes,
    /// A modular matrix product sums more terms than its accumulators hold.
    #[error("matrix product: expected at most {max} terms in a sum, got {actual}")]
    TooManyTerms {
        /// Most terms.
        max: usize,
        /// Terms of the shape.
        actual: usize,
    },
    /// A shape has a dimension of zero, or its classes do not divide the degree.
    #[error("shape: expected {expected}, got {actual}")]
    Shape {
        /// The rule.
        expected: &'static str,
        /// The dimension found.
        actual: usize,
    },
    /// A kernel was asked for that this machine cannot run.
    #[error("backend: expected one that this machine runs, got {actual}")]
    Backend {
        /// Name of the backend.
        actual: &'static str,
    },
}
