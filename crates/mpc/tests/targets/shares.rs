//! Matrices, seeds and triples.

use super::{Form, Target, random, session};
use cloven_mpc::circuit::Party;
use cloven_mpc::shares::{Matrix, PairwiseSetup, expand};
use cloven_mpc::triples::{MaskedData, OperandMask, Product, Shape};

const SHAPE: Shape = Shape {
    batch: 5,
    columns: 3,
    width: 2,
};

pub fn all() -> Vec<Target> {
    let matrix = |rows, columns| Matrix::random(rows, columns, &mut random()).unwrap();
    let row = 8 * SHAPE.columns;
    let whole = Form::Pieces { of: row, times: 1..=5 };
    vec![
        Target::new("Matrix::decode", &matrix(5, 3).encode(), Form::Free, |bytes| {
            Matrix::decode(5, 3, bytes).map(|_| ())
        }),
        Target::new("shares::expand", &[5; 32], Form::Free, |bytes| {
            expand(5, 3, bytes).map(|_| ())
        }),
        Target::new("PairwiseSetup::finish", &[5; 32], Form::Free, |bytes| {
            let setup = PairwiseSetup::start(&session(1), Party(1), 2)?.0;
            setup.finish(&[bytes])?.zero_shares("test")?.share(0, 2, 2).map(|_| ())
        }),
        Target::new("MaskedData::accept", &matrix(3, 3).encode(), whole, |bytes| {
            MaskedData::new(5, SHAPE.columns)?.accept(bytes)
        }),
        Target::new("OperandMask::receive", &matrix(5, 2).encode(), Form::Free, move |bytes| {
            let mask = OperandMask::new(Product::Forward, SHAPE, matrix(3, 2))?;
            mask.receive(bytes).map(|_| ())
        }),
        Target::new("DataHalf::multiply", &matrix(5, 2).encode(), Form::Free, move |bytes| {
            let mask = matrix(SHAPE.batch, SHAPE.columns);
            let (half, _) = cloven_mpc::ideal::matrix_triple(Product::Gradient, &mask, SHAPE.width, &mut random())?;
            half.multiply(&mask, bytes).map(|_: Matrix| ())
        }),
    ]
}
