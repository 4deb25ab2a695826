//! What the receiver can compute with and without hiding, the flooding's shape and size, and refusals.

use cloven_ring::Evaluations;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{SecretKey, Upload, crt::centred_coefficients, testing::integers};

/// Bits that x is shifted up to stand above the flooding.
const LIFT: u32 = 58;
const NOISE: f64 = 1e7;

struct Setting {
    parameters: Parameters,
    secret: SecretKey,
    public: PublicKey,
    flooding: Flooding,
}

fn randomness() -> RandomnessKey {
    RandomnessKey::new([8; 32])
}

fn setting() -> Setting {
    let parameters = Parameters::new(13, &[41, 42, 43]).unwrap();
    let secret = SecretKey::generate(&parameters, &mut ChaCha20Rng::from_seed([7; 32]));
    let public = PublicKey::generate(&secret, &randomness(), b"receiver").unwrap();
    let secrecy = Secrecy {
        statistical_bits: 40,
        revealed: 1 << 30,
        noise_bound: NOISE,
        message_bound: 2f64.powi(112),
    };
    let flooding = Flooding::new(&parameters, secrecy).unwrap();
    Setting {
        parameters,
        secret,
        public,
        flooding,
    }
}

impl Setting {
    /// Enc(x 2^LIFT), with a rounding of x so coarse that it stands above the flooding.
    fn operand(&self) -> Ciphertext {
        let basis = self.parameters.basis();
        let mut x = Poly::from_signed(basis, &integers(8192, 20, 1)).unwrap();
        let lift: Vec<u64> = basis.moduli().iter().map(|m| m.pow(2, LIFT.into())).collect();
        x.scale_assign(&lift).unwrap();
        let mut bytes = Vec::new();
        let upload = self.secret.encrypt(&x, &randomness(), b"x").unwrap();
        upload.encode(&self.parameters, &mut bytes);
        Upload::decode(&self.parameters, &bytes).unwrap()
    }

    fn weights(&self, seed: u64) -> (Vec<i64>, Poly<Evaluations>) {
        let w = integers(8192, 12, seed);
        let poly = Poly::from_signed(self.parameters.basis(), &w).unwrap();
        (w, poly.into_evaluations())
    }

    fn respond(&self, operand: &Ciphertext, weights: &Poly<Evaluations>) -> Ciphertext {
        let mut response = Ciphertext {
            c0: operand.c0.clone(),
            c1: operand.c1.clone(),
        };
        response.c0.mul_assign(weights).unwrap();
        response.c1.mul_assign(weights).unwrap();
        response
    }

    fn hide(&self, response: &mut Ciphertext, context: &[u8]) {
        self.flooding.hide(response, &self.public, &randomness(), context).unwrap();
    }

    /// c1 / a, centred, modulo the first prime.
    fn divide(&self, response: &Ciphertext, operand: &Ciphertext) -> Vec<i64> {
        let mut quotient = response.c1.clone();
        for (prime, modulus) in self.parameters.basis().moduli().iter().enumerate() {
            for (value, &a) in quotient.residues_mut(prime).iter_mut().zip(operand.c1.residues(prime)) {
                *value = modulus.mul(*value, modulus.inv(a).unwrap());
            }
        }
        let modulus = self.parameters.basis().moduli()[0];
        let quotient = quotient.into_coefficients();
        quotient.residues(0).iter().map(|&c| modulus.centred(c)).collect()
    }

    fn decrypt(&self, response: &Ciphertext) -> Vec<i128> {
        centred_coefficients(&self.secret.decrypt(response).unwrap()).unwrap()
    }
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn floats(values: &[i64]) -> Vec<f64> {
    values.iter().map(|&v| v as f64).collect()
}

#[test]
fn without_hiding_the_receiver_divides_and_with_it_finds_nothing() {
    let setting = setting();
    let operand = setting.operand();
    let (w, weights) = setting.weights(2);
    let mut response = setting.respond(&operand, &weights);
    assert_eq!(setting.divide(&response, &operand), w, "the attack works");
    setting.hide(&mut response, b"1");
    let quotient = setting.divide(&response, &operand);
    let limit = 5.0 / 8192f64.sqrt();
    assert!(correlation(&floats(&quotient), &floats(&w)).abs() < limit);
    // Uniform: a share 2^-8 of the values within 2^-8 of the range.
    let small = quotient.iter().filter(|v| v.unsigned_abs() < 1 << 32).count();
    assert!((10..70).contains(&small), "{small}");
}

#[test]
fn a_hidden_response_decrypts_and_its_noise_says_nothing_of_the_weights() {
    let setting = setting();
    let operand = setting.operand();
    let (_, weights) = setting.weights(2);
    let response = setting.respond(&operand, &weights);
    let noiseless = {
        let mut x = Poly::from_signed(setting.parameters.basis(), &integers(8192, 20, 1)).unwrap();
        let lift: Vec<u64> = setting
            .parameters
            .basis()
            .moduli()
            .iter()
            .map(|m| m.pow(2, LIFT.into()))
            .collect();
        x.scale_assign(&lift).unwrap();
        let mut product = x.into_evaluations();
        product.mul_assign(&weights).unwrap();
        centred_coefficients(&product.into_coefficients()).unwrap()
    };
    let error = |response: &Ciphertext| -> Vec<f64> {
        let plain = setting.decrypt(response);
        plain.iter().zip(&noiseless).map(|(p, m)| (p - m) as f64).collect()
    };
    let before = error(&response);
    assert!(before.iter().all(|e| e.abs() < NOISE), "the stated bound holds");
    let mut hidden = response;
    setting.hide(&mut hidden, b"1");
    let after = error(&hidden);
    let limit = 5.0 / 8192f64.sqrt();
    assert!(correlation(&before, &after).abs() < limit);
    let measured = (after.iter().map(|e| e * e).sum::<f64>() / 8192.0).sqrt();
    let ratio = measured / setting.flooding.deviation();
    assert!((0.95..1.05).contains(&ratio), "{ratio}");
    assert!(after.iter().all(|e| e.abs() <= setting.flooding.bound() + 2.0 * NOISE));
    assert!(setting.flooding.deviation() > 2f64.powi(55) * NOISE);
    // What the receiver wants is still there: ten bits of every result.
    let results = (noiseless.iter().map(|&m| (m as f64).powi(2)).sum::<f64>() / 8192.0).sqrt();
    assert!(after.iter().all(|e| e.abs() < results / 1024.0), "{measured:e} {results:e}");
}

#[test]
fn a_repeated_step_repeats_and_another_response_shares_no_mask() {
    let setting = setting();
    let operand = setting.operand();
    let hidden = |seed: u64, context: &[u8]| {
        let mut response = setting.respond(&operand, &setting.weights(seed).1);
        let before = response.c1.clone();
        setting.hide(&mut response, context);
        let mut mask = response.c1;
        mask.sub_assign(&before).unwrap();
        mask
    };
    let first = hidden(2, b"1");
    assert!(first == hidden(2, b"1"));
    assert!(first != hidden(2, b"2"));
    assert!(first != hidden(3, b"1"));
}

#[test]
fn the_density_has_the_fisher_information_of_a_gaussian() {
    // f = sum_k p(k) B(x - k) with the quadratic B-spline, in units of 2^t.
    let sigma = sample::SIGMA;
    let weights: Vec<f64> = (-sample::TAIL..=sample::TAIL)
        .map(|k| (-(k * k) as f64 / (2.0 * sigma * sigma)).exp())
        .collect();
    let total: f64 = weights.iter().sum();
    let (steps, mut information) = (2000, 0.0);
    let at = |k: usize, back: usize| k.checked_sub(back).and_then(|k| weights.get(k)).copied().unwrap_or(0.0) / total;
    for k in 0..weights.len() + 2 {
        for step in 0..steps {
            let u = (step as f64 + 0.5) / f64::from(steps);
            let (p0, p1, p2) = (at(k, 0), at(k, 1), at(k, 2));
            let value = p0 * u * u / 2.0 + p1 * (0.5 + u - u * u) + p2 * (1.0 - u) * (1.0 - u) / 2.0;
            let slope = p0 * u + p1 * (1.0 - 2.0 * u) - p2 * (1.0 - u);
            information += slope * slope / value / f64::from(steps);
        }
    }
    assert!(information < 1.0 / (sigma * sigma), "{information}");
    assert!(information > 0.95 / (sigma * sigma + 0.25), "{information}");
}

#[test]
fn every_residue_of_the_flooding_is_of_one_integer() {
    // The smallest modulus of several primes in use, and limbs of 25 bits.
    let parameters = Parameters::new(12, &[26, 30, 50]).unwrap();
    for log2_step in [16, 64, 95] {
        let flooding = Flooding {
            parameters: parameters.clone(),
            noise_bound: 0.0,
            log2_step,
        };
        let flood = flooding.draw(&mut Stream::new(Domain::Hiding, &[9; 32]));
        let values = centred_coefficients(&flood).unwrap();
        let square = values.iter().map(|&v| (v as f64).powi(2)).sum::<f64>() / values.len() as f64;
        let ratio = square.sqrt() / flooding.deviation();
        assert!((0.94..1.06).contains(&ratio), "{log2_step}: {ratio}");
        let mean = values.iter().map(|&v| v as f64).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < flooding.deviation() * 5.0 / 64.0, "{log2_step}: {mean}");
    }
}

#[test]
fn the_width_is_that_of_the_design_and_a_narrow_modulus_is_refused() {
    let secrecy = Secrecy {
        statistical_bits: 40,
        revealed: 1 << 30,
        noise_bound: 2f64.powi(20),
        message_bound: 2f64.powi(60),
    };
    let wide = Flooding::new(&Parameters::new(13, &[50, 50]).unwrap(), secrecy).unwrap();
    assert!((75.0..77.0).contains(&wide.deviation().log2()), "{}", wide.deviation().log2());
    let refused = |parameters: &[u32], secrecy| Flooding::new(&Parameters::new(13, parameters).unwrap(), secrecy).unwrap_err();
    assert!(matches!(
        refused(&[50], secrecy),
        LatticeError::Flooding { missing: 29..=32, .. }
    ));
    // One bit more than it says is missing suffices.
    let LatticeError::Flooding { missing, .. } = refused(&[50, 26], secrecy) else {
        panic!("not refused for its width");
    };
    assert!(Flooding::new(&Parameters::new(13, &[50, 26 + missing + 1]).unwrap(), secrecy).is_ok());
    let hostile = Secrecy {
        noise_bound: f64::NAN,
        ..secrecy
    };
    assert!(matches!(refused(&[50, 50], hostile), LatticeError::Range { .. }));
    let wider = Secrecy {
        statistical_bits: 128,
        ..secrecy
    };
    assert!(matches!(
        refused(&[50, 50, 50, 50], wider),
        LatticeError::Wide { allowed: 120, .. }
    ));
}
