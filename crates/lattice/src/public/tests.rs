//! Public-key encryption: noise against its formula, independence of its randomness, hostile bytes.

use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;

fn parameters(primes: &[u32]) -> Parameters {
    Parameters::new(11, primes).unwrap()
}

fn secret(parameters: &Parameters) -> SecretKey {
    SecretKey::generate(parameters, &mut ChaCha20Rng::from_seed([3; 32]))
}

fn randomness() -> RandomnessKey {
    RandomnessKey::new([4; 32])
}

/// Decrypted coefficients, centred, of the first prime.
fn noise(secret: &SecretKey, ciphertext: &Ciphertext) -> Vec<f64> {
    let plain = secret.decrypt(ciphertext).unwrap();
    let modulus = plain.basis().moduli()[0];
    plain.residues(0).iter().map(|&c| modulus.centred(c) as f64).collect()
}

#[test]
fn the_noise_formula_is_the_measured_noise() {
    for primes in [&[48][..], &[26, 26]] {
        let parameters = parameters(primes);
        let secret = secret(&parameters);
        let zero = Poly::zero(parameters.basis());
        let mut all = Vec::new();
        // The key's e is one draw: several keys, so that its norm is not the measurement.
        for key in 0..20u8 {
            let public = PublicKey::generate(&secret, &randomness(), &[key]).unwrap();
            for index in 0..3u8 {
                let ciphertext = public.encrypt(&zero, &randomness(), &[key, index]).unwrap();
                all.extend(noise(&secret, &ciphertext));
            }
        }
        let measured = all.iter().map(|e| e * e).sum::<f64>() / all.len() as f64;
        let ratio = measured / noise_variance(&parameters);
        assert!((0.95..1.05).contains(&ratio), "{primes:?}: {ratio}");
    }
}

#[test]
fn what_is_encrypted_is_decrypted_after_both_wire_forms() {
    let parameters = parameters(&[48]);
    let secret = secret(&parameters);
    let mut bytes = Vec::new();
    PublicKey::generate(&secret, &randomness(), b"k").unwrap().encode(&mut bytes);
    assert_eq!(bytes.len(), PublicKey::encoded_len(&parameters));
    let public = PublicKey::decode(&parameters, &bytes).unwrap();

    let message: Vec<i64> = (0..2048).map(|i| (i * 977 % 4001 - 2000) << 20).collect();
    let plaintext = Poly::from_signed(parameters.basis(), &message).unwrap();
    let mut bytes = Vec::new();
    public.encrypt(&plaintext, &randomness(), b"m").unwrap().encode(&mut bytes);
    assert_eq!(bytes.len(), Ciphertext::encoded_len(&parameters));
    let ciphertext = Ciphertext::decode(&parameters, &bytes).unwrap();
    let bound = 7.0 * public.noise_variance().sqrt();
    for (got, sent) in noise(&secret, &ciphertext).iter().zip(&message) {
        assert!((got - *sent as f64).abs() < bound, "{got} {sent}");
    }
}

#[test]
fn randomness_repeats_only_with_everything_it_comes_from() {
    let parameters = parameters(&[48]);
    let secret = secret(&parameters);
    let public = PublicKey::generate(&secret, &randomness(), b"k").unwrap();
    let zero = Poly::zero(parameters.basis());
    let mut one = vec![0; 2048];
    one[0] = 1;
    let one = Poly::from_signed(parameters.basis(), &one).unwrap();
    let c1 = |plaintext, context: &[u8]| public.encrypt(plaintext, &randomness(), context).unwrap().c1;
    let first = c1(&zero, b"a");
    assert!(first == c1(&zero, b"a"));
    assert!(first != c1(&zero, b"b"));
    assert!(first != c1(&one, b"a"));
    // Neither the key's purpose nor that of symmetric encryption shares a stream with it.
    let symmetric = secret.encrypt_pair(&zero, &randomness(), b"k").unwrap();
    assert_ne!(symmetric.seed, public.pair.seed);
    let symmetric = randomness().stream(Domain::Public, b"a", &[&zero]);
    assert!(public.zero(&mut { symmetric }).unwrap().c1 != first);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn hostile_bytes_are_errors_or_valid(
        flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4), cut in 0usize..3
    ) {
        let parameters = parameters(&[26, 26]);
        let secret = secret(&parameters);
        let public = PublicKey::generate(&secret, &randomness(), b"k").unwrap();
        let zero = Poly::zero(parameters.basis());
        let (mut key, mut ciphertext) = (Vec::new(), Vec::new());
        public.encode(&mut key);
        public.encrypt(&zero, &randomness(), b"c").unwrap().encode(&mut ciphertext);
        for bytes in [&mut key, &mut ciphertext] {
            let length = bytes.len();
            flips.iter().for_each(|(at, flip)| bytes[at % length] ^= flip);
            bytes.truncate(length - cut);
        }
        // What is accepted has one wire form: the bytes that came.
        match PublicKey::decode(&parameters, &key) {
            Ok(read) => {
                let mut again = Vec::new();
                read.encode(&mut again);
                prop_assert_eq!(again, key);
            }
            Err(error) => prop_assert_eq!(cut > 0, matches!(error, LatticeError::Length { .. })),
        }
        match Ciphertext::decode(&parameters, &ciphertext) {
            Ok(read) => {
                let mut again = Vec::new();
                read.encode(&mut again);
                prop_assert_eq!(again, ciphertext);
            }
            Err(error) => prop_assert_eq!(cut > 0, matches!(error, LatticeError::Length { .. })),
        }
    }
}

#[test]
fn a_residue_that_is_not_reduced_is_named() {
    let parameters = parameters(&[48]);
    let mut bytes = vec![0; PublicKey::encoded_len(&parameters)];
    bytes[32 + 6..32 + 12].fill(0xff);
    assert!(matches!(
        PublicKey::decode(&parameters, &bytes),
        Err(LatticeError::Coefficient { position: 1, .. })
    ));
    let mut bytes = vec![0; Ciphertext::encoded_len(&parameters)];
    bytes.iter_mut().rev().take(6).for_each(|b| *b = 0xff);
    assert!(matches!(
        Ciphertext::decode(&parameters, &bytes),
        Err(LatticeError::Coefficient { position: 2047, .. })
    ));
}
