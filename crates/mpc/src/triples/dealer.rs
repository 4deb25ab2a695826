//! A third party that deals triples.

use super::{
    Shape, TripleId,
    secret::{Used, data_mask, operand_mask, result_share},
};
use crate::{MpcError, boolean::Seed, circuit::Party, shares::Matrix, wire::expect_count};

/// The sizes of a holder's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataShape {
    /// Rows: the same at all holders.
    pub rows: usize,
    /// Columns of this holder.
    pub columns: usize,
}

/// Who makes triples from the seeds that it has in common with each holder, and sees no data. Wiped on drop.
pub struct Dealer {
    holders: Vec<(Seed, DataShape)>,
    used: Used,
}

impl Dealer {
    /// The dealer of holders 0, 1, ..., who have the same seeds in their [`super::TripleSecret`].
    ///
    /// # Errors
    /// [`MpcError::Count`] for fewer than two or more than [`crate::boolean::MAX_PARTIES`], or data beyond [`Matrix::MAX_WORDS`].
    pub fn new(holders: Vec<(Seed, DataShape)>) -> Result<Self, MpcError> {
        expect_count("holders", holders.len(), 2, crate::boolean::MAX_PARTIES)?;
        for (_, shape) in &holders {
            let words = shape.rows.saturating_mul(shape.columns);
            expect_count("words of a matrix", words, 0, Matrix::MAX_WORDS)?;
        }
        let used = Used::default();
        Ok(Self { holders, used })
    }

    /// c_j = A_b B - c_i, for the operand's holder, whose operand has `width` columns; `batch` are the numbers of the rows.
    ///
    /// # Errors
    /// [`MpcError::Count`] for a holder or a row that there is not; [`MpcError::Mismatch`] for one holder twice; [`MpcError::Used`] for a batch that
    /// is not above the last one of its pair and product.
    pub fn deal(&mut self, id: TripleId, batch: &[usize], width: usize) -> Result<Vec<u8>, MpcError> {
        let (data_seed, DataShape { rows, columns }) = self.holder(id.data)?;
        let (operand_seed, _) = self.holder(id.operand)?;
        let shape = Shape {
            batch: batch.len(),
            columns: *columns,
            width,
        };
        let mask = data_mask(data_seed, *rows, *columns).select(batch)?;
        let mut c = id.product.of(&mask, &operand_mask(operand_seed, id, shape)?)?;
        c.sub_assign(&result_share(data_seed, id, shape)?)?;
        self.used.claim(id)?;
        Ok(c.encode())
    }

    fn holder(&self, party: Party) -> Result<&(Seed, DataShape), MpcError> {
        let index = usize::from(party.0);
        expect_count("as a holder's number", index, 0, self.holders.len() - 1)?;
        Ok(&self.holders[index])
    }
}
