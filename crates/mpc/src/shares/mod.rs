//! Additive shares of matrices over Z_2^64: numbers in fixed point, products, sharing, and shares of zero.
//!
//! All arithmetic is that of `u64` with wrap-around, so every result is exact modulo 2^64; [`FixedPoint`] says what a word means. A product of numbers at
//! 2^s and 2^t is at 2^(s+t): nothing is truncated here, and a number is right as long as it stays below 2^63 in magnitude at its scale.
//!
//! | item | what it is |
//! |---|---|
//! | [`Matrix`] | rows and columns of words; sums, products `a b` and `a^T b` |
//! | [`FixedPoint`] | numbers as words, and back |
//! | [`share`], [`expand`], [`reconstruct`] | additive sharing, where all shares but one are 32-byte seeds |
//! | [`PairwiseSetup`], [`PairwiseSeeds`], [`ZeroShares`] | shares of zero without communication, to re-randomise shares before they are opened |
//!
//! | party | learns |
//! |---|---|
//! | holder of a share | nothing, nor do all holders but one together |
//! | who gets all shares | their sum. The shares tell how they came about besides, unless each had a fresh share of zero added |

mod fixed_point;
mod matrix;
#[allow(unsafe_code)]
mod product;
mod sharing;
mod stream;
#[cfg(test)]
mod tests;
mod zero;

pub use fixed_point::FixedPoint;
pub use matrix::Matrix;
pub use product::Backend;
pub use sharing::{expand, reconstruct, share};
pub(crate) use stream::WordStream;
pub use zero::{PairwiseSeeds, PairwiseSetup, ZeroShares};
