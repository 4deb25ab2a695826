//! Signs of rows and columns, and turns with signed numbers.

use ndarray::{Array2, ArrayView2, Axis};

use super::{
    Places,
    matching::{Likeness, assigned, median, scores},
};

/// Turns in which signs settle.
const TURNS: usize = 30;

/// Signs of rows and columns under which the second matrix is most like the first, in turn from the row of most weight.
pub(super) fn sign_of_rows_and_columns(known: &Array2<f32>, seen: &Array2<f32>) -> [Vec<bool>; 2] {
    let product = known * seen;
    let weight = |row: usize| product.row(row).iter().map(|value| value.abs()).sum::<f32>();
    let first = (0..product.nrows())
        .max_by(|a, b| weight(*a).total_cmp(&weight(*b)))
        .unwrap_or(0);
    let mut columns: Vec<bool> = product.row(first).iter().map(|value| *value < 0.0).collect();
    let mut rows = given(product.view(), &columns);
    for _ in 0..TURNS {
        let next = given(product.t(), &rows);
        if next == columns {
            break;
        }
        columns = next;
        rows = given(product.view(), &columns);
    }
    [rows, columns]
}

/// The signs of lines, given those of their elements.
fn given(product: ArrayView2<'_, f32>, signs: &[bool]) -> Vec<bool> {
    let signs: ndarray::Array1<f32> = signs.iter().map(|negative| if *negative { -1.0 } else { 1.0 }).collect();
    product.dot(&signs).iter().map(|sum| *sum < 0.0).collect()
}

/// Rows of the second matrix for those of the first, and their signs, given the columns.
pub(super) fn turn(known: ArrayView2<'_, f32>, seen: ArrayView2<'_, f32>, columns: &Places) -> Places {
    let mut seen = seen.select(Axis(1), &columns.order);
    for (mut column, negative) in seen.columns_mut().into_iter().zip(&columns.negative) {
        if *negative {
            column.mapv_inplace(|value| -value);
        }
    }
    let order = assigned(&scores(known, seen.view(), Likeness::UpToSign));
    let negative = order.iter().zip(known.rows());
    let negative = negative.map(|(place, line)| line.dot(&seen.row(*place)) < 0.0).collect();
    Places { order, negative }
}

/// Divides rows and columns of `seen`, in their known order, by what they are larger than those of `known`.
pub(super) fn remove_scales(known: &Array2<f32>, seen: &mut Array2<f32>) {
    for axis in [Axis(1), Axis(0), Axis(1), Axis(0)] {
        for (known, mut seen) in known.lanes(axis).into_iter().zip(seen.lanes_mut(axis)) {
            let both = known.iter().zip(&seen).filter(|(k, s)| **k != 0.0 && **s != 0.0);
            let scale = median(both.map(|(k, s)| (s / k).abs()).collect());
            if scale > 0.0 {
                seen.mapv_inplace(|value| value / scale);
            }
        }
    }
}
