//! The distribution of a release, computed from the table, and the code against it.

use super::*;

/// P(H = k), k from -TAIL, of the sampler's distribution.
fn table() -> Vec<f64> {
    let weight = |k: i64| (-((k * k) as f64) / (2.0 * sample::SIGMA * sample::SIGMA)).exp();
    let weights: Vec<f64> = (-sample::TAIL..=sample::TAIL).map(weight).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

/// P(U1 + U2 + U3 <= x).
fn three_uniforms(x: f64) -> f64 {
    let cube = |x: f64| x.max(0.0).powi(3) / 6.0;
    match x {
        ..0.0 => 0.0,
        3.0.. => 1.0,
        // From the nearer end, so that tails keep their precision.
        ..1.5 => cube(x) - 3.0 * cube(x - 1.0),
        _ => 1.0 - cube(3.0 - x) + 3.0 * cube(2.0 - x),
    }
}

/// Probabilities of every released multiple of `grid`, for the number `v`; all in units of s.
fn released(table: &[f64], v: f64, grid: f64, multiples: std::ops::RangeInclusive<i64>) -> Vec<f64> {
    let mass = |j: i64| {
        let (low, high) = ((j as f64 - 0.5) * grid - v, (j as f64 + 0.5) * grid - v);
        let terms = table.iter().enumerate().map(|(index, p)| {
            let from = index as f64 - sample::TAIL as f64 - 1.5;
            p * (three_uniforms(high - from) - three_uniforms(low - from))
        });
        terms.sum::<f64>()
    };
    multiples.map(mass).collect()
}

#[test]
fn what_is_released_with_and_without_error_is_within_the_stated_distance() {
    let table = table();
    for (statistical_bits, reveals) in [(0, 1), (3, 1), (8, 1), (3, 100), (6, 12_800)] {
        let error = 1e-4;
        let noise = RoundingNoise::new(error, statistical_bits, reveals).unwrap();
        assert!(noise.distance() <= 2f64.powi(-(statistical_bits as i32) - 1) + 1e-9);
        // Multiples from far below the noise to far above it, and numbers everywhere between two of them.
        for log2_grid in [-2, 0, 1, 3, 5] {
            let grid = 2f64.powi(log2_grid);
            let most = (40.0 / grid) as i64 + 2;
            for offset in 0..8 {
                let v = f64::from(offset) / 8.0 * grid;
                let one = released(&table, v, grid, -most..=most);
                let two = released(&table, v + error / noise.step(), grid, -most..=most);
                assert!((one.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                // One number: the distance itself. M numbers: by the affinity of one.
                let distance = one.iter().zip(&two).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0;
                let hellinger = one.iter().zip(&two).map(|(a, b)| (a.sqrt() - b.sqrt()).powi(2)).sum::<f64>() / 2.0;
                let affinity = (1.0 - hellinger).powf(reveals as f64);
                let all = (1.0 - affinity * affinity).sqrt();
                assert!(distance <= noise.distance(), "{distance} {}", noise.distance());
                assert!(
                    all <= noise.distance(),
                    "{statistical_bits} {reveals}: {all} {}",
                    noise.distance()
                );
                // The bound is not idle: with fine multiples, more than a quarter of it (s is up to twice what it must be).
                assert!(log2_grid > 0 || all > noise.distance() / 4.0, "{all} {}", noise.distance());
            }
        }
    }
}

#[test]
fn releases_have_the_distribution_of_the_table() {
    // s = 2^-6; multiples of 2^-5, so two units.
    let noise = RoundingNoise::with_deviation(0.0, 3.3 * 2f64.powi(-6), 1).unwrap();
    assert_eq!(noise.log2_step, -6);
    let v = 0.3;
    let expected = released(&table(), v * 64.0, 2.0, -40..=40);
    let count = 40_000;
    let got = noise
        .release(&vec![v; count], 5, &RandomnessKey::new([1; 32]), b"one")
        .unwrap();
    let mut counts = [0.0; 81];
    for value in got {
        let multiple = value * 32.0;
        assert_eq!(multiple, multiple.round());
        counts[(multiple as i64 + 40) as usize] += 1.0;
    }
    let usual = counts.iter().zip(&expected).filter(|(_, p)| **p * count as f64 > 10.0);
    let terms: Vec<f64> = usual
        .map(|(n, p)| (n - p * count as f64).powi(2) / (p * count as f64))
        .collect();
    let chi = terms.iter().sum::<f64>();
    assert!(
        terms.len() > 8 && chi < terms.len() as f64 + 6.0 * (2.0 * terms.len() as f64).sqrt(),
        "{chi} of {}",
        terms.len()
    );
}

#[test]
fn precision_and_deviation_are_as_stated() {
    let key = RandomnessKey::new([1; 32]);
    for (precision, statistical_bits) in [(16, 0), (16, 6), (10, 0), (24, 10), (40, 20)] {
        let noise = RoundingNoise::new(1e-6, statistical_bits, 100).unwrap();
        let needed = 1e-6 * 10.0 * 2f64.powi(statistical_bits as i32);
        assert!((1.0..2.1).contains(&(noise.deviation() / needed)), "{}", noise.deviation());
        let grid = 2f64.powi(-precision);
        let values: Vec<f64> = (0..4000).map(|i| f64::from(i) * 1.0001e-3 - 2.0).collect();
        let released = noise.release(&values, precision as u32, &key, b"all").unwrap();
        let errors: Vec<f64> = released.iter().zip(&values).map(|(r, v)| r - v).collect();
        assert!(released.iter().all(|r| (r / grid).fract() == 0.0));
        assert!(errors.iter().all(|e| e.abs() <= grid / 2.0 + noise.bound()));
        let measured = (errors.iter().map(|e| e * e).sum::<f64>() / 4000.0).sqrt();
        let formula = (noise.deviation().powi(2) + grid * grid / 12.0).sqrt();
        assert!((0.93..1.07).contains(&(measured / formula)), "{measured:e} {formula:e}");
    }
}

#[test]
fn noise_repeats_only_with_everything_it_comes_from() {
    let noise = RoundingNoise::new(1e-3, 5, 10).unwrap();
    let release = |values: &[f32], key: u8, context: &[u8]| {
        let values = noise.release_f32(values, 16, &RandomnessKey::new([key; 32]), context);
        values.unwrap()
    };
    let values = [0.5f32; 64];
    let first = release(&values, 1, b"1");
    assert_eq!(first, release(&values, 1, b"1"));
    let mut changed = values;
    changed[63] += 1e-6;
    for other in [
        release(&changed, 1, b"1"),
        release(&values, 2, b"1"),
        release(&values, 1, b"2"),
    ] {
        let same = first.iter().zip(&other).filter(|(a, b)| a == b).count();
        assert!(same < 5, "{same}");
    }
}

#[test]
fn numbers_that_the_result_does_not_hold_are_refused() {
    let noise = RoundingNoise::new(1e-6, 3, 10).unwrap();
    let key = RandomnessKey::new([1; 32]);
    assert!(noise.release_f32(&[255.0, -255.0], 16, &key, b"1").is_ok());
    for value in [257.0, -257.0, f32::INFINITY, f32::NAN, f32::MAX] {
        let error = noise.release_f32(&[0.0, value], 16, &key, b"1").unwrap_err();
        assert!(matches!(error, LatticeError::Range { position: 1, .. }), "{value}: {error}");
    }
    assert!(matches!(
        noise.release(&[0.0], 41, &key, b"1"),
        Err(LatticeError::Wide { .. })
    ));
    for error in [f64::NAN, -1.0, f64::INFINITY] {
        assert!(RoundingNoise::new(error, 3, 10).is_err());
    }
    assert!(matches!(RoundingNoise::new(1.0, 100, 10), Err(LatticeError::Range { .. })));
    assert!(RoundingNoise::with_deviation(1.0, 0.0, 10).is_err());
    // No error, hardly any noise.
    assert!(RoundingNoise::new(0.0, 40, 1 << 30).unwrap().deviation() < 1e-17);
    // The widest noise, and multiples far below its unit.
    let wide = RoundingNoise::new(2f64.powi(60), 0, 1).unwrap();
    assert!(wide.release(&[1.0], 0, &key, b"1").is_err());
    let far = RoundingNoise::new(2f64.powi(40), 0, 1).unwrap();
    assert!(
        far.release(&[1.0; 100], 4, &key, b"1")
            .unwrap()
            .iter()
            .any(|v| v.abs() > 1e10)
    );
}

#[test]
fn the_documented_figures_are_those_of_the_formula() {
    let needed = |error: f64, statistical_bits: i32| error * 12_800f64.sqrt() * 2f64.powi(statistical_bits);
    for (error, statistical_bits, figure) in [(1e-5, 0, 1.1e-3), (1e-6, 5, 3.6e-3), (1e-6, 40, 1.2e8), (1e-9, 10, 1.2e-4)] {
        let noise = RoundingNoise::new(error, statistical_bits, 12_800).unwrap();
        assert!((1.0..2.1).contains(&(noise.deviation() / needed(error, statistical_bits as i32))));
        assert!((needed(error, statistical_bits as i32) / figure - 1.0).abs() < 0.06);
    }
    // p = 12 and lambda = 10 at an error of 2^-32: below a step. p = 16 at 1e-6: no guarantee.
    assert!(RoundingNoise::new(2f64.powi(-32), 10, 12_800).unwrap().deviation() < 2f64.powi(-12));
    let rounded = RoundingNoise::with_deviation(1e-6, 2f64.powi(-16), 12_800).unwrap();
    assert!(rounded.distance() > 1.0);
}
