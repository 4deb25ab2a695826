//! Shares that add up to the product word for word, noise against its formula, what the key holder can compute, refusals.

use cloven_ring::{Coefficients, Poly};
use proptest::prelude::*;
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    Ciphertext, PublicKey, RandomnessKey, SecretKey,
    crt::centred_floats,
    residue::{WordReducer, low_word},
    stream::{Domain, Stream},
};
use flooding::Cover;

/// Results of a job.
const REVEALED: u64 = 1 << 26;

struct Parties {
    product: ExactProduct,
    secret: SecretKey,
    public: PublicKey,
}

fn holder_key() -> RandomnessKey {
    RandomnessKey::new([2; 32])
}

fn responder_key() -> RandomnessKey {
    RandomnessKey::new([3; 32])
}

impl Parties {
    fn new(shape: [usize; 3], bits: u32) -> Self {
        Self::of(ExactProduct::new(shape, bits, REVEALED).unwrap())
    }

    fn of(product: ExactProduct) -> Self {
        let secret = SecretKey::generate(product.parameters(), &mut ChaCha20Rng::from_seed([1; 32]));
        let public = PublicKey::generate(&secret, &holder_key(), b"receiver").unwrap();
        Self { product, secret, public }
    }

    fn encrypt(&self, w: &[u64]) -> Vec<u8> {
        let mut upload = Vec::new();
        self.product
            .encrypt(w, &self.secret, &holder_key(), b"w", &mut upload)
            .unwrap();
        upload
    }

    fn respond(&self, x: &[i64], upload: &[u8], context: &[u8]) -> ExactResponse {
        let masking = Masking {
            receiver: &self.public,
            key: &responder_key(),
            context,
        };
        let x = self.product.prepare(x).unwrap();
        self.product.respond(&x, upload, &masking).unwrap()
    }

    /// Both shares' sum.
    fn run(&self, x: &[i64], w: &[u64]) -> Vec<u64> {
        let upload = self.encrypt(w);
        assert_eq!(upload.len(), self.product.upload_len());
        let response = self.respond(x, &upload, b"x");
        assert_eq!(response.message.len(), self.product.response_len());
        let share = self.product.decrypt(&response.message, &self.secret).unwrap();
        share.iter().zip(&response.share).map(|(a, b)| a.wrapping_add(*b)).collect()
    }

    /// The noise of the wanted coefficients of the first product, before it is randomised.
    fn noise(&self, x: &[i64], w: &[u64]) -> Vec<f64> {
        let product = &self.product;
        let ciphertexts = product.read_upload(&self.encrypt(w)).unwrap();
        let first = product.multiply(&product.prepare(x).unwrap(), &ciphertexts, 0, 0).unwrap();
        let mut plain = self.secret.decrypt(&first).unwrap();
        let exact = slow(product.shape, x, w);
        let low = low_word(product.parameters.basis().moduli());
        let outputs = product.layout.outputs_of(0, 0, product.shape[0]);
        for (prime, reducer) in product.parameters.basis().moduli().iter().map(WordReducer::new).enumerate() {
            let modulus = product.parameters.basis().moduli()[prime];
            for &(at, position) in &outputs {
                let value = reducer.scaled(low.wrapping_mul(exact[position]));
                let residue = &mut plain.residues_mut(prime)[at];
                *residue = modulus.sub(*residue, value);
            }
        }
        let all = centred_floats(&plain);
        outputs.iter().map(|&(at, _)| all[at]).collect()
    }
}

/// X W modulo 2^64.
fn slow([rows, inner, columns]: [usize; 3], x: &[i64], w: &[u64]) -> Vec<u64> {
    let mut y = vec![0u64; rows * columns];
    for i in 0..rows {
        for c in 0..inner {
            for j in 0..columns {
                let term = (x[i * inner + c] as u64).wrapping_mul(w[c * columns + j]);
                y[i * columns + j] = y[i * columns + j].wrapping_add(term);
            }
        }
    }
    y
}

fn words(count: usize, seed: u64) -> Vec<u64> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.next_u64()).collect()
}

/// Integers of so many bits.
fn integers(count: usize, bits: u32, seed: u64) -> Vec<i64> {
    words(count, seed).iter().map(|&word| word as i64 >> (64 - bits)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn shares_add_up_to_the_product(
        rows in 1usize..200, inner in 1usize..40, columns in 1usize..20, bits in 1u32..=64, seed in any::<u64>(),
    ) {
        let shape = [rows, inner, columns];
        let (x, w) = (integers(rows * inner, bits, seed), words(inner * columns, seed ^ 1));
        prop_assert_eq!(Parties::new(shape, bits).run(&x, &w), slow(shape, &x, &w));
    }
}

#[test]
fn the_shapes_of_vertical_training_are_exact() {
    for (bits, shapes) in [
        (20, [[1024, 12, 8], [12, 1024, 8], [173, 12, 8], [12, 173, 8]]),
        (64, [[1024, 12, 8], [12, 1024, 8], [1, 1, 1], [9, 200, 41]]),
    ] {
        // One key for all of them.
        for product in ExactProduct::for_shapes(&shapes, bits, REVEALED).unwrap() {
            let shape = product.shape();
            let (x, w) = (integers(shape[0] * shape[1], bits, 5), words(shape[1] * shape[2], 6));
            assert_eq!(Parties::of(product).run(&x, &w), slow(shape, &x, &w), "{shape:?}");
        }
    }
}

#[test]
fn the_largest_operands_are_exact_under_the_widest_flooding() {
    for (bits, shape) in [(20, [100, 42, 9]), (64, [100, 42, 9]), (64, [3, 2000, 4])] {
        let parties = Parties::new(shape, bits);
        let product = &parties.product;
        let most = i64::MIN >> (64 - bits);
        let low = low_word(product.parameters.basis().moduli());
        // Words whose encoding is rounded by as much as can be: q m is 2^63 - 1 or 2^63 modulo 2^64, and q is odd.
        let inverse = (0..6).fold(1u64, |i, _| i.wrapping_mul(2u64.wrapping_sub(low.wrapping_mul(i))));
        let rounded = [(1u64 << 63) - 1, 1 << 63].map(|rest| rest.wrapping_mul(inverse));
        for w in [u64::MAX, 1 << 63, rounded[0], rounded[1], 0] {
            let (x, w) = (vec![most; shape[0] * shape[1]], vec![w; shape[1] * shape[2]]);
            let exact = slow(shape, &x, &w);
            let noise = parties.noise(&x, &w);
            let bound = noise::bound(&product.layout, bits);
            assert!(noise.iter().all(|e| e.abs() <= bound), "{bits} {shape:?}");
            let ciphertexts = product.read_upload(&parties.encrypt(&w)).unwrap();
            let first = product.multiply(&product.prepare(&x).unwrap(), &ciphertexts, 0, 0).unwrap();
            let (c0, c1) = product.randomise(first, &parties.public, &mut stream()).unwrap();
            for flood in [3u128 << 61, (3u128 << 61).wrapping_neg()] {
                let outputs = product.layout.outputs_of(0, 0, shape[0]);
                let wanted: Vec<usize> = outputs.iter().map(|&(at, _)| at).collect();
                let read = parties.read(&c0, &c1, &wanted, flood);
                for (value, &(_, position)) in read.into_iter().zip(&outputs) {
                    assert_eq!(
                        (value.wrapping_add(1 << 63) >> 64) as u64,
                        exact[position],
                        "{bits} {shape:?}"
                    );
                }
            }
        }
    }
}

impl Parties {
    /// What the key holder reads of a response with the same number added to every coefficient.
    fn read(&self, c0: &Poly<Coefficients>, c1: &Poly<Coefficients>, wanted: &[usize], added: u128) -> Vec<u128> {
        let covers: Vec<Cover> = wanted.iter().map(|_| Cover { mask: 0, added }).collect();
        let mut message = Vec::new();
        self.product.write(c0, c1, wanted, &covers, &mut message).unwrap();
        self.product.read_response(&message, wanted, &self.secret).unwrap()
    }
}

fn stream() -> Stream {
    Stream::new(Domain::Hiding, &[4; 32])
}

fn root_mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
}

#[test]
fn noise_is_as_large_as_its_formula_says() {
    for (bits, shape) in [(20, [256, 12, 8]), (64, [64, 42, 8])] {
        let parties = Parties::new(shape, bits);
        let layout = &parties.product.layout;
        let (x, w) = (integers(shape[0] * shape[1], bits, 7), words(shape[1] * shape[2], 8));
        let noise = parties.noise(&x, &w);
        // Of numbers uniform in the range a third of the largest square is the mean; rho is uniform as well.
        let terms = (layout.samples * shape[1]) as f64 * cloven_ring::sample::SIGMA.powi(2) + shape[1] as f64 / 12.0;
        let formula = 2f64.powi(bits as i32 - 1) * (terms / 3.0).sqrt();
        let ratio = root_mean_square(&noise) / formula;
        assert!((0.9..1.1).contains(&ratio), "{bits}: {ratio}");
        let bound = noise::bound(layout, bits);
        assert!(noise.iter().all(|e| e.abs() < bound) && bound < 25.0 * formula);
    }
}

#[test]
fn switching_adds_the_noise_of_its_formula() {
    let parties = Parties::new([300, 12, 8], 20);
    let product = &parties.product;
    let (x, w) = (integers(3600, 20, 7), words(96, 8));
    let ciphertexts = product.read_upload(&parties.encrypt(&w)).unwrap();
    let first = product.multiply(&product.prepare(&x).unwrap(), &ciphertexts, 0, 0).unwrap();
    let (c0, c1) = product.randomise(first, &parties.public, &mut stream()).unwrap();
    let wanted: Vec<usize> = product.layout.wanted(0, 0, 300).collect();
    let rest: Vec<f64> = parties
        .read(&c0, &c1, &wanted, 0)
        .iter()
        .map(|&v| v as u64 as i64 as f64)
        .collect();
    let degree = f64::from(1 << LOG2_DEGREE);
    let step = |bits: u32| 2f64.powi(128 - bits as i32);
    let formula = (step(WHOLE_BITS).powi(2) * degree / 18.0 + step(WANTED_BITS).powi(2) / 12.0).sqrt();
    let ratio = root_mean_square(&rest) / formula;
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn what_the_key_holder_reads_says_nothing_of_the_noise_beneath() {
    let shape = [256, 12, 8];
    let parties = Parties::new(shape, 20);
    let (x, w) = (integers(3072, 20, 9), words(96, 10));
    let before = parties.noise(&x, &w);
    let upload = parties.encrypt(&w);
    let message = parties.respond(&x, &upload, b"x").message;
    let layout = &parties.product.layout;
    let wanted: Vec<usize> = layout.wanted(0, 0, 256).collect();
    let first = &message[..wire::len(wanted.len())];
    let values = parties.product.read_response(first, &wanted, &parties.secret).unwrap();
    let after: Vec<f64> = values.iter().map(|&v| v as u64 as i64 as f64).collect();
    let limit = 5.0 / (before.len() as f64).sqrt();
    assert!(correlation(&before, &after).abs() < limit);
    let unit = 2f64.powi(flooding::BITS as i32);
    let ratio = root_mean_square(&after) / (unit / 2.0);
    assert!((0.95..1.05).contains(&ratio), "{ratio}");
    // Wide enough: 2^40 times the noise and the root of what is revealed.
    let noise = noise::bound(layout, 20) * (128.0 - parties.product.parameters.log2_modulus()).exp2();
    assert!(1.07 * noise * (REVEALED as f64).sqrt() * 2f64.powi(40) <= unit);
}

/// c1 / a modulo the first prime, centred.
fn divide(response: &Poly<Coefficients>, upload: &Ciphertext) -> Vec<f64> {
    let basis = response.basis().clone();
    let mut quotient = response.clone().into_evaluations();
    for (prime, modulus) in basis.moduli().iter().enumerate() {
        for (value, &a) in quotient.residues_mut(prime).iter_mut().zip(upload.c1.residues(prime)) {
            *value = modulus.mul(*value, modulus.inv(a).unwrap());
        }
    }
    let quotient = quotient.into_coefficients();
    let modulus = basis.moduli()[0];
    quotient.residues(0).iter().map(|&c| modulus.centred(c) as f64).collect()
}

#[test]
fn the_key_holder_divides_a_bare_response_and_finds_nothing_in_a_randomised_one() {
    let shape = [512, 4, 4];
    let parties = Parties::new(shape, 20);
    let product = &parties.product;
    assert_eq!(product.layout.input_blocks(), 1);
    let (x, w) = (integers(2048, 20, 11), words(16, 12));
    let ciphertexts = product.read_upload(&parties.encrypt(&w)).unwrap();
    let multiply = || product.multiply(&product.prepare(&x).unwrap(), &ciphertexts, 0, 0).unwrap();
    let operand: Vec<f64> = product.layout.row_block(&x, 512, 0, 0).iter().map(|&c| c as f64).collect();
    assert_eq!(
        divide(&multiply().c1.into_coefficients(), &ciphertexts[0]),
        operand,
        "the attack works"
    );
    let (_, mut c1) = product.randomise(multiply(), &parties.public, &mut stream()).unwrap();
    // Undo what reading fractions prepares.
    let basis = product.parameters.basis();
    let undo = basis.moduli().iter().map(|m| {
        let others = basis.moduli().iter().filter(|other| *other != m);
        others.fold(1, |p, other| m.mul(p, m.reduce(other.value())))
    });
    c1.scale_assign(&undo.collect::<Vec<_>>()).unwrap();
    let quotient = divide(&c1, &ciphertexts[0]);
    assert!(correlation(&quotient, &operand).abs() < 5.0 / 8192f64.sqrt());
    // Uniform: a share 2^-8 of the values within 2^-8 of the range.
    let small = quotient.iter().filter(|v| v.abs() < 2f64.powi(41)).count();
    assert!((10..70).contains(&small), "{small}");
}

#[test]
fn a_repeated_step_repeats_and_another_one_shares_no_mask() {
    let shape = [300, 5, 3];
    let parties = Parties::new(shape, 20);
    let (x, w) = (integers(1500, 20, 13), words(15, 14));
    let upload = parties.encrypt(&w);
    assert_eq!(upload, parties.encrypt(&w));
    let first = parties.respond(&x, &upload, b"1");
    let again = parties.respond(&x, &upload, b"1");
    assert!(first.message == again.message && first.share == again.share);
    let mut other = x.clone();
    other[1499] ^= 1;
    let mut w = w;
    w[0] ^= 1;
    let stranger = Parties {
        public: PublicKey::generate(&parties.secret, &holder_key(), b"another").unwrap(),
        ..Parties::new(shape, 20)
    };
    let mut all = vec![
        first,
        parties.respond(&x, &upload, b"2"),
        parties.respond(&other, &upload, b"1"),
        parties.respond(&x, &parties.encrypt(&w), b"1"),
        stranger.respond(&x, &upload, b"1"),
    ];
    let mut masks: Vec<u64> = all.iter().flat_map(|response| &response.share).copied().collect();
    masks.sort_unstable();
    masks.dedup();
    assert_eq!(masks.len(), 5 * 900, "no mask twice");
    all.dedup_by(|a, b| a.message == b.message);
    assert_eq!(all.len(), 5);
    // Another matrix has other seeds in every ciphertext.
    let one = upload.len() / parties.product.uploads();
    let seeds = upload.chunks(one).map(|c| &c[..32]);
    assert!(
        seeds
            .zip(parties.encrypt(&w).chunks(one))
            .take(1)
            .all(|(seed, other)| *seed != other[..32])
    );
}

#[test]
fn results_do_not_depend_on_threads() {
    let shape = [1024, 12, 8];
    let parties = Parties::new(shape, 20);
    let (x, w) = (integers(12288, 20, 15), words(96, 16));
    let [one, two] = [1, 2].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let upload = parties.encrypt(&w);
            let response = parties.respond(&x, &upload, b"x");
            let read = parties.product.decrypt(&response.message, &parties.secret).unwrap();
            (upload, response.message, response.share, read)
        })
    });
    assert!(one == two);
}

#[test]
fn the_layout_is_the_one_of_least_cost() {
    for shape in [
        [1024, 12, 8],
        [12, 1024, 8],
        [1024, 42, 40],
        [42, 1024, 40],
        [1, 1, 1],
        [37, 100, 3],
    ] {
        let product = ExactProduct::new(shape, 20, REVEALED).unwrap();
        let secrecy = Secrecy::new(20, REVEALED).unwrap();
        let mut least = usize::MAX;
        for block_inputs in 1..=shape[1] {
            for block_outputs in 1..=shape[2] {
                let samples = 8192 / (block_inputs * block_outputs);
                if samples > 0 {
                    let layout = Layout {
                        degree: 8192,
                        inputs: shape[1],
                        outputs: shape[2],
                        samples: shape[0].div_ceil(shape[0].div_ceil(samples)),
                        block_inputs,
                        block_outputs,
                    };
                    least = least.min(cost(&layout, shape[0], secrecy.log2_modulus(&layout)));
                }
            }
        }
        let found = cost(&product.layout, shape[0], secrecy.log2_modulus(&product.layout));
        assert_eq!(found, least, "{shape:?}");
        product.layout.check(8192).unwrap();
    }
}

#[test]
fn the_modulus_holds_what_it_must_and_no_more() {
    for bits in [1, 8, 20, 33, 64] {
        for revealed in [1, 1 << 20, 1 << 34] {
            let product = ExactProduct::new([100, 30, 10], bits, revealed).unwrap();
            let needed = Secrecy::new(bits, revealed).unwrap().log2_modulus(&product.layout);
            let has = product.parameters.log2_modulus();
            // Two bits are lost where three or four primes share them.
            assert!(
                (needed..needed + 2.0).contains(&has) || needed < 120.0,
                "{bits} {revealed}: {needed} {has}"
            );
            let noise = noise::bound(&product.layout, bits) * (128.0 - has).exp2() + 15.0;
            let all =
                flooding::bound() + noise + 2f64.powi(127 - WANTED_BITS as i32) + 256.0 * 2f64.powi(128 - WHOLE_BITS as i32);
            assert!(all < 2f64.powi(63));
        }
    }
    assert_eq!(
        ExactProduct::new([1024, 12, 8], 20, REVEALED)
            .unwrap()
            .parameters
            .basis()
            .moduli()
            .len(),
        3
    );
    assert_eq!(
        ExactProduct::new([1024, 12, 8], 64, REVEALED)
            .unwrap()
            .parameters
            .basis()
            .moduli()
            .len(),
        4
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let new = |shape, bits, revealed| ExactProduct::new(shape, bits, revealed).unwrap_err();
    for shape in [[0, 1, 1], [1, 0, 1], [1, 1, 0], [usize::MAX, 2, 1], [1 << 14, 1 << 14, 1]] {
        assert!(matches!(new(shape, 20, 1), LatticeError::NoLayout { .. }), "{shape:?}");
    }
    assert!(matches!(new([1, 1, 1], 65, 1), LatticeError::Wide { actual: 65, .. }));
    assert!(matches!(new([1, 1, 1], 0, 1), LatticeError::Wide { actual: 0, .. }));
    assert!(matches!(
        new([1, 1, 1], 20, u64::MAX),
        LatticeError::Wide {
            allowed: 34,
            actual: 64,
            ..
        }
    ));
    let parties = Parties::new([3, 2, 2], 20);
    let product = &parties.product;
    let refused = |x: &[i64]| product.prepare(x).map(drop).unwrap_err();
    assert!(matches!(refused(&[0; 5]), LatticeError::Size { .. }));
    assert!(matches!(
        refused(&[0, 0, 0, 1 << 19, (1 << 19) + 1, 0]),
        LatticeError::Range { position: 4, .. }
    ));
    let encrypt = |w: &[u64], secret: &SecretKey| product.encrypt(w, secret, &holder_key(), b"w", &mut Vec::new());
    assert!(matches!(encrypt(&[0; 3], &parties.secret), Err(LatticeError::Size { .. })));
    let other = Parties::new([3, 2, 2], 64);
    assert!(matches!(encrypt(&[0; 4], &other.secret), Err(LatticeError::Ring(_))));
    let upload = parties.encrypt(&[0; 4]);
    let masking = |receiver| Masking {
        receiver,
        key: Box::leak(Box::new(responder_key())),
        context: b"x",
    };
    let x = product.prepare(&[0; 6]).unwrap();
    let respond = |x: &ExactPlaintext, upload: &[u8], receiver| product.respond(x, upload, &masking(receiver)).map(drop);
    assert!(matches!(
        respond(&x, &upload[1..], &parties.public),
        Err(LatticeError::Length { .. })
    ));
    assert!(matches!(respond(&x, &upload, &other.public), Err(LatticeError::Ring(_))));
    let foreign = other.product.prepare(&[0; 6]).unwrap();
    assert!(matches!(
        respond(&foreign, &upload, &parties.public),
        Err(LatticeError::OtherProduct { .. })
    ));
    assert!(matches!(
        product.decrypt(&upload, &parties.secret),
        Err(LatticeError::Length { .. })
    ));
}
