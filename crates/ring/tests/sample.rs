//! The samplers against their definitions: the words of the stream, and statistics over fixed seeds.

#![allow(clippy::unwrap_used)]

use cloven_ring::sample::{self, SIGMA, TAIL};
use cloven_ring::{Backend, Coefficients, Evaluations, Poly, RnsBasis, ntt_primes};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const DEGREE: usize = 32768;

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([42; 32])
}

fn basis(degree: usize, bits: u32, primes: usize, backend: Backend) -> RnsBasis {
    RnsBasis::with_backend(degree, &ntt_primes(bits, degree, primes).unwrap(), backend).unwrap()
}

/// The coefficients of a small polynomial; every prime must tell the same.
fn small(poly: &Poly<Coefficients>) -> Vec<i64> {
    let centred = |i: usize| {
        poly.residues(i)
            .iter()
            .map(|&r| poly.basis().moduli()[i].centred(r))
            .collect::<Vec<_>>()
    };
    let first = centred(0);
    assert!((1..poly.basis().moduli().len()).all(|i| centred(i) == first));
    first
}

/// Sum of (observed - expected)^2 / expected.
fn chi_square(observed: &[usize], expected: &[f64]) -> f64 {
    observed.iter().zip(expected).map(|(&o, &e)| (o as f64 - e).powi(2) / e).sum()
}

fn moment(values: &[i64], power: i32) -> f64 {
    values.iter().map(|&v| (v as f64).powi(power)).sum::<f64>() / values.len() as f64
}

#[test]
fn uniform_takes_the_words_of_the_stream_in_order() {
    // A prime just above 2^16 of 17 bits: nearly half of the words are skipped.
    let (degree, q) = (2048, 65_537);
    let modulus = cloven_ring::Modulus::new(q).unwrap();
    let basis = RnsBasis::new(degree, &[modulus]).unwrap();
    let (mut stream, mut sampled) = (rng(), rng());
    let poly: Poly<Evaluations> = sample::uniform(&mut sampled, &basis);
    let words = std::iter::repeat_with(|| stream.next_u64() & ((1 << 17) - 1));
    let expected: Vec<u64> = words.filter(|&word| word < q).take(degree).collect();
    assert_eq!(poly.residues(0), expected);
    assert_eq!(
        stream.next_u64(),
        sampled.next_u64(),
        "the samplers read a word they did not use"
    );
}

#[test]
fn uniform_fills_its_range_evenly() {
    let poly: Poly<Evaluations> = sample::uniform(&mut rng(), &basis(DEGREE, 50, 1, Backend::detect()));
    let q = poly.basis().moduli()[0].value();
    let mut bins = [0; 64];
    poly.residues(0)
        .iter()
        .for_each(|&r| bins[(u128::from(r) * 64 / u128::from(q)) as usize] += 1);
    // 63 degrees of freedom: 1e-6 quantile 131.
    assert!(chi_square(&bins, &[DEGREE as f64 / 64.0; 64]) < 131.0);
}

#[test]
fn ternary_is_even_and_independent_of_its_neighbours() {
    let values = small(&sample::ternary(&mut rng(), &basis(DEGREE, 50, 2, Backend::detect())));
    let mut bins = [0; 81];
    for four in values.chunks_exact(4) {
        bins[four.iter().fold(0, |index, &v| 3 * index + (v + 1) as usize)] += 1;
    }
    // 80 degrees of freedom: 1e-6 quantile 155.
    assert!(chi_square(&bins, &[DEGREE as f64 / 4.0 / 81.0; 81]) < 155.0);
}

#[test]
fn gaussian_has_the_stated_distribution() {
    let basis = basis(DEGREE, 50, 2, Backend::detect());
    let mut rng = rng();
    let values: Vec<i64> = (0..16).flat_map(|_| small(&sample::gaussian(&mut rng, &basis))).collect();
    let count = values.len() as f64;
    let weight = |x: i64| (-(x as f64).powi(2) / (2.0 * SIGMA * SIGMA)).exp();
    let total: f64 = (-TAIL..=TAIL).map(weight).sum();
    let variance = (-TAIL..=TAIL).map(|x| (x as f64).powi(2) * weight(x) / total).sum::<f64>();
    // Five standard deviations of each estimate.
    assert!(moment(&values, 1).abs() < 5.0 * (variance / count).sqrt());
    assert!((moment(&values, 2) - variance).abs() < 5.0 * variance * (2.0 / count).sqrt());
    assert!((moment(&values, 4) / variance.powi(2) - 3.0).abs() < 5.0 * (96.0 / count).sqrt());
    let range: Vec<i64> = (-12..=12).collect();
    let observed: Vec<usize> = range.iter().map(|&x| values.iter().filter(|&&v| v == x).count()).collect();
    let expected: Vec<f64> = range.iter().map(|&x| count * weight(x) / total).collect();
    // 25 degrees of freedom: 1e-6 quantile 74.
    assert!(chi_square(&observed, &expected) < 74.0);
}

#[test]
fn gaussian_integers_are_the_coefficients_of_the_polynomial() {
    let poly = sample::gaussian(&mut rng(), &basis(1024, 40, 1, Backend::detect()));
    // Not a multiple of the words drawn at a time.
    let mut integers = [0; 1000];
    sample::gaussian_integers(&mut rng(), &mut integers);
    assert_eq!(integers[..], small(&poly)[..1000]);
}

#[test]
fn a_seed_gives_the_same_polynomials_on_every_backend() {
    for degree in [2, 16, 64, 512, 1024] {
        let draw = |backend| {
            let (mut rng, basis) = (rng(), basis(degree, 50, 2, backend));
            let uniform: Poly<Coefficients> = sample::uniform(&mut rng, &basis);
            (
                uniform,
                sample::ternary(&mut rng, &basis),
                sample::gaussian(&mut rng, &basis),
                rng.next_u64(),
            )
        };
        let expected = draw(Backend::Scalar);
        assert!(Backend::available().into_iter().all(|backend| draw(backend) == expected));
    }
}

/// Words that reach the first and last entries of the table, the ends of the range and both signs.
struct Given(Vec<u64>, usize);

impl rand_chacha::rand_core::TryRng for Given {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.1 += 1;
        Ok(self.0[(self.1 - 1) % self.0.len()])
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for part in bytes.chunks_mut(8) {
            let word = self.try_next_u64()?.to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
        Ok(())
    }
}

#[test]
fn gaussian_at_the_entries_of_its_table() {
    // The first entry is 2^63 P(0), the last but for 3 parts in 2^63 all of 2^63.
    let (first, last) = (0x1001_f9a1_b2ca_9468u64, (1u64 << 63) - 3);
    let uniforms = [
        (0, 0),
        (first - 1, 0),
        (first, 1),
        (last - 1, 28),
        (last, 29),
        ((1 << 63) - 1, 29),
    ];
    let words: Vec<u64> = uniforms.iter().flat_map(|&(u, _)| [u << 1, u << 1 | 1]).collect();
    let expected: Vec<i64> = uniforms.iter().flat_map(|&(_, m)| [m, -m]).cycle().take(64).collect();
    for backend in Backend::available() {
        let basis = basis(64, 50, 1, backend);
        let mut given = Given(words.clone(), 0);
        assert_eq!(small(&sample::gaussian(&mut given, &basis)), expected, "{backend:?}");
    }
}

#[test]
fn tiny_primes_get_residues_too() {
    let basis = basis(2, 4, 1, Backend::detect());
    let q = basis.moduli()[0].value();
    let mut rng = rng();
    for _ in 0..200 {
        assert!(sample::gaussian(&mut rng, &basis).residues(0).iter().all(|&r| r < q));
    }
}
