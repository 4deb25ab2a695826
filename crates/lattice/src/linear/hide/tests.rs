//! Hidden responses of `Product`: right to their precision, and what the key holder can compute from c1 with and without hiding.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    Parameters, Secrecy, SecretKey, Upload,
    bits::unpack,
    centred_coefficients,
    linear::{Norms, Product, Scales, Weights, tests::numbers},
};

/// Entries of a matrix stay below.
const ENTRY: f64 = 0.125;

struct Setting {
    parameters: Parameters,
    product: Product,
    secret: SecretKey,
    receiver: PublicKey,
    flooding: Flooding,
}

fn key() -> RandomnessKey {
    RandomnessKey::new([2; 32])
}

fn responder() -> RandomnessKey {
    RandomnessKey::new([3; 32])
}

impl Setting {
    fn new(log2_degree: u32, primes: &[u32], shape: [usize; 3], scales: Scales) -> Self {
        let parameters = Parameters::new(log2_degree, primes).unwrap();
        let product = Product::new(&parameters, shape, scales).unwrap();
        let secret = SecretKey::generate(&parameters, &mut ChaCha20Rng::from_seed([1; 32]));
        let receiver = PublicKey::generate(&secret, &key(), b"receiver").unwrap();
        let block = ENTRY * ((shape[1] * product.layout().block_outputs) as f64).sqrt();
        let secrecy = Secrecy {
            statistical_bits: 40,
            revealed: 1 << 25,
            noise_bound: product.noise_bound(block),
            message_bound: product.message_bound(product.output_bound()),
        };
        let flooding = Flooding::new(&parameters, secrecy).unwrap();
        Self {
            parameters,
            product,
            secret,
            receiver,
            flooding,
        }
    }

    /// The published layer, N = 4096 and two primes.
    fn published() -> Self {
        let scales = Scales {
            input: 77,
            weight: 13,
            response: 32,
        };
        Self::new(12, &[50, 50], [4, 256, 5], scales)
    }

    fn weights(&self, matrix: &[f32]) -> Weights {
        self.product
            .weights(matrix, &vec![0.25; self.product.layout().outputs])
            .unwrap()
    }

    fn encrypt(&self, x: &[f32]) -> Vec<u8> {
        self.product.encrypt(x, &self.secret, &key(), b"batch").unwrap()
    }

    fn bare(&self, matrix: &[f32], upload: &[u8], rows: usize) -> Vec<u8> {
        self.product.respond(&self.weights(matrix), upload, rows).unwrap()
    }

    fn hidden(&self, matrix: &[f32], upload: &[u8], rows: usize, context: &[u8]) -> Vec<u8> {
        let hiding = Hiding {
            flooding: &self.flooding,
            receiver: &self.receiver,
            key: &responder(),
            context,
        };
        let weights = self.weights(matrix);
        self.product.respond_hidden(&weights, upload, rows, &hiding).unwrap()
    }

    /// c1 of the first response, modulo 2^B.
    fn c1(&self, response: &[u8]) -> Vec<u64> {
        let layout = self.product.layout();
        let rows = layout.samples;
        let first = self.product.compression.len(rows * layout.width(0));
        let bits = self.product.scales.response;
        let mut values = unpack(&response[..first], bits, layout.degree + rows * layout.width(0)).unwrap();
        values.truncate(layout.degree);
        values
    }

    /// What c1 of the first response is without hiding, computed by the key holder for a guess of the matrix. Centred, over q.
    fn guess(&self, matrix: &[f32], upload: &[u8]) -> Vec<f64> {
        let layout = self.product.layout();
        assert_eq!(layout.input_blocks(), 1);
        let a = Upload::decode(&self.parameters, &upload[..Upload::encoded_len(&self.parameters)])
            .unwrap()
            .c1;
        let mut product = a;
        product.mul_assign(self.weights(matrix).first_block()).unwrap();
        let q = self.parameters.log2_modulus().exp2();
        let values = centred_coefficients(&product.into_coefficients()).unwrap();
        values.iter().map(|&v| v as f64 / q).collect()
    }

    /// Mean distance on the circle of circumference 1: a quarter for independent values, next to nothing for a right guess.
    fn distance(&self, c1: &[u64], guess: &[f64]) -> f64 {
        let modulus = f64::from(self.product.scales.response).exp2();
        let apart = |(&c, g): (&u64, &f64)| {
            let difference = c as f64 / modulus - g;
            (difference - difference.round()).abs()
        };
        c1.iter().zip(guess).map(apart).sum::<f64>() / c1.len() as f64
    }
}

/// Five deviations of [`Setting::distance`] for independent values: uniform in 0..1/2, 4096 of them.
const SPREAD: f64 = 5.0 * 0.1443 / 64.0;

#[test]
fn a_hidden_response_is_right_to_the_stated_precision() {
    let wide = Scales {
        input: 104,
        weight: 20,
        response: 50,
    };
    let settings = [
        (Setting::published(), [4, 256, 5], 5e-4),
        (Setting::new(13, &[50, 50, 50], [3, 100, 30], wide), [3, 100, 30], 1e-5),
    ];
    for (setting, [rows, inputs, outputs], limit) in settings {
        let (mut squares, mut count) = (0.0, 0.0);
        for seed in 0..5 {
            let x = numbers(rows * inputs, seed);
            let w: Vec<f32> = numbers(inputs * outputs, seed ^ 77).iter().map(|w| w / 8.0).collect();
            let upload = setting.encrypt(&x);
            let response = setting.hidden(&w, &upload, rows, &seed.to_le_bytes());
            assert_eq!(response.len(), setting.product.response_len(rows));
            let y = setting.product.decrypt(&response, rows, &setting.secret).unwrap();
            for (i, row) in x.chunks(inputs).enumerate() {
                for j in 0..outputs {
                    let terms = row.iter().zip(w.iter().skip(j).step_by(outputs));
                    let exact: f64 = terms.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                    squares += (f64::from(y[i * outputs + j]) - 0.25 - exact).powi(2);
                    count += 1.0;
                }
            }
        }
        // Entries are uniform in -1..1, and in an eighth of it.
        let norm = (inputs as f64 / 3.0).sqrt();
        let norms = Norms {
            row: norm,
            column: norm / 8.0,
            block: norm / 8.0 * (setting.product.layout().block_outputs as f64).sqrt(),
        };
        let (measured, formula) = (
            f64::sqrt(squares / count),
            setting.product.hidden_error_deviation(norms, &setting.flooding),
        );
        println!("{inputs} x {outputs}: measured {measured:e}, formula {formula:e}");
        assert!(measured < limit, "{measured:e}");
        assert!(
            (0.8..1.2).contains(&(measured / formula)),
            "measured {measured:e}, formula {formula:e}"
        );
    }
}

#[test]
fn the_flooding_is_what_a_coarser_row_would_show() {
    // As above, but so narrow that flooding is nearly all of the error: the meter is of the flooding.
    let scales = Scales {
        input: 70,
        weight: 20,
        response: 36,
    };
    let setting = Setting::new(12, &[50, 50], [4, 64, 16], scales);
    let (x, w) = (numbers(256, 1), numbers(1024, 2).iter().map(|w| w / 8.0).collect::<Vec<_>>());
    let upload = setting.encrypt(&x);
    let read = |response: &[u8]| setting.product.decrypt(response, 4, &setting.secret).unwrap();
    let bare = read(&setting.bare(&w, &upload, 4));
    let squares: f64 = (0..10u8)
        .flat_map(|round| read(&setting.hidden(&w, &upload, 4, &[round])))
        .zip(bare.iter().cycle())
        .map(|(hidden, bare)| f64::from(hidden - bare).powi(2))
        .sum();
    let measured = (squares / 640.0).sqrt();
    let formula = setting.flooding.deviation() / setting.product.message_bound(1.0);
    assert!(
        (0.88..1.12).contains(&(measured / formula)),
        "measured {measured:e}, flooding {formula:e}"
    );
}

#[test]
fn two_matrices_with_one_product_are_told_apart_only_without_hiding() {
    let setting = Setting::published();
    let mut x = numbers(1024, 5);
    // No row uses the last input, so its weights are in no product.
    x.iter_mut().skip(255).step_by(256).for_each(|x| *x = 0.0);
    let one: Vec<f32> = numbers(1280, 6).iter().map(|w| w / 8.0).collect();
    let mut two = one.clone();
    two[1275..].iter_mut().for_each(|w| *w = -*w);
    let upload = setting.encrypt(&x);
    let guesses = [setting.guess(&one, &upload), setting.guess(&two, &upload)];
    for (truth, matrix) in [&one, &two].into_iter().enumerate() {
        let bare = setting.c1(&setting.bare(matrix, &upload, 4));
        assert!(setting.distance(&bare, &guesses[truth]) < 1e-8, "the attack works");
        assert!((setting.distance(&bare, &guesses[1 - truth]) - 0.25).abs() < SPREAD);
        let response = setting.hidden(matrix, &upload, 4, b"1");
        let hidden = setting.c1(&response);
        for guess in &guesses {
            let distance = setting.distance(&hidden, guess);
            assert!((distance - 0.25).abs() < SPREAD, "{distance}");
        }
        // Uniform to whoever does not know u: the top four bits, in 4,096 coefficients.
        let mut counts = [0; 16];
        hidden.iter().for_each(|c| counts[(c >> 28) as usize] += 1);
        assert!(counts.iter().all(|c| (170..350).contains(c)), "{counts:?}");
        let y = setting.product.decrypt(&response, 4, &setting.secret).unwrap();
        let exact: f32 = x[..256].iter().zip(one.iter().step_by(5)).map(|(x, w)| x * w).sum();
        assert!((y[0] - 0.25 - exact).abs() < 1e-3, "{} {exact}", y[0]);
    }
}

#[test]
fn a_small_matrix_is_searched_for_in_c1_and_not_found_when_hidden() {
    // Two weights of seven bits: the receiver tries all.
    let scales = Scales {
        input: 70,
        weight: 9,
        response: 24,
    };
    let setting = Setting::new(12, &[50, 50], [1, 2, 1], scales);
    let secret = [37i64, -50].map(|w| w as f32 / 512.0);
    let upload = setting.encrypt(&[0.5, -0.25]);
    let a = [setting.guess(&[0.125, 0.0], &upload), setting.guess(&[0.0, 0.125], &upload)];
    let search = |response: &[u8]| {
        let c1 = setting.c1(response);
        let matches = |w: &(i64, i64)| {
            let predicted: Vec<f64> = (0..8).map(|t| (w.0 as f64 * a[0][t] + w.1 as f64 * a[1][t]) / 64.0).collect();
            // The guesses are of 64 times the unit, modulo 1: only multiples of them are known, so compare these.
            let scaled: Vec<f64> = c1[..8].iter().map(|&c| c as f64 / 24f64.exp2()).collect();
            predicted.iter().zip(&scaled).all(|(p, c)| {
                let difference = p - c;
                (difference * 64.0 - (difference * 64.0).round()).abs() < 1e-4
            })
        };
        let all = (-64..64).flat_map(|w0| (-64..64).map(move |w1| (w0, w1)));
        all.filter(matches).collect::<Vec<_>>()
    };
    let bare = setting.bare(&secret, &upload, 1);
    assert_eq!(search(&bare), [(37, -50)], "the attack works");
    assert_eq!(search(&setting.hidden(&secret, &upload, 1, b"1")), []);
}

#[test]
fn a_repeated_step_repeats_its_bytes_and_another_response_has_another_mask() {
    let setting = Setting::published();
    let w: Vec<f32> = numbers(1280, 6).iter().map(|w| w / 8.0).collect();
    let mut other = w.clone();
    other[0] += 0.01;
    let (upload, second) = (setting.encrypt(&numbers(1024, 5)), setting.encrypt(&numbers(1024, 6)));
    let first = setting.hidden(&w, &upload, 4, b"1");
    assert_eq!(first, setting.hidden(&w, &upload, 4, b"1"));
    // The masks: c1 less what it is without hiding.
    let mask = |matrix: &[f32], upload: &[u8], context: &[u8]| {
        let c1 = setting.c1(&setting.hidden(matrix, upload, 4, context));
        let bare = setting.c1(&setting.bare(matrix, upload, 4));
        c1.iter()
            .zip(&bare)
            .map(|(c, b)| c.wrapping_sub(*b) & ((1 << 32) - 1))
            .collect::<Vec<u64>>()
    };
    let masks = [
        mask(&w, &upload, b"1"),
        mask(&w, &upload, b"2"),
        mask(&other, &upload, b"1"),
        mask(&w, &second, b"1"),
    ];
    for (i, one) in masks.iter().enumerate() {
        for two in &masks[..i] {
            let near = one.iter().zip(two).filter(|(a, b)| a.abs_diff(**b) < 1 << 20).count();
            assert!(near < 40, "{near} of 4096 coefficients agree");
        }
    }
}

#[test]
fn a_matrix_louder_than_the_flooding_is_refused() {
    let setting = Setting::published();
    let upload = setting.encrypt(&numbers(1024, 5));
    let hiding = Hiding {
        flooding: &setting.flooding,
        receiver: &setting.receiver,
        key: &responder(),
        context: b"1",
    };
    let respond = |entry: f32| {
        let weights = setting.weights(&[entry; 1280]);
        setting.product.respond_hidden(&weights, &upload, 4, &hiding)
    };
    assert!(respond(0.125).is_ok());
    assert!(matches!(respond(0.126), Err(LatticeError::Noise { .. })));
}
