//! Training steps on an encrypted matrix against exact integers, the noise formula against measured noise, hostile bytes.

use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    Flooding, PublicKey, RandomnessKey, Secrecy, SecretKey,
    linear::{Hiding, fixed::fixed, tests::numbers},
};

mod matrix;
mod parts;
mod strided;

const SCALES: Scales = Scales {
    input: 5,
    weight: 38,
    response: 37,
};
const RATE: f32 = 0.01;

fn parameters() -> Parameters {
    Parameters::new(11, &[50]).unwrap()
}

fn secret(parameters: &Parameters) -> SecretKey {
    SecretKey::generate(parameters, &mut ChaCha20Rng::from_seed([1; 32]))
}

fn key() -> RandomnessKey {
    RandomnessKey::new([2; 32])
}

/// The encrypted matrix beside the same in integers.
struct Trainer {
    product: WeightProduct,
    secret: SecretKey,
    encrypted: EncryptedWeights,
    /// At 2^sw, which must not exceed [`ROUNDED`].
    exact: Vec<i128>,
    rate: f32,
    seed: u64,
}

impl Trainer {
    fn new(product: WeightProduct, seed: u64) -> Self {
        let secret = secret(&product.parameters);
        let w: Vec<f32> = numbers(product.inputs * product.outputs, seed)
            .iter()
            .map(|w| w / 16.0)
            .collect();
        let bytes = product.encrypt_weights(&w, &secret, &key(), &seed.to_le_bytes()).unwrap();
        assert_eq!(bytes.len(), product.weights_len());
        let mut encrypted = product.receive_weights(&bytes).unwrap();
        let keys = product.merge_keys(&secret, &key(), b"k").unwrap();
        assert_eq!(keys.len(), product.merge_keys_len());
        product.receive_merge_keys(&mut encrypted, &keys).unwrap();
        Self {
            encrypted,
            exact: wide(fixed("w", &w, product.scales.weight, 60).unwrap()),
            secret,
            product,
            rate: RATE,
            seed,
        }
    }

    /// Rows in 0..1, as pixels are.
    fn rows(&self, count: usize, seed: u64) -> Vec<f32> {
        let all = numbers(count * self.product.inputs, self.seed ^ seed);
        all.iter().map(|x| x / 2.0 + 0.5).collect()
    }

    fn update(&mut self, x: &[f32], seed: u64) {
        let (product, outputs) = (&self.product, self.product.outputs);
        let rows = x.len() / product.inputs;
        let delta = numbers(rows * outputs, self.seed ^ seed);
        let context = [self.seed.to_le_bytes(), seed.to_le_bytes()].concat();
        let bytes = product
            .encrypt_delta(&delta, self.rate, &self.secret, &key(), &context)
            .unwrap();
        assert_eq!(bytes.len(), product.delta_len(rows));
        let encoded = product.encode_rows(x).unwrap();
        product.update(&mut self.encrypted, &encoded, &bytes).unwrap();

        let step: Vec<f32> = delta.iter().map(|d| -self.rate * d).collect();
        let step = wide(fixed("d", &step, product.scales.weight - product.scales.input, 60).unwrap());
        let x = wide(fixed("x", x, product.scales.input, 60).unwrap());
        for (x, step) in x.chunks(product.inputs).zip(step.chunks(outputs)) {
            for (x, w) in x.iter().zip(self.exact.chunks_mut(outputs)) {
                w.iter_mut().zip(step).for_each(|(w, d)| *w += x * d);
            }
        }
    }

    /// Errors of all outputs of a forward product.
    fn errors(&self, x: &[f32]) -> Vec<f64> {
        let product = &self.product;
        let rows = x.len() / product.inputs;
        let response = product.forward(&self.encrypted, &product.encode_rows(x).unwrap()).unwrap();
        assert_eq!(response.len(), product.response_len(rows));
        let y = product.decrypt(&response, rows, &self.secret).unwrap();
        y.iter().zip(self.outputs(x)).map(|(y, e)| f64::from(*y) - e).collect()
    }

    fn outputs(&self, x: &[f32]) -> Vec<f64> {
        let product = &self.product;
        let x = wide(fixed("x", x, product.scales.input, 60).unwrap());
        let unit = 2f64.powi(-((product.scales.input + product.scales.weight) as i32));
        let one = |row: &[i128], j: usize| -> f64 {
            let sum: i128 = row
                .iter()
                .zip(self.exact.chunks(product.outputs))
                .map(|(x, w)| x * w[j])
                .sum();
            sum as f64 * unit
        };
        x.chunks(product.inputs)
            .flat_map(|row| (0..product.outputs).map(move |j| one(row, j)))
            .collect()
    }
}

fn wide(values: Vec<i64>) -> Vec<i128> {
    values.into_iter().map(i128::from).collect()
}

#[test]
fn the_noise_formula_is_the_measured_noise_after_no_one_and_five_updates() {
    // Without an update the response's rounding is all there is; let it stand above the rounding of results to f32.
    for (updates, response) in [(0, 33), (1, 37), (5, 37)] {
        let scales = Scales { response, ..SCALES };
        let product = WeightProduct::new(&parameters(), [100, 128], scales).unwrap();
        let (mut squares, mut count) = (0.0, 0.0);
        for seed in 0..10 {
            let mut trainer = Trainer::new(product.clone(), 1000 * updates + seed);
            let batches: Vec<Vec<f32>> = (0..updates).map(|u| trainer.rows(6, u + 10)).collect();
            for (u, batch) in batches.iter().enumerate() {
                trainer.update(batch, u as u64 + 20);
            }
            let batches: Vec<&[f32]> = batches.iter().map(Vec::as_slice).collect();
            for row in trainer.rows(3, 5).chunks(100) {
                let formula = product.error_deviation(row, &batches).unwrap();
                let errors = trainer.errors(row);
                // Results are read as f32, whose rounding is far below.
                squares += errors.iter().map(|e| (e / formula).powi(2)).sum::<f64>();
                count += errors.len() as f64;
            }
        }
        let ratio = squares / count;
        println!("{updates} updates: measured / formula variance {ratio:.3}");
        assert!((0.88..1.12).contains(&ratio), "{updates} updates: {ratio}");
    }
}

#[test]
fn the_published_layer_trains() {
    let product = WeightProduct::new(&parameters(), [784, 128], SCALES).unwrap();
    assert_eq!(
        (product.block_inputs(), product.block_outputs(), product.input_blocks()),
        (16, 128, 49)
    );
    let mut trainer = Trainer::new(product, 3);
    let x = trainer.rows(60, 1);
    assert!(trainer.errors(&x).iter().all(|e| e.abs() < 1e-6));
    trainer.update(&x, 2);
    let worst = trainer.errors(&x).iter().fold(0.0, |m: f64, e| m.max(e.abs()));
    let formula = trainer.product.error_deviation(&x[..784], &[&x]).unwrap();
    println!("worst error after one update {worst:e}, formula's deviation {formula:e}");
    assert!(worst < 7.0 * formula, "{worst:e} {formula:e}");
}

/// Everything both parties compute, in a pool of so many threads.
fn everything(product: &WeightProduct, threads: usize) -> Vec<Vec<u8>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let secret = secret(&product.parameters);
        let rows = 40;
        let matrix = numbers(product.inputs * product.outputs, 1);
        let weights = product.encrypt_weights(&matrix, &secret, &key(), b"w").unwrap();
        let mut encrypted = product.receive_weights(&weights).unwrap();
        let keys = product.merge_keys(&secret, &key(), b"k").unwrap();
        product.receive_merge_keys(&mut encrypted, &keys).unwrap();
        let x = product.encode_rows(&numbers(rows * product.inputs, 2)).unwrap();
        let delta = numbers(rows * product.outputs, 3);
        let delta = product.encrypt_delta(&delta, RATE, &secret, &key(), b"d").unwrap();
        product.update(&mut encrypted, &x, &delta).unwrap();
        let response = product.forward(&encrypted, &x).unwrap();
        let y = product.decrypt(&response, rows, &secret).unwrap();
        let kept = product.encode_weights(&encrypted).unwrap();
        let again = product.encode_weights(&product.decode_weights(&kept).unwrap()).unwrap();
        assert_eq!(kept, again);
        let read = product.decrypt_weights(&kept, &secret).unwrap();
        let y = y.iter().flat_map(|y| y.to_le_bytes()).collect();
        let read = read.iter().flat_map(|w| w.to_le_bytes()).collect();
        vec![weights, delta, response, y, kept, read]
    })
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    // Two output blocks; enough work for threads in every step.
    let shape = [400, 150];
    for product in [
        WeightProduct::with_block_outputs(&parameters(), shape, 128, SCALES).unwrap(),
        WeightProduct::strided_with_block_outputs(&parameters(), shape, 4, 128, SCALES).unwrap(),
    ] {
        let one = everything(&product, 1);
        for threads in [2, 3] {
            assert!(everything(&product, threads) == one, "{threads} threads");
        }
    }
}

#[test]
fn more_blocks_than_one_sum_takes() {
    let scales = Scales { response: 37, ..SCALES };
    let product = WeightProduct::with_block_outputs(&parameters(), [1000, 3], 1024, scales).unwrap();
    assert_eq!((product.block_inputs(), product.input_blocks()), (2, 500));
    let mut trainer = Trainer::new(product, 4);
    let x = trainer.rows(3, 1);
    trainer.update(&x, 2);
    let formula = trainer.product.error_deviation(&x[..1000], &[&x]).unwrap();
    assert!(trainer.errors(&x).iter().all(|e| e.abs() < 7.0 * formula + 1e-6));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn any_shape_trains(
        inputs in 1usize..150, outputs in 1usize..70, rows in 1usize..7, log2_block in 0u32..11, two_primes: bool, seed: u64,
        log2_samples in 0u32..5
    ) {
        let (parameters, response) = match two_primes {
            true => (Parameters::new(12, &[50, 30]).unwrap(), 36),
            false => (parameters(), 37),
        };
        let scales = Scales { response, ..SCALES };
        let shape = [inputs, outputs];
        for product in [
            WeightProduct::new(&parameters, shape, scales).unwrap(),
            WeightProduct::with_block_outputs(&parameters, shape, 1 << log2_block, scales).unwrap(),
            WeightProduct::strided(&parameters, shape, 1 << log2_samples, scales).unwrap(),
            WeightProduct::strided_with_block_outputs(&parameters, shape, 1 << log2_samples, 2 << log2_block.min(5), scales).unwrap(),
        ] {
            let step = product.compression.unit() * 2f64.powi(-43);
            let mut trainer = Trainer::new(product, seed);
            let x = trainer.rows(rows, 1);
            let limit = |batches: &[&[f32]]| {
                let deviation = x.chunks(inputs).map(|row| trainer.product.error_deviation(row, batches).unwrap());
                7.0 * deviation.fold(0.0, f64::max) + step + 1e-6
            };
            let (before, after) = (limit(&[]), limit(&[&x]));
            prop_assert!(trainer.errors(&x).iter().all(|e| e.abs() < before));
            trainer.update(&x, 2);
            prop_assert!(trainer.errors(&x).iter().all(|e| e.abs() < after));
        }
    }

    #[test]
    fn hostile_bytes_are_errors_or_numbers(change in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4), cut in 0usize..3) {
        let product = WeightProduct::with_block_outputs(&parameters(), [20, 9], 256, SCALES).unwrap();
        let secret = secret(&parameters());
        let mut weights = product.encrypt_weights(&numbers(180, 1), &secret, &key(), b"w").unwrap();
        let mut delta = product.encrypt_delta(&numbers(18, 2), RATE, &secret, &key(), b"d").unwrap();
        let mut encrypted = product.receive_weights(&weights).unwrap();
        let x = product.encode_rows(&numbers(40, 3)).unwrap();
        let mut response = product.forward(&encrypted, &x).unwrap();
        for bytes in [&mut weights, &mut delta, &mut response] {
            let length = bytes.len();
            change.iter().for_each(|(at, flip)| bytes[at % length] ^= flip);
            bytes.truncate(length - cut);
        }
        let results = [
            product.receive_weights(&weights).map(|_| ()),
            product.update(&mut encrypted, &x, &delta),
            product.decrypt(&response, 2, &secret).map(|_| ()),
        ];
        for result in results {
            let length = matches!(result, Err(LatticeError::Length { .. }));
            prop_assert!(cut == 0 || length);
        }
    }
}

#[test]
fn a_wrong_delta_changes_nothing() {
    let product = WeightProduct::with_block_outputs(&parameters(), [20, 9], 4, SCALES).unwrap();
    let mut trainer = Trainer::new(product, 9);
    let x = trainer.rows(2, 1);
    let delta = numbers(18, 2);
    let mut bytes = trainer
        .product
        .encrypt_delta(&delta, RATE, &trainer.secret, &key(), b"d")
        .unwrap();
    bytes.iter_mut().rev().take(7).for_each(|b| *b = 0xff);
    let encoded = trainer.product.encode_rows(&x).unwrap();
    let before = trainer.product.forward(&trainer.encrypted, &encoded).unwrap();
    let error = trainer.product.update(&mut trainer.encrypted, &encoded, &bytes).unwrap_err();
    assert!(matches!(error, LatticeError::Coefficient { .. }));
    assert_eq!(trainer.product.forward(&trainer.encrypted, &encoded).unwrap(), before);
}

#[test]
fn the_noise_bound_is_above_the_formula_and_the_hiding_keeps_to_it() {
    // The response's rounding, which is no noise to hide, is left out by a precise response.
    let parameters = Parameters::new(13, &[50, 50, 50]).unwrap();
    let scales = Scales {
        input: 5,
        weight: 110,
        response: 50,
    };
    let product = WeightProduct::with_block_outputs(&parameters, [40, 20], 512, scales).unwrap();
    let secret = secret(&parameters);
    let x: Vec<f32> = numbers(120, 2).iter().map(|x| (x * 32.0).round() / 32.0).collect();
    let norm = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let widest = x.chunks(40).map(norm).fold(0.0, f64::max);
    let unit = 2f64.powi(-115);
    for batches in [&[][..], &[&x[..]], &[&x[..], &x[..40]]] {
        let updates = batches.iter().map(|batch| batch.len() as u64 / 40).sum();
        let bound = product.noise_bound(widest, updates);
        for row in x.chunks(40) {
            let formula = product.error_deviation(row, batches).unwrap() / unit;
            let rounding = product.compression.variance();
            let noise = (formula * formula - rounding).max(0.0).sqrt();
            assert!(12.0 * noise <= bound * 1.000_001, "{updates}: {noise:e} {bound:e}");
        }
    }

    // Flooding made for the matrix as it is sent, and one update too many.
    let flooding = |updates| {
        let secrecy = Secrecy {
            statistical_bits: 40,
            revealed: 1 << 20,
            noise_bound: product.noise_bound(widest, updates),
            message_bound: product.message_bound(product.output_bound() / 2.0),
        };
        Flooding::new(&parameters, secrecy).unwrap()
    };
    let receiver = PublicKey::generate(&secret, &key(), b"p").unwrap();
    let bytes = product.encrypt_weights(&numbers(800, 1), &secret, &key(), b"w").unwrap();
    let mut encrypted = product.receive_weights(&bytes).unwrap();
    let rows = product.encode_rows(&x).unwrap();
    let forward = |encrypted: &EncryptedWeights, flooding: &Flooding| {
        let hiding = Hiding {
            flooding,
            receiver: &receiver,
            key: &key(),
            context: b"batch",
        };
        product.forward_hidden(encrypted, &rows, &hiding).map(|_| ())
    };
    assert_eq!(forward(&encrypted, &flooding(0)), Ok(()));
    let delta = product.encrypt_delta(&numbers(60, 3), RATE, &secret, &key(), b"d").unwrap();
    product.update(&mut encrypted, &rows, &delta).unwrap();
    assert!(matches!(forward(&encrypted, &flooding(0)), Err(LatticeError::Noise { .. })));
    assert_eq!(forward(&encrypted, &flooding(3)), Ok(()));
}

#[test]
fn a_hidden_forward_is_right_to_its_precision() {
    // W stands far above the flooding: 44 bits of it, multiplied exactly.
    let parameters = Parameters::new(13, &[50, 50]).unwrap();
    let scales = Scales {
        input: 5,
        weight: 86,
        response: 36,
    };
    let product = WeightProduct::new(&parameters, [30, 20], scales).unwrap();
    let secrecy = Secrecy {
        statistical_bits: 40,
        revealed: 1 << 30,
        noise_bound: 2f64.powi(14),
        message_bound: 2f64.powi(5 + 86 + 4),
    };
    let flooding = Flooding::new(&parameters, secrecy).unwrap();
    let secret = secret(&parameters);
    let receiver = PublicKey::generate(&secret, &key(), b"p").unwrap();
    let w = numbers(600, 1);
    let encrypted = product.encrypt_weights(&w, &secret, &key(), b"w").unwrap();
    let encrypted = product.receive_weights(&encrypted).unwrap();
    let x: Vec<f32> = numbers(60, 2).iter().map(|x| (x * 32.0).round() / 32.0).collect();
    let hiding = Hiding {
        flooding: &flooding,
        receiver: &receiver,
        key: &key(),
        context: b"batch",
    };
    let rows = product.encode_rows(&x).unwrap();
    let response = product.forward_hidden(&encrypted, &rows, &hiding).unwrap();
    let plain = product.forward(&encrypted, &rows).unwrap();
    assert_eq!(response.len(), plain.len());
    let same = response.iter().zip(&plain).filter(|(a, b)| a == b).count();
    assert!(same < response.len() / 100, "{same} bytes of {}", response.len());
    let y = product.decrypt(&response, 2, &secret).unwrap();
    for (i, row) in x.chunks(30).enumerate() {
        for j in 0..20 {
            let exact: f64 = row
                .iter()
                .enumerate()
                .map(|(k, x)| f64::from(*x) * f64::from(w[k * 20 + j]))
                .sum();
            assert!((f64::from(y[i * 20 + j]) - exact).abs() < 1e-4, "{} {exact}", y[i * 20 + j]);
        }
    }
}

#[test]
fn wrong_sizes_and_settings_are_named() {
    let new = |shape, scales| WeightProduct::new(&parameters(), shape, scales);
    assert!(matches!(new([0, 5], SCALES), Err(LatticeError::NoLayout { .. })));
    assert!(matches!(
        WeightProduct::with_block_outputs(&parameters(), [5, 5], 3, SCALES),
        Err(LatticeError::NoLayout { .. })
    ));
    assert!(matches!(
        new([5, 5], Scales { input: 39, ..SCALES }),
        Err(LatticeError::Wide { .. })
    ));
    for (samples, block_outputs) in [(3, 16), (0, 16), (4, 1024), (1, 2048), (1, 1), (2, 24)] {
        let strided = WeightProduct::strided_with_block_outputs(&parameters(), [5, 5], samples, block_outputs, SCALES);
        assert!(
            matches!(strided, Err(LatticeError::NoLayout { .. })),
            "{samples} {block_outputs}"
        );
    }
    for samples in [0, 3, 2048] {
        let strided = WeightProduct::strided(&parameters(), [5, 5], samples, SCALES);
        assert!(matches!(strided, Err(LatticeError::NoLayout { .. })), "{samples}");
    }
    let product = new([5, 5], SCALES).unwrap();
    let secret = secret(&parameters());
    assert!(matches!(
        product.encode_rows(&[0.0; 7]),
        Err(LatticeError::Size { expected: 10, .. })
    ));
    assert!(matches!(
        product.encrypt_weights(&[0.0; 24], &secret, &key(), b"w"),
        Err(LatticeError::Size {
            expected: 25,
            actual: 24,
            ..
        })
    ));
    assert!(matches!(
        product.encrypt_delta(&[f32::INFINITY; 5], RATE, &secret, &key(), b"d"),
        Err(LatticeError::Range { what: "delta", .. })
    ));
    let other = new([500, 500], SCALES).unwrap();
    let weights = product.encrypt_weights(&[0.0; 25], &secret, &key(), b"w").unwrap();
    let weights = product.receive_weights(&weights).unwrap();
    let rows = other.encode_rows(&[0.0; 500]).unwrap();
    assert!(matches!(other.forward(&weights, &rows), Err(LatticeError::Size { .. })));
}

/// The largest error of an output after `updates` updates of `rows` rows each, and the formula's deviation, in units of the output.
fn after_updates(shape: [usize; 2], input_bits: u32, updates: u64, rows: usize) -> (f64, f64) {
    // As the protocol has them.
    let scales = Scales {
        input: input_bits,
        weight: 42 - input_bits,
        response: 30,
    };
    let mut trainer = Trainer::new(WeightProduct::new(&parameters(), shape, scales).unwrap(), 11);
    // Random steps add up: so small that outputs stay in range.
    trainer.rate = RATE / shape[0] as f32;
    let batches: Vec<Vec<f32>> = (0..updates).map(|u| trainer.rows(rows, u + 100)).collect();
    for (u, batch) in batches.iter().enumerate() {
        trainer.update(batch, u as u64 + 10_000);
    }
    let test = trainer.rows(4, 7);
    let worst = trainer.errors(&test).iter().fold(0.0, |most: f64, e| most.max(e.abs()));
    let batches: Vec<&[f32]> = batches.iter().map(Vec::as_slice).collect();
    (worst, trainer.product.error_deviation(&test[..shape[0]], &batches).unwrap())
}

/// A small layer; the published one, in minutes: `CLOVEN_PUBLISHED_LAYER=1 cargo test --release -p cloven-lattice --lib -- --nocapture two_thousand`.
#[test]
fn two_thousand_updates_stay_exact() {
    let published = std::env::var_os("CLOVEN_PUBLISHED_LAYER").is_some();
    let (shape, rows) = if published { ([784, 128], 60) } else { ([60, 16], 3) };
    for input_bits in [4, 5] {
        let (worst, deviation) = after_updates(shape, input_bits, 2000, rows);
        println!("{input_bits} bits: worst error {worst:e}, the formula's deviation {deviation:e}");
        assert!(worst < 5.0 * deviation);
        assert!(published || worst < 1e-4);
    }
}
