//! Measured noise beside the formulas.

use super::*;
use crate::collective::noise::{fresh_bound, reading_bound, zeros_variance};

/// Within a tenth of what is expected of so many samples, and bounded.
fn check(what: &str, values: &[f64], variance: f64, bound: f64) {
    let (deviation, most) = spread(values);
    let ratio = deviation / variance.sqrt();
    println!("{what}: measured deviation {deviation:.4e}, {ratio:.3} of the formula's; largest {most:.3e}, bound {bound:.3e}");
    assert!((0.9..1.1).contains(&ratio), "{what}: {ratio}");
    // Bounds are twelve deviations of a Gaussian, and some: a largest value of thousands is near four.
    assert!(most <= bound && most > bound / 20.0, "{what}: {most} {bound}");
}

#[test]
fn keys_and_encryptions_have_the_noise_that_formulas_say() {
    for parties in 2..=5 {
        let all = Parties::new(parties, 32, &[]);
        let settings = all.collective.settings();
        let everywhere: Vec<usize> = (0..8192).collect();
        let shares: Vec<Vec<u64>> = (0..parties).map(|party| words(8192, 32, party as u64)).collect();
        let noise = all.noise(&all.encrypt(&shares, 0), &everywhere, &sum(&shares, 32));
        let gaussians = cloven_ring::sample::SIGMA.powi(2) * parties as f64;
        check("encryption", &noise, gaussians + parties as f64 / 12.0, fresh_bound(settings));

        let mut zeros = Ciphertext::zero(all.collective.parameters());
        for secret in &all.secrets {
            let mut randomness = secret.stream("test", crate::stream::Domain::Public, b"", Vec::new());
            zeros.add_assign(&all.public.zero(&mut randomness).unwrap()).unwrap();
        }
        let noise = all.noise(&zeros, &everywhere, &[0; 8192]);
        let variance = zeros_variance(settings);
        check("encryptions of zero", &noise, variance, 12.0 * variance.sqrt());
    }
}

#[test]
fn the_rounding_of_c1_has_the_noise_that_the_formula_says() {
    for (parties, ring_bits) in [(2, 16), (3, 32), (5, 48)] {
        let all = Parties::new(parties, ring_bits, &[]);
        let collective = &all.collective;
        let wanted: Vec<usize> = (0..8192).collect();
        // n ciphertexts are rounded, their sum is decrypted.
        let (mut exact, mut rounded) = (Ciphertext::zero(collective.parameters()), vec![0u128; 8192]);
        for index in 0..parties {
            let ciphertext = all.encrypt(&vec![words(8192, ring_bits, 1); parties], index as u64);
            exact.add_assign(&ciphertext).unwrap();
            let (compressed, _) = all.compress(ciphertext, &wanted);
            super::super::compressed::add(&mut rounded, &compressed.whole);
        }
        let of_exact = Ciphertext {
            c0: cloven_ring::Poly::zero(collective.parameters().basis()),
            c1: exact.c1,
        };
        let mut exact = all.open(&of_exact);
        collective.encoding.fractions.prepare(&mut exact).unwrap();
        let mut difference = collective.encoding.fractions.read(&exact, 0..8192);
        for secret in &all.secrets {
            let part = collective.times_secret(secret, &rounded, &wanted).unwrap();
            difference.iter_mut().zip(part).for_each(|(d, p)| *d = d.wrapping_sub(p));
        }
        let noise: Vec<f64> = difference.iter().map(|&d| d as i128 as f64).collect();
        let bound = collective.noise.rounding();
        check("rounding of c1", &noise, (bound / 12.0).powi(2), bound);
        assert!(bound <= 0.9 * collective.noise.allowed);
    }
}

/// Everything that a smudge must hide is what it hides, and everything fits below half of the lowest bit.
#[test]
fn the_budget_adds_up() {
    for parties in 2..=9 {
        for ring_bits in 16..=48 {
            let settings = CollectiveSettings::new(parties, ring_bits);
            let collective = Collective::new(settings, &[]).unwrap();
            let (noise, n) = (collective.noise, parties as f64);
            let log2_q = collective.parameters().log2_modulus();
            let of_modulus = (128.0 - log2_q).exp2() * (noise.bound + 12.0 * (n * 8192.0 / 18.0).sqrt());
            let hidden = of_modulus + noise.rounding() + reading_bound(n);
            let width = f64::from(noise.smudge_bits).exp2();
            assert!(1.07 * hidden * (settings.revealed as f64).sqrt() <= width * 2f64.powi(-40));
            let half = f64::from(127 - ring_bits).exp2();
            let roundings = 2.0 * n * f64::from(127 - noise.wanted_bits as i32).exp2();
            let switching = f64::from(128 - noise.switched_bits as i32).exp2() * 12.0 * (n * 8192.0 / 18.0).sqrt();
            let all = n * 1.5 * width + roundings + switching + hidden;
            assert!(all < half, "{parties} {ring_bits}: {}", all / half);
            // Not more than needed: one bit less of any would not do, nor would a third of the smudge be to spare.
            assert!(all + roundings >= half * 0.5, "{parties} {ring_bits}: {}", all / half);
            assert!(noise.rounding() * 2.0 + reading_bound(n) > 0.9 * noise.allowed);
        }
    }
}
