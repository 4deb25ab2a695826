//! The three products against exact integers, the noise formulas against measured noise, the whole training step, refusals.

use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    RandomnessKey, SecretKey,
    linear::{fixed::Integers, tests::numbers},
};

const SCALES: TrainingScales = TrainingScales {
    input: 20,
    weight: 20,
    delta: 26,
    response: 30,
};

fn parameters() -> Parameters {
    Parameters::new(11, &[50]).unwrap()
}

fn secret() -> SecretKey {
    SecretKey::generate(&parameters(), &mut ChaCha20Rng::from_seed([1; 32]))
}

fn key() -> RandomnessKey {
    RandomnessKey::new([2; 32])
}

fn layout([inputs, outputs]: [usize; 2], [samples, block_inputs, block_outputs]: [usize; 3]) -> Layout {
    Layout {
        degree: 2048,
        inputs,
        outputs,
        samples,
        block_inputs,
        block_outputs,
    }
}

/// Operands of a training step, row-major.
struct Operands {
    rows: usize,
    x: Vec<f32>,
    w: Vec<f32>,
    delta: Vec<f32>,
}

impl Operands {
    /// x in -1..1, W in -1/16..1/16, delta in -1/64..1/64.
    fn random(layout: &Layout, rows: usize, seed: u64) -> Self {
        let scaled = |count, seed, by: f32| -> Vec<f32> { numbers(count, seed).iter().map(|v| v / by).collect() };
        Self {
            rows,
            x: numbers(rows * layout.inputs, seed),
            w: scaled(layout.inputs * layout.outputs, seed ^ 3, 16.0),
            delta: scaled(rows * layout.outputs, seed ^ 5, 64.0),
        }
    }

    /// Encrypts, multiplies and decrypts: x W, x^T delta, delta W^T.
    fn products(&self, product: &EncryptedProduct) -> [Vec<f32>; 3] {
        let (secret, rows) = (secret(), self.rows);
        let [x, w, delta] = self.encrypted(product);
        let relinearisation = product.relinearisation_key(&secret, &key(), b"r").unwrap();
        assert_eq!(relinearisation.len(), product.relinearisation_key_len());
        let relinearisation = product.receive_relinearisation_key(&relinearisation).unwrap();
        let batch = product.receive_rows(&x, rows).unwrap();
        let weights = product.receive_weights(&w).unwrap();
        let delta = product.receive_delta(&delta, rows).unwrap();
        let y = product.outputs(&batch, rows, &weights, &relinearisation).unwrap();
        let dw = product.gradient(&batch, &delta, &relinearisation).unwrap();
        let dx = product.input_gradient(&delta, &weights, &relinearisation).unwrap();
        assert_eq!(
            [y.len(), dw.len(), dx.len()],
            [
                product.outputs_len(rows),
                product.gradient_len(),
                product.input_gradient_len(rows)
            ]
        );
        [
            product.decrypt_outputs(&y, rows, &secret).unwrap(),
            product.decrypt_gradient(&dw, &secret).unwrap(),
            product.decrypt_input_gradient(&dx, rows, &secret).unwrap(),
        ]
    }

    fn encrypted(&self, product: &EncryptedProduct) -> [Vec<u8>; 3] {
        let secret = secret();
        let x = product.encrypt_rows(&self.x, &secret, &key(), b"x").unwrap();
        let w = product.encrypt_weights(&self.w, &secret, &key(), b"w").unwrap();
        let delta = product.encrypt_delta(&self.delta, &secret, &key(), b"d").unwrap();
        assert_eq!(
            [x.len(), w.len(), delta.len()],
            [
                product.rows_len(self.rows),
                product.weights_len(),
                product.delta_len(self.rows)
            ]
        );
        [x, w, delta]
    }

    /// The products of the rounded operands, in exact integers.
    fn exact(&self, product: &EncryptedProduct) -> [Vec<f64>; 3] {
        let (Layout { inputs, outputs, .. }, scales, rows) = (*product.layout().unwrap(), product.scales, self.rows);
        let wide = |numbers: &[f32], scale| -> Vec<i128> {
            let integers = Integers::new("", numbers, scale, &product.parameters).unwrap();
            integers.values.iter().map(|&v| i128::from(v) << integers.lift).collect()
        };
        let x = wide(&self.x, scales.input);
        let w = wide(&self.w, scales.weight);
        let delta = wide(&self.delta, scales.delta);
        let sum =
            |terms: usize, kind, term: &dyn Fn(usize) -> i128| (0..terms).map(term).sum::<i128>() as f64 * product.step(kind);
        let table = |a: usize, b: usize, of: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            (0..a).flat_map(|i| (0..b).map(move |j| of(i, j))).collect()
        };
        [
            table(rows, outputs, &|i, j| {
                sum(inputs, Kind::Outputs { rows }, &|c| x[i * inputs + c] * w[c * outputs + j])
            }),
            table(inputs, outputs, &|c, j| {
                sum(rows, Kind::Gradient, &|i| x[i * inputs + c] * delta[i * outputs + j])
            }),
            table(rows, inputs, &|i, c| {
                sum(outputs, Kind::InputGradient { rows }, &|j| {
                    delta[i * outputs + j] * w[c * outputs + j]
                })
            }),
        ]
    }

    /// Against the formulas' deviations: the errors' of the three products.
    fn deviations(&self, product: &EncryptedProduct) -> [(f64, f64); 3] {
        let (got, exact) = (self.products(product), self.exact(product));
        let layout = product.layout().unwrap();
        let square = |values: &[f32]| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
        let (x, w, delta) = (square(&self.x), square(&self.w), square(&self.delta));
        // In the mean over the blocks; the exact products are of rounded operands.
        let norms = |square: f64, parts: usize| OperandNorms {
            blocks: (square / parts as f64).sqrt(),
            line: 0.0,
        };
        let groups = self.rows as f64 / layout.samples as f64;
        assert_eq!(groups.fract(), 0.0);
        let (inputs, outputs) = (layout.input_blocks(), layout.output_blocks());
        let formulas = [
            product.output_deviation(norms(x, groups as usize), norms(w, outputs)),
            product.gradient_deviation(self.rows, norms(x, inputs), norms(delta, outputs)),
            product.input_gradient_deviation(norms(delta, groups as usize), norms(w, inputs)),
        ];
        let mut pairs = got.iter().zip(exact).zip(formulas).map(|((got, exact), formula)| {
            let errors = got.iter().zip(&exact).map(|(got, exact)| (f64::from(*got) - exact).powi(2));
            ((errors.sum::<f64>() / got.len() as f64).sqrt(), formula)
        });
        [(); 3].map(|()| pairs.next().unwrap())
    }
}

#[test]
fn the_noise_formulas_are_the_measured_noise() {
    // Noise of each operand, of the response and of relinearisation, one after the other.
    let settings = [
        ("design", [20, 20, 26, 30]),
        ("rows", [10, 26, 20, 36]),
        ("matrix", [22, 10, 24, 36]),
        ("delta", [24, 20, 10, 36]),
        ("relinearisation", [14, 12, 14, 38]),
        ("response", [20, 20, 26, 20]),
    ];
    for (what, [input, weight, delta, response]) in settings {
        let scales = TrainingScales {
            input,
            weight,
            delta,
            response,
        };
        for layout in [layout([96, 40], [1, 48, 40]), layout([96, 40], [4, 24, 20])] {
            let product = EncryptedProduct::new(&parameters(), layout, scales).unwrap();
            let deviations = Operands::random(&layout, 12, 7).deviations(&product);
            for ((measured, formula), name) in deviations.into_iter().zip(["x W", "x^T delta", "delta W^T"]) {
                println!(
                    "{what}, {name}, S = {}: measured {measured:.3e}, formula {formula:.3e}",
                    layout.samples
                );
                // Results are read as f32: 2^-24 of them.
                let tolerance = 0.12 * formula + 3e-8;
                assert!(
                    (measured - formula).abs() < tolerance,
                    "{what}, {name}: {measured:e} {formula:e}"
                );
            }
        }
    }
}

#[test]
fn the_published_layer_has_an_error_below_1e_4() {
    // 784 x 128, pixels in 0..1 of which one in five is not zero, matrix uniform within 1/28.
    let layout = layout([784, 128], [1, 16, 128]);
    let product = EncryptedProduct::new(&parameters(), layout, SCALES).unwrap();
    let mut operands = Operands::random(&layout, 3, 1);
    for (index, x) in operands.x.iter_mut().enumerate() {
        *x = if index % 5 == 0 { x.abs() } else { 0.0 };
    }
    operands.w.iter_mut().for_each(|w| *w *= 16.0 / 28.0);
    for (measured, formula) in operands.deviations(&product) {
        println!("784 x 128: measured {measured:.3e}, formula {formula:.3e}");
        assert!(
            measured < 5e-5 && (0.85..1.15).contains(&(measured / formula)),
            "{measured:e} {formula:e}"
        );
    }
    assert_eq!(product.group_len(), 49 * (32 + 12_800));
    assert!(product.output_bound() > 255.0 && product.gradient_bound() > 3.99 && product.input_gradient_bound() > 3.99);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_layout_is_right(
        samples in 1usize..5, block_inputs in 1usize..30, block_outputs in 1usize..17, inputs in 1usize..60, outputs in 1usize..40,
        groups in 1usize..4, missing in 0usize..4, seed: u64
    ) {
        let layout = layout([inputs, outputs], [samples, block_inputs, block_outputs]);
        let product = EncryptedProduct::new(&parameters(), layout, SCALES).unwrap();
        // The last group may hold fewer rows.
        let rows = groups * samples - missing.min(samples - 1);
        let operands = Operands::random(&layout, rows, seed);
        for (got, exact) in operands.products(&product).iter().zip(operands.exact(&product)) {
            prop_assert_eq!(got.len(), exact.len());
            prop_assert!(got.iter().zip(&exact).all(|(got, exact)| (f64::from(*got) - exact).abs() < 5e-4), "{:?} {:?}", got, exact);
        }
    }

    #[test]
    fn a_chosen_layout_fits(rows in 1usize..80, inputs in 1usize..300, outputs in 1usize..200, stored: bool) {
        let from = if stored { RowSource::Stored } else { RowSource::Sent };
        let layout = Layout::for_training(&parameters(), [rows, inputs, outputs], from, SCALES).unwrap();
        prop_assert!(layout.check(2048).is_ok());
        prop_assert!(!stored || layout.samples == 1);
        let chosen = EncryptedProduct::new(&parameters(), layout, SCALES).unwrap();
        let plain = Layout { samples: 1, block_inputs: inputs.min(2048 / outputs), block_outputs: outputs, ..layout };
        let plain = EncryptedProduct::new(&parameters(), plain, SCALES).unwrap();
        prop_assert!(stored || chosen.batch_len(rows, from) <= plain.batch_len(rows, from));
    }
}

#[test]
fn several_primes_serve_as_one_does() {
    let parameters = Parameters::new(12, &[50, 50]).unwrap();
    let secret = SecretKey::generate(&parameters, &mut ChaCha20Rng::from_seed([1; 32]));
    let layout = Layout {
        degree: 4096,
        ..layout([50, 20], [2, 50, 20])
    };
    let scales = TrainingScales {
        input: 40,
        weight: 42,
        delta: 44,
        response: 50,
    };
    let product = EncryptedProduct::new(&parameters, layout, scales).unwrap();
    let (x, w) = (numbers(150, 1), numbers(1000, 2));
    let rows = product.encrypt_rows(&x, &secret, &key(), b"x").unwrap();
    let weights = product.encrypt_weights(&w, &secret, &key(), b"w").unwrap();
    let relinearisation = product.relinearisation_key(&secret, &key(), b"r").unwrap();
    let relinearisation = product.receive_relinearisation_key(&relinearisation).unwrap();
    let weights = product.receive_weights(&weights).unwrap();
    let batch = product.receive_rows(&rows, 3).unwrap();
    let answer = product.outputs(&batch, 3, &weights, &relinearisation).unwrap();
    let y = product.decrypt_outputs(&answer, 3, &secret).unwrap();
    for (i, j) in (0..3).flat_map(|i| (0..20).map(move |j| (i, j))) {
        let exact: f64 = (0..50).map(|c| f64::from(x[i * 50 + c]) * f64::from(w[c * 20 + j])).sum();
        assert!((f64::from(y[i * 20 + j]) - exact).abs() < 1e-6);
    }
}

#[test]
fn batches_are_drawn_from_all_rows() {
    let layout = layout([40, 7], [1, 20, 7]);
    let product = EncryptedProduct::new(&parameters(), layout, SCALES).unwrap();
    let operands = Operands::random(&layout, 10, 4);
    let [x, w, _] = operands.encrypted(&product);
    let groups = product.receive_rows(&x, 10).unwrap();
    let weights = product.receive_weights(&w).unwrap();
    let relinearisation = product.relinearisation_key(&secret(), &key(), b"r").unwrap();
    let relinearisation = product.receive_relinearisation_key(&relinearisation).unwrap();
    let batch = [7, 2, 7].map(|row| groups[row]);
    let answer = product.outputs(&batch, 3, &weights, &relinearisation).unwrap();
    let y = product.decrypt_outputs(&answer, 3, &secret()).unwrap();
    let [all, ..] = operands.exact(&product);
    for (got, row) in y.chunks(7).zip([7, 2, 7]) {
        for (got, exact) in got.iter().zip(&all[row * 7..]) {
            assert!((f64::from(*got) - exact).abs() < 5e-4, "{got} {exact}");
        }
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    let layout = layout([100, 20], [2, 32, 20]);
    let product = EncryptedProduct::new(&parameters(), layout, SCALES).unwrap();
    let operands = Operands::random(&layout, 9, 8);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let [x, w, delta] = operands.encrypted(&product);
            let relinearisation = product.relinearisation_key(&secret(), &key(), b"r").unwrap();
            let relinearisation = product.receive_relinearisation_key(&relinearisation).unwrap();
            let (batch, weights) = (product.receive_rows(&x, 9).unwrap(), product.receive_weights(&w).unwrap());
            let received = product.receive_delta(&delta, 9).unwrap();
            let y = product.outputs(&batch, 9, &weights, &relinearisation).unwrap();
            let dw = product.gradient(&batch, &received, &relinearisation).unwrap();
            let dx = product.input_gradient(&received, &weights, &relinearisation).unwrap();
            [x.clone(), w, delta, y, dw, dx]
        })
    };
    assert!(run(1) == run(4));
}

#[test]
fn a_result_that_could_have_wrapped_is_refused() {
    let layout = layout([2, 1], [1, 2, 1]);
    let product = EncryptedProduct::new(&parameters(), layout, SCALES).unwrap();
    // The largest of each kind, from a row (1, 0), a matrix (w, 0) and a delta d.
    let read = |w: f32, d: f32| {
        let operands = Operands {
            rows: 1,
            x: vec![1.0, 0.0],
            w: vec![w, 0.0],
            delta: vec![d],
        };
        let [x, w, delta] = operands.encrypted(&product);
        let relinearisation = product.relinearisation_key(&secret(), &key(), b"r").unwrap();
        let relinearisation = product.receive_relinearisation_key(&relinearisation).unwrap();
        let (batch, weights) = (product.receive_rows(&x, 1).unwrap(), product.receive_weights(&w).unwrap());
        let delta = product.receive_delta(&delta, 1).unwrap();
        let y = product.outputs(&batch, 1, &weights, &relinearisation).unwrap();
        let dw = product.gradient(&batch, &delta, &relinearisation).unwrap();
        let dx = product.input_gradient(&delta, &weights, &relinearisation).unwrap();
        [
            product.decrypt_outputs(&y, 1, &secret()).map(|y| y[0]),
            product.decrypt_gradient(&dw, &secret()).map(|dw| dw[0]),
            product.decrypt_input_gradient(&dx, 1, &secret()).map(|dx| dx[0]),
        ]
    };
    let (bound, gradient) = (product.output_bound() as f32, product.gradient_bound() as f32);
    assert!((read(0.99 * bound, 0.0)[0].clone().unwrap() - 0.99 * bound).abs() < 0.01);
    assert!((read(0.5, 0.99 * gradient)[1].clone().unwrap() - 0.99 * gradient).abs() < 0.01);
    let refused =
        |result: &Result<f32, LatticeError>, name| matches!(result, Err(LatticeError::Range { what, .. }) if *what == name);
    assert!(refused(&read(1.01 * bound, 0.0)[0], "output"));
    assert!(refused(&read(0.5, 1.01 * gradient)[1], "gradient"));
    assert!(refused(&read(2.0, 0.505 * gradient)[2], "gradient of the input"));
}

#[test]
fn wrong_sizes_and_settings_are_named() {
    let parameters = parameters();
    let layout = layout([100, 3], [4, 100, 3]);
    let product = EncryptedProduct::new(&parameters, layout, SCALES).unwrap();
    let secret = secret();
    let size = |error: LatticeError| matches!(error, LatticeError::Size { .. });
    let length = |error: LatticeError| matches!(error, LatticeError::Length { .. });
    let coefficient = |error: LatticeError| matches!(error, LatticeError::Coefficient { .. });
    let samples = Layout {
        samples: usize::MAX,
        ..layout
    };
    assert!(matches!(
        EncryptedProduct::new(&parameters, samples, SCALES),
        Err(LatticeError::NoLayout { .. })
    ));
    let precise = TrainingScales { response: 39, ..SCALES };
    assert!(matches!(
        EncryptedProduct::new(&parameters, layout, precise),
        Err(LatticeError::Wide { allowed: 38, .. })
    ));
    let wide = EncryptedProduct::new(&parameters, layout, TrainingScales { weight: 49, ..SCALES }).unwrap();
    assert!(matches!(
        wide.encrypt_weights(&[1.0; 300], &secret, &key(), b"w"),
        Err(LatticeError::Range { what: "weight", .. })
    ));
    assert!(matches!(
        product.encrypt_delta(&[f32::NAN; 3], &secret, &key(), b"d"),
        Err(LatticeError::Range { what: "delta", .. })
    ));
    assert!(product.encrypt_rows(&[0.0; 101], &secret, &key(), b"x").is_err_and(size));
    assert!(product.encrypt_weights(&[0.0; 301], &secret, &key(), b"w").is_err_and(size));
    assert!(product.encrypt_delta(&[0.0; 4], &secret, &key(), b"d").is_err_and(size));

    let operands = Operands::random(&layout, 6, 1);
    let [x, w, delta] = operands.encrypted(&product);
    let relinearisation = product.relinearisation_key(&secret, &key(), b"r").unwrap();
    let relinearisation = product.receive_relinearisation_key(&relinearisation).unwrap();
    assert!(product.receive_rows(&x[1..], 6).is_err_and(length));
    assert!(product.receive_weights(&w[1..]).is_err_and(length));
    assert!(product.receive_delta(&delta, 9).is_err_and(length));
    let mut wrong = x.clone();
    wrong[32..46].fill(0xff);
    assert!(product.receive_rows(&wrong, 6).is_err_and(coefficient));
    let (batch, weights) = (product.receive_rows(&x, 6).unwrap(), product.receive_weights(&w).unwrap());
    let received = product.receive_delta(&delta, 6).unwrap();
    // What was not checked on arrival is checked when it is read.
    let unchecked: Vec<&[u8]> = wrong.chunks(product.group_len()).collect();
    assert!(
        product
            .outputs(&unchecked, 6, &weights, &relinearisation)
            .is_err_and(coefficient)
    );
    assert!(
        product
            .gradient(&unchecked, &received, &relinearisation)
            .is_err_and(coefficient)
    );
    assert!(
        product
            .outputs(&[&batch[0][1..]; 2], 6, &weights, &relinearisation)
            .is_err_and(length)
    );
    assert!(product.outputs(&batch, 9, &weights, &relinearisation).is_err_and(size));
    assert!(product.gradient(&batch[1..], &received, &relinearisation).is_err_and(size));
    // Operands of another layout.
    let other = EncryptedProduct::new(&parameters, Layout { outputs: 7, ..layout }, SCALES).unwrap();
    assert!(other.outputs(&batch, 6, &weights, &relinearisation).is_err_and(size));
    assert!(other.input_gradient(&received, &weights, &relinearisation).is_err_and(size));
    let answer = product.outputs(&batch, 6, &weights, &relinearisation).unwrap();
    assert!(product.decrypt_outputs(&answer[1..], 6, &secret).is_err_and(length));
    assert!(product.decrypt_gradient(&answer, &secret).is_err_and(length));
}
