//! The arithmetic floor of Cloven: Z_q and `R_q = Z_q[X]/(X^N + 1)` for odd primes q below 2^50.
//!
//! | item | what it is |
//! |---|---|
//! | [`Modulus`], [`ntt_primes`] | one prime and its scalar arithmetic; the primes a degree allows |
//! | [`NttPlan`] | the negacyclic transform, its order of slots, and the short transform of a subring |
//! | [`RnsBasis`], [`Poly`] | several primes at once; polynomials with their domain in the type |
//! | [`product`] | modular matrix products: many block-constant multiples of polynomials, summed |
//! | [`low_degree`] | sums of products with polynomials of low degree |
//! | [`FractionLimbs`] | coefficients as fractions of the modulus |
//! | [`SpacedProduct`] | sums of products of which every D-th coefficient is wanted |
//! | [`Automorphism`] | f(X) to f(X^g), on evaluations |
//! | [`TensorSum`] | sums of products of ciphertexts |
//! | [`sample`] | uniform, ternary and Gaussian polynomials |
//! | [`Backend`] | scalar, AVX2 or AVX-512 IFMA kernels, chosen at run time; all give the same numbers |
//!
//! Residues are words in `0..q`, on the way in and on the way out. The primes stay below 2^50 so that a residue fits a lane of
//! the 52-bit multiplier with two bits to spare, and an f64 exactly.
//!
//! ```
//! use cloven_ring::{Coefficients, Poly, RnsBasis, ntt_primes};
//!
//! # fn main() -> Result<(), cloven_ring::RingError> {
//! let basis = RnsBasis::new(16, &ntt_primes(50, 16, 2)?)?;
//! let mut x = [0; 16];
//! x[15] = 3; // 3 X^15
//! let a = Poly::from_signed(&basis, &x)?.into_evaluations();
//! let mut square = a.clone();
//! square.mul_assign(&a)?;
//! let square: Poly<Coefficients> = square.into_coefficients();
//! let q = basis.moduli()[0];
//! assert_eq!(q.centred(square.residues(0)[14]), -9); // X^30 = -X^14
//! # Ok(())
//! # }
//! ```
//!
//! `unsafe` is confined to the modules of the two vector backends: the call into code compiled for their features, licensed by
//! a token that only run-time detection makes, and loads and stores through references of the right size.

mod automorphism;
mod backend;
mod basis;
mod error;
mod fractions;
pub mod low_degree;
mod modulus;
mod ntt;
mod pointwise;
mod poly;
mod primes;
pub mod product;
pub mod sample;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod simd256;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod simd512;
mod spaced;
mod tensor;
mod words;

pub use automorphism::Automorphism;
pub use backend::Backend;
pub use basis::RnsBasis;
pub use error::RingError;
pub use fractions::{FractionLimbs, LIMB};
pub use modulus::Modulus;
pub use ntt::{NttPlan, Runs};
pub use poly::{BlockConstant, Coefficients, Domain, Evaluations, Poly};
pub use primes::ntt_primes;
pub use spaced::SpacedProduct;
pub use tensor::{Pair, TensorSum};
