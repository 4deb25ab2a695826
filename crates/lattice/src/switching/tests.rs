//! Plaintexts before and after key switches, the noise formula against measured noise, both wire forms.

use cloven_ring::Coefficients;
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{Upload, centred_coefficients, testing::integers};

fn secret(parameters: &Parameters) -> SecretKey {
    SecretKey::generate(parameters, &mut ChaCha20Rng::from_seed([1; 32]))
}

fn key() -> RandomnessKey {
    RandomnessKey::new([2; 32])
}

fn encrypt(secret: &SecretKey, coefficients: &[i64], context: &[u8]) -> Ciphertext {
    let parameters = secret.parameters();
    let plaintext = Poly::from_signed(parameters.basis(), coefficients).unwrap();
    let mut bytes = Vec::new();
    secret.encrypt(&plaintext, &key(), context).unwrap().encode_exact(&mut bytes);
    Upload::decode_exact(parameters, &bytes).unwrap()
}

/// Root mean square of the coefficients of a difference.
fn distance(a: &Poly<Coefficients>, b: &Poly<Coefficients>) -> f64 {
    let mut difference = a.clone();
    difference.sub_assign(b).unwrap();
    let values = centred_coefficients(&difference).unwrap();
    (values.iter().map(|&v| (v as f64).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

/// The plaintext of a sum of products with mirrored ciphertexts, by its four components.
fn decrypt_mirrored(secret: &SecretKey, tensor: &MirroredTensor) -> Poly<Coefficients> {
    let mirror = secret.power(Power::Mirror).unwrap();
    // Mirrored twice: s itself.
    let s = mirror.clone().mirrored();
    let mut sum = tensor.c0.clone();
    sum.mul_add_assign(&tensor.c1, &s).unwrap();
    sum.mul_add_assign(&tensor.mirror, &mirror).unwrap();
    sum.mul_add_assign(&tensor.both, &secret.power(Power::MirrorProduct).unwrap())
        .unwrap();
    sum.into_coefficients()
}

const SETS: [(u32, &[u32]); 4] = [(11, &[50]), (12, &[50, 50]), (12, &[50, 30, 24]), (11, &[26, 26])];

#[test]
fn the_noise_formula_is_the_measured_noise() {
    for (log2_degree, primes) in SETS {
        let parameters = Parameters::new(log2_degree, primes).unwrap();
        let (degree, secret) = (parameters.degree(), secret(&parameters));
        let (mut ratios, mut mirrored_ratios, mut restored) = (0.0, 0.0, 0.0);
        for round in 0..4u8 {
            let [left, right] = [0, 1].map(|side| {
                let seed = u64::from(2 * round + side + 1);
                encrypt(&secret, &integers(degree, 10, seed), &[round, side])
            });
            let relinearisation = RelinearisationKey::generate(&secret, &key(), &[round]).unwrap();
            let mut tensor = Tensor::zero(&parameters);
            tensor.mul_add_assign(&left, &right).unwrap();
            let before = secret.decrypt_tensor(&tensor).unwrap();
            let after = secret.decrypt(&relinearisation.relinearise(tensor).unwrap()).unwrap();
            ratios += distance(&before, &after) / relinearisation.noise_variance().sqrt() / 4.0;

            let mirror = MirrorKey::generate(&secret, &key(), &[round]).unwrap();
            let mut tensor = MirroredTensor::zero(&parameters);
            tensor.mul_add_assign(&left, &right.mirrored()).unwrap();
            let before = decrypt_mirrored(&secret, &tensor);
            let after = secret.decrypt(&mirror.relinearise(tensor).unwrap()).unwrap();
            mirrored_ratios += distance(&before, &after) / (2.0 * mirror.noise_variance()).sqrt() / 4.0;

            let before = {
                let plain = secret.decrypt(&right).unwrap();
                plain.into_evaluations().mirrored().into_coefficients()
            };
            let after = secret.decrypt(&mirror.restore(right.mirrored()).unwrap()).unwrap();
            restored += distance(&before, &after) / mirror.noise_variance().sqrt() / 4.0;
        }
        println!(
            "N = 2^{log2_degree}, {primes:?}: relinearised {ratios:.3}, product {mirrored_ratios:.3}, restored {restored:.3}"
        );
        for ratio in [ratios, mirrored_ratios, restored] {
            assert!((0.93..1.07).contains(&ratio), "{log2_degree} {primes:?}: {ratio}");
        }
    }
}

#[test]
fn the_noise_of_the_design_is_far_below_a_weight() {
    let parameters = Parameters::new(12, &[50, 50]).unwrap();
    let key = RelinearisationKey::generate(&secret(&parameters), &key(), b"k").unwrap();
    let log2 = key.noise_variance().sqrt().log2();
    assert!((31.0..32.5).contains(&log2), "{log2}");
}

#[test]
fn a_relinearised_product_is_multiplied_on() {
    // (x y) kept at 2^40, times a small plaintext: what an updated matrix is for.
    let parameters = Parameters::new(12, &[50, 50]).unwrap();
    let secret = secret(&parameters);
    let mut x = vec![0; 4096];
    let mut y = vec![0; 4096];
    (x[1], y[5]) = (3 << 20, 7 << 36);
    let mut tensor = Tensor::zero(&parameters);
    let (x, y) = (encrypt(&secret, &x, b"x"), encrypt(&secret, &y, b"y"));
    tensor.mul_add_assign(&x, &y).unwrap();
    let relinearisation = RelinearisationKey::generate(&secret, &key(), b"k").unwrap();
    let mut kept = relinearisation.relinearise(tensor).unwrap();
    let mut z = vec![0; 4096];
    z[4095] = 11;
    let z = Poly::from_signed(parameters.basis(), &z).unwrap().into_evaluations();
    kept.c0.mul_assign(&z).unwrap();
    kept.c1.mul_assign(&z).unwrap();
    let plain = centred_coefficients(&secret.decrypt(&kept).unwrap()).unwrap();
    // X^(1 + 5 + 4095) = -X^5.
    let exact = -(3i128 * 7 * 11) << 56;
    assert!((plain[5] - exact).abs() < 1 << 45, "{} {exact}", plain[5]);
}

proptest! {
    #[test]
    fn digits_make_up_the_residue(value in -(1i64 << 49)..1 << 49, bits in 20u32..=50, width in 8u32..30) {
        let value = value >> (50 - bits);
        let (mut rest, mut sum) = (value, 0);
        for digit in 0..digits_of(bits, width) {
            let last = digit + 1 == digits_of(bits, width);
            let part = if last { rest } else { cut(&mut rest, width) };
            prop_assert!(part.abs() <= 1 << (width - 1), "{part}");
            sum += part << (width * digit);
        }
        prop_assert_eq!(sum, value);
    }

    #[test]
    fn a_shifted_image_is_the_image_of_a_shifted_plaintext(exponent in 0usize..2048, at in 0usize..2048) {
        let parameters = Parameters::new(11, &[50]).unwrap();
        let secret = secret(&parameters);
        let mut x = vec![0; 2048];
        x[at] = 1 << 45;
        let mut image = encrypt(&secret, &x, b"x").mirrored();
        image.shift(exponent).unwrap();
        let mirror = MirrorKey::generate(&secret, &key(), b"m").unwrap();
        let plain = centred_coefficients(&secret.decrypt(&mirror.restore(image).unwrap()).unwrap()).unwrap();
        let power = (4096 + exponent - at) % 4096;
        let expected = if power < 2048 { 1i128 << 45 } else { -(1 << 45) };
        prop_assert!((plain[power % 2048] - expected).abs() < 1 << 36, "{}", plain[power % 2048]);
    }
}

#[test]
fn keys_come_back_from_their_wire_form_and_wrong_bytes_are_named() {
    let parameters = Parameters::new(12, &[50, 50]).unwrap();
    let secret = secret(&parameters);
    let mut bytes = Vec::new();
    let made = RelinearisationKey::generate(&secret, &key(), b"k").unwrap();
    made.encode(&mut bytes);
    assert_eq!(bytes.len(), RelinearisationKey::encoded_len(&parameters));
    assert_eq!(bytes.len(), 4 * (32 + 2 * 25_600));
    let read = RelinearisationKey::decode(&parameters, &bytes).unwrap();
    let operand = encrypt(&secret, &integers(4096, 30, 1), b"x");
    let [one, two] = [made, read].map(|key| {
        let mut tensor = Tensor::zero(&parameters);
        tensor.mul_add_assign(&operand, &operand).unwrap();
        key.relinearise(tensor).unwrap()
    });
    assert!(one.c0 == two.c0 && one.c1 == two.c1);
    assert!(matches!(
        RelinearisationKey::decode(&parameters, &bytes[1..]),
        Err(LatticeError::Length { .. })
    ));
    bytes[40..60].fill(0xff);
    assert!(matches!(
        RelinearisationKey::decode(&parameters, &bytes),
        Err(LatticeError::Coefficient { .. })
    ));
    let mut bytes = Vec::new();
    MirrorKey::generate(&secret, &key(), b"k").unwrap().encode(&mut bytes);
    assert_eq!(bytes.len(), MirrorKey::encoded_len(&parameters));
    assert!(MirrorKey::decode(&parameters, &bytes).is_ok());
    bytes.push(0);
    assert!(matches!(
        MirrorKey::decode(&parameters, &bytes),
        Err(LatticeError::Length { .. })
    ));
}

#[test]
fn no_mask_serves_two_digits() {
    let parameters = Parameters::new(12, &[50, 50]).unwrap();
    let secret = secret(&parameters);
    let relinearisation = RelinearisationKey::generate(&secret, &key(), b"k").unwrap();
    let mirror = MirrorKey::generate(&secret, &key(), b"k").unwrap();
    let keys = [&relinearisation.square, &mirror.mirror, &mirror.both];
    let seeds: std::collections::HashSet<[u8; 32]> = keys.iter().flat_map(|key| &key.digits).map(|pair| pair.seed).collect();
    assert_eq!(seeds.len(), 12);
}
