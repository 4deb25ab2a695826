//! wip
#[allow(unsafe_code)]
mod backend;
mod error;
#[allow(unsafe_code)]
mod float;
pub mod freivalds;
#[allow(unsafe_code)]
mod integer;
pub mod job;
pub mod masked;
mod parallel;
pub mod permuted;
mod residues;
mod shape;
pub mod sharding;

pub use backend::Backend;
pub use error::AccelError;
pub use float::float_products;
pub use integer::{MAX_DEPTH, byte_products, residue_products, residue_products_on};
pub use residues::{MODULUS, PRIMES, Residues};
pub use shape::{Dimensions, Kind, Matrices, Shape};
