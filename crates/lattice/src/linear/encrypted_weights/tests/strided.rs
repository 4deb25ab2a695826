//! Stride layout: training with merged responses, garbage, noise, and hidden responses.

use super::*;

#[test]
fn the_noise_formula_is_the_measured_noise_in_stride_layout() {
    // Scales at which the noise of updates, or of merging alone, stands above the response's rounding.
    for (samples, updates, input, weight) in [(2, 0, 5, 38), (4, 1, 9, 34), (4, 5, 9, 34), (16, 3, 9, 34), (1, 3, 9, 34)] {
        let scales = Scales {
            input,
            weight,
            response: 38,
        };
        let product = WeightProduct::strided(&parameters(), [100, 128], samples, scales).unwrap();
        assert_eq!((product.merged_rows(), product.block_inputs()), (16, 16 / samples));
        let (mut squares, mut count, mut merging) = (0.0, 0.0, 0.0);
        for seed in 0..8 {
            let mut trainer = Trainer::new(product.clone(), 1000 * updates + seed);
            let batches: Vec<Vec<f32>> = (0..updates).map(|u| trainer.rows(17, u + 10)).collect();
            for (u, batch) in batches.iter().enumerate() {
                trainer.update(batch, u as u64 + 20);
            }
            let batches: Vec<&[f32]> = batches.iter().map(Vec::as_slice).collect();
            let rows = trainer.rows(16, 5);
            let errors = trainer.errors(&rows);
            for (row, errors) in rows.chunks(100).zip(errors.chunks(128)) {
                let formula = product.error_deviation(row, &batches).unwrap();
                squares += errors.iter().map(|e| (e / formula).powi(2)).sum::<f64>();
                count += errors.len() as f64;
                merging = product.merging_variance() * scales.step().powi(2) / formula.powi(2);
            }
        }
        let ratio = squares / count;
        println!("{samples} samples, {updates} updates: measured / formula variance {ratio:.3}, merging is {merging:.3} of it");
        assert!((0.85..1.15).contains(&ratio), "{samples} samples, {updates} updates: {ratio}");
    }
}

#[test]
fn the_published_layer_trains_in_stride_layout() {
    let scales = Scales { response: 32, ..SCALES };
    let product = WeightProduct::strided(&parameters(), [785, 128], 4, scales).unwrap();
    assert_eq!(
        (product.block_inputs(), product.input_blocks(), product.merged_rows()),
        (4, 197, 16)
    );
    let mut trainer = Trainer::new(product, 3);
    let x = trainer.rows(60, 1);
    let bytes = trainer.product.delta_len(60) + trainer.product.response_len(60);
    // 10,000 rows in batches of 60.
    println!("{} bytes for 10,000 rows", bytes * 167);
    assert!(bytes * 167 < 60_000_000, "{bytes}");
    let batch = &x[..21 * 785];
    for seed in 0..3 {
        trainer.update(batch, seed);
    }
    let worst = trainer.errors(&x).iter().fold(0.0, |m: f64, e| m.max(e.abs()));
    let formula = trainer.product.error_deviation(&x[..785], &[batch; 3]).unwrap();
    println!("worst error after three updates {worst:e}, formula's deviation {formula:e}");
    assert!(worst < 7.0 * formula, "{worst:e} {formula:e}");
}

#[test]
fn garbage_stays_away_from_outputs_and_weights() {
    let product = WeightProduct::strided_with_block_outputs(&parameters(), [10, 20], 4, 128, SCALES).unwrap();
    let mut trainer = Trainer::new(product, 5);
    let x = trainer.rows(7, 1);
    for batch in 0..20 {
        trainer.update(&x, batch);
    }
    // Between the weights the matrix is full of other samples' deltas.
    let plain = trainer.secret.decrypt(&trainer.encrypted.blocks[0]).unwrap();
    let plain = crate::centred_coefficients(&plain).unwrap();
    let garbage = plain.iter().enumerate().filter(|(at, _)| at % 16 >= 4);
    let (count, large) = garbage.fold((0, 0), |(n, large), (_, v)| (n + 1, large + usize::from(v.abs() > 1 << 30)));
    assert!(large > count / 10, "{large} of {count}");
    let bytes = trainer.product.encode_weights(&trainer.encrypted).unwrap();
    let read = trainer.product.decrypt_weights(&bytes, &trainer.secret).unwrap();
    let unit = 2f64.powi(-38);
    for (read, exact) in read.iter().zip(&trainer.exact) {
        assert!((read - *exact as f64 * unit).abs() < 1e-7, "{read}");
    }
    let formula = trainer.product.error_deviation(&x[..10], &vec![&x[..]; 20]).unwrap();
    assert!(trainer.errors(&x).iter().all(|e| e.abs() < 7.0 * formula + 1e-6));
}

#[test]
fn merged_responses_need_keys() {
    let product = WeightProduct::strided(&parameters(), [10, 20], 2, SCALES).unwrap();
    let secret = secret(&parameters());
    let bytes = product.encrypt_weights(&numbers(200, 1), &secret, &key(), b"w").unwrap();
    let mut weights = product.receive_weights(&bytes).unwrap();
    let rows = product.encode_rows(&numbers(20, 2)).unwrap();
    assert_eq!(product.forward(&weights, &rows), Err(LatticeError::NoMergeKeys));
    let block = WeightProduct::new(&parameters(), [10, 20], SCALES).unwrap();
    assert_eq!(block.merge_keys(&secret, &key(), b"k").unwrap(), []);
    assert!(matches!(
        block.receive_merge_keys(&mut weights, &[0]),
        Err(LatticeError::Length { expected: 0, .. })
    ));
    let other = WeightProduct::strided_with_block_outputs(&parameters(), [10, 20], 2, 32, SCALES).unwrap();
    let keys = other.merge_keys(&secret, &key(), b"k").unwrap();
    other.receive_merge_keys(&mut weights, &keys).unwrap();
    assert_ne!(other.merged_rows(), product.merged_rows());
    assert_eq!(product.forward(&weights, &rows), Err(LatticeError::NoMergeKeys));
}

#[test]
fn the_noise_bound_is_above_the_formula_in_stride_layout() {
    let scales = Scales {
        input: 9,
        weight: 34,
        response: 38,
    };
    let product = WeightProduct::strided(&parameters(), [100, 128], 4, scales).unwrap();
    // Rows of integers at their scale, as the bound takes them.
    let x: Vec<f32> = numbers(1000, 2).iter().map(|x| (x * 512.0).round() / 512.0).collect();
    let norm = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let widest = x.chunks(100).map(norm).fold(0.0, f64::max);
    for batches in [&[][..], &[&x[..]], &[&x[..], &x[..300]]] {
        let updates = batches.iter().map(|batch| batch.len() as u64 / 100).sum();
        let bound = product.noise_bound(widest, updates);
        for row in x.chunks(100) {
            let formula = product.error_deviation(row, batches).unwrap() / scales.step();
            let noise = (formula * formula - product.compression.variance()).max(0.0).sqrt();
            assert!(12.0 * noise <= bound * 1.000_001, "{updates}: {noise:e} {bound:e}");
        }
    }
}

#[test]
fn a_hidden_merged_response_is_right_to_its_precision() {
    let parameters = Parameters::new(13, &[50, 50, 50]).unwrap();
    let scales = Scales {
        input: 5,
        weight: 110,
        response: 57,
    };
    let product = WeightProduct::strided(&parameters, [30, 20], 4, scales).unwrap();
    let secret = secret(&parameters);
    let w = numbers(600, 1);
    let bytes = product.encrypt_weights(&w, &secret, &key(), b"w").unwrap();
    let mut encrypted = product.receive_weights(&bytes).unwrap();
    let keys = product.merge_keys(&secret, &key(), b"k").unwrap();
    product.receive_merge_keys(&mut encrypted, &keys).unwrap();
    let x: Vec<f32> = numbers(210, 2).iter().map(|x| (x * 32.0).round() / 32.0).collect();
    let rows = product.encode_rows(&x).unwrap();
    let hidden = |noise_bound: f64| {
        let secrecy = Secrecy {
            statistical_bits: 40,
            revealed: 1 << 30,
            noise_bound,
            message_bound: product.message_bound(64.0),
        };
        let hiding = Hiding {
            flooding: &Flooding::new(&parameters, secrecy).unwrap(),
            receiver: &PublicKey::generate(&secret, &key(), b"p").unwrap(),
            key: &key(),
            context: b"batch",
        };
        product.forward_hidden(&encrypted, &rows, &hiding)
    };
    // Without the noise of merging the flooding would be too narrow.
    assert!(matches!(hidden(2f64.powi(14)), Err(LatticeError::Noise { .. })));
    let response = hidden(product.noise_bound(30f64.sqrt(), 0)).unwrap();
    let y = product.decrypt(&response, 7, &secret).unwrap();
    for (i, row) in x.chunks(30).enumerate() {
        for j in 0..20 {
            let terms = row.iter().enumerate().map(|(k, x)| f64::from(*x) * f64::from(w[k * 20 + j]));
            let exact: f64 = terms.sum();
            assert!((f64::from(y[i * 20 + j]) - exact).abs() < 1e-4, "{} {exact}", y[i * 20 + j]);
        }
    }
}
