//! Encryption, decryption and one forward of the published layer (4 x 256 times 256 x 5), one thread.

use std::hint::black_box;

use cloven_lattice::{
    LatticeError, Parameters, RandomnessKey, SecretKey, Upload,
    linear::{Product, Scales},
};
use cloven_ring::Poly;
use rand::RngExt;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::{row::Row, timing::medians};

const PART: &str = "lattice";
const ROWS: usize = 4;
const INPUTS: usize = 256;
const OUTPUTS: usize = 5;
/// As `encrypted-activation` takes them.
const SCALES: Scales = Scales {
    input: 21,
    weight: 19,
    response: 29,
};
const CASES: u64 = 20;

/// One ciphertext, then the layer.
pub fn rows(rounds: usize) -> Result<Vec<Row>, LatticeError> {
    let parameters = Parameters::new(11, &[50])?;
    let secret = SecretKey::generate(&parameters, &mut ChaCha20Rng::from_seed([1; 32]));
    let keys = Keys {
        secret,
        randomness: RandomnessKey::new([2; 32]),
        round: 0,
    };
    let product = Product::new(&parameters, [ROWS, INPUTS, OUTPUTS], SCALES)?;
    let mut rows = Vec::new();
    let keys = one_ciphertext(&parameters, keys, rounds, &mut rows)?;
    layer(&product, keys, rounds, &mut rows)?;
    Ok(rows)
}

struct Keys {
    secret: SecretKey,
    randomness: RandomnessKey,
    /// Contexts must not repeat.
    round: u64,
}

impl Keys {
    fn context(&mut self) -> [u8; 8] {
        self.round += 1;
        self.round.to_le_bytes()
    }
}

fn one_ciphertext(parameters: &Parameters, mut keys: Keys, rounds: usize, rows: &mut Vec<Row>) -> Result<Keys, LatticeError> {
    let plaintext = Poly::from_signed(parameters.basis(), &vec![12345; parameters.degree()])?;
    let mut bytes = Vec::new();
    let context = keys.context();
    keys.secret
        .encrypt(&plaintext, &keys.randomness, &context)?
        .encode(parameters, &mut bytes);
    let ciphertext = Upload::decode(parameters, &bytes)?;
    let mut sealer = keys;
    let reader = SecretKey::generate(parameters, &mut ChaCha20Rng::from_seed([1; 32]));
    let [encrypt, decrypt] = medians(
        rounds,
        [
            &mut || {
                let context = sealer.context();
                black_box(
                    sealer
                        .secret
                        .encrypt(&plaintext, &sealer.randomness, &context)
                        .expect("encrypts"),
                );
            },
            &mut || {
                black_box(reader.decrypt(&ciphertext).expect("decrypts"));
            },
        ],
    );
    rows.push(Row::new(PART, "encrypt one ciphertext, N = 2048, one prime", encrypt * 1e6, "us").at_most(25.0));
    rows.push(Row::new(PART, "decrypt one ciphertext, N = 2048, one prime", decrypt * 1e6, "us").at_most(12.0));
    Ok(sealer)
}

fn layer(product: &Product, mut keys: Keys, rounds: usize, rows: &mut Vec<Row>) -> Result<(), LatticeError> {
    let case = Case::new(0);
    let weights = product.weights(&case.w, &case.bias)?;
    let context = keys.context();
    let upload = product.encrypt(&case.x, &keys.secret, &keys.randomness, &context)?;
    let response = product.respond(&weights, &upload, ROWS)?;
    let reader = SecretKey::generate(&Parameters::new(11, &[50])?, &mut ChaCha20Rng::from_seed([1; 32]));
    let [encrypt, respond, decrypt] = medians(
        rounds,
        [
            &mut || {
                let context = keys.context();
                black_box(
                    product
                        .encrypt(&case.x, &keys.secret, &keys.randomness, &context)
                        .expect("encrypts"),
                );
            },
            &mut || {
                black_box(product.respond(&weights, &upload, ROWS).expect("responds"));
            },
            &mut || {
                black_box(product.decrypt(&response, ROWS, &reader).expect("decrypts"));
            },
        ],
    );
    let [a, b, c] = [encrypt, respond, decrypt].map(|seconds| seconds * 1e6);
    let detail = format!("client encrypts {a:.1} us, server {b:.1} us, client decrypts {c:.1} us");
    let all = (a + b + c) / 1e3;
    rows.push(
        Row::new(PART, "layer 4 x 256 x 5, one forward", all, "ms")
            .at_most(0.3)
            .detail(detail),
    );
    let errors: Vec<f64> = (1..=CASES)
        .map(|seed| error(product, &mut keys, &Case::new(seed)))
        .collect::<Result<_, _>>()?;
    let what = "the same: largest error against f64, 20 seeded cases";
    rows.push(
        Row::new(PART, what, errors.into_iter().fold(0.0, f64::max), "")
            .at_most(1e-4)
            .detail("x in +-1, weights and bias in +-1/16"),
    );
    Ok(())
}

/// Numbers of one forward.
struct Case {
    x: Vec<f32>,
    w: Vec<f32>,
    bias: Vec<f32>,
}

impl Case {
    /// Weights as a dense layer of 256 inputs starts with.
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut draw = |count: usize, range: f32| -> Vec<f32> { (0..count).map(|_| rng.random_range(-range..range)).collect() };
        Self {
            x: draw(ROWS * INPUTS, 1.0),
            w: draw(INPUTS * OUTPUTS, 1.0 / 16.0),
            bias: draw(OUTPUTS, 1.0 / 16.0),
        }
    }

    /// In f64, row-major.
    fn exact(&self) -> Vec<f64> {
        let one = |row: &[f32], j: usize| {
            let terms = row.iter().enumerate();
            let sum: f64 = terms.map(|(c, &x)| f64::from(x) * f64::from(self.w[c * OUTPUTS + j])).sum();
            sum + f64::from(self.bias[j])
        };
        let rows = self.x.chunks(INPUTS);
        rows.flat_map(|row| (0..OUTPUTS).map(move |j| one(row, j))).collect()
    }
}

/// The largest absolute error of one case.
fn error(product: &Product, keys: &mut Keys, case: &Case) -> Result<f64, LatticeError> {
    let weights = product.weights(&case.w, &case.bias)?;
    let context = keys.context();
    let upload = product.encrypt(&case.x, &keys.secret, &keys.randomness, &context)?;
    let y = product.decrypt(&product.respond(&weights, &upload, ROWS)?, ROWS, &keys.secret)?;
    let pairs = y.iter().zip(case.exact());
    Ok(pairs.map(|(&y, exact)| (f64::from(y) - exact).abs()).fold(0.0, f64::max))
}
