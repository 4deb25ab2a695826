//! How activations and gradients are sealed: by lattice encryption, or by an ideal cipher that tests compare with.

mod helped;
mod ideal;
mod lattice;

use std::future::Future;

pub use helped::HelpedLattice;
pub use ideal::IdealCipher;
pub use lattice::{LatticeCipher, Sealing, ServerLattice};

use cloven_lattice::LatticeError;
use ndarray::ArrayD;

use crate::ProtocolError;

/// Which product a ciphertext belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// a to a U + bias.
    Forward,
    /// dy to dy U^T.
    Backward,
}

/// Lengths of sealed batches in bytes; both parties know them.
pub trait SealedLen {
    /// Length of a sealed batch of `rows` rows.
    fn sealed_len(&self, direction: Direction, rows: usize) -> usize;
    /// Length of the answer to it.
    fn answer_len(&self, direction: Direction, rows: usize) -> usize;
}

/// The key holder's side.
pub trait ClientCipher: SealedLen {
    /// Seals a batch `[rows, ...]`. `round` must be fresh for each batch of a direction.
    fn seal(&mut self, direction: Direction, round: u64, batch: &ArrayD<f32>) -> Result<Vec<u8>, LatticeError>;
    /// Opens the answer to a batch of `rows` rows: `[rows, ...]`.
    fn open(&mut self, direction: Direction, answer: &[u8], rows: usize) -> Result<ArrayD<f32>, LatticeError>;
}

/// The other party's side.
pub trait ServerCipher: SealedLen {
    /// Takes the layer: its weight `[outputs, inputs]` (PyTorch's layout) and its bias `[outputs]`.
    fn set_layer(&mut self, weight: &ArrayD<f32>, bias: Option<&ArrayD<f32>>) -> Result<(), LatticeError>;
    /// Multiplies a sealed batch by the layer. [`ProtocolError::Encryption`] is about the batch.
    fn answer(
        &mut self,
        direction: Direction,
        sealed: &[u8],
        rows: usize,
    ) -> impl Future<Output = Result<Vec<u8>, ProtocolError>>;
}
