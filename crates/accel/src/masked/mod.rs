//! Blinding by secret sharing in the enclave (`blinding = "masked"`): each of three workers multiplies a share of both operands.
//!
//! The setting is that of Tempo (arXiv 2401.11531): a trusted enclave, untrusted workers that compute the matrix products. Its own blinding is
//! [`crate::permuted`]; this one replaces it. Both operands are integers modulo M = 251 * 241 * 239 * 233, Shamir-shared with degree 1:
//!
//! 1. [`Norms`], [`balanced_scales`], [`Quantised`]: operands in fixed point at scales at which their product cannot wrap.
//! 2. [`Blinder::share`]: worker z in {1, 2, 3} gets X + z R and W + z S as [`Words`](crate::Words), R and S uniform and of this operand alone.
//! 3. Worker: the words' residues modulo each prime, [`crate::residue_products`], and words again. (X + z R)(W + z S) is a polynomial in z of degree 2, and X W
//!    its value at 0.
//! 4. [`decode`]: 3 Y1 - 3 Y2 + Y3 modulo M, the integer that this stands for, and back to numbers.
//!
//! The enclave computes modulo M, in words of 32 bits; four primes are the workers' way to multiply exactly with bytes, and theirs to convert to.
//!
//! | who | learns |
//! |---|---|
//! | one worker | shapes, times and which products share an operand; its shares are uniform whatever the operands are (as far as AES-128 in counter mode is pseudorandom) |
//! | two workers together | everything: any two shares of an operand give the operand |
//! | a worker that lies | whether the check of the product found it ([`crate::freivalds`]); decoding alone checks nothing |
//!
//! A worker must therefore hold the same z for a customer for ever, and a spare replaces one by its z.
//!
//! Cost. A plain product of `[m, k]` by `[k, n]` has m k n multiply-accumulates; the three workers do 12 m k n, on bytes. The enclave does
//! [`SHARE_OPERATIONS`] operations for every element of an operand, once for all the products that it appears in, and [`DECODE_OPERATIONS`] for every
//! element of a product.

mod decode;
pub(crate) mod fixed_point;
mod share;
#[allow(unsafe_code)]
mod stream;
#[cfg(test)]
mod tests;

pub use decode::{Decoded, decode, decode_on};
pub use fixed_point::{
    MAX_OPERAND, Norms, PRODUCT_BITS, Quantised, Scale, Side, balanced_scales, fitting_scale, product_bits, product_exponent,
};
pub use share::{Blinder, MaskedOperand};

/// Workers that a product needs, each with a share of its own.
pub const WORKERS: usize = 3;

/// Arithmetic operations of the enclave for one element of an operand: 5 for norms, 6 to quantise; 7 for a mask; 13 for three shares. A mask: 12 on a block of
/// 3.1 masks (counter, 11 rounds of the cipher), comparison and choice for each of 1.3 words. Shares: 3 to bring the integer into `0..M`, 1 for M - R, 3 for each
/// worker (difference, comparison, addition). Copies and bytes of messages are not counted.
pub const SHARE_OPERATIONS: u64 = 5 + 6 + 7 + (3 + 1 + 3 * 3);

/// Arithmetic operations of the enclave for one element of a product: 3 for each of four differences modulo M, 3 to centre, 3 for the number. Comparing each answer
/// with M while it is decoded from bytes: 3 more.
pub const DECODE_OPERATIONS: u64 = 4 * 3 + 3 + 3 + 3;
