//! The side that holds the ciphertexts.

use cloven_ring::{Evaluations, Poly};

use super::SharedProduct;
use crate::{
    LatticeError,
    bits::pack,
    linear::fixed::check_size,
    parallel,
    randomness::SEED,
    stream::{Domain, Stream},
    wire::{check_len, read_residues},
};

/// Nanoseconds of reading a block, of multiplying two of them, and of bringing a sum of products to its wire form.
const READING: usize = 2_000;
pub(super) const PRODUCT: usize = 300;
pub(super) const FINISH: usize = 400;

/// An encrypted matrix, ready to be multiplied: ciphertexts and their public masks.
pub struct EncryptedFactor {
    /// b_it at index i T + t; b'_tj at index t J + j.
    pub(super) blocks: Vec<Poly<Evaluations>>,
    /// One for each t.
    pub(super) masks: Vec<Poly<Evaluations>>,
}

impl SharedProduct {
    /// Reads what [`SharedProduct::encrypt_left`] wrote. Every residue is checked.
    pub fn receive_left(&self, bytes: &[u8]) -> Result<EncryptedFactor, LatticeError> {
        check_len(self.left_len(), bytes)?;
        self.factor(bytes)
    }

    /// Reads what [`SharedProduct::encrypt_right`] wrote. Every residue is checked.
    pub fn receive_right(&self, bytes: &[u8]) -> Result<EncryptedFactor, LatticeError> {
        check_len(self.right_len(), bytes)?;
        self.factor(bytes)
    }

    /// The answer: A B, row by row, rounded; the rows of every block of rows fill whole bytes.
    pub fn multiply(&self, left: &EncryptedFactor, right: &EncryptedFactor) -> Result<Vec<u8>, LatticeError> {
        self.check_factors(left, right)?;
        let [rows, terms, columns] = self.blocks();
        // Column after column.
        let rights: Vec<&[u64]> = (0..columns)
            .flat_map(|j| right.blocks.iter().skip(j).step_by(columns).map(|block| block.residues(0)))
            .collect();
        let switch = self.switch();
        let mut out = Vec::with_capacity(self.answer_len());
        parallel::append(rows, columns * (terms * PRODUCT + FINISH), &mut out, |i, out| {
            let lefts: Vec<&[u64]> = left.blocks[i * terms..][..terms]
                .iter()
                .map(|block| block.residues(0))
                .collect();
            let mut sums = vec![0; columns * self.spaced.wanted()];
            self.spaced.coefficients(&lefts, &rights, &mut sums)?;
            let mut values = Vec::with_capacity(self.numbers_of(i));
            for row in 0..self.layout.samples_in(i, self.rows) {
                for (j, sums) in sums.chunks_exact(self.spaced.wanted()).enumerate() {
                    values.extend(self.wanted_of(row, j).map(|(at, _)| switch.apply(sums[at])));
                }
            }
            pack(&values, self.scales.response, out);
            Ok(())
        })?;
        Ok(out)
    }

    pub(super) fn check_factors(&self, left: &EncryptedFactor, right: &EncryptedFactor) -> Result<(), LatticeError> {
        let [rows, terms, columns] = self.blocks();
        check_size("blocks of the encrypted left matrix", rows * terms, left.blocks.len())?;
        check_size("blocks of the encrypted right matrix", terms * columns, right.blocks.len())
    }

    fn factor(&self, bytes: &[u8]) -> Result<EncryptedFactor, LatticeError> {
        let (seed, blocks) = bytes.split_at(SEED);
        let mut fixed = [0; SEED];
        fixed.copy_from_slice(seed);
        let blocks: Vec<&[u8]> = blocks.chunks(self.block_len()).collect();
        Ok(EncryptedFactor {
            blocks: parallel::map(blocks.len(), READING, |index| {
                read_residues(self.parameters.basis(), 0, blocks[index])
            })?,
            masks: self.masks(fixed),
        })
    }

    /// The public masks of a seed, one for each t.
    pub(super) fn masks(&self, seed: [u8; SEED]) -> Vec<Poly<Evaluations>> {
        let mut stream = Stream::new(Domain::Mask, &seed);
        let mask = |_| cloven_ring::sample::uniform(&mut stream, self.parameters.basis());
        (0..self.blocks()[1]).map(mask).collect()
    }
}
