//! A product in pieces, for several workers or for one with little memory: which blocks of the operands each needs, and the product from theirs.
//!
//! | pieces | of | put together by |
//! |---|---|---|
//! | [`Split::Rows`] ("data") | rows of the left factor, all of the right | one below the other |
//! | [`Split::Columns`] ("column") | columns of the right factor, all of the left | side by side |
//! | [`Split::Inner`] ("row block") | terms of the sums, some of both factors | addition |
//! | [`Split::Batch`] | matrices of a batch | one after the other |
//!
//! Under `masked` the pieces are of shares, and every piece goes to three workers; a sum of pieces is one modulo M.

use crate::{
    AccelError, Dimensions, Kind, Matrices, Shape, Words,
    error::expect,
    words::{M, subtract},
};
use std::ops::{AddAssign, Range};

/// Along which side a product is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Rows of the product.
    Rows,
    /// Columns of the product.
    Columns,
    /// Terms of its sums.
    Inner,
    /// Matrices of the batch.
    Batch,
}

/// One piece of a batch of products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which products.
    pub batch: Range<usize>,
    /// Which rows.
    pub rows: Range<usize>,
    /// Which terms.
    pub inner: Range<usize>,
    /// Which columns.
    pub columns: Range<usize>,
}

/// Rows and columns of an operand as it is stored.
pub type Block = (Range<usize>, Range<usize>);

impl Piece {
    /// Rows and columns of the left operand of a kind of product that the piece takes.
    pub fn left(&self, kind: Kind) -> Block {
        let (rows, inner) = (self.rows.clone(), self.inner.clone());
        match kind {
            Kind::Forward | Kind::InputGradient => (rows, inner),
            Kind::WeightGradient => (inner, rows),
        }
    }

    /// Rows and columns of the right operand of a kind of product that the piece takes.
    pub fn right(&self, kind: Kind) -> Block {
        let (inner, columns) = (self.inner.clone(), self.columns.clone());
        match kind {
            Kind::Forward | Kind::WeightGradient => (inner, columns),
            Kind::InputGradient => (columns, inner),
        }
    }

    /// The blocks of both operands.
    pub fn operands<T: Copy>(&self, kind: Kind, left: &Matrices<T>, right: &Matrices<T>) -> Result<[Matrices<T>; 2], AccelError> {
        let ((l, m), (r, n)) = (self.left(kind), self.right(kind));
        Ok([left.block(self.batch.clone(), l, m)?, right.block(self.batch.clone(), r, n)?])
    }

    /// The blocks of both operands in words.
    pub fn words(&self, kind: Kind, left: &Words, right: &Words) -> Result<[Words; 2], AccelError> {
        let ((l, m), (r, n)) = (self.left(kind), self.right(kind));
        Ok([left.block(self.batch.clone(), l, m)?, right.block(self.batch.clone(), r, n)?])
    }

    /// The shape of the piece's product.
    fn product(&self) -> Shape {
        Shape {
            batch: self.batch.len(),
            rows: self.rows.len(),
            columns: self.columns.len(),
        }
    }
}

/// At most `parts` pieces of about the same size, in order; one piece less where there is nothing for it, but at least one.
pub fn split(dimensions: &Dimensions, by: Split, parts: usize) -> Vec<Piece> {
    let whole = Piece {
        batch: 0..dimensions.batch,
        rows: 0..dimensions.rows,
        inner: 0..dimensions.depth,
        columns: 0..dimensions.columns,
    };
    let size = match by {
        Split::Rows => dimensions.rows,
        Split::Columns => dimensions.columns,
        Split::Inner => dimensions.depth,
        Split::Batch => dimensions.batch,
    };
    let parts = parts.min(size).max(1);
    let range = |part: usize| part * (size / parts) + part.min(size % parts);
    let piece = |part| {
        let range = range(part)..range(part + 1);
        match by {
            Split::Rows => Piece {
                rows: range,
                ..whole.clone()
            },
            Split::Columns => Piece {
                columns: range,
                ..whole.clone()
            },
            Split::Inner => Piece {
                inner: range,
                ..whole.clone()
            },
            Split::Batch => Piece {
                batch: range,
                ..whole.clone()
            },
        }
    };
    (0..parts).map(piece).collect()
}

/// The product from those of all pieces of [`split`], in their order.
pub fn join<T: Copy + Default + AddAssign>(
    dimensions: &Dimensions,
    by: Split,
    products: &[&Matrices<T>],
) -> Result<Matrices<T>, AccelError> {
    let shape = dimensions.product();
    let mut values = vec![T::default(); shape.elements()];
    let parts: Vec<_> = products.iter().map(|product| (product.shape(), product.values())).collect();
    place(dimensions, by, &parts, &mut values, |out, value| *out += value)?;
    Matrices::new(shape, values)
}

/// [`join`] of words.
pub fn join_words(dimensions: &Dimensions, by: Split, products: &[Words]) -> Result<Words, AccelError> {
    let shape = dimensions.product();
    let mut values = vec![0; shape.elements()];
    let parts: Vec<_> = products.iter().map(|product| (product.shape(), product.values())).collect();
    // M - value is in 1..=M.
    place(dimensions, by, &parts, &mut values, |out, value| {
        *out = subtract(*out, M - value)
    })?;
    Matrices::new(shape, values).map(Words::from_least)
}

fn place<T: Copy>(
    dimensions: &Dimensions,
    by: Split,
    products: &[(Shape, &[T])],
    out: &mut [T],
    add: impl Fn(&mut T, T),
) -> Result<(), AccelError> {
    let pieces = split(dimensions, by, products.len());
    expect("pieces", pieces.len(), products.len())?;
    for (index, (piece, (shape, values))) in pieces.iter().zip(products).enumerate() {
        if piece.product() != *shape {
            let (expected, actual) = (format!("{:?}", piece.product()), format!("{shape:?}"));
            return Err(AccelError::Piece { index, expected, actual });
        }
        let lines = piece
            .batch
            .clone()
            .flat_map(|batch| piece.rows.clone().map(move |row| (batch, row)));
        for ((batch, row), values) in lines.zip(values.chunks(shape.columns.max(1))) {
            let first = (batch * dimensions.rows + row) * dimensions.columns;
            let out = &mut out[first + piece.columns.start..first + piece.columns.end];
            out.iter_mut().zip(values).for_each(|(out, value)| add(out, *value));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backend, byte_products, words::word_products};
    use proptest::prelude::*;

    const SPLITS: [Split; 4] = [Split::Rows, Split::Columns, Split::Inner, Split::Batch];

    fn operands(kind: Kind, batch: usize, [m, k, n]: [usize; 3]) -> [Matrices<i8>; 2] {
        let (left, right) = match kind {
            Kind::Forward => ([m, k], [k, n]),
            Kind::WeightGradient => ([k, m], [k, n]),
            Kind::InputGradient => ([m, k], [n, k]),
        };
        [left, right].map(|[rows, columns]| {
            let shape = Shape::new(batch, rows, columns).unwrap();
            Matrices::new(shape, (0..shape.elements()).map(|i| (i * 37 % 199) as i8).collect()).unwrap()
        })
    }

    fn words(matrices: &Matrices<i8>) -> Words {
        let integers: Vec<i32> = matrices.values().iter().map(|v| i32::from(*v) * 1_000_001).collect();
        Words::of_integers(matrices.shape(), &integers).unwrap()
    }

    proptest! {
        #[test]
        fn pieces_give_the_whole(kind in 0usize..3, by in 0usize..4, parts in 1usize..9, batch in 0usize..4, sizes in [0usize..12, 0usize..12, 0usize..12]) {
            let (kind, by) = (Kind::ALL[kind], SPLITS[by]);
            let [left, right] = operands(kind, batch, sizes);
            let whole = byte_products(Backend::SCALAR, kind, &left, &right).unwrap();
            let dimensions = kind.dimensions(left.shape(), right.shape()).unwrap();
            let pieces = split(&dimensions, by, parts);
            prop_assert!(!pieces.is_empty() && pieces.len() <= parts);
            let products: Vec<_> = pieces.iter().map(|piece| {
                let [left, right] = piece.operands(kind, &left, &right).unwrap();
                byte_products(Backend::SCALAR, kind, &left, &right).unwrap()
            }).collect();
            prop_assert_eq!(&join(&dimensions, by, &products.iter().collect::<Vec<_>>()).unwrap(), &whole);
            let [left, right] = [words(&left), words(&right)];
            let products: Vec<_> = pieces.iter().map(|piece| {
                let [left, right] = piece.words(kind, &left, &right).unwrap();
                word_products(kind, &left, &right)
            }).collect();
            prop_assert_eq!(join_words(&dimensions, by, &products).unwrap(), word_products(kind, &left, &right));
        }
    }

    #[test]
    fn pieces_that_do_not_belong_together_are_refused() {
        let [left, right] = operands(Kind::Forward, 1, [5, 4, 3]);
        let dimensions = Kind::Forward.dimensions(left.shape(), right.shape()).unwrap();
        let piece = |rows| Matrices::new(Shape::matrix(rows, 3).unwrap(), vec![0i32; 3 * rows]).unwrap();
        assert!(join(&dimensions, Split::Rows, &[&piece(3), &piece(2)]).is_ok());
        let error = join(&dimensions, Split::Rows, &[&piece(2), &piece(3)]).unwrap_err();
        assert!(matches!(error, AccelError::Piece { index: 0, .. }), "{error}");
        let six: Vec<_> = (0..6).map(|_| piece(1)).collect();
        let expected = AccelError::Size {
            what: "pieces",
            expected: 5,
            actual: 6,
        };
        assert_eq!(
            join(&dimensions, Split::Rows, &six.iter().collect::<Vec<_>>()).unwrap_err(),
            expected
        );
        assert!(join::<i32>(&dimensions, Split::Inner, &[]).is_err());
        assert!(join_words(&dimensions, Split::Inner, &[]).is_err());
        assert!(left.block(0..1, 0..6, 0..1).is_err() && left.block(0..2, 0..5, 0..1).is_err());
    }
}
