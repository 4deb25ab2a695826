//! Sealing by lattice encryption.

use cloven_lattice::{
    LatticeError, Parameters, RandomnessKey, SecretKey,
    linear::{Layout, Norms, Product, Scales, Weights},
};
use ndarray::{ArrayD, IxDyn};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{ClientCipher, Direction, SealedLen, ServerCipher};

/// log2 of the ring degree.
const LOG2_DEGREE: u32 = 11;
/// Bits of the one prime.
const PRIME_BITS: u32 = 50;
/// Outputs may reach 2^(48 - 40) = 256 before the client stops; their error is near 2^-15. (At 64, one of ten trainings of `m1` for ten
/// epochs ended there.)
const FORWARD: Scales = Scales {
    input: 21,
    weight: 19,
    response: 29,
};
/// Gradients stay small: they may reach 2^(48 - 47) = 2, with an error near 2^-18.
const BACKWARD: Scales = Scales {
    input: 28,
    weight: 19,
    response: 24,
};

/// What both parties know: the two products of one dense layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Sealing {
    parameters: Parameters,
    forward: Product,
    backward: Product,
}

impl Sealing {
    /// For batches of `rows` rows and a layer of `inputs` x `outputs`.
    pub fn new(rows: usize, inputs: usize, outputs: usize) -> Result<Self, LatticeError> {
        let parameters = Parameters::new(LOG2_DEGREE, &[PRIME_BITS])?;
        let forward = Product::new(&parameters, [rows, inputs, outputs], FORWARD)?;
        let backward = Product::new(&parameters, [rows, outputs, inputs], BACKWARD)?;
        Ok(Self {
            parameters,
            forward,
            backward,
        })
    }

    /// The encryption's parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Where the numbers of a direction stand in its ciphertexts.
    pub fn layout(&self, direction: Direction) -> &Layout {
        self.product(direction).layout()
    }

    /// Standard deviation of the error of one number of an answer, at most: `row` is the Euclidean norm of its row of the batch, `column` the
    /// largest of a column of the matrix.
    pub fn error_deviation(&self, direction: Direction, row: f64, column: f64) -> f64 {
        let product = self.product(direction);
        let block = column * (product.layout().block_outputs as f64).sqrt();
        product.error_deviation(Norms { row, column, block })
    }

    /// The largest result that the client accepts.
    pub fn output_bound(&self, direction: Direction) -> f64 {
        self.product(direction).output_bound()
    }

    fn product(&self, direction: Direction) -> &Product {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Backward => &self.backward,
        }
    }
}

impl SealedLen for Sealing {
    fn sealed_len(&self, direction: Direction, rows: usize) -> usize {
        self.product(direction).upload_len(rows)
    }

    fn answer_len(&self, direction: Direction, rows: usize) -> usize {
        self.product(direction).response_len(rows)
    }
}

/// The client's cipher: holds the secret key.
pub struct LatticeCipher {
    sealing: Sealing,
    secret: SecretKey,
    randomness: RandomnessKey,
}

impl LatticeCipher {
    /// Draws a fresh secret key and randomness key from `rng`.
    pub fn new(sealing: Sealing, rng: &mut ChaCha20Rng) -> Self {
        use rand::Rng;
        let mut seeds = [[0; 32]; 2];
        seeds.iter_mut().for_each(|seed| rng.fill_bytes(seed));
        let secret = SecretKey::generate(&sealing.parameters, &mut ChaCha20Rng::from_seed(seeds[0]));
        Self {
            sealing,
            secret,
            randomness: RandomnessKey::new(seeds[1]),
        }
    }
}

impl SealedLen for LatticeCipher {
    fn sealed_len(&self, direction: Direction, rows: usize) -> usize {
        self.sealing.sealed_len(direction, rows)
    }

    fn answer_len(&self, direction: Direction, rows: usize) -> usize {
        self.sealing.answer_len(direction, rows)
    }
}

impl ClientCipher for LatticeCipher {
    fn seal(&mut self, direction: Direction, round: u64, batch: &ArrayD<f32>) -> Result<Vec<u8>, LatticeError> {
        let mut context = *b"encrypted activation .........";
        context[21] = direction as u8;
        context[22..].copy_from_slice(&round.to_le_bytes());
        let batch = batch.as_standard_layout();
        let numbers = batch.as_slice().unwrap_or_default();
        self.sealing
            .product(direction)
            .encrypt(numbers, &self.secret, &self.randomness, &context)
    }

    fn open(&mut self, direction: Direction, answer: &[u8], rows: usize) -> Result<ArrayD<f32>, LatticeError> {
        let product = self.sealing.product(direction);
        let numbers = product.decrypt(answer, rows, &self.secret)?;
        let (expected, actual) = (rows * product.layout().outputs, numbers.len());
        ArrayD::from_shape_vec(IxDyn(&[rows, product.layout().outputs]), numbers).map_err(|_| LatticeError::Size {
            what: "answer",
            expected,
            actual,
        })
    }
}

/// The server's cipher: holds the prepared layer, no key.
pub struct ServerLattice {
    sealing: Sealing,
    layer: Option<(Weights, Weights)>,
}

impl ServerLattice {
    /// Without a layer yet.
    pub fn new(sealing: Sealing) -> Self {
        Self { sealing, layer: None }
    }
}

impl SealedLen for ServerLattice {
    fn sealed_len(&self, direction: Direction, rows: usize) -> usize {
        self.sealing.sealed_len(direction, rows)
    }

    fn answer_len(&self, direction: Direction, rows: usize) -> usize {
        self.sealing.answer_len(direction, rows)
    }
}

impl ServerCipher for ServerLattice {
    fn set_layer(&mut self, weight: &ArrayD<f32>, bias: Option<&ArrayD<f32>>) -> Result<(), LatticeError> {
        let [forward, backward] = [&self.sealing.forward, &self.sealing.backward];
        // PyTorch's [outputs, inputs] is the matrix of the backward product as it stands; the forward one is its transpose.
        let by_output: Vec<f32> = weight.iter().copied().collect();
        let by_input: Vec<f32> = weight.t().iter().copied().collect();
        let none = vec![0.0; forward.layout().outputs];
        let bias = bias.map_or(none, |bias| bias.iter().copied().collect());
        let zeros = vec![0.0; backward.layout().outputs];
        self.layer = Some((forward.weights(&by_input, &bias)?, backward.weights(&by_output, &zeros)?));
        Ok(())
    }

    fn answer(&mut self, direction: Direction, sealed: &[u8], rows: usize) -> Result<Vec<u8>, LatticeError> {
        let Some((forward, backward)) = &self.layer else {
            return Err(LatticeError::Size {
                what: "layer",
                expected: 1,
                actual: 0,
            });
        };
        match direction {
            Direction::Forward => self.sealing.forward.respond(forward, sealed, rows),
            Direction::Backward => self.sealing.backward.respond(backward, sealed, rows),
        }
    }
}
