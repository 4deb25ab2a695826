//! Lattice encryption (RLWE) for the linear core: parameter sets that cannot be built outside the security table, secret keys, seeded
//! encryption, and products of encrypted rows with plaintext matrices that need no rotation, relinearisation or rescaling.
//!
//! Numbers are fixed-point integers in polynomial *coefficients*, so that one product in R_q is a block of a matrix product; see
//! [`linear`].

mod bits;
mod encryption;
mod error;
pub mod linear;
mod parameters;
mod stream;

pub use encryption::{Ciphertext, RandomnessKey, SecretKey, Upload};
pub use error::LatticeError;
pub use parameters::Parameters;
