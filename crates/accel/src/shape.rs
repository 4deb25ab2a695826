//! Batches of matrices, and the three kinds of product of a linear layer.

use crate::{
    AccelError,
    error::{at_most, expect},
};
use std::ops::{AddAssign, Range};
use zeroize::Zeroize;

/// So many matrices of the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Matrices: 1 for a layer, heads times samples for attention.
    pub batch: usize,
    /// Rows of each.
    pub rows: usize,
    /// Columns of each.
    pub columns: usize,
}

impl Shape {
    /// The most elements of one operand or product.
    pub const MAX_ELEMENTS: usize = 1 << 28;

    /// A shape of at most [`Self::MAX_ELEMENTS`] elements, each dimension within that cap too.
    pub fn new(batch: usize, rows: usize, columns: usize) -> Result<Self, AccelError> {
        for (what, size) in [("matrices", batch), ("rows", rows), ("columns", columns)] {
            at_most(what, Self::MAX_ELEMENTS, size)?;
        }
        // Three factors below 2^29 do not fit 64 bits.
        let elements = batch as u128 * rows as u128 * columns as u128;
        at_most(
            "elements",
            Self::MAX_ELEMENTS,
            usize::try_from(elements).unwrap_or(usize::MAX),
        )?;
        Ok(Self { batch, rows, columns })
    }

    /// One matrix.
    pub fn matrix(rows: usize, columns: usize) -> Result<Self, AccelError> {
        Self::new(1, rows, columns)
    }

    /// Elements of all matrices.
    pub fn elements(&self) -> usize {
        self.batch * self.matrix_elements()
    }

    /// Elements of one matrix.
    pub(crate) fn matrix_elements(&self) -> usize {
        self.rows * self.columns
    }
}

/// A batch of matrices of one shape, one after the other, each row by row.
#[derive(Clone, PartialEq)]
pub struct Matrices<T> {
    shape: Shape,
    values: Vec<T>,
}

/// A batch of matrices that are somebody else's.
#[derive(Clone, Copy)]
pub struct View<'a, T> {
    shape: Shape,
    values: &'a [T],
}

impl<'a, T> View<'a, T> {
    /// Values of a shape; fails on another number of them.
    pub fn new(shape: Shape, values: &'a [T]) -> Result<Self, AccelError> {
        expect("elements", shape.elements(), values.len())?;
        Ok(Self { shape, values })
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// All elements.
    pub fn values(&self) -> &'a [T] {
        self.values
    }
}

impl<'a, T> From<&'a Matrices<T>> for View<'a, T> {
    fn from(matrices: &'a Matrices<T>) -> Self {
        let (shape, values) = (matrices.shape, &matrices.values[..]);
        Self { shape, values }
    }
}

impl<T> Matrices<T> {
    /// Values of a shape; fails on another number of them.
    pub fn new(shape: Shape, values: Vec<T>) -> Result<Self, AccelError> {
        expect("elements", shape.elements(), values.len())?;
        Ok(Self { shape, values })
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// All elements.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// All elements, to be changed.
    pub fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// Other values of the same shape.
    pub(crate) fn with_values<U>(&self, values: Vec<U>) -> Matrices<U> {
        debug_assert_eq!(values.len(), self.values.len());
        Matrices {
            shape: self.shape,
            values,
        }
    }

    /// The elements, without their shape.
    pub fn into_values(self) -> Vec<T> {
        self.values
    }

    /// Some rows and columns of some matrices; fails on ranges beyond the shape.
    pub fn block(&self, batch: Range<usize>, rows: Range<usize>, columns: Range<usize>) -> Result<Self, AccelError>
    where
        T: Copy,
    {
        let (shape, values) = block(self.shape, &self.values, &batch, &rows, &columns)?;
        Self::new(shape, values)
    }

    /// Adds to some rows and columns of some matrices; fails on ranges beyond the shape, or of another shape than what is added.
    pub(crate) fn add_block(&mut self, [batch, rows, columns]: [Range<usize>; 3], added: &Self) -> Result<(), AccelError>
    where
        T: Copy + AddAssign,
    {
        let shape = within(self.shape, &batch, &rows, &columns)?;
        expect("elements", shape.elements(), added.values.len())?;
        let lines = batch.flat_map(|matrix| rows.clone().map(move |row| (matrix, row)));
        for ((matrix, row), added) in lines.zip(added.values.chunks(shape.columns.max(1))) {
            let first = (matrix * self.shape.rows + row) * self.shape.columns;
            let to = self.values[first + columns.start..first + columns.end].iter_mut();
            to.zip(added).for_each(|(to, added)| *to += *added);
        }
        Ok(())
    }

    /// The elements of one matrix of the batch.
    pub(crate) fn matrix(&self, index: usize) -> &[T] {
        &self.values[index * self.shape.matrix_elements()..][..self.shape.matrix_elements()]
    }
}

impl<T: Zeroize> Zeroize for Matrices<T> {
    fn zeroize(&mut self) {
        self.values.zeroize();
    }
}

// Elements may be secret: only the shape is shown.
impl<T> std::fmt::Debug for Matrices<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Matrices({:?})", self.shape)
    }
}

/// The shape of a block, which is no larger than the whole.
fn within(shape: Shape, batch: &Range<usize>, rows: &Range<usize>, columns: &Range<usize>) -> Result<Shape, AccelError> {
    at_most("end of the matrices", shape.batch, batch.end)?;
    at_most("end of the rows", shape.rows, rows.end)?;
    at_most("end of the columns", shape.columns, columns.end)?;
    Shape::new(batch.len(), rows.len(), columns.len())
}

/// A block of a batch of matrices.
pub(crate) fn block<T: Copy>(
    shape: Shape,
    values: &[T],
    batch: &Range<usize>,
    rows: &Range<usize>,
    columns: &Range<usize>,
) -> Result<(Shape, Vec<T>), AccelError> {
    let part = within(shape, batch, rows, columns)?;
    let mut out = Vec::with_capacity(part.elements());
    for matrix in batch.clone() {
        for row in rows.clone() {
            let first = (matrix * shape.rows + row) * shape.columns;
            out.extend_from_slice(&values[first + columns.start.min(columns.end)..first + columns.end]);
        }
    }
    Ok((part, out))
}

/// Which product of a linear layer y = x W, for x `[m, k]`, W `[k, n]` and g, the gradient at y, `[m, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// x W: left `[m, k]`, right `[k, n]`, product `[m, n]`.
    Forward,
    /// x^T g: left `[m, k]`, right `[m, n]`, product `[k, n]`.
    WeightGradient,
    /// g W^T: left `[m, n]`, right `[k, n]`, product `[m, k]`.
    InputGradient,
}

impl Kind {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Forward, Self::WeightGradient, Self::InputGradient];

    /// The sizes of the product of two operands; fails where they do not fit together.
    pub fn dimensions(self, left: Shape, right: Shape) -> Result<Dimensions, AccelError> {
        expect("matrices of the right operand", left.batch, right.batch)?;
        let (rows, depth, right_depth, columns) = match self {
            Self::Forward => (left.rows, left.columns, right.rows, right.columns),
            Self::WeightGradient => (left.columns, left.rows, right.rows, right.columns),
            Self::InputGradient => (left.rows, left.columns, right.columns, right.rows),
        };
        expect("depth of the right operand", depth, right_depth)?;
        Shape::new(left.batch, rows, columns)?;
        Ok(Dimensions {
            batch: left.batch,
            rows,
            depth,
            columns,
        })
    }
}

/// A batch of products of `[rows, depth]` by `[depth, columns]`, once transposed as their [`Kind`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimensions {
    /// Products.
    pub batch: usize,
    /// Rows of each.
    pub rows: usize,
    /// Terms of each sum.
    pub depth: usize,
    /// Columns of each.
    pub columns: usize,
}

impl Dimensions {
    /// The shape of the product.
    pub fn product(&self) -> Shape {
        Shape {
            batch: self.batch,
            rows: self.rows,
            columns: self.columns,
        }
    }

    /// Multiply-accumulates of the plain product.
    pub fn multiply_accumulates(&self) -> u64 {
        [self.batch, self.rows, self.depth, self.columns]
            .into_iter()
            .fold(1, |product: u64, size| product.saturating_mul(size as u64))
    }
}

/// One matrix as lines of a common depth: rows of a left factor, columns of a right one. Element (line, depth) is
/// `values[line * across + depth * along]`; one of the strides is 1.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'a, T> {
    pub(crate) values: &'a [T],
    pub(crate) count: usize,
    pub(crate) depth: usize,
    pub(crate) across: usize,
    pub(crate) along: usize,
}

impl<'a, T> Lines<'a, T> {
    /// The left factor of product `index` of a batch.
    pub(crate) fn left(kind: Kind, shape: Shape, values: &'a [T], index: usize) -> Self {
        Self::new(kind == Kind::WeightGradient, shape, values, index)
    }

    /// The right factor of product `index` of a batch.
    pub(crate) fn right(kind: Kind, shape: Shape, values: &'a [T], index: usize) -> Self {
        Self::new(kind != Kind::InputGradient, shape, values, index)
    }

    /// Lines are columns or rows of the matrix as it is stored.
    fn new(columns: bool, shape: Shape, values: &'a [T], index: usize) -> Self {
        let (rows, across) = (shape.rows, shape.columns);
        let values = &values[index * shape.matrix_elements()..][..shape.matrix_elements()];
        match columns {
            false => Self {
                values,
                count: rows,
                depth: across,
                across,
                along: 1,
            },
            true => Self {
                values,
                count: across,
                depth: rows,
                across: 1,
                along: across,
            },
        }
    }

    /// Matrix `index` of a batch as it stands, line by line.
    pub(crate) fn rows(shape: Shape, values: &'a [T], index: usize) -> Self {
        Self::new(false, shape, values, index)
    }

    /// Lines and depth exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self {
            values: self.values,
            count: self.depth,
            depth: self.count,
            across: self.along,
            along: self.across,
        }
    }

    /// A matrix of one batch as it stands.
    pub(crate) fn matrix(values: &'a [T], rows: usize, columns: usize) -> Self {
        debug_assert_eq!(values.len(), rows * columns);
        Self {
            values,
            count: rows,
            depth: columns,
            across: columns,
            along: 1,
        }
    }

    /// All lines, at some depths only.
    pub(crate) fn at_depths(self, depths: Range<usize>) -> Self {
        // Of no lines there are no values.
        let first = (depths.start * self.along).min(self.values.len());
        Self {
            values: &self.values[first..],
            depth: depths.len(),
            ..self
        }
    }

    /// The lines before `end`.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn up_to(self, end: usize) -> Self {
        Self { count: end, ..self }
    }

    /// One element.
    pub(crate) fn get(&self, line: usize, depth: usize) -> T
    where
        T: Copy,
    {
        self.values[line * self.across + depth * self.along]
    }
}
