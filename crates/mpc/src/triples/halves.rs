//! The two halves of a triple, and the product that consumes them.

use super::{Product, Shape};
use crate::{MpcError, shares::Matrix};

/// What the data's holder has of a triple besides A_b: c_i. A product consumes it. Wiped on drop.
pub struct DataHalf {
    product: Product,
    shape: Shape,
    c: Matrix,
}

/// B at the operand's holder, which waits for c_j. Wiped on drop.
pub struct OperandMask {
    product: Product,
    shape: Shape,
    b: Matrix,
}

/// What the operand's holder has of a triple: B and c_j. A product consumes it. Wiped on drop.
pub struct OperandHalf {
    mask: OperandMask,
    c: Matrix,
}

impl DataHalf {
    /// A half with this c_i, of any source of triples.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] unless it has the result's shape.
    pub fn new(product: Product, shape: Shape, c: Matrix) -> Result<Self, MpcError> {
        c.expect_shape(product.result_rows(shape), shape.width)?;
        Ok(Self { product, shape, c })
    }

    /// c_i: who answers B under encryption with X_b B - c_i makes it so.
    pub fn c(&self) -> &Matrix {
        &self.c
    }

    /// Which product.
    pub fn product(&self) -> Product {
        self.product
    }

    /// The share A_b F + c_i (or A_b^T F + c_i), on the message of [`OperandHalf::multiply`] and the mask of the batch's rows; on that of
    /// [`OperandHalf::hide`] and the rows themselves, where A = X.
    ///
    /// # Errors
    /// [`MpcError::Length`]; [`MpcError::Mismatch`] for a mask of another shape.
    pub fn multiply(self, mask: &Matrix, message: &[u8]) -> Result<Matrix, MpcError> {
        mask.expect_shape(self.shape.batch, self.shape.columns)?;
        let masked = Matrix::decode(self.product.operand_rows(self.shape), self.shape.width, message)?;
        let mut share = self.product.of(mask, &masked)?;
        share.add_assign(&self.c)?;
        Ok(share)
    }
}

impl OperandMask {
    /// This B, of any source of triples.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] unless it has the operand's shape.
    pub fn new(product: Product, shape: Shape, b: Matrix) -> Result<Self, MpcError> {
        b.expect_shape(product.operand_rows(shape), shape.width)?;
        Ok(Self { product, shape, b })
    }

    /// B itself, to be encrypted and nothing else.
    pub fn matrix(&self) -> &Matrix {
        &self.b
    }

    /// The half, with c_j.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] unless it has the result's shape.
    pub fn with(self, c: Matrix) -> Result<OperandHalf, MpcError> {
        c.expect_shape(self.product.result_rows(self.shape), self.shape.width)?;
        Ok(OperandHalf { mask: self, c })
    }

    /// The half, with c_j as [`super::Dealer::deal`] sends it.
    ///
    /// # Errors
    /// [`MpcError::Length`].
    pub fn receive(self, message: &[u8]) -> Result<OperandHalf, MpcError> {
        let c = Matrix::decode(self.product.result_rows(self.shape), self.shape.width, message)?;
        self.with(c)
    }
}

impl OperandHalf {
    /// B.
    pub fn b(&self) -> &Matrix {
        &self.mask.b
    }

    /// c_j.
    pub fn c(&self) -> &Matrix {
        &self.c
    }

    /// The share E_b W + c_j (or E_b^T D + c_j) from the masked data's rows of the batch and the operand, and the message W - B for the data's holder.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for rows or an operand of another shape.
    pub fn multiply(self, masked: &Matrix, operand: &Matrix) -> Result<(Matrix, Vec<u8>), MpcError> {
        let OperandMask { product, shape, .. } = &self.mask;
        masked.expect_shape(shape.batch, shape.columns)?;
        let mut share = product.of(masked, operand)?;
        share.add_assign(&self.c)?;
        let (_, message) = self.hide(operand)?;
        Ok((share, message))
    }

    /// The same where A = X, so that E = 0: the share c_j, and the message.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for an operand of another shape.
    pub fn hide(self, operand: &Matrix) -> Result<(Matrix, Vec<u8>), MpcError> {
        let mut hidden = operand.clone();
        hidden.sub_assign(&self.mask.b)?;
        Ok((self.c, hidden.encode()))
    }
}
