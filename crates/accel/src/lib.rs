//! Matrix products of an enclave at workers that it does not trust: the arithmetic of Tempo (arXiv 2401.11531) without protocol or network.
//!
//! An enclave trains a network; the products of its linear layers, y = x W, dW = x^T g and dx = g W^T, are computed by others. Here is what each side
//! does with one product; who talks to whom, and why the enclave is to be trusted, is elsewhere.
//!
//! | item | whose | what it is |
//! |---|---|---|
//! | [`residue_products`], [`float_products`] | worker | the products: exact modulo four small primes, or in f32; batched, operands transposed without copies |
//! | [`job`] | both | what a worker is asked for and what it answers, as bytes; a worker on this machine's processor or another device |
//! | [`gpu`] | worker | a device out of the kernels that `accel-wgpu` and `accel-cuda` bring |
//! | [`convolution`] | both | images to rows of patches and back, so that the enclave shares images and a worker does the rest |
//! | [`Words`], [`Residues`] | both, worker | integers modulo M = 251 * 241 * 239 * 233: as they are sent, and as they are multiplied |
//! | [`masked`] | enclave | both operands as secret shares, one for each of three workers; the product from their answers |
//! | [`permuted`] | enclave | the paper's blinding by signed permutations: obfuscation |
//! | [`freivalds`] | enclave | whether a product is right, for three matrix-vector products |
//! | [`sharding`] | both | a product in pieces for several workers |
//! | [`Backend`] | worker, enclave | scalar, AVX2 or AVX-512 VNNI, chosen at run time; all give the same integers |
//!
//! | blinding | a worker learns | hidden by |
//! |---|---|---|
//! | [`masked`] | shapes, times, which products share an operand | shares that are uniform; two workers that collude learn everything |
//! | [`permuted`] | all of that, and all numbers up to order and sign; pictures, with colours exchanged; everything, if it knows the weights that training began with | nothing that holds |
//! | none | everything | |
//!
//! `unsafe` is confined to the vector instructions, each licensed by a [`Backend`] that only run-time detection makes, and to the call into `gemm`.

mod backend;
pub mod convolution;
mod error;
#[allow(unsafe_code)]
mod float;
pub mod freivalds;
pub mod gpu;
#[allow(unsafe_code)]
mod integer;
pub mod job;
pub mod masked;
mod parallel;
pub mod permuted;
mod residues;
mod shape;
pub mod sharding;
mod words;

pub use backend::Backend;
pub use error::AccelError;
pub use float::float_products;
pub use integer::{MAX_DEPTH, byte_products, residue_products, residue_products_on};
pub use residues::{MODULUS, PRIMES, Residues};
pub use shape::{Dimensions, Kind, Matrices, Shape, View};
pub use words::Words;
