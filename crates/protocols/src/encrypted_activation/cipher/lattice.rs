//! Sealing by lattice encryption.

use cloven_lattice::{
    LatticeError, Parameters, RandomnessKey, SecretKey,
    linear::{Layout, Norms, Product, Scales, Weights},
};
use ndarray::{ArrayD, IxDyn};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{ClientCipher, Direction, SealedLen, ServerCipher};
use crate::ProtocolError;

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
    rows: usize,
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
            rows,
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

    /// Rows, inputs and outputs that it is for.
    pub(super) fn form(&self) -> [usize; 3] {
        let layout = self.forward.layout();
        [self.rows, layout.inputs, layout.outputs]
    }

    /// Refuses a layer whose numbers leave the range of the encryption.
    pub(super) fn check_layer(&self, weight: &ArrayD<f32>, bias: Option<&ArrayD<f32>>) -> Result<(), LatticeError> {
        let [forward, backward] = &self.matrices(weight, bias);
        self.forward.check_weights(&forward.0, &forward.1)?;
        self.backward.check_weights(&backward.0, &backward.1)
    }

    /// Matrix and bias of each direction's product. PyTorch's `[outputs, inputs]` is the matrix of the backward product as it stands; the forward one is
    /// its transpose.
    fn matrices(&self, weight: &ArrayD<f32>, bias: Option<&ArrayD<f32>>) -> [(Vec<f32>, Vec<f32>); 2] {
        let none = |product: &Product| vec![0.0; product.layout().outputs];
        let bias = bias.map_or_else(|| none(&self.forward), |bias| bias.iter().copied().collect());
        let by_input = weight.t().iter().copied().collect();
        let by_output = weight.iter().copied().collect();
        [(by_input, bias), (by_output, none(&self.backward))]
    }

    pub(super) fn product(&self, direction: Direction) -> &Product {
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

impl ServerLattice {
    /// Takes the layer.
    pub(crate) fn set(&mut self, weight: &ArrayD<f32>, bias: Option<&ArrayD<f32>>) -> Result<(), LatticeError> {
        let [forward, backward] = &self.sealing.matrices(weight, bias);
        self.layer = Some((
            self.sealing.forward.weights(&forward.0, &forward.1)?,
            self.sealing.backward.weights(&backward.0, &backward.1)?,
        ));
        Ok(())
    }

    /// Multiplies a sealed batch by the layer.
    pub(crate) fn multiply(&self, direction: Direction, sealed: &[u8], rows: usize) -> Result<Vec<u8>, LatticeError> {
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

impl ServerCipher for ServerLattice {
    fn set_layer(&mut self, weight: &ArrayD<f32>, bias: Option<&ArrayD<f32>>) -> Result<(), LatticeError> {
        self.set(weight, bias)
    }

    async fn answer(&mut self, direction: Direction, sealed: &[u8], rows: usize) -> Result<Vec<u8>, ProtocolError> {
        Ok(self.multiply(direction, sealed, rows)?)
    }
}
