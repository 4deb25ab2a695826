use ndarray::s;
use proptest::prelude::*;

use super::*;
use crate::algebra::eigenvectors;

const ROWS: usize = 700;
const COLUMNS: usize = 23;
const WIDTH: usize = 8;
/// The two-valued ones, and which share of the rows has their greater value.
const BINARY: [(usize, f64); 2] = [(4, 0.4), (17, 0.15)];

/// A fixed linear congruential sequence, uniform in -1/2..1/2.
fn noise(rows: usize, columns: usize, mut state: u32) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1u32 << 24) - 0.5
    })
}

/// Standardised columns that depend on each other, two of them two-valued.
fn columns() -> Array2<f64> {
    let mixed = noise(ROWS, COLUMNS, 1).dot(&(noise(COLUMNS, COLUMNS, 2) + Array2::<f64>::eye(COLUMNS)));
    let mut x = mixed.mapv(|v| v * v * v + v);
    for (column, share) in BINARY {
        x.column_mut(column)
            .mapv_inplace(|v| f64::from(u8::from(v.rem_euclid(1.0) < share)));
    }
    let (mean, deviation) = (x.mean_axis(Axis(0)).unwrap(), x.std_axis(Axis(0), 0.0));
    (x - mean) / deviation
}

/// What passes show of x: weights that move a little from pass to pass, as training moves them, and a bias.
fn passes(x: &Array2<f64>, count: u32, drift: f64) -> Vec<Array2<f64>> {
    let mut theta = noise(COLUMNS, WIDTH, 3);
    (0..count)
        .map(|pass| {
            theta.scaled_add(0.01, &noise(COLUMNS, WIDTH, 10 + pass));
            let mut h1 = x.dot(&theta) + 0.1 * f64::from(pass);
            for (batch, mut rows) in h1.axis_chunks_iter_mut(Axis(0), 50).enumerate() {
                let moved = noise(COLUMNS, WIDTH, 100 + 20 * pass + batch as u32) * drift;
                let of = x.slice(s![batch * 50..(batch * 50 + 50).min(ROWS), ..]);
                rows += &of.dot(&moved);
            }
            h1
        })
        .collect()
}

fn truth(x: &Array2<f64>, column: usize) -> Vec<bool> {
    greater_of_two(x.column(column).mapv(|v| v as f32).view()).unwrap()
}

/// The best share of rows right among what was found, and the commoner value's share.
fn right(span: &Span, truth: &[bool]) -> (f64, f64) {
    let share = truth.iter().filter(|v| **v).count() as f64 / truth.len() as f64;
    let fits = span.columns.iter().map(|column| rows_right(&column.values, truth));
    (fits.fold(0.0, f64::max), share.max(1.0 - share))
}

#[test]
fn three_passes_of_width_eight_give_both_binary_columns_of_23_exactly() {
    let x = columns();
    let span = two_valued_columns(&passes(&x, 3, 0.0)).unwrap();
    assert_eq!((span.dimension, span.relations), (COLUMNS, BINARY.len()));
    for (at, (column, _)) in BINARY.into_iter().enumerate() {
        assert_eq!(right(&span, &truth(&x, column)).0, 1.0, "column {column}");
        assert!(span.columns[at].residual < 1e-6, "{}", span.columns[at].residual);
    }
    // Nothing else is one.
    assert!(span.columns[2].residual > 0.1, "{}", span.columns[2].residual);
}

/// None is in the span, but the direction nearest to one is: of d directions out of 23 it has a correlation of sqrt(d / 23) with the column. The evenly
/// divided one, unlike anything normal, is then guessed in part; the other one by chance.
#[test]
fn fewer_passes_than_span_the_columns_hold_none_of_them() {
    let x = columns();
    for (count, residual, most) in [(1, 0.5, 0.85), (2, 0.2, 0.99)] {
        let span = two_valued_columns(&passes(&x, count, 0.0)).unwrap();
        assert_eq!((span.dimension, span.relations), (count as usize * WIDTH, 0));
        assert!(
            span.columns[0].residual > residual,
            "{count} passes: {}",
            span.columns[0].residual
        );
        let (even, _) = right(&span, &truth(&x, BINARY[0].0));
        assert!(even < most, "{count} passes: {even}");
    }
    let span = two_valued_columns(&passes(&x, 1, 0.0)).unwrap();
    let (rare, chance) = right(&span, &truth(&x, BINARY[1].0));
    assert!(rare < chance, "{rare}, chance {chance}");
}

/// Within a pass the weights move by a tenth of what they move between passes.
#[test]
fn weights_that_drift_within_a_pass_leave_an_approximate_column() {
    let x = columns();
    let span = two_valued_columns(&passes(&x, 5, 0.001)).unwrap();
    assert_eq!(span.relations, 0);
    let (right, chance) = right(&span, &truth(&x, BINARY[0].0));
    assert!(
        right > 0.9 && span.columns[0].residual > 0.01,
        "{right} ({chance}), {}",
        span.columns[0].residual
    );
}

#[test]
fn a_span_without_a_binary_column_holds_none() {
    let x = columns().slice(s![.., 5..17]).to_owned();
    let span = two_valued_columns(&[x]).unwrap();
    assert_eq!((span.dimension, span.relations), (12, 0));
    assert!(span.columns[0].residual > 0.2, "{}", span.columns[0].residual);
}

#[test]
fn passes_that_do_not_fit_are_refused() {
    let h = |rows, value| Array2::from_elem((rows, 2), value);
    for (passes, expected) in [
        (vec![], "at least one row"),
        (vec![h(0, 1.0)], "at least one row"),
        (vec![h(5, 1.0), h(4, 1.0)], "5 rows in every pass, got 4"),
        (vec![h(5, f64::NAN)], "finite"),
    ] {
        let error = two_valued_columns(&passes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // What shows nothing of the rows is no error.
    let nothing = two_valued_columns(&[h(50, 1.0)]).unwrap();
    assert_eq!((nothing.dimension, nothing.columns), (0, vec![]));
}

#[test]
fn which_value_is_which_makes_no_difference_and_a_third_value_is_none() {
    assert_eq!(rows_right(&[true, false, false], &[false, true, true]), 1.0);
    let of = |values: &[f32]| greater_of_two(ndarray::aview1(values));
    assert_eq!(of(&[1.0, 3.0, 1.0]), Some(vec![false, true, false]));
    assert_eq!(
        (of(&[1.0, 2.0, 3.0]), of(&[2.0, 2.0]), of(&[]), of(&[f32::NAN, 1.0])),
        (None, None, None, None)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The basis is orthonormal, without ones, and spans the lines; its dimension is their rank.
    #[test]
    fn a_basis_is_of_what_it_is_made_of(rank in 1usize..6, more in 0usize..6, seed in any::<u32>()) {
        let lines = noise(rank + more, rank, seed).dot(&noise(rank, 40, seed.wrapping_add(9))) + 3.0;
        let basis = basis::of(&lines);
        prop_assert_eq!(basis.nrows(), rank);
        let off = basis.dot(&basis.t()) - Array2::<f64>::eye(rank);
        prop_assert!(off.iter().all(|v| v.abs() < 1e-12));
        prop_assert!(basis.sum_axis(Axis(1)).iter().all(|v| v.abs() < 1e-10));
        let centred = &lines - &lines.mean_axis(Axis(1)).unwrap().insert_axis(Axis(1));
        let outside = &centred - &centred.dot(&basis.t()).dot(&basis);
        prop_assert!(outside.iter().all(|v| v.abs() < 1e-8));
    }

    #[test]
    fn eigenvectors_are_orthonormal_and_put_the_matrix_together(n in 1usize..12, seed in any::<u32>()) {
        let half = noise(n, n, seed);
        let matrix = &half + &half.t();
        let (values, vectors) = eigenvectors(&matrix);
        let together = vectors.t().dot(&(&vectors * &values.insert_axis(Axis(1))));
        prop_assert!((together - &matrix).iter().all(|v| v.abs() < 1e-10));
        prop_assert!((vectors.dot(&vectors.t()) - Array2::<f64>::eye(n)).iter().all(|v| v.abs() < 1e-10));
    }
}
