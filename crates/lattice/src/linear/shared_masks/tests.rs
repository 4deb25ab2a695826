//! The product against exact integers, the noise formula against measured noise, refusals.

use proptest::prelude::*;

use super::*;
use crate::{
    RandomnessKey,
    linear::{OperandNorms, TrainingScales, fixed::Integers, tests::numbers},
};

const SCALES: FactorScales = FactorScales {
    left: 20,
    right: 20,
    response: 30,
};

fn parameters() -> Parameters {
    Parameters::new(11, &[50]).unwrap()
}

fn key() -> RandomnessKey {
    RandomnessKey::new([2; 32])
}

fn product([rows, inputs, outputs]: [usize; 3], [samples, block_inputs, block_outputs]: [usize; 3]) -> SharedProduct {
    let layout = Layout {
        degree: 2048,
        inputs,
        outputs,
        samples,
        block_inputs,
        block_outputs,
    };
    SharedProduct::new(&parameters(), rows, layout, SCALES).unwrap()
}

fn scaled(count: usize, seed: u64, by: f32) -> Vec<f32> {
    numbers(count, seed).iter().map(|v| v / by).collect()
}

/// A in -1..1, B in -1/16..1/16.
fn operands(product: &SharedProduct, seed: u64) -> [Vec<f32>; 2] {
    let Layout { inputs, outputs, .. } = product.layout;
    [numbers(product.rows * inputs, seed), scaled(inputs * outputs, seed ^ 3, 16.0)]
}

/// Encrypts, multiplies and decrypts.
fn answer(product: &SharedProduct, [a, b]: &[Vec<f32>; 2]) -> Vec<f32> {
    let secrets = SharedSecrets::derive(&parameters(), &key(), product.secrets());
    let (left, a) = product.encrypt_left(a, &secrets, &key(), b"a").unwrap();
    let (right, b) = product.encrypt_right(b, &secrets, &key(), b"b").unwrap();
    assert_eq!([left.len(), right.len()], [product.left_len(), product.right_len()]);
    let (left, right) = (product.receive_left(&left).unwrap(), product.receive_right(&right).unwrap());
    let answer = product.multiply(&left, &right).unwrap();
    assert_eq!(answer.len(), product.answer_len());
    let results = product.decrypt(&answer, [&a, &b], &secrets).unwrap();
    // What is kept is what was sent.
    assert_eq!(results, product.decrypt(&answer, [&left, &right], &secrets).unwrap());
    results
}

/// The product of the rounded operands, in exact integers.
fn exact(product: &SharedProduct, [a, b]: &[Vec<f32>; 2]) -> Vec<f64> {
    let integers = |numbers: &[f32], scale| Integers::new("", numbers, scale, &product.parameters).unwrap().values;
    let (a, b) = (integers(a, product.scales.left), integers(b, product.scales.right));
    let Layout { inputs, outputs, .. } = product.layout;
    let entry = |i: usize, j: usize| -> i128 {
        let terms = (0..inputs).map(|c| i128::from(a[i * inputs + c]) * i128::from(b[c * outputs + j]));
        terms.sum()
    };
    let all = (0..product.rows).flat_map(|i| (0..outputs).map(move |j| (i, j)));
    all.map(|(i, j)| entry(i, j) as f64 * product.step()).collect()
}

/// Measured deviation of the error, and the formula's.
fn deviations(product: &SharedProduct, operands: &[Vec<f32>; 2]) -> (f64, f64) {
    let (got, exact) = (answer(product, operands), exact(product, operands));
    let squares: f64 = got.iter().zip(&exact).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    let square = |values: &[f32]| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
    // All rows and columns alike; the rounding of the operands is in the exact product.
    let norms = |values: &[f32], parts: usize| OperandNorms {
        blocks: (square(values) / parts as f64).sqrt(),
        line: 0.0,
    };
    let [rows, _, columns] = product.blocks();
    let formula = product.deviation(norms(&operands[0], rows), norms(&operands[1], columns));
    ((squares / got.len() as f64).sqrt(), formula)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_product_is_that_of_the_matrices(
        sizes in [1usize..20, 1..24, 1..20],
        blocks in [1usize..9, 1..17, 1..17],
        seed: u64,
    ) {
        prop_assume!(blocks[0] * blocks[1].next_power_of_two().max(8) * blocks[2] <= 2048);
        let product = product(sizes, blocks);
        let operands = operands(&product, seed);
        for (got, exact) in answer(&product, &operands).iter().zip(exact(&product, &operands)) {
            prop_assert!((f64::from(*got) - exact).abs() < 1e-3, "{} {}", got, exact);
        }
    }
}

#[test]
fn noise_is_that_of_the_formula() {
    for blocks in [[4, 64, 8], [8, 16, 16], [2, 128, 8]] {
        let product = product([24, 128, 64], blocks);
        let (measured, formula) = deviations(&product, &operands(&product, 7));
        assert!((0.9..1.1).contains(&(measured / formula)), "{measured} {formula}");
    }
    // Where the answer's rounding is most of it.
    let product = product([24, 128, 64], [4, 64, 8]);
    let coarse = SharedProduct {
        scales: FactorScales { response: 18, ..SCALES },
        ..product
    };
    let (measured, formula) = deviations(&coarse, &operands(&coarse, 8));
    assert!((0.9..1.1).contains(&(measured / formula)), "{measured} {formula}");
    assert!(
        formula
            > 20.0
                * deviations(
                    &SharedProduct {
                        scales: SCALES,
                        ..coarse.clone()
                    },
                    &operands(&coarse, 8)
                )
                .1
    );
}

#[test]
fn masks_and_secrets_serve_no_two_messages() {
    let product = product([12, 32, 16], [4, 16, 8]);
    let [a, mut b] = operands(&product, 1);
    let secrets = SharedSecrets::derive(&parameters(), &key(), product.secrets());
    let right = |b: &[f32], context: &[u8]| product.encrypt_right(b, &secrets, &key(), context).unwrap().0;
    let (first, seed) = (right(&b, b"1"), |bytes: &[u8]| bytes[..SEED].to_vec());
    // A retried step sends the same bytes.
    assert_eq!(first, right(&b, b"1"));
    assert_ne!(seed(&first), seed(&right(&b, b"2")));
    b[5] += 0.01;
    assert_ne!(seed(&first), seed(&right(&b, b"1")));
    // The same numbers in another layout.
    let layout = Layout {
        block_inputs: 8,
        ..product.layout
    };
    let other = SharedProduct::new(&parameters(), product.rows, layout, SCALES).unwrap();
    let left = |product: &SharedProduct| product.encrypt_left(&a, &secrets, &key(), b"1").unwrap().0;
    assert_ne!(seed(&left(&product)), seed(&left(&other)));
    // Errors and secrets are not shared: of one mask, no two ciphertexts agree where the plaintexts do.
    let zeros = vec![0.0; a.len()];
    let blocks = product.encrypt_left(&zeros, &secrets, &key(), b"0").unwrap().1.blocks;
    let [_, terms, _] = product.blocks();
    let equal = blocks[0]
        .residues(0)
        .iter()
        .zip(blocks[terms].residues(0))
        .filter(|(a, b)| a == b);
    assert!(equal.count() < 3);
}

#[test]
fn ciphertexts_of_one_mask_differ_by_small_noise_only_under_their_own_secret() {
    let product = product([12, 32, 16], [4, 16, 8]);
    let secrets = SharedSecrets::derive(&parameters(), &key(), product.secrets());
    let zeros = vec![0.0; 12 * 32];
    let (bytes, _) = product.encrypt_left(&zeros, &secrets, &key(), b"0").unwrap();
    let factor = product.receive_left(&bytes).unwrap();
    let [_, terms, _] = product.blocks();
    let worst = |block: usize, secret: usize| {
        let mut phase = factor.masks[block % terms].clone();
        phase.mul_assign(&secrets.0[secret]).unwrap();
        let mut error = factor.blocks[block].clone();
        error.sub_assign(&phase).unwrap();
        let modulus = parameters().basis().moduli()[0];
        let coefficients = error.into_coefficients();
        let sizes = coefficients.residues(0).iter().map(|&c| modulus.centred(c).abs());
        sizes.max().unwrap()
    };
    assert!(worst(0, 0) < 50 && worst(terms, 1) < 50 && worst(terms + 1, 1) < 50);
    assert!(worst(0, 1) > 1 << 40 && worst(terms, 0) > 1 << 40);
}

#[test]
fn wrong_bytes_and_sizes_are_refused() {
    let product = product([12, 32, 16], [4, 16, 8]);
    let [a, b] = operands(&product, 1);
    let secrets = SharedSecrets::derive(&parameters(), &key(), product.secrets());
    let (left, kept) = product.encrypt_left(&a, &secrets, &key(), b"a").unwrap();
    let (right, kept_right) = product.encrypt_right(&b, &secrets, &key(), b"b").unwrap();
    let mut wrong = left.clone();
    wrong[SEED..SEED + 8].fill(0xff);
    assert!(matches!(
        product.receive_left(&wrong),
        Err(LatticeError::Coefficient { position: 0, .. })
    ));
    assert!(matches!(product.receive_left(&left[1..]), Err(LatticeError::Length { .. })));
    assert!(matches!(product.receive_right(&left), Err(LatticeError::Length { .. })));
    assert!(matches!(
        product.decrypt(&left, [&kept, &kept_right], &secrets),
        Err(LatticeError::Length { .. })
    ));
    let size = |what: &str, error: Option<LatticeError>| match error {
        Some(LatticeError::Size { what: got, .. }) => assert_eq!(got, what),
        other => panic!("{other:?}"),
    };
    size("left matrix", product.encrypt_left(&a[1..], &secrets, &key(), b"a").err());
    size("right matrix", product.encrypt_right(&a, &secrets, &key(), b"a").err());
    let few = SharedSecrets::derive(&parameters(), &key(), product.secrets() - 1);
    let short = "secrets of a product with shared masks";
    size(short, product.encrypt_left(&a, &few, &key(), b"a").err());
    let (left, right) = (product.receive_left(&left).unwrap(), product.receive_right(&right).unwrap());
    let answer = product.multiply(&left, &right).unwrap();
    size(short, product.decrypt(&answer, [&kept, &kept_right], &few).err());
    let [of_left, of_right] = ["blocks of the encrypted left matrix", "blocks of the encrypted right matrix"];
    size(of_left, product.multiply(&right, &right).err());
    size(of_right, product.multiply(&left, &left).err());
    size(of_left, product.decrypt(&answer, [&right, &right], &secrets).err());
    size(of_right, product.decrypt(&answer, [&left, &left], &secrets).err());
    let two = Parameters::new(12, &[50, 50]).unwrap();
    let layout = Layout {
        degree: 4096,
        ..product.layout
    };
    let error = SharedProduct::new(&two, 12, layout, SCALES).unwrap_err();
    assert!(
        matches!(
            error,
            LatticeError::Wide {
                allowed: 1,
                actual: 2,
                ..
            }
        ),
        "{error}"
    );
    // 9 numbers stand 16 apart, and at most half of the ring may lie between two.
    for [samples, block_inputs, block_outputs] in [[8, 9, 17], [1, 1025, 1], [2048, 1, 1]] {
        let layout = Layout {
            samples,
            block_inputs,
            block_outputs,
            ..product.layout
        };
        let error = SharedProduct::new(&parameters(), 12, layout, SCALES).unwrap_err();
        assert!(matches!(error, LatticeError::NoLayout { .. }), "{error}");
    }
    for scales in [FactorScales { left: 45, ..SCALES }, FactorScales { response: 50, ..SCALES }] {
        assert!(matches!(
            SharedProduct::new(&parameters(), 12, product.layout, scales),
            Err(LatticeError::Wide { .. })
        ));
    }
}

#[test]
fn a_result_out_of_range_is_an_error() {
    let product = product([1, 16, 1], [1, 16, 1]);
    let (a, b) = (vec![16.0; 16], vec![1.1; 16]);
    let secrets = SharedSecrets::derive(&parameters(), &key(), product.secrets());
    let (_, left) = product.encrypt_left(&a, &secrets, &key(), b"a").unwrap();
    let (_, right) = product.encrypt_right(&b, &secrets, &key(), b"b").unwrap();
    let answer = product.multiply(&left, &right).unwrap();
    let error = product.decrypt(&answer, [&left, &right], &secrets).unwrap_err();
    assert!(matches!(error, LatticeError::Range { position: 0, .. }), "{error}");
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let product = product([24, 64, 64], [4, 32, 16]);
    let operands = operands(&product, 9);
    let in_pool = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| answer(&product, &operands))
    };
    assert_eq!(in_pool(1), in_pool(3));
}

fn training(batch: usize) -> SharedTraining {
    let scales = TrainingScales {
        input: 20,
        weight: 20,
        delta: 26,
        response: 30,
    };
    SharedTraining::choose(&parameters(), [batch, 40, 24], scales).unwrap()
}

#[test]
fn a_training_step_has_its_three_products() {
    let (inputs, outputs) = (40, 24);
    let layer = training(12);
    let secrets = layer.secrets(&key());
    let near = |got: Vec<f32>, of: &dyn Fn(usize) -> f32| {
        let worst = got
            .iter()
            .enumerate()
            .map(|(at, got)| (got - of(at)).abs())
            .fold(0.0, f32::max);
        assert!(worst < 1e-3, "{worst}");
    };
    let w = scaled(inputs * outputs, 5, 8.0);
    let (sent_weights, my_weights) = layer.encrypt_weights(&w, &secrets, &key(), b"w").unwrap();
    assert_eq!(sent_weights.len(), layer.weights_len());
    let weights = layer.receive_weights(&sent_weights).unwrap();
    let part = layer.forward_part(&sent_weights).unwrap();
    assert_eq!(part.len(), layer.forward_part_len());
    let asked_back = layer.receive_forward_part(part).unwrap();
    // A whole batch, the last one of an epoch, and one of evaluation.
    for rows in [12, 5, 30] {
        let x = numbers(rows * inputs, rows as u64);
        let (sent, mine) = layer.encrypt_rows(&x, &secrets, &key(), b"x").unwrap();
        assert_eq!(sent.len(), layer.rows_len(rows));
        let y = layer.outputs(&sent, rows, &weights).unwrap();
        let dot = |pairs: &mut dyn Iterator<Item = (f32, f32)>| pairs.map(|(a, b)| a * b).sum::<f32>();
        for w_there in [my_weights.forward(), &asked_back] {
            near(layer.decrypt_outputs(&y, rows, (&mine, w_there), &secrets).unwrap(), &|at| {
                dot(&mut (0..inputs).map(|c| (x[at / outputs * inputs + c], w[c * outputs + at % outputs])))
            });
        }
        let delta = scaled(rows * outputs, 8, 64.0);
        let sent = layer.encrypt_delta([&x, &delta], &secrets, &key(), b"d");
        if rows > 12 {
            assert!(matches!(
                sent.map(|(bytes, _)| bytes),
                Err(LatticeError::Size {
                    expected: 12,
                    actual: 30,
                    ..
                })
            ));
            continue;
        }
        let (sent, mine) = sent.unwrap();
        assert_eq!(sent.len(), layer.delta_len(rows));
        let sent = layer.receive_delta(&sent, rows).unwrap();
        let dw = layer
            .decrypt_gradient(&layer.gradient(&sent).unwrap(), &mine, &secrets)
            .unwrap();
        near(dw, &|at| {
            dot(&mut (0..rows).map(|i| (x[i * inputs + at / outputs], delta[i * outputs + at % outputs])))
        });
        let dx = layer.input_gradient(&sent, &weights).unwrap();
        near(
            layer.decrypt_input_gradient(&dx, &mine, &my_weights, &secrets).unwrap(),
            &|at| dot(&mut (0..outputs).map(|j| (delta[at / inputs * outputs + j], w[at % inputs * outputs + j]))),
        );
    }
    assert!(matches!(
        layer.receive_delta(&[], 0),
        Err(LatticeError::Size { actual: 0, .. })
    ));
}
