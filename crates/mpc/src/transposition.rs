//! Bit matrices from columns to rows.

use crate::words;
use zeroize::Zeroize;

/// The bit matrix of one tile: columns of 8,192 bits. Wiped on drop.
///
/// Columns lie a few words apart, so that walking across them does not fall into the same lines of the cache.
pub(crate) struct Columns {
    words: Vec<u128>,
    width: usize,
}

/// Words of a column.
pub(crate) const COLUMN: usize = 64;
/// Rows of a tile.
pub(crate) const TILE: usize = 128 * COLUMN;
/// Words from one column to the next: an odd number of cache lines.
const STRIDE: usize = COLUMN + 4;

impl Columns {
    /// `width` columns of zeros, a multiple of 128.
    pub(crate) fn new(width: usize) -> Self {
        Self {
            words: vec![0; width * STRIDE],
            width,
        }
    }

    pub(crate) fn column(&mut self, index: usize) -> &mut [u128; COLUMN] {
        self.words[index * STRIDE..]
            .first_chunk_mut()
            .expect("a stride is longer than a column")
    }

    /// Writes the rows: `width / 128` words each; as many as `rows` has room for.
    pub(crate) fn write_rows(&self, rows: &mut [u128]) {
        let per_row = self.width / 128;
        let mut block = [[0u64; 2]; 128];
        for (word, rows) in rows.chunks_mut(128 * per_row).enumerate() {
            for part in 0..per_row {
                for (i, line) in block.iter_mut().enumerate() {
                    *line = halves(self.words[(part * 128 + i) * STRIDE + word]);
                }
                words::transpose(&mut block);
                for (row, line) in rows.chunks_exact_mut(per_row).zip(&block) {
                    row[part] = joined(*line);
                }
            }
        }
        block.zeroize();
    }
}

impl Drop for Columns {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

fn halves(word: u128) -> [u64; 2] {
    [word as u64, (word >> 64) as u64]
}

fn joined(halves: [u64; 2]) -> u128 {
    u128::from(halves[0]) | u128::from(halves[1]) << 64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    #[test]
    fn rows_hold_the_bits_of_the_columns() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for width in [128, 512] {
            let mut columns = Columns::new(width);
            for i in 0..width {
                rng.fill_bytes(bytemuck::cast_slice_mut(columns.column(i)));
            }
            // A tile that is not full, and whose last block is not full either.
            let count = 3 * 128 + 37;
            let mut rows = vec![0u128; count * width / 128];
            columns.write_rows(&mut rows);
            for (r, row) in rows.chunks(width / 128).enumerate() {
                for c in 0..width {
                    let expected = columns.column(c)[r / 128] >> (r % 128) & 1;
                    assert_eq!(row[c / 128] >> (c % 128) & 1, expected, "row {r}, column {c} of {width}");
                }
            }
        }
    }
}
