use ndarray::{ArrayD, array};

use super::*;

#[test]
fn flat_samples_are_standardised_by_feature() {
    let mut x = array![[1.0f32, 10.0, 7.0], [3.0, 10.0, 8.0], [5.0, 10.0, 12.0]].into_dyn();
    let fitted = Standardiser::fit(&x);
    assert_eq!(fitted.mean, [3.0, 10.0, 9.0]);
    assert_eq!(fitted.std, [(8.0f64 / 3.0).sqrt(), 1.0, (14.0f64 / 3.0).sqrt()]);
    fitted.apply(&mut x).unwrap();
    let expected = [
        -1.224_744_9f32,
        0.0,
        -0.925_820_1,
        0.0,
        0.0,
        -0.462_910_05,
        1.224_744_9,
        0.0,
        1.388_730_2,
    ];
    for (value, expected) in x.iter().zip(expected) {
        assert!((value - expected).abs() < 1e-6, "{value} {expected}");
    }
}

#[test]
fn signals_are_standardised_by_channel() {
    let values: Vec<f32> = (0..12).map(|v| if v % 6 < 3 { v as f32 } else { 100.0 }).collect();
    let x = ArrayD::from_shape_vec(vec![2, 2, 3], values).unwrap();
    let fitted = Standardiser::fit(&x);
    assert_eq!(fitted.mean, [4.0, 100.0]);
    assert_eq!(fitted.std[1], 1.0);
}

/// A mean that is off by one rounding must not turn a constant into noise divided by almost nothing.
#[test]
fn a_constant_feature_becomes_zero() {
    let mut x = ArrayD::from_elem(vec![1_000, 2], 0.1f32);
    let fitted = Standardiser::fit(&x);
    assert_eq!(fitted.std, [1.0, 1.0]);
    fitted.apply(&mut x).unwrap();
    assert!(x.iter().all(|&value| value == 0.0));
}

#[test]
fn a_large_offset_keeps_its_digits() {
    let x = ArrayD::from_shape_vec(vec![4, 1], vec![1e6f32, 1e6 + 1.0, 1e6 + 2.0, 1e6 + 3.0]).unwrap();
    let fitted = Standardiser::fit(&x);
    assert!((fitted.std[0] - 1.25f64.sqrt()).abs() < 1e-12);
}

/// Column-major arrays come from transposing; values must not be taken for those of another feature.
#[test]
fn memory_order_does_not_matter() {
    let mut rows = array![[1.0f32, 10.0], [3.0, 20.0], [5.0, 60.0]].into_dyn();
    let mut columns = array![[1.0f32, 3.0, 5.0], [10.0, 20.0, 60.0]].reversed_axes().into_dyn();
    let fitted = Standardiser::fit(&rows);
    assert_eq!(Standardiser::fit(&columns), fitted);
    fitted.apply(&mut rows).unwrap();
    fitted.apply(&mut columns).unwrap();
    assert_eq!(rows, columns);
}

#[test]
fn another_width_is_refused() {
    let fitted = Standardiser::fit(&ArrayD::zeros(vec![2, 3]));
    let error = fitted.apply(&mut ArrayD::zeros(vec![2, 4])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the standardiser was fitted on 3 features, the samples have 4"
    );
}

#[test]
fn survives_serialisation() {
    let fitted = Standardiser {
        mean: vec![0.1, -3e-7],
        std: vec![1.0, 2.5],
    };
    let text = serde_json::to_string(&fitted).unwrap();
    assert_eq!(serde_json::from_str::<Standardiser>(&text).unwrap(), fitted);
}
