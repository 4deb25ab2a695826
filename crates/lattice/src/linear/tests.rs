//! Real encryption against the product in f64, the noise formula against measured noise, and hostile bytes.

use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{LatticeError, Parameters, RandomnessKey, SecretKey, Upload};

const SCALES: Scales = Scales {
    input: 21,
    weight: 19,
    response: 27,
};

fn parameters() -> Parameters {
    Parameters::new(11, &[48]).unwrap()
}

fn secret() -> SecretKey {
    SecretKey::generate(&parameters(), &mut ChaCha20Rng::from_seed([1; 32]))
}

fn key() -> RandomnessKey {
    RandomnessKey::new([2; 32])
}

/// Numbers in -1..1 from a linear congruential sequence.
pub(super) fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 33) as f64 / (1u64 << 30) as f64 - 1.0) as f32
    };
    (0..count).map(|_| next()).collect()
}

fn exact(x: &[f32], w: &[f32], bias: &[f32], [rows, inputs, outputs]: [usize; 3]) -> Vec<f64> {
    let one = |i: usize, j: usize| {
        let sum: f64 = (0..inputs)
            .map(|k| f64::from(x[i * inputs + k]) * f64::from(w[k * outputs + j]))
            .sum();
        sum + f64::from(bias[j])
    };
    (0..rows)
        .flat_map(|i| (0..outputs).map(move |j| (i, j)))
        .map(|(i, j)| one(i, j))
        .collect()
}

/// Encrypts, multiplies, decrypts; the errors of all outputs.
fn errors(product: &Product, shape: [usize; 3], seed: u64) -> Vec<f64> {
    let [rows, inputs, outputs] = shape;
    let (x, bias) = (numbers(rows * inputs, seed), numbers(outputs, seed ^ 7));
    let w: Vec<f32> = numbers(inputs * outputs, seed ^ 3).iter().map(|w| w / 8.0).collect();
    let secret = secret();
    let upload = product.encrypt(&x, &secret, &key(), &seed.to_le_bytes()).unwrap();
    assert_eq!(upload.len(), product.upload_len(rows));
    let weights = product.weights(&w, &bias).unwrap();
    let response = product.respond(&weights, &upload, rows).unwrap();
    assert_eq!(response.len(), product.response_len(rows));
    let y = product.decrypt(&response, rows, &secret).unwrap();
    y.iter()
        .zip(exact(&x, &w, &bias, shape))
        .map(|(y, e)| f64::from(*y) - e)
        .collect()
}

#[test]
fn the_published_layer_is_right_to_four_digits() {
    let shape = [4, 256, 5];
    let product = Product::new(&parameters(), shape, SCALES).unwrap();
    for seed in 0..20 {
        let worst = errors(&product, shape, seed).iter().fold(0.0, |m: f64, e| m.max(e.abs()));
        assert!(worst < 1e-4, "{worst:e}");
    }
}

#[test]
fn the_noise_formula_is_the_measured_noise() {
    let shape = [4, 256, 5];
    for response in [24, 27, 30] {
        let product = Product::new(&parameters(), shape, Scales { response, ..SCALES }).unwrap();
        let all: Vec<f64> = (0..100).flat_map(|seed| errors(&product, shape, seed)).collect();
        let measured = (all.iter().map(|e| e * e).sum::<f64>() / all.len() as f64).sqrt();
        // Entries of x are uniform in -1..1, those of W in -1/8..1/8: norms sqrt(256 / 3) and an eighth of it.
        let norm = (256f64 / 3.0).sqrt();
        let block = norm / 8.0 * (product.layout().block_outputs as f64).sqrt();
        let formula = product.error_deviation(Norms {
            row: norm,
            column: norm / 8.0,
            block,
        });
        assert!(
            (0.9..1.1).contains(&(measured / formula)),
            "{response}: measured {measured:e}, formula {formula:e}"
        );
    }
}

#[test]
fn fresh_noise_comes_from_all_columns_of_a_block() {
    // A coarse x, whose noise is nearly all of the error, and blocks of 32 outputs.
    let scales = Scales {
        input: 12,
        weight: 22,
        response: 30,
    };
    let shape = [1, 64, 32];
    let product = Product::new(&parameters(), shape, scales).unwrap();
    assert_eq!(product.layout().block_outputs, 32);
    let all: Vec<f64> = (0..40).flat_map(|seed| errors(&product, shape, seed)).collect();
    let measured = (all.iter().map(|e| e * e).sum::<f64>() / all.len() as f64).sqrt();
    let norm = (64f64 / 3.0).sqrt();
    let formula = product.error_deviation(Norms {
        row: norm,
        column: norm / 8.0,
        block: norm / 8.0 * 32f64.sqrt(),
    });
    assert!(
        (0.9..1.1).contains(&(measured / formula)),
        "measured {measured:e}, formula {formula:e}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_shape_is_right(rows in 1usize..9, inputs in 1usize..300, outputs in 1usize..40, seed in any::<u64>()) {
        let shape = [rows, inputs, outputs];
        let product = Product::new(&parameters(), shape, SCALES).unwrap();
        for e in errors(&product, shape, seed) {
            prop_assert!(e.abs() < 3e-4, "{e}");
        }
        // The last batch of an epoch may be smaller.
        let fewer = [rows.div_ceil(2), inputs, outputs];
        for e in errors(&product, fewer, seed) {
            prop_assert!(e.abs() < 3e-4, "{e}");
        }
    }

    #[test]
    fn hostile_bytes_are_errors_or_numbers(change in proptest::collection::vec((0usize..20_000, any::<u8>()), 1..4)) {
        let product = Product::new(&parameters(), [4, 256, 5], SCALES).unwrap();
        let weights = product.weights(&numbers(1280, 1), &numbers(5, 2)).unwrap();
        let secret = secret();
        let mut upload = product.encrypt(&numbers(1024, 3), &secret, &key(), b"hostile").unwrap();
        let mut response = product.respond(&weights, &upload, 4).unwrap();
        for (at, byte) in change {
            let (u, r) = (upload.len(), response.len());
            upload[at % u] ^= byte;
            response[at % r] ^= byte;
        }
        let _ = product.respond(&weights, &upload, 4);
        let _ = product.decrypt(&response, 4, &secret);
    }
}

#[test]
fn wrong_lengths_and_coefficients_are_named() {
    let product = Product::new(&parameters(), [4, 256, 5], SCALES).unwrap();
    let weights = product.weights(&numbers(1280, 1), &numbers(5, 2)).unwrap();
    let mut upload = product.encrypt(&numbers(1024, 3), &secret(), &key(), b"x").unwrap();
    assert!(matches!(
        product.respond(&weights, &upload[1..], 4),
        Err(LatticeError::Length { .. })
    ));
    assert!(matches!(
        product.decrypt(&upload, 4, &secret()),
        Err(LatticeError::Length { .. })
    ));
    upload[32..40].fill(0xff);
    assert!(matches!(
        product.respond(&weights, &upload, 4),
        Err(LatticeError::Coefficient { position: 0, .. })
    ));
    assert!(matches!(
        product.weights(&[f32::NAN; 1280], &[0.0; 5]),
        Err(LatticeError::Range { .. })
    ));
    assert!(matches!(
        product.encrypt(&[1e9; 1024], &secret(), &key(), b"y"),
        Err(LatticeError::Range { .. })
    ));
}

#[test]
fn a_result_that_could_have_wrapped_is_refused() {
    let product = Product::new(&parameters(), [1, 2, 1], SCALES).unwrap();
    let bound = product.output_bound() as f32;
    let read = |value: f32| {
        let upload = product.encrypt(&[value, 0.0], &secret(), &key(), b"w").unwrap();
        let weights = product.weights(&[1.0, 0.0], &[0.0]).unwrap();
        product.decrypt(&product.respond(&weights, &upload, 1).unwrap(), 1, &secret())
    };
    assert!((read(0.99 * bound).unwrap()[0] - 0.99 * bound).abs() < 1e-3);
    assert!(matches!(read(1.01 * bound), Err(LatticeError::Range { .. })));
}

#[test]
fn the_same_step_repeats_its_bytes_and_other_data_share_nothing() {
    let product = Product::new(&parameters(), [4, 256, 5], SCALES).unwrap();
    let x = numbers(1024, 3);
    let encrypt = |x: &[f32], context: &[u8]| product.encrypt(x, &secret(), &key(), context).unwrap();
    let first = encrypt(&x, b"round 1");
    assert_eq!(first, encrypt(&x, b"round 1"));
    let mut changed = x.clone();
    changed[17] += 1e-3;
    for other in [encrypt(&changed, b"round 1"), encrypt(&x, b"round 2")] {
        assert_ne!(first[..32], other[..32], "another mask");
        let same = first[32..].iter().zip(&other[32..]).filter(|(a, b)| a == b).count();
        assert!(same < first.len() / 100, "{same}");
    }
    // A ciphertext decrypts to its plaintext within the noise.
    let ciphertext = Upload::decode(&parameters(), &first[..Upload::encoded_len(&parameters())]).unwrap();
    let plain = secret().decrypt(&ciphertext).unwrap();
    let at = product.layout().input_at(0, 0);
    let modulus = parameters().basis().moduli()[0];
    let error = modulus.centred(plain.residues(0)[at]) as f64 - f64::from(x[0]) * 2f64.powi(21);
    assert!(error.abs() < 40.0, "{error}");
}
