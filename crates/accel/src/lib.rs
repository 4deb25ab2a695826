//! wip
#[allow(unsafe_code)]
mod backend;
mod error;
#[allow(unsafe_code)]
mod float;
#[allow(unsafe_code)]
mod integer;
pub mod masked;
mod parallel;
mod residues;
mod shape;

pub use backend::Backend;
pub use error::AccelError;
pub use float::float_products;
pub use integer::{MAX_DEPTH, byte_products, residue_products, residue_products_on};
pub use residues::{MODULUS, PRIMES, Residues};
pub use shape::{Dimensions, Kind, Matrices, Shape};
