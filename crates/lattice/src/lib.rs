//! Lattice encryption (RLWE) for the linear core: parameter sets that cannot be built outside the security table, secret and
//! public keys, and products that need no rotation, relinearisation or rescaling: encrypted rows with a plaintext matrix, plaintext rows
//! with an encrypted matrix that is updated in place, and two ciphertexts with each other. Where no single party may have the secret, [`collective`] has
//! the same in shares.
//!
//! | item | what it is |
//! |---|---|
//! | [`Parameters`] | ring degree and primes, inside the security table |
//! | [`SecretKey`], [`RandomnessKey`], [`Upload`] | seeded symmetric encryption; its randomness is a function of the data |
//! | [`PublicKey`], [`Flooding`] | encryption without the secret; hiding how a response was made |
//! | [`RoundingNoise`] | releasing decrypted numbers rounded and with noise |
//! | [`linear`] | matrix products on encrypted data |
//! | [`collective`] | n-of-n threshold encryption modulo 2^k, and linear layers whose weights nobody knows |
//! | [`Tensor`], [`centred_coefficients`] | products of ciphertexts; reading integers wider than a prime |
//! | [`RelinearisationKey`], [`Gadget`] | bringing a product back to two components |
//!
//! Numbers are fixed-point integers in polynomial *coefficients*, so that one product in R_q is a block of a matrix product; see
//! [`linear`].

mod bits;
pub mod collective;
mod crt;
mod encoding;
mod encryption;
mod error;
mod fraction;
mod hiding;
pub mod linear;
mod merging;
mod parallel;
mod parameters;
mod public;
mod randomness;
mod residue;
mod rounding;
mod spline;
mod stream;
mod switching;
mod tensor;
#[cfg(test)]
mod testing;
mod wire;

pub use crt::centred_coefficients;
pub use encryption::{Ciphertext, SecretKey, Upload};
pub use error::LatticeError;
pub use hiding::{Flooding, Secrecy};
pub use parameters::Parameters;
pub use public::PublicKey;
pub use randomness::RandomnessKey;
pub use rounding::RoundingNoise;
pub use switching::{Gadget, RelinearisationKey};
pub use tensor::Tensor;
