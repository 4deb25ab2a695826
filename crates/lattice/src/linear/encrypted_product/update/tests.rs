//! Training on encrypted rows against exact integers, the noise formula against measured noise, refusals.

use proptest::prelude::*;

use super::{
    super::tests::{SCALES, key, matrix, parameters, secret},
    *,
};
use crate::linear::{Layout, Norms, tests::numbers};

/// One row a ciphertext.
fn training(inputs: usize, outputs: usize, [block_inputs, block_outputs]: [usize; 2], scales: Scales) -> EncryptedProduct {
    let layout = Layout {
        degree: 4096,
        inputs,
        outputs,
        samples: 1,
        block_inputs,
        block_outputs,
    };
    EncryptedProduct::with_layout(&parameters(), layout, scales).unwrap()
}

/// Trains for some steps on one batch; the error of its outputs, and of a new row's, over what the formula says.
fn train(product: &EncryptedProduct, rows: usize, steps: u64, seed: u64) -> Vec<f64> {
    const RATE: f32 = 0.25;
    let Layout { inputs, outputs, .. } = product.layout;
    let secret = secret();
    let mirror = MirrorKey::generate(&secret, &key(), &seed.to_le_bytes()).unwrap();
    // The last row is not trained on.
    let all = numbers((rows + 1) * inputs, seed);
    let x = &all[..rows * inputs];
    let w = matrix(inputs * outputs, seed);
    let upload = product.encrypt_rows(&all, &secret, &key(), b"x").unwrap();
    let groups = product.receive_rows(&upload, rows + 1).unwrap();
    let batch: Vec<_> = groups.iter().collect();
    let weights = product.encrypt_weights(&w, &secret, &key(), b"w").unwrap();
    let mut weights = product.receive_weights(&weights).unwrap();
    // The matrix in integers, and its noise by the formula.
    let wide = |numbers: &[f32], scale| -> Vec<i128> {
        let integers = Integers::new("", numbers, scale, &product.parameters).unwrap();
        integers.values.iter().map(|&v| i128::from(v) << integers.lift).collect()
    };
    let (x_wide, mut w_wide) = (wide(&all, product.scales.input), wide(&w, product.scales.weight));
    let mut variances = vec![0.0; rows + 1];
    for step in 0..steps {
        let delta = numbers(rows * outputs, seed ^ (step + 100));
        let context = step.to_le_bytes();
        let bytes = product.encrypt_delta(&delta, RATE, &secret, &key(), &context).unwrap();
        assert_eq!(bytes.len(), product.delta_len(rows));
        product.update(&mut weights, &batch[..rows], &bytes, &mirror).unwrap();
        let scaled: Vec<f32> = delta.iter().map(|d| -RATE * d).collect();
        let delta = wide(&scaled, product.scales.weight - product.scales.input);
        for (row, delta) in x_wide.chunks(inputs).zip(delta.chunks(outputs)) {
            for (x, w) in row.iter().zip(w_wide.chunks_mut(outputs)) {
                w.iter_mut().zip(delta).for_each(|(w, d)| *w += x * d);
            }
        }
        for (variance, row) in variances.iter_mut().zip(all.chunks(inputs)) {
            *variance += product.update_error_deviation(row, x, &scaled, &mirror).unwrap().powi(2);
        }
    }
    let response = product.respond(&weights, &batch).unwrap();
    let y = product.decrypt(&response, rows + 1, &secret).unwrap();
    let unit = product.scales.step();
    let block: f64 = w_wide
        .iter()
        .map(|&w| (w as f64 * 2f64.powi(-(product.scales.weight as i32))).powi(2))
        .sum();
    let norms = Norms {
        row: 0.0,
        column: 0.0,
        block: block.sqrt(),
    };
    let mut ratios = Vec::new();
    for ((y, row), (x, variance)) in y
        .chunks(outputs)
        .zip(x_wide.chunks(inputs))
        .zip(all.chunks(inputs).zip(variances))
    {
        let group = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let formula = (variance + product.error_deviation(norms, group).powi(2)).sqrt();
        for (j, y) in y.iter().enumerate() {
            let exact: i128 = row
                .iter()
                .zip(w_wide.iter().skip(j).step_by(outputs))
                .map(|(x, w)| x * w)
                .sum();
            ratios.push((f64::from(*y) - exact as f64 * unit) / formula);
        }
    }
    ratios
}

#[test]
fn an_updated_matrix_has_the_error_of_the_formula() {
    let settings = [
        // All of it together; then with noise of delta (sw - sx small), and of the key switches, on top.
        ("design", Scales { response: 48, ..SCALES }),
        (
            "delta",
            Scales {
                input: 40,
                weight: 44,
                response: 50,
            },
        ),
        (
            "switches",
            Scales {
                input: 30,
                weight: 44,
                response: 50,
            },
        ),
    ];
    for (what, scales) in settings {
        for blocks in [[32, 128], [40, 16]] {
            let product = training(70, 16, blocks, scales);
            let all: Vec<f64> = (0..12).flat_map(|seed| train(&product, 3, 2, seed)).collect();
            let measured = (all.iter().map(|r| r * r).sum::<f64>() / all.len() as f64).sqrt();
            println!("{what}, {blocks:?}: measured over formula {measured:.3}");
            assert!((0.8..1.2).contains(&measured), "{what}, {blocks:?}: {measured}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn any_layout_trains(
        inputs in 1usize..60, outputs in 1usize..30, block_inputs in 1usize..60, block_outputs in 1usize..40, rows in 1usize..4, seed: u64
    ) {
        let product = training(inputs, outputs, [block_inputs, block_outputs], SCALES);
        let worst = train(&product, rows, 2, seed).into_iter().fold(0.0, |m: f64, r| m.max(r.abs()));
        prop_assert!(worst < 8.0, "{worst}");
    }
}

#[test]
fn a_wrong_update_changes_nothing() {
    let product = training(20, 5, [20, 5], SCALES);
    let secret = secret();
    let mirror = MirrorKey::generate(&secret, &key(), b"m").unwrap();
    let rows = product.encrypt_rows(&numbers(20, 1), &secret, &key(), b"x").unwrap();
    let groups = product.receive_rows(&rows, 1).unwrap();
    let weights = product.encrypt_weights(&matrix(100, 1), &secret, &key(), b"w").unwrap();
    let mut weights = product.receive_weights(&weights).unwrap();
    let before = product.respond(&weights, &[&groups[0]]).unwrap();
    let mut delta = product.encrypt_delta(&numbers(5, 2), 0.1, &secret, &key(), b"d").unwrap();
    let mut update = |delta: &[u8]| product.update(&mut weights, &[&groups[0]], delta, &mirror);
    assert!(matches!(update(&delta[1..]), Err(LatticeError::Length { .. })));
    delta[32..46].fill(0xff);
    assert!(matches!(update(&delta), Err(LatticeError::Coefficient { .. })));
    assert_eq!(product.respond(&weights, &[&groups[0]]).unwrap(), before);
    let shared = EncryptedProduct::new(&parameters(), [4, 20, 5], SCALES).unwrap();
    assert!(shared.layout.samples > 1);
    assert!(matches!(
        shared.update(&mut weights, &[], &[], &mirror),
        Err(LatticeError::Size { expected: 1, .. })
    ));
}
