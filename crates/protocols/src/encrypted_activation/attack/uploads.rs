//! Reading a ciphertext's c0 as if no mask lay over the numbers in it.

use ndarray::Array2;

use crate::encrypted_activation::{Direction, Sealing};

/// Bytes of a ciphertext's seed.
const SEED: usize = 32;

/// What stands in c0 where the layout puts a batch: `[rows, width]`, up to the scale.
pub fn read(sealing: &Sealing, direction: Direction, upload: &[u8], rows: usize) -> Array2<f64> {
    let (bits, dropped, modulus) = form(sealing, upload.len());
    Array2::from_shape_fn((rows, sealing.layout(direction).inputs), |(row, column)| {
        let first = SEED * 8 + bits * place(sealing, direction, row, column);
        let read = |bit: usize| u64::from(upload[bit / 8] >> (bit % 8) & 1);
        let residue = (0..bits).map(|bit| read(first + bit) << bit).sum::<u64>() << dropped;
        let centred = if residue > modulus / 2 {
            residue as i64 - modulus as i64
        } else {
            residue as i64
        };
        centred as f64
    })
}

/// The upload of a batch had its ciphertext no mask: what [`read`] reads exactly, but for the dropped bits.
pub fn without_mask(sealing: &Sealing, direction: Direction, len: usize, batch: &Array2<f64>) -> Vec<u8> {
    let (bits, dropped, modulus) = form(sealing, len);
    let mut upload = vec![0; len];
    for ((row, column), value) in batch.indexed_iter() {
        let residue = (value * 2f64.powi(24)).round() as i64;
        let packed = residue.rem_euclid(modulus as i64) as u64 >> dropped;
        let first = SEED * 8 + bits * place(sealing, direction, row, column);
        for bit in (0..bits).filter(|bit| packed >> bit & 1 == 1) {
            upload[(first + bit) / 8] |= 1 << ((first + bit) % 8);
        }
    }
    upload
}

/// Bits of a coefficient on the wire, bits left out below them, and the modulus.
fn form(sealing: &Sealing, len: usize) -> (usize, usize, u64) {
    let modulus = &sealing.parameters().basis().moduli()[0];
    let bits = (len - SEED) * 8 / sealing.parameters().degree();
    (bits, modulus.bits() as usize - bits, modulus.value())
}

/// The coefficient of a number, for a batch that fits one ciphertext (see `cloven_lattice::linear`).
fn place(sealing: &Sealing, direction: Direction, row: usize, column: usize) -> usize {
    let layout = sealing.layout(direction);
    assert!(row < layout.samples && layout.input_blocks() == 1, "one ciphertext a batch");
    layout.block_outputs * (row * layout.block_inputs + layout.block_inputs - 1 - column)
}
