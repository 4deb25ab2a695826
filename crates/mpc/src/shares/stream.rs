//! Uniform words by position.

use super::Matrix;
use crate::{MpcError, prg::Prg};
use zeroize::{Zeroize, Zeroizing};

/// Blocks of two words that are made at a time.
const BATCH: usize = 64;

/// The uniform words of one secret and one purpose. Whoever has the secret has the same ones. Wiped on drop.
pub(crate) struct WordStream(Prg);

impl WordStream {
    /// The stream of `secret` for the purpose that `context` and `parts` name. Different purposes have independent streams.
    pub(crate) fn new(context: &str, secret: &[u8], parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        for part in std::iter::once(&secret).chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        let mut seed = Zeroizing::new([0; 16]);
        hasher.finalize_xof().fill(&mut *seed);
        hasher.zeroize();
        Self(Prg::new(u128::from_le_bytes(*seed)))
    }

    /// The first words of the stream as a matrix.
    pub(crate) fn matrix(&self, rows: usize, columns: usize) -> Result<Matrix, MpcError> {
        let mut matrix = Matrix::zeros(rows, columns)?;
        self.fill(0, matrix.words_mut());
        Ok(matrix)
    }

    /// The words from block `first` on, two to a block.
    pub(crate) fn fill(&self, mut first: u64, out: &mut [u64]) {
        let mut blocks = [0u128; BATCH];
        for words in out.chunks_mut(2 * BATCH) {
            let blocks = &mut blocks[..words.len().div_ceil(2)];
            self.0.fill(first, blocks);
            first += blocks.len() as u64;
            for (pair, block) in words.chunks_mut(2).zip(&*blocks) {
                let halves = [*block as u64, (*block >> 64) as u64];
                pair.copy_from_slice(&halves[..pair.len()]);
            }
        }
        blocks.zeroize();
    }
}
