//! Both operands encrypted, against exact integers; the noise formula against measured noise; refusals.

use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::linear::tests::numbers;

pub(super) const SCALES: Scales = Scales {
    input: 24,
    weight: 60,
    response: 46,
};

pub(super) fn parameters() -> Parameters {
    Parameters::new(12, &[50, 50]).unwrap()
}

pub(super) fn secret() -> SecretKey {
    SecretKey::generate(&parameters(), &mut ChaCha20Rng::from_seed([1; 32]))
}

pub(super) fn key() -> RandomnessKey {
    RandomnessKey::new([2; 32])
}

/// x W of the rounded operands, term by term in integers.
fn exact(product: &EncryptedProduct, x: &[f32], w: &[f32]) -> Vec<f64> {
    let Layout { inputs, outputs, .. } = product.layout;
    let wide = |what, numbers: &[f32], scale| -> Vec<i128> {
        let integers = Integers::new(what, numbers, scale, &product.parameters).unwrap();
        integers.values.iter().map(|&v| i128::from(v) << integers.lift).collect()
    };
    let (x, w) = (wide("x", x, product.scales.input), wide("w", w, product.scales.weight));
    let one = |row: &[i128], j: usize| -> i128 { row.iter().zip(w.iter().skip(j).step_by(outputs)).map(|(x, w)| x * w).sum() };
    let rows = x.chunks(inputs);
    rows.flat_map(|row| (0..outputs).map(move |j| (row, j)))
        .map(|(row, j)| one(row, j) as f64 * product.scales.step())
        .collect()
}

/// W in -1/16..1/16.
pub(super) fn matrix(count: usize, seed: u64) -> Vec<f32> {
    numbers(count, seed ^ 3).iter().map(|w| w / 16.0).collect()
}

/// Encrypts both, multiplies, decrypts; the errors of all outputs.
fn errors(product: &EncryptedProduct, rows: usize, seed: u64) -> Vec<f64> {
    let Layout { inputs, outputs, .. } = product.layout;
    let (x, w) = (numbers(rows * inputs, seed), matrix(inputs * outputs, seed));
    let secret = secret();
    let context = seed.to_le_bytes();
    let upload = product.encrypt_rows(&x, &secret, &key(), &context).unwrap();
    assert_eq!(upload.len(), product.rows_len(rows));
    let weights = product.encrypt_weights(&w, &secret, &key(), &context).unwrap();
    assert_eq!(weights.len(), product.weights_len());
    let groups = product.receive_rows(&upload, rows).unwrap();
    let weights = product.receive_weights(&weights).unwrap();
    let response = product.respond(&weights, &groups.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(response.len(), product.response_len(rows));
    let y = product.decrypt(&response, rows, &secret).unwrap();
    let exact = exact(product, &x, &w);
    y.iter().zip(exact).map(|(y, e)| f64::from(*y) - e).collect()
}

/// The norms of the operands that [`errors`] makes, in the mean.
fn norms(product: &EncryptedProduct) -> (Norms, f64) {
    let layout = product.layout;
    let row = (layout.inputs as f64 / 3.0).sqrt();
    let norms = Norms {
        row: 0.0,
        column: 0.0,
        block: row / 16.0 * (layout.block_outputs as f64).sqrt(),
    };
    (norms, row * (layout.samples as f64).sqrt())
}

#[test]
fn the_noise_formula_is_the_measured_noise() {
    // Noise of the rows, of the matrix, of the response, one after the other; the exact product is of the rounded operands.
    let settings = [
        ("rows", [24, 60, 52]),
        ("matrix", [60, 30, 52]),
        ("response", [30, 60, 32]),
        ("design at 2^8", [8, 58, 50]),
        ("design at 2^20", [20, 58, 50]),
    ];
    for (what, [input, weight, response]) in settings {
        let scales = Scales { input, weight, response };
        for shape in [[3, 60, 16], [2, 300, 40]] {
            let product = EncryptedProduct::new(&parameters(), shape, scales).unwrap();
            let all: Vec<f64> = (0..8)
                .flat_map(|seed| errors(&product, product.layout.samples, seed))
                .collect();
            let measured = (all.iter().map(|e| e * e).sum::<f64>() / all.len() as f64).sqrt();
            let (norms, group) = norms(&product);
            let formula = product.error_deviation(norms, group);
            println!(
                "{what}, {shape:?}: measured {measured:e}, formula {formula:e}, {:?}",
                product.layout
            );
            assert!(
                (0.8..1.2).contains(&(measured / formula)),
                "{what}: measured {measured:e}, formula {formula:e}"
            );
        }
    }
}

#[test]
fn the_published_layer_has_the_error_of_the_design() {
    let layout = Layout {
        degree: 4096,
        inputs: 784,
        outputs: 128,
        samples: 1,
        block_inputs: 32,
        block_outputs: 128,
    };
    let scales = Scales { response: 48, ..SCALES };
    let product = EncryptedProduct::with_layout(&parameters(), layout, scales).unwrap();
    // 1.3 MB for a row, as the design says.
    assert_eq!(product.rows_len(1), 25 * (32 + 2 * 25_600));
    let all = errors(&product, 2, 1);
    let measured = (all.iter().map(|e| e * e).sum::<f64>() / all.len() as f64).sqrt();
    let (norms, group) = norms(&product);
    let formula = product.error_deviation(norms, group);
    println!("784 x 128: measured {measured:e}, formula {formula:e}");
    assert!((0.85..1.15).contains(&(measured / formula)), "{measured:e} {formula:e}");
    // Scaled to the |W| = 6.5 of the design's figure, three deviations.
    assert!(3.0 * measured / norms.block * 6.5 < 6e-6, "{measured:e}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn any_shape_is_right(rows in 1usize..7, inputs in 1usize..200, outputs in 1usize..40, seed: u64) {
        let product = EncryptedProduct::new(&parameters(), [rows, inputs, outputs], SCALES).unwrap();
        let (norms, group) = norms(&product);
        // Norms of these rows and matrices may be above the mean; results are read as f32.
        let limit = 9.0 * product.error_deviation(norms, group) + 1e-6;
        // The last batch of an epoch may be smaller.
        for rows in [rows, rows.div_ceil(2)] {
            let errors = errors(&product, rows, seed);
            prop_assert!(errors.iter().all(|e| e.abs() < limit), "{errors:?} {limit:e}");
        }
    }

    #[test]
    fn any_layout_is_right(
        samples in 1usize..4, block_inputs in 1usize..40, block_outputs in 1usize..30, inputs in 1usize..60, outputs in 1usize..40, seed: u64
    ) {
        let layout = Layout { degree: 4096, inputs, outputs, samples, block_inputs, block_outputs };
        let product = EncryptedProduct::with_layout(&parameters(), layout, SCALES).unwrap();
        let (norms, group) = norms(&product);
        let limit = 9.0 * product.error_deviation(norms, group) + 1e-6;
        prop_assert!(errors(&product, 4, seed).iter().all(|e| e.abs() < limit));
    }
}

#[test]
fn batches_are_drawn_from_all_rows() {
    let layout = Layout {
        degree: 4096,
        inputs: 20,
        outputs: 7,
        samples: 1,
        block_inputs: 20,
        block_outputs: 7,
    };
    let product = EncryptedProduct::with_layout(&parameters(), layout, SCALES).unwrap();
    let (x, w) = (numbers(200, 4), matrix(140, 4));
    let upload = product.encrypt_rows(&x, &secret(), &key(), b"all").unwrap();
    let groups = product.receive_rows(&upload, 10).unwrap();
    let weights = product.encrypt_weights(&w, &secret(), &key(), b"all").unwrap();
    let weights = product.receive_weights(&weights).unwrap();
    let response = product.respond(&weights, &[&groups[7], &groups[2], &groups[7]]).unwrap();
    let y = product.decrypt(&response, 3, &secret()).unwrap();
    let all = exact(&product, &x, &w);
    for (got, row) in y.chunks(7).zip([7, 2, 7]) {
        for (got, exact) in got.iter().zip(&all[row * 7..]) {
            assert!((f64::from(*got) - exact).abs() < 1e-5, "{got} {exact}");
        }
    }
}

#[test]
fn a_result_that_could_have_wrapped_is_refused() {
    let product = EncryptedProduct::new(&parameters(), [1, 2, 1], SCALES).unwrap();
    let bound = product.output_bound() as f32;
    let read = |value: f32| {
        let upload = product.encrypt_rows(&[value, 0.0], &secret(), &key(), b"w").unwrap();
        let weights = product.encrypt_weights(&[1.0, 0.0], &secret(), &key(), b"w").unwrap();
        let groups = product.receive_rows(&upload, 1).unwrap();
        let weights = product.receive_weights(&weights).unwrap();
        let response = product.respond(&weights, &[&groups[0]]).unwrap();
        product.decrypt(&response, 1, &secret())
    };
    assert!((read(0.99 * bound).unwrap()[0] - 0.99 * bound).abs() < 0.01);
    assert!(matches!(read(1.01 * bound), Err(LatticeError::Range { what: "output", .. })));
}

#[test]
fn wrong_sizes_and_settings_are_named() {
    let product = EncryptedProduct::new(&parameters(), [4, 100, 3], SCALES).unwrap();
    let samples = product.layout.samples;
    assert!(samples > 1, "{:?}", product.layout);
    let secret = secret();
    let wide = Scales { weight: 99, ..SCALES };
    let too_wide = EncryptedProduct::new(&parameters(), [1, 4, 4], wide).unwrap();
    assert!(matches!(
        too_wide.encrypt_weights(&[1.0; 16], &secret, &key(), b"w"),
        Err(LatticeError::Range { what: "weight", .. })
    ));
    let precise = Scales { response: 58, ..SCALES };
    assert!(matches!(
        EncryptedProduct::new(&parameters(), [1, 4, 4], precise),
        Err(LatticeError::Wide { allowed: 57, .. })
    ));
    let layout = Layout {
        samples: usize::MAX,
        ..*product.layout()
    };
    assert!(matches!(
        EncryptedProduct::with_layout(&parameters(), layout, SCALES),
        Err(LatticeError::NoLayout { .. })
    ));
    assert!(matches!(
        product.encrypt_rows(&[0.0; 101], &secret, &key(), b"x"),
        Err(LatticeError::Size { expected: 200, .. })
    ));
    let upload = product.encrypt_rows(&[0.5; 400], &secret, &key(), b"x").unwrap();
    assert!(matches!(
        product.receive_rows(&upload[1..], 4),
        Err(LatticeError::Length { .. })
    ));
    for rows in [0, samples + 1] {
        let group = product.receive_group(&upload[..product.group_len()], rows);
        assert!(matches!(group, Err(LatticeError::Size { .. })));
    }
    let mut wrong = upload.clone();
    wrong[32..46].fill(0xff);
    assert!(matches!(
        product.receive_rows(&wrong, 4),
        Err(LatticeError::Coefficient { .. })
    ));
    // A partial group before a full one.
    let short = product.receive_group(&upload[..product.group_len()], samples - 1).unwrap();
    let full = product.receive_group(&upload[..product.group_len()], samples).unwrap();
    let weights = product.encrypt_weights(&[0.0; 300], &secret, &key(), b"w").unwrap();
    let weights = product.receive_weights(&weights).unwrap();
    assert!(matches!(
        product.respond(&weights, &[&short, &full]),
        Err(LatticeError::Size { .. })
    ));
    assert!(product.respond(&weights, &[&full, &short]).is_ok());
    let other = EncryptedProduct::new(&parameters(), [1, 4000, 30], SCALES).unwrap();
    assert!(matches!(other.respond(&weights, &[]), Err(LatticeError::Size { .. })));
    // A response that is one byte short, or has bits beyond its end.
    let response = product.respond(&weights, &[&full]).unwrap();
    assert!(matches!(
        product.decrypt(&response[1..], samples, &secret),
        Err(LatticeError::Length { .. })
    ));
}
