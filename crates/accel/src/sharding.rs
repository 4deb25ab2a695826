//! The products of a layer divided among workers, so that each keeps its parts of X and W from the way forward for the way back.
//!
//! | cut | X | W | G | Y = X W | dW = X^T G | dX = G W^T |
//! |---|---|---|---|---|---|---|
//! | [`Cut::Rows`] ("data") | rows, or images | all | rows | stacked | added | stacked |
//! | [`Cut::Columns`] ("column") | all | columns | columns | side by side | side by side | added |
//! | [`Cut::Inner`] ("row block") | columns | rows | all | added | stacked | side by side |
//! | [`Cut::Batch`] | matrices | matrices | matrices | stacked | stacked | stacked |
//!
//! A product has the form of an operand (Y of G, dW of W, dX of X) and is cut as that one is; where that is not cut every worker has a summand of the whole.

use crate::{AccelError, Kind, Matrices, Shape, convolution::Window};
use std::ops::{AddAssign, Range};

/// Along which side the products of a layer are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Rows of X; or whole images of a convolution whose worker unfolds them.
    Rows(Option<Window>),
    /// Columns of W. X may be images.
    Columns,
    /// Columns of X and rows of W.
    Inner,
    /// Matrices of a batch.
    Batch,
}

/// An operand of the products of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Rows, or images.
    X,
    /// The weights.
    W,
    /// The gradient at Y.
    G,
}

impl Operand {
    /// The left and right operand of a product, and what has its form.
    pub fn of(kind: Kind) -> [Self; 3] {
        match kind {
            Kind::Forward => [Self::X, Self::W, Self::G],
            Kind::WeightGradient => [Self::X, Self::G, Self::W],
            Kind::InputGradient => [Self::G, Self::W, Self::X],
        }
    }
}

/// Some matrices of a batch, and rows and columns of them.
type Block = [Range<usize>; 3];

impl Cut {
    /// At most `parts` ranges of what is cut, of about the same size, in order; fewer where there is nothing for them, but at least one.
    pub fn ranges(&self, x: Shape, w: Shape, parts: usize) -> Vec<Range<usize>> {
        let size = match self {
            Self::Rows(None) => x.rows,
            Self::Rows(Some(_)) | Self::Batch => x.batch,
            Self::Columns => w.columns,
            Self::Inner => x.columns,
        };
        let parts = parts.min(size).max(1);
        let first = |part: usize| part * (size / parts) + part.min(size % parts);
        (0..parts).map(|part| first(part)..first(part + 1)).collect()
    }

    /// Whether an operand is cut; else every worker gets all of it, or answers a summand of what has its form.
    pub fn cuts(&self, operand: Operand) -> bool {
        !matches!(
            (self, operand),
            (Self::Rows(_), Operand::W) | (Self::Columns, Operand::X) | (Self::Inner, Operand::G)
        )
    }

    /// Whether the parts of an operand lie one after the other.
    fn stacks(&self, operand: Operand, shape: Shape) -> bool {
        match (self, operand) {
            (Self::Batch, _) | (Self::Rows(Some(_)), Operand::X) => true,
            (Self::Columns, _) | (Self::Inner, Operand::X) => false,
            _ => self.cuts(operand) && shape.batch == 1,
        }
    }

    /// What goes with a range, of an operand of a shape.
    fn block(&self, operand: Operand, range: &Range<usize>, shape: Shape) -> Block {
        let all = [0..shape.batch, 0..shape.rows, 0..shape.columns];
        let [batch, rows, columns] = all.clone();
        let range = range.clone();
        match (self, operand) {
            _ if !self.cuts(operand) => all,
            (Self::Rows(Some(window)), Operand::G) => {
                let [oh, ow] = window.output();
                [batch, range.start * oh * ow..range.end * oh * ow, columns]
            }
            (Self::Batch | Self::Rows(Some(_)), _) => [range, rows, columns],
            (Self::Rows(None), _) | (Self::Inner, Operand::W) => [batch, range, columns],
            (Self::Columns | Self::Inner, _) => [batch, rows, range],
        }
    }

    /// The part of an operand.
    ///
    /// # Errors
    /// [`AccelError::TooMany`] for a range beyond it.
    pub fn part<T: Copy>(&self, operand: Operand, range: &Range<usize>, all: &Matrices<T>) -> Result<Matrices<T>, AccelError> {
        let [batch, rows, columns] = self.block(operand, range, all.shape());
        all.block(batch, rows, columns)
    }

    /// The shape of [`Self::part`].
    pub fn part_shape(&self, operand: Operand, range: &Range<usize>, all: Shape) -> Result<Shape, AccelError> {
        let [batch, rows, columns] = self.block(operand, range, all);
        Shape::new(batch.len(), rows.len(), columns.len())
    }

    /// The product of a shape that has the form of an operand, from its parts in order.
    ///
    /// # Errors
    /// [`AccelError::Piece`] for a part of another shape than its range's, [`AccelError::TooMany`] for a range beyond the product, [`AccelError::Size`] for parts missing.
    pub fn joined<T: Copy + Default + AddAssign>(
        &self,
        operand: Operand,
        shape: Shape,
        parts: &[(Range<usize>, &Matrices<T>)],
    ) -> Result<Matrices<T>, AccelError> {
        for (index, (range, part)) in parts.iter().enumerate() {
            let expected = self.part_shape(operand, range, shape)?;
            if part.shape() != expected {
                let (expected, actual) = (format!("{expected:?}"), format!("{:?}", part.shape()));
                return Err(AccelError::Piece { index, expected, actual });
            }
        }
        if self.stacks(operand, shape) {
            let mut values = Vec::with_capacity(shape.elements());
            parts.iter().for_each(|(_, part)| values.extend_from_slice(part.values()));
            return Matrices::new(shape, values);
        }
        let mut whole = Matrices::new(shape, vec![T::default(); shape.elements()])?;
        for (range, part) in parts {
            whole.add_block(self.block(operand, range, shape), part)?;
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backend, byte_products};
    use proptest::prelude::*;

    const CUTS: [Cut; 4] = [Cut::Rows(None), Cut::Columns, Cut::Inner, Cut::Batch];

    fn values(shape: Shape, seed: usize) -> Matrices<i8> {
        Matrices::new(shape, (0..shape.elements()).map(|i| ((i + seed) * 37 % 199) as i8).collect()).unwrap()
    }

    proptest! {
        #[test]
        fn parts_give_the_whole(kind in 0usize..3, cut in 0usize..4, parts in 1usize..9, batch in 0usize..4, [m, k, n] in [0usize..12, 0usize..12, 0usize..12]) {
            let (kind, cut) = (Kind::ALL[kind], CUTS[cut]);
            // Only batches of one are cut within matrices by the protocol; here all are.
            let shapes = [[m, k], [k, n], [m, n]].map(|[rows, columns]| Shape::new(batch, rows, columns).unwrap());
            let all = [values(shapes[0], 1), values(shapes[1], 2), values(shapes[2], 3)];
            let of = |operand: Operand| &all[operand as usize];
            let [left, right, form] = Operand::of(kind);
            let whole = byte_products(Backend::SCALAR, kind, of(left), of(right)).unwrap();
            prop_assert_eq!(whole.shape(), of(form).shape());
            let ranges = cut.ranges(shapes[0], shapes[1], parts);
            prop_assert!(!ranges.is_empty() && ranges.len() <= parts);
            let products: Vec<_> = ranges.into_iter().map(|range| {
                let [x, y] = [left, right].map(|operand| cut.part(operand, &range, of(operand)).unwrap());
                let product = byte_products(Backend::SCALAR, kind, &x, &y).unwrap();
                (range, product)
            }).collect();
            let products: Vec<_> = products.iter().map(|(range, product)| (range.clone(), product)).collect();
            prop_assert_eq!(&cut.joined(form, whole.shape(), &products).unwrap(), &whole);
        }

        #[test]
        fn images_give_the_whole(columns in any::<bool>(), parts in 1usize..5, count in 1usize..6, outputs in 1usize..6, kind in 0usize..3) {
            let window = Window { channels: 2, image: [4, 5], kernel: [3, 3], stride: [2, 1], padding: [1, 1] };
            let cut = if columns { Cut::Columns } else { Cut::Rows(Some(window)) };
            let patches = window.patches(count).unwrap();
            let all = [
                values(window.images(count).unwrap(), 1),
                values(Shape::matrix(patches.columns, outputs).unwrap(), 2),
                values(Shape::matrix(patches.rows, outputs).unwrap(), 3),
            ];
            let product = |kind, left: &Matrices<i8>, right: &Matrices<i8>| {
                let unfolded = || window.unfold(left).unwrap();
                match kind {
                    Kind::InputGradient => window.fold(&byte_products(Backend::SCALAR, kind, left, right).unwrap()).unwrap(),
                    _ => byte_products(Backend::SCALAR, kind, &unfolded(), right).unwrap(),
                }
            };
            let kind = Kind::ALL[kind];
            let [left, right, form] = Operand::of(kind);
            let of = |operand: Operand| &all[operand as usize];
            let whole = product(kind, of(left), of(right));
            let ranges = cut.ranges(all[0].shape(), all[1].shape(), parts);
            let products: Vec<_> = ranges.into_iter().map(|range| {
                let [x, y] = [left, right].map(|operand| cut.part(operand, &range, of(operand)).unwrap());
                (range, product(kind, &x, &y))
            }).collect();
            let products: Vec<_> = products.iter().map(|(range, product)| (range.clone(), product)).collect();
            prop_assert_eq!(&cut.joined(form, whole.shape(), &products).unwrap(), &whole);
        }
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let shape = |rows| Shape::matrix(rows, 3).unwrap();
        let part = |rows| Matrices::new(shape(rows), vec![0i32; 3 * rows]).unwrap();
        let join = |parts: &[(Range<usize>, &Matrices<i32>)]| Cut::Rows(None).joined(Operand::X, shape(5), parts);
        let (two, three) = (part(2), part(3));
        assert!(join(&[(0..3, &three), (3..5, &two)]).is_ok());
        let error = join(&[(0..3, &two), (3..5, &three)]).unwrap_err();
        assert!(matches!(error, AccelError::Piece { index: 0, .. }), "{error}");
        assert!(join(&[(3..6, &three)]).is_err());
        assert!(two.block(0..1, 0..3, 0..1).is_err() && two.block(0..2, 0..2, 0..3).is_err());
    }
}
