//! What a holder draws for triples.

use super::{DataHalf, DataMask, OperandMask, Product, Shape, TripleId};
use crate::{
    MpcError,
    boolean::Seed,
    circuit::Party,
    shares::{Matrix, WordStream},
    wire::{expect_count, expect_equal},
};
use std::collections::HashMap;

const DATA: &str = "cloven mpc 2026 matrix triple data";
const OPERAND: &str = "cloven mpc 2026 matrix triple operand";
const RESULT: &str = "cloven mpc 2026 matrix triple result";

/// A holder's 32 secret bytes for one run, in common with the dealer or with nobody, and what was drawn from them. Wiped on drop.
pub struct TripleSecret {
    party: Party,
    seed: Seed,
    drawn: bool,
    used: Used,
}

impl TripleSecret {
    /// The secret of `party`. It is for one run and one value of this type.
    pub fn new(party: Party, seed: Seed) -> Self {
        Self {
            party,
            seed,
            drawn: false,
            used: Used::default(),
        }
    }

    /// The mask of this party's data, for the whole run.
    ///
    /// # Errors
    /// [`MpcError::Used`] for the second time: the mask of other data would give their difference away. [`MpcError::Count`] beyond
    /// [`Matrix::MAX_WORDS`].
    pub fn data_mask(&mut self, rows: usize, columns: usize) -> Result<DataMask, MpcError> {
        expect_count("words of a matrix", rows.saturating_mul(columns), 0, Matrix::MAX_WORDS)?;
        if std::mem::replace(&mut self.drawn, true) {
            let (what, index) = ("the mask of the data", 0);
            return Err(MpcError::Used { what, index });
        }
        Ok(data_mask(&self.seed, rows, columns))
    }

    /// The half with c_i, at the data's holder.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for another holder's triple; [`MpcError::Used`] for a batch that is not above the last one of its pair and product.
    pub fn data_half(&mut self, id: TripleId, shape: Shape) -> Result<DataHalf, MpcError> {
        expect_equal("as the number of the data's holder", id.data.0.into(), self.party.0.into())?;
        self.used.claim(id)?;
        DataHalf::new(id.product, shape, result_share(&self.seed, id, shape)?)
    }

    /// B, at the operand's holder; the half is complete with c_j.
    ///
    /// # Errors
    /// As [`Self::data_half`].
    pub fn operand_mask(&mut self, id: TripleId, shape: Shape) -> Result<OperandMask, MpcError> {
        expect_equal(
            "as the number of the operand's holder",
            id.operand.0.into(),
            self.party.0.into(),
        )?;
        self.used.claim(id)?;
        OperandMask::new(id.product, shape, operand_mask(&self.seed, id, shape)?)
    }
}

/// The next batch of each pair and product.
#[derive(Default)]
pub(super) struct Used(HashMap<(Party, Party, Product), u64>);

impl Used {
    /// Notes a triple; refuses one whose batch is not above the last one.
    pub(super) fn claim(&mut self, id: TripleId) -> Result<(), MpcError> {
        if id.data == id.operand {
            let (what, expected, actual) = ("holders of a triple", 2, 1);
            return Err(MpcError::Mismatch { what, expected, actual });
        }
        let next = self.0.entry((id.data, id.operand, id.product)).or_default();
        if id.batch < *next || id.batch == u64::MAX {
            let (what, index) = ("the triple of this batch", id.batch);
            return Err(MpcError::Used { what, index });
        }
        *next = id.batch + 1;
        Ok(())
    }
}

/// A, from the seed of the data's holder.
pub(super) fn data_mask(seed: &Seed, rows: usize, columns: usize) -> DataMask {
    DataMask::new(WordStream::new(DATA, &**seed, &[]), rows, columns)
}

/// B, from the seed of the operand's holder.
pub(super) fn operand_mask(seed: &Seed, id: TripleId, shape: Shape) -> Result<Matrix, MpcError> {
    stream(OPERAND, seed, id).matrix(id.product.operand_rows(shape), shape.width)
}

/// c_i, from the seed of the data's holder.
pub(super) fn result_share(seed: &Seed, id: TripleId, shape: Shape) -> Result<Matrix, MpcError> {
    stream(RESULT, seed, id).matrix(id.product.result_rows(shape), shape.width)
}

fn stream(context: &str, seed: &Seed, id: TripleId) -> WordStream {
    let product = match id.product {
        Product::Forward => 0,
        Product::Gradient => 1,
    };
    WordStream::new(
        context,
        &**seed,
        &[&[id.data.0, id.operand.0, product], &id.batch.to_le_bytes()],
    )
}
