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

const SETS: [(u32, &[u32]); 4] = [(11, &[50]), (12, &[50, 50]), (12, &[50, 30, 24]), (11, &[26, 26])];

#[test]
fn the_noise_formula_is_the_measured_noise() {
    for (log2_degree, primes) in SETS {
        let parameters = Parameters::new(log2_degree, primes).unwrap();
        let (degree, secret) = (parameters.degree(), secret(&parameters));
        let approximate = match primes {
            [50] => vec![(18, 14), (17, 16), (16, 18), (25, 12)],
            _ => Vec::new(),
        };
        let gadgets = [25, 17, 10].map(Gadget::exact).into_iter();
        for gadget in gadgets.chain(approximate.into_iter().map(|(digit, dropped)| Gadget { digit, dropped })) {
            let mut ratio = 0.0;
            for round in 0..4u8 {
                let [left, right] = [0, 1].map(|side| {
                    let seed = u64::from(2 * round + side + 1);
                    encrypt(&secret, &integers(degree, 10, seed), &[round, side])
                });
                let relinearisation = RelinearisationKey::generate(&secret, gadget, &key(), &[round]).unwrap();
                let mut tensor = Tensor::zero(&parameters);
                tensor.mul_add_assign(&left, &right).unwrap();
                let before = secret.decrypt_tensor(&tensor).unwrap();
                let after = secret.decrypt(&relinearisation.relinearise(tensor).unwrap()).unwrap();
                ratio += distance(&before, &after) / relinearisation.noise_variance().sqrt() / 4.0;
            }
            println!("N = 2^{log2_degree}, {primes:?}, {gadget:?}: {ratio:.3}");
            assert!((0.93..1.07).contains(&ratio), "{log2_degree} {primes:?} {gadget:?}: {ratio}");
        }
    }
}

#[test]
fn the_noise_of_the_design_is_far_below_a_product() {
    let deviation = |log2_degree, primes: &[u32], gadget| {
        let parameters = Parameters::new(log2_degree, primes).unwrap();
        noise_variance(&parameters, gadget).sqrt().log2()
    };
    assert!((22.5..23.5).contains(&deviation(11, &[50], Gadget::exact(17))));
    let two_digits = Gadget { digit: 18, dropped: 14 };
    assert!((24.0..24.2).contains(&deviation(11, &[50], two_digits)));
    assert!((31.0..32.5).contains(&deviation(12, &[50, 50], Gadget::exact(25))));
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
    let relinearisation = RelinearisationKey::generate(&secret, Gadget::exact(25), &key(), b"k").unwrap();
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
    fn digits_make_up_the_residue(residue in 0u64..1 << 50, bits in 20u32..=50, digit in 1u32..=25, dropped in 0u32..20) {
        let modulus = cloven_ring::ntt_primes(bits, 16, 1).unwrap()[0];
        let gadget = Gadget { digit, dropped };
        let residues = [residue % modulus.value(), 0, modulus.value() / 2, modulus.value() / 2 + 1, modulus.value() - 1];
        let shifted = Shifted::new(&modulus, gadget, &residues);
        let (count, mut sums) = (gadget.digits_of(bits), [0; 5]);
        for index in 0..count {
            let mut digits = [0; 5];
            shifted.digit(index, &mut digits);
            for (sum, value) in sums.iter_mut().zip(digits) {
                prop_assert!(value.abs() <= 1 << (digit - 1));
                *sum += value << gadget.place(index);
            }
        }
        for (&sum, &residue) in sums.iter().zip(&residues) {
            let lost = modulus.centred(residue) - sum;
            prop_assert!(lost.abs() <= 1 << dropped >> 1, "{lost}");
        }
    }
}

#[test]
fn bits_are_dropped_modulo_one_prime_only() {
    let dropped = |primes: &[u32], dropped| {
        let secret = secret(&Parameters::new(12, primes).unwrap());
        RelinearisationKey::generate(&secret, Gadget { digit: 18, dropped }, &key(), b"k").map(|_| ())
    };
    assert!(dropped(&[50], 49).is_ok() && dropped(&[50, 50], 0).is_ok());
    assert!(matches!(
        dropped(&[50], 50),
        Err(LatticeError::Wide {
            allowed: 49,
            actual: 50,
            ..
        })
    ));
    assert!(matches!(
        dropped(&[50, 50], 1),
        Err(LatticeError::Wide {
            allowed: 0,
            actual: 1,
            ..
        })
    ));
}

#[test]
fn keys_come_back_from_their_wire_form_and_wrong_bytes_are_named() {
    let parameters = Parameters::new(12, &[50, 50]).unwrap();
    let secret = secret(&parameters);
    let mut bytes = Vec::new();
    let made = RelinearisationKey::generate(&secret, Gadget::exact(25), &key(), b"k").unwrap();
    made.encode(&mut bytes);
    assert_eq!(bytes.len(), RelinearisationKey::encoded_len(&parameters, Gadget::exact(25)));
    assert_eq!(bytes.len(), 4 * (32 + 2 * 25_600));
    let read = RelinearisationKey::decode(&parameters, Gadget::exact(25), &bytes).unwrap();
    let operand = encrypt(&secret, &integers(4096, 30, 1), b"x");
    let [one, two] = [made, read].map(|key| {
        let mut tensor = Tensor::zero(&parameters);
        tensor.mul_add_assign(&operand, &operand).unwrap();
        key.relinearise(tensor).unwrap()
    });
    assert!(one.c0 == two.c0 && one.c1 == two.c1);
    assert!(matches!(
        RelinearisationKey::decode(&parameters, Gadget::exact(25), &bytes[1..]),
        Err(LatticeError::Length { .. })
    ));
    bytes[40..60].fill(0xff);
    assert!(matches!(
        RelinearisationKey::decode(&parameters, Gadget::exact(25), &bytes),
        Err(LatticeError::Coefficient { .. })
    ));
    for digit in [0, 26] {
        let wide = RelinearisationKey::decode(&parameters, Gadget::exact(digit), &bytes);
        assert!(matches!(wide, Err(LatticeError::Wide { allowed: 25, .. })));
    }
}

#[test]
fn no_mask_serves_two_digits() {
    let parameters = Parameters::new(12, &[50, 50]).unwrap();
    let relinearisation = RelinearisationKey::generate(&secret(&parameters), Gadget::exact(10), &key(), b"k").unwrap();
    let digits = relinearisation.square.digits.iter();
    let seeds: std::collections::HashSet<[u8; 32]> = digits.map(|pair| pair.seed).collect();
    assert_eq!(seeds.len(), 10);
}
