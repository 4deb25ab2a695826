//! Products of ciphertexts against exact integers, and the error figures of the published layer.

use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{RandomnessKey, SecretKey, Upload, centred_coefficients, testing::integers};

fn parameters() -> Parameters {
    Parameters::new(12, &[50, 50]).unwrap()
}

fn secret() -> SecretKey {
    SecretKey::generate(&parameters(), &mut ChaCha20Rng::from_seed([1; 32]))
}

fn encrypt(secret: &SecretKey, coefficients: &[i64], context: &[u8]) -> Ciphertext {
    let parameters = secret.parameters();
    let plaintext = Poly::from_signed(parameters.basis(), coefficients).unwrap();
    let mut bytes = Vec::new();
    let upload = secret.encrypt(&plaintext, &RandomnessKey::new([2; 32]), context).unwrap();
    upload.encode(parameters, &mut bytes);
    Upload::decode(parameters, &bytes).unwrap()
}

/// Rows times matrix in the block layout with nw outputs a block; errors of the first `nw` coefficients in units of y.
fn errors(scales: [u32; 2], [inputs, outputs]: [usize; 2], seed: u64) -> (Vec<f64>, f64) {
    let (parameters, secret) = (parameters(), secret());
    let (degree, [sx, sw]) = (parameters.degree(), scales);
    let kw = degree / outputs;
    // x in -1..1; W in -1/16..1/16.
    let (x, w) = (integers(inputs, sx, seed), integers(inputs * outputs, sw - 4, seed ^ 1));
    let mut sum = Tensor::zero(&parameters);
    for (q, (x, w)) in x.chunks(kw).zip(w.chunks(kw * outputs)).enumerate() {
        let (mut left, mut right) = (vec![0; degree], w.to_vec());
        right.resize(degree, 0);
        left[0] = x[0];
        x.iter()
            .enumerate()
            .skip(1)
            .for_each(|(b, x)| left[degree - outputs * b] = -x);
        let context = |operand: u8| [&seed.to_le_bytes()[..], &[operand, q as u8]].concat();
        let left = encrypt(&secret, &left, &context(0));
        sum.mul_add_assign(&left, &encrypt(&secret, &right, &context(1))).unwrap();
    }
    let plain = centred_coefficients(&secret.decrypt_tensor(&sum).unwrap()).unwrap();
    let unit = 2f64.powi(-((sx + sw) as i32));
    let exact = |j: usize| -> i128 {
        let column = w.chunks(outputs).map(|row| i128::from(row[j]));
        x.iter().zip(column).map(|(x, w)| i128::from(*x) * w).sum()
    };
    let errors = (0..outputs).map(|j| (plain[j] - exact(j)) as f64 * unit).collect();
    let norm = w
        .iter()
        .map(|w| (*w as f64 * 2f64.powi(-(sw as i32))).powi(2))
        .sum::<f64>()
        .sqrt();
    (errors, norm)
}

#[test]
fn the_error_of_the_published_layer_is_that_of_the_design() {
    // The figures are for |W| = 6.5 (entries uniform in +-1/28), three deviations: 0.2, 5e-5, 3e-6.
    for (sx, figure) in [(8, 0.2), (20, 5e-5), (24, 3e-6)] {
        let (errors, norm) = errors([sx, 58], [784, 128], sx.into());
        let measured = (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt();
        let formula = cloven_ring::sample::SIGMA * norm * 2f64.powi(-(sx as i32));
        println!("sx {sx}: deviation {measured:e}, formula {formula:e}");
        assert!((0.75..1.25).contains(&(measured / formula)), "{sx}: {measured:e} {formula:e}");
        let at_figure = 3.0 * measured / norm * 6.5;
        assert!((0.5 * figure..2.0 * figure).contains(&at_figure), "{sx}: {at_figure:e}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn any_shape_is_right(inputs in 1usize..200, log2_outputs in 0u32..9, sw in 56u32..=60, seed: u64) {
        let (errors, norm) = errors([24, sw], [inputs, 1 << log2_outputs], seed);
        let limit = 7.0 * cloven_ring::sample::SIGMA * norm * 2f64.powi(-24) + 1e-9;
        prop_assert!(errors.iter().all(|e| e.abs() < limit), "{errors:?} {limit:e}");
    }
}

#[test]
fn sums_of_sums_and_another_basis() {
    let secret = secret();
    let parameters = parameters();
    let mut one = vec![0; parameters.degree()];
    one[0] = 1 << 40;
    let operand = encrypt(&secret, &one, b"one");
    let (mut first, mut second) = (Tensor::zero(&parameters), Tensor::zero(&parameters));
    first.mul_add_assign(&operand, &operand).unwrap();
    second.mul_add_assign(&operand, &operand).unwrap();
    second.add_assign(&first).unwrap();
    let plain = centred_coefficients(&secret.decrypt_tensor(&second).unwrap()).unwrap();
    assert!((plain[0] - (1 << 81)).abs() < 1 << 50, "{}", plain[0]);
    let other = Parameters::new(11, &[50]).unwrap();
    assert!(matches!(
        Tensor::zero(&other).mul_add_assign(&operand, &operand),
        Err(LatticeError::Ring(_))
    ));
}
