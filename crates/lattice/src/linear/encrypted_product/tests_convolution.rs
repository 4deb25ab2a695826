//! Convolutions with all operands encrypted, against direct convolution; noise formula against measured noise; refusals.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    RandomnessKey, SecretKey,
    linear::{convolution::tests::terms, tests::numbers},
};

const SCALES: TrainingScales = TrainingScales {
    input: 20,
    weight: 20,
    delta: 26,
    response: 30,
};

fn parameters() -> Parameters {
    Parameters::new(11, &[50]).unwrap()
}

fn convolution(channels: [usize; 2], image: usize, kernel: usize, stride: usize) -> LinearShape {
    LinearShape::Convolution {
        channels,
        image: [image; 2],
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [kernel / 2; 2],
    }
}

/// (measured, formula) deviations of the errors of the three products, operands of `scales` rounded to them.
fn deviations(product: &EncryptedProduct, rows: usize, from: RowSource) -> Vec<(f64, f64)> {
    let shape = product.shape();
    let grid = |count, seed, by: f32, bits: u32| -> Vec<f32> {
        let unit = 2f32.powi(bits.min(20) as i32);
        let of = |v: &f32| (v / by * unit).round() / unit;
        numbers(count, seed).iter().map(of).collect()
    };
    let mut x = grid(rows * shape.inputs(), 1, 1.0, product.scales.input);
    // Inputs between the windows stand nowhere.
    let used: std::collections::HashSet<usize> = terms(&shape, rows).iter().map(|term| term[0]).collect();
    (0..x.len()).filter(|i| !used.contains(i)).for_each(|i| x[i] = 0.0);
    let w = grid(shape.weights(), 2, 16.0, product.scales.weight);
    let d = grid(rows * shape.outputs(), 3, 64.0, product.scales.delta);
    let mut exact = [vec![0f64; d.len()], vec![0f64; w.len()], vec![0f64; x.len()]];
    for [input, weight, output] in terms(&shape, rows) {
        exact[0][output] += f64::from(x[input]) * f64::from(w[weight]);
        exact[1][weight] += f64::from(x[input]) * f64::from(d[output]);
        exact[2][input] += f64::from(d[output]) * f64::from(w[weight]);
    }
    let secret = SecretKey::generate(&parameters(), &mut ChaCha20Rng::from_seed([1; 32]));
    let key = RandomnessKey::new([2; 32]);
    let relinearisation = product.relinearisation_key(&secret, &key, b"r").unwrap();
    let relinearisation = product.receive_relinearisation_key(&relinearisation).unwrap();
    let x_bytes = match from {
        RowSource::Sent => product.encrypt_rows(&x, &secret, &key, b"x").unwrap(),
        // One by one, as they are stored.
        RowSource::Stored => {
            let row = |(i, row): (usize, &[f32])| product.encrypt_rows(row, &secret, &key, &[i as u8]).unwrap();
            x.chunks(shape.inputs()).enumerate().flat_map(row).collect()
        }
    };
    let batch = product.receive_rows(&x_bytes, rows).unwrap();
    let weights = product.encrypt_weights(&w, &secret, &key, b"w").unwrap();
    let weights = product.receive_weights(&weights).unwrap();
    let delta = product.encrypt_delta(&d, &secret, &key, b"d").unwrap();
    let delta = product.receive_delta(&delta, rows).unwrap();
    let y = product.outputs(&batch, rows, &weights, &relinearisation).unwrap();
    let dw = product.gradient(&batch, &delta, &relinearisation).unwrap();
    let dx = product.input_gradient(&delta, &weights, &relinearisation).unwrap();
    let lengths = [
        product.outputs_len(rows),
        product.gradient_len(),
        product.input_gradient_len(rows),
    ];
    assert_eq!([y.len(), dw.len(), dx.len()], lengths);
    let got = [
        product.decrypt_outputs(&y, rows, &secret).unwrap(),
        product.decrypt_gradient(&dw, &secret).unwrap(),
        product.decrypt_input_gradient(&dx, rows, &secret).unwrap(),
    ];
    // Of full groups and blocks, which most results come from; the operands are exact.
    let norms = |values: &[f32], share: f64| OperandNorms {
        blocks: (values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() * share).sqrt(),
        line: 0.0,
    };
    let Packing::Convolution(_, layout) = &product.packing else {
        panic!("a convolution");
    };
    let [inputs, outputs] = layout.shares();
    let [all, own] = layout.group_shares(rows);
    let formulas = [
        product.output_deviation(norms(&x, all), norms(&w, outputs)),
        product.gradient_deviation(rows, norms(&x, inputs * layout.parts()), norms(&d, outputs)),
        product.input_gradient_deviation(norms(&d, own), norms(&w, inputs)),
    ];
    let counts = [d.len(), w.len(), used.len()];
    let measured = got.iter().zip(&exact).zip(counts).map(|((got, exact), count)| {
        assert_eq!(got.len(), exact.len());
        let errors = got.iter().zip(exact).map(|(got, exact)| (f64::from(*got) - exact).powi(2));
        (errors.sum::<f64>() / count as f64).sqrt()
    });
    measured.zip(formulas).collect()
}

#[test]
fn the_products_are_right_and_the_noise_is_the_formulas() {
    for (shape, rows, from) in [
        (convolution([3, 5], 32, 3, 1), 4, RowSource::Sent),
        (convolution([3, 5], 32, 3, 1), 2, RowSource::Stored),
        (convolution([7, 9], 16, 3, 1), 6, RowSource::Sent),
        (convolution([5, 7], 16, 3, 2), 4, RowSource::Sent),
        (convolution([6, 10], 8, 1, 2), 5, RowSource::Sent),
        // A picture larger than the ring.
        (convolution([2, 3], 60, 5, 1), 1, RowSource::Sent),
    ] {
        let product = EncryptedProduct::for_training(&parameters(), rows, shape, from, SCALES).unwrap();
        println!("{shape:?}: {} groups, blocks {:?}", product.groups(rows), product.blocks());
        for ((measured, formula), name) in deviations(&product, rows, from).into_iter().zip(["y", "dW", "dx"]) {
            println!("{name}: measured {measured:.3e}, formula {formula:.3e}");
            assert!(measured < 2e-4, "{name} {measured:e}");
            // Groups and blocks at the end hold less.
            let ratio = measured / formula;
            assert!((0.75..1.12).contains(&ratio), "{name} {ratio}");
        }
    }
}

#[test]
fn a_layout_is_chosen_by_bytes_or_refused() {
    let chosen = |rows, shape, from| EncryptedProduct::for_training(&parameters(), rows, shape, from, SCALES);
    // Eleven overlapping groups hold twenty pictures that fit one by one.
    let layer = convolution([16, 16], 32, 3, 1);
    let sent = chosen(20, layer, RowSource::Sent).unwrap();
    assert_eq!((sent.groups(20), sent.blocks()), (11, [1, 1]));
    println!("16 x 32 x 32: {} bytes", sent.batch_len(20, RowSource::Sent));
    assert_eq!(chosen(20, layer, RowSource::Stored).unwrap().groups(20), 20);
    let refused = |shape, from| matches!(chosen(4, shape, from), Err(LatticeError::NoLayout { .. }));
    assert!(refused(convolution([3, 4], 60, 3, 1), RowSource::Stored));
    assert!(refused(convolution([3, 4], 2, 9, 0), RowSource::Sent));
    assert!(refused(convolution([0, 4], 8, 3, 1), RowSource::Sent));
    // A dense layer by the same function.
    let dense = LinearShape::Dense { inputs: 30, outputs: 7 };
    let product = chosen(4, dense, RowSource::Sent).unwrap();
    assert!(product.shape() == dense && product.layout().is_some() && sent.layout().is_none());
}
