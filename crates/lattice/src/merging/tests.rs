//! Wanted coefficients through merging, garbage or not, and the noise formula against measured noise.

use cloven_ring::Coefficients;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{Upload, centred_coefficients, testing::integers};

fn secret(parameters: &Parameters) -> SecretKey {
    SecretKey::generate(parameters, &mut ChaCha20Rng::from_seed([1; 32]))
}

fn key() -> RandomnessKey {
    RandomnessKey::new([2; 32])
}

/// Encrypts, and multiplies by 2^-`levels` modulo q.
fn encrypt(secret: &SecretKey, coefficients: &[i64], levels: usize, context: &[u8]) -> Ciphertext {
    let parameters = secret.parameters();
    let plaintext = Poly::from_signed(parameters.basis(), coefficients).unwrap();
    let mut bytes = Vec::new();
    secret.encrypt(&plaintext, &key(), context).unwrap().encode_exact(&mut bytes);
    let mut ciphertext = Upload::decode_exact(parameters, &bytes).unwrap();
    let moduli = parameters.basis().moduli().iter();
    let factors: Vec<u64> = moduli.map(|m| m.inv(1 << levels).unwrap()).collect();
    for half in [&mut ciphertext.c0, &mut ciphertext.c1] {
        half.scale_assign(&factors).unwrap();
    }
    ciphertext
}

/// Squared errors of the wanted coefficients of `count` merged ciphertexts full of garbage, and the number of them.
fn errors(parameters: &Parameters, stride: usize, count: usize, seed: u64) -> (f64, f64) {
    let (secret, degree) = (secret(parameters), parameters.degree());
    let keys = MergeKeys::generate(&secret, stride, &key(), &seed.to_le_bytes()).unwrap();
    let mut bytes = Vec::new();
    keys.encode(&mut bytes);
    assert_eq!(bytes.len(), MergeKeys::encoded_len(parameters, stride));
    let keys = MergeKeys::decode(parameters, stride, &bytes).unwrap();
    let plaintexts: Vec<Vec<i64>> = (0..count).map(|i| integers(degree, 48, seed + i as u64)).collect();
    let encrypted = plaintexts.iter().enumerate();
    let encrypted = encrypted.map(|(i, m)| encrypt(&secret, m, levels(count), &[seed as u8, i as u8]));
    let mut encrypted: Vec<Ciphertext> = encrypted.collect();
    keys.merge(&mut encrypted).unwrap();
    let read: Poly<Coefficients> = secret.decrypt(&encrypted[0]).unwrap();
    let read = centred_coefficients(&read).unwrap();
    let mut squares = 0.0;
    for (i, plaintext) in plaintexts.iter().enumerate() {
        for at in (0..degree).step_by(stride) {
            let error = read[at + offset(i, stride)] - i128::from(plaintext[at]);
            squares += (error as f64).powi(2);
        }
    }
    (squares, (count * degree / stride) as f64)
}

#[test]
fn wanted_coefficients_come_through_with_the_noise_of_the_formula() {
    for (log2_degree, primes, stride) in [(11, &[50][..], 16), (11, &[50], 2), (12, &[50, 40], 8), (11, &[26, 26], 64)] {
        let parameters = Parameters::new(log2_degree, primes).unwrap();
        for count in [1, 2, 3, 5, 7, 8, 12, 16, 40, 64]
            .into_iter()
            .filter(|&count| count <= stride)
        {
            let (mut squares, mut number) = (0.0, 0.0);
            while number < 2000.0 {
                let (more, of) = errors(&parameters, stride, count, number as u64);
                (squares, number) = (squares + more, number + of);
            }
            // Fresh noise comes through as it is.
            let formula = noise_variance(&parameters, count) + crate::encryption::exact_variance();
            let ratio = squares / number / formula;
            println!("N = 2^{log2_degree}, {primes:?}, {count} of {stride}: measured / formula variance {ratio:.3}");
            assert!((0.85..1.15).contains(&ratio), "{primes:?} {count} of {stride}: {ratio}");
        }
    }
}

#[test]
fn the_noise_of_the_design_is_far_below_an_output() {
    let parameters = Parameters::new(11, &[50]).unwrap();
    let log2 = noise_variance(&parameters, 16).sqrt().log2();
    assert!((19.0..20.5).contains(&log2), "{log2}");
}

#[test]
fn nothing_and_too_much_cannot_be_merged() {
    let parameters = Parameters::new(11, &[50]).unwrap();
    let keys = MergeKeys::generate(&secret(&parameters), 4, &key(), b"k").unwrap();
    for count in [0, 5] {
        let mut ciphertexts: Vec<_> = (0..count).map(|_| Ciphertext::zero(&parameters)).collect();
        assert!(matches!(keys.merge(&mut ciphertexts), Err(LatticeError::Size { .. })));
    }
}
