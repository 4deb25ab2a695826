//! The side that holds the ciphertexts.

use cloven_ring::{Coefficients, Evaluations, Poly};

use super::SharedProduct;
use crate::{
    LatticeError,
    bits::pack,
    linear::fixed::check_size,
    parallel,
    randomness::SEED,
    stream::{Domain, Stream},
    wire::{check_len, read_residues, write_residues},
};

/// Nanoseconds of reading a block, of multiplying two polynomials, and of bringing a sum to its wire form.
const READING: usize = 2_000;
const PRODUCT: usize = 700;
const FINISH: usize = 4_000;

/// An encrypted matrix, ready to be multiplied.
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

    /// The answer A B: d, all u_i, all v_j, and what is wanted of c_ij, j fastest.
    pub fn multiply(&self, left: &EncryptedFactor, right: &EncryptedFactor) -> Result<Vec<u8>, LatticeError> {
        let [rows, terms, columns] = self.blocks();
        check_size("blocks of the encrypted left matrix", rows * terms, left.blocks.len())?;
        check_size("blocks of the encrypted right matrix", terms * columns, right.blocks.len())?;
        let mut out = Vec::with_capacity(self.answer_len());
        write_residues(&self.sum(left.masks.iter().zip(&right.masks))?, 0, &mut out);
        let of_row = |i: usize| left.blocks.iter().skip(i * terms).take(terms);
        let of_column = |j: usize| right.blocks.iter().skip(j).step_by(columns);
        let switch = self.switch();
        let finish = |sum: Poly<Evaluations>, out: &mut Vec<u8>| {
            let sum = sum.into_coefficients();
            let values: Vec<u64> = sum.residues(0).iter().map(|&c| switch.apply(c)).collect();
            pack(&values, self.scales.response, out);
        };
        let cost = terms * PRODUCT + FINISH;
        parallel::append(rows + columns, cost, &mut out, |index, out| {
            let sum = match index.checked_sub(rows) {
                None => self.sum(of_row(index).zip(&right.masks))?,
                Some(j) => self.sum(left.masks.iter().zip(of_column(j)))?,
            };
            finish(sum, out);
            Ok(())
        })?;
        parallel::append(rows, columns * cost, &mut out, |i, out| {
            let mut values = Vec::new();
            for j in 0..columns {
                let sum: Poly<Coefficients> = self.sum(of_row(i).zip(of_column(j)))?.into_coefficients();
                let residues = sum.residues(0);
                values.clear();
                values.extend(self.layout.wanted(i, j, self.rows).map(|at| switch.apply(residues[at])));
                pack(&values, self.scales.response, out);
            }
            Ok(())
        })?;
        Ok(out)
    }

    fn sum<'a>(
        &self,
        pairs: impl Iterator<Item = (&'a Poly<Evaluations>, &'a Poly<Evaluations>)>,
    ) -> Result<Poly<Evaluations>, LatticeError> {
        let mut sum = Poly::zero(self.parameters.basis());
        sum.add_products(pairs.map(|(left, right)| [left, right]))?;
        Ok(sum)
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
