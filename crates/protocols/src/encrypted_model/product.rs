//! A dense layer of which rows, weights and steps are all encrypted: what both parties know of it, and the key holder's side.
//!
//! The server multiplies ciphertexts and keeps nothing but Enc(W). The key holder has the layer in the clear: it adds the bias, runs the optimiser
//! on the gradient that it decrypts, and encrypts W afresh. So noise never grows, and any optimiser will do.

use cloven_lattice::{
    LatticeError, Parameters, RelinearisationKey,
    linear::{EncryptedMatrix, EncryptedProduct, Layout, OperandNorms, RowSource, TrainingScales},
};
use cloven_nn::Network;
use ndarray::{ArrayD, Axis, IxDyn};

use super::{
    key::{Fingerprint, Secrets},
    layer::{LOG2_DEGREE, PART, PRIME_BITS},
};
use crate::ProtocolError;

/// Outputs may reach 2^(48 - 40) = 256, gradients 2^(48 - 46) = 4 (delta is multiplied to fit).
const SCALES: TrainingScales = TrainingScales {
    input: 20,
    weight: 20,
    delta: 26,
    response: 30,
};

/// What both parties know of the layer's encryption.
#[derive(Debug, Clone)]
pub struct ProductEncryption {
    product: EncryptedProduct,
    parameters: Parameters,
}

impl ProductEncryption {
    /// For a layer of `inputs` x `outputs`, in batches of at most `batch` rows.
    pub fn new([inputs, outputs]: [usize; 2], batch: usize, from: RowSource) -> Result<Self, LatticeError> {
        let parameters = Parameters::new(LOG2_DEGREE, &[PRIME_BITS])?;
        let layout = Layout::for_training(&parameters, [batch, inputs, outputs], from, SCALES)?;
        let product = EncryptedProduct::new(&parameters, layout, SCALES)?;
        Ok(Self { product, parameters })
    }

    /// The encryption's parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Numbers in a row.
    pub fn inputs(&self) -> usize {
        self.product.shape().inputs()
    }

    /// Numbers in an output.
    pub fn outputs(&self) -> usize {
        self.product.shape().outputs()
    }

    /// The largest output, without the bias, that is surely read right; beyond it training stops.
    pub fn output_bound(&self) -> f64 {
        self.product.output_bound()
    }

    /// Standard deviation of the error of an output, for a row of norm `row` and a matrix of norm `weights` altogether, in which columns are alike.
    pub fn output_deviation(&self, row: f64, weights: f64) -> f64 {
        let column = weights / (self.outputs() as f64).sqrt();
        let block = column * (self.product.blocks()[1] as f64).sqrt();
        let norms = |blocks, line| OperandNorms { blocks, line };
        self.product.output_deviation(norms(row, row), norms(block, column))
    }

    /// Bytes of one stored row.
    pub fn row_len(&self) -> usize {
        self.product.group_len()
    }

    /// Bytes of Enc(W).
    pub fn weights_len(&self) -> usize {
        self.product.weights_len()
    }

    /// Rows in each message of rows, for `rows` rows.
    pub(super) fn row_parts(&self, rows: usize) -> impl Iterator<Item = usize> + use<> {
        crate::schedule::sizes(rows, (PART / self.row_len()).max(1))
    }

    /// The products, as the server and the cost's declaration see them.
    pub(super) fn product(&self) -> &EncryptedProduct {
        &self.product
    }

    /// x W of rows that are looked at as groups, a few at a time.
    pub(super) fn outputs_of(
        &self,
        rows: &[u8],
        weights: &EncryptedMatrix,
        key: &RelinearisationKey,
    ) -> Result<Vec<u8>, LatticeError> {
        let groups: Vec<&[u8]> = rows.chunks(self.row_len()).collect();
        self.product.outputs(&groups, groups.len(), weights, key)
    }
}

/// The key holder's side. Neither `Debug` nor `Clone`; wiped on drop.
pub struct ProductKey {
    pub(super) encryption: ProductEncryption,
    pub(super) secrets: Secrets,
}

/// What a ciphertext is for: the domain of its randomness.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// A row, by its place among those that are uploaded.
    Row(u64),
    /// A row of a prediction.
    Query { session: [u8; 16], row: u64 },
    /// W after so many updates.
    Weights(u64),
    /// dL/dy, by the round.
    Delta(u64),
    /// The relinearisation key.
    Relinearisation,
}

impl Purpose {
    fn context(self) -> Vec<u8> {
        let (name, number, session) = match self {
            Self::Row(row) => (b"x", row, [0; 16]),
            Self::Query { session, row } => (b"q", row, session),
            Self::Weights(updates) => (b"W", updates, [0; 16]),
            Self::Delta(round) => (b"d", round, [0; 16]),
            Self::Relinearisation => (b"r", 0, [0; 16]),
        };
        [b"encrypted product ", &name[..], &number.to_le_bytes(), &session].concat()
    }
}

impl ProductKey {
    /// Derived from 32 secret bytes; the same bytes give the same key.
    pub fn new(encryption: ProductEncryption, secret: &[u8; 32]) -> Self {
        let secrets = Secrets::new(&encryption.parameters, secret);
        Self { encryption, secrets }
    }

    /// What the layer's encryption is.
    pub fn encryption(&self) -> &ProductEncryption {
        &self.encryption
    }

    /// Which key it is.
    pub fn fingerprint(&self) -> Fingerprint {
        self.secrets.fingerprint
    }

    /// Gives the layer initial weights that only the key holder knows: uniform in +-1/sqrt(inputs), as PyTorch's.
    pub fn draw_weights(&self, layer: &mut Network) -> Result<(), ProtocolError> {
        self.secrets.draw_weights(layer, self.encryption.inputs())
    }

    pub(super) fn relinearisation_key(&self) -> Result<Vec<u8>, LatticeError> {
        let (Secrets { secret, randomness, .. }, context) = (&self.secrets, Purpose::Relinearisation.context());
        self.encryption.product.relinearisation_key(secret, randomness, &context)
    }

    /// Rows, each in a ciphertext of its own.
    pub(super) fn encrypt_rows(&self, x: &ArrayD<f32>, purpose: impl Fn(usize) -> Purpose) -> Result<Vec<u8>, LatticeError> {
        let Secrets { secret, randomness, .. } = &self.secrets;
        let mut bytes = Vec::with_capacity(x.len_of(Axis(0)) * self.encryption.row_len());
        for (index, row) in x.outer_iter().enumerate() {
            let (row, context): (Vec<f32>, _) = (row.iter().copied().collect(), purpose(index).context());
            bytes.extend(self.encryption.product.encrypt_rows(&row, secret, randomness, &context)?);
        }
        Ok(bytes)
    }

    /// Enc(W) of the layer as it stands.
    pub(super) fn encrypt_weights(&self, layer: &Network) -> Result<Vec<u8>, LatticeError> {
        let Secrets { secret, randomness, .. } = &self.secrets;
        let context = Purpose::Weights(layer.updates()).context();
        let (product, [weight, _]) = (&self.encryption.product, weight_and_bias(layer));
        // In PyTorch's layout a weight is outputs x inputs.
        let matrix: Vec<f32> = weight
            .iter()
            .flat_map(|w| w.t().iter().copied().collect::<Vec<_>>())
            .collect();
        product.encrypt_weights(&matrix, secret, randomness, &context)
    }

    /// y = x W + bias of `rows` rows: `[rows, outputs]`.
    pub(super) fn decrypt_outputs(&self, answer: &[u8], rows: usize, layer: &Network) -> Result<ArrayD<f32>, LatticeError> {
        let y = self.encryption.product.decrypt_outputs(answer, rows, &self.secrets.secret)?;
        let mut y = shaped([rows, self.encryption.outputs()], y)?;
        if let [_, Some(bias)] = &weight_and_bias(layer) {
            y += bias;
        }
        Ok(y)
    }

    /// Enc(2^lift dL/dy), and lift: chosen so that no gradient for rows `x` passes the range, nor gets lost below the fixed point.
    pub(super) fn encrypt_delta(&self, x: &ArrayD<f32>, dy: &ArrayD<f32>, round: u64) -> Result<(Vec<u8>, i32), LatticeError> {
        let Secrets { secret, randomness, .. } = &self.secrets;
        let product = &self.encryption.product;
        // No entry of x^T dy is larger than the largest sum of a column of |x|, times the largest |dy|.
        let most = greatest(&column_maxima(dy));
        let lift = lift(product.gradient_bound() / 2.0, greatest(&column_sums(x)) * most, most);
        let factor = 2f32.powi(lift);
        let delta: Vec<f32> = dy.iter().map(|d| d * factor).collect();
        let delta = product.encrypt_delta(&delta, secret, randomness, &Purpose::Delta(round).context())?;
        Ok((delta, lift))
    }

    /// One step of the layer's optimiser, from x^T delta as decrypted, of a delta that was multiplied by 2^`lift`.
    ///
    /// An entry is cut to what rows and delta allow. In particular noise does not move a weight whose gradient is zero (a dark pixel, a unit that is off):
    /// optimisers that divide by a gradient's size would.
    pub(super) fn learn(
        &self,
        layer: &mut Network,
        dw: &[f32],
        [x, dy]: [&ArrayD<f32>; 2],
        lift: i32,
    ) -> Result<(), ProtocolError> {
        let [inputs, outputs] = [self.encryption.inputs(), self.encryption.outputs()];
        let (factor, sums, most) = (2f32.powi(-lift), column_sums(x), column_maxima(dy));
        let bounds = sums.iter().flat_map(|sum| most.iter().map(move |most| (sum * most) as f32));
        let dw = dw.iter().zip(bounds).map(|(g, bound)| (g * factor).clamp(-bound, bound));
        let dw = shaped([inputs, outputs], dw.collect())?;
        let gradients = layer.parameters().into_iter().map(|(name, _)| {
            let gradient = match name.ends_with(BIAS) {
                true => dy.sum_axis(Axis(0)),
                false => dw.t().as_standard_layout().into_owned(),
            };
            (name, gradient)
        });
        layer.set_gradients(&gradients.collect::<Vec<_>>())?;
        Ok(layer.update()?)
    }

    /// x^T delta, row-major.
    pub(super) fn decrypt_gradient(&self, answer: &[u8]) -> Result<Vec<f32>, LatticeError> {
        self.encryption.product.decrypt_gradient(answer, &self.secrets.secret)
    }
}

/// How the name of a bias ends.
const BIAS: &str = ".bias";

/// The weight, outputs x inputs, and the bias of a network of one dense layer.
fn weight_and_bias(layer: &Network) -> [Option<ArrayD<f32>>; 2] {
    let [mut weight, mut bias] = [None, None];
    for (name, value) in layer.parameters() {
        *(if name.ends_with(BIAS) { &mut bias } else { &mut weight }) = Some(value);
    }
    [weight, bias]
}

/// The greatest power of two that keeps a product of at most `bound` within `limit`, and delta of at most `most` within 2^16.
fn lift(limit: f64, bound: f64, most: f64) -> i32 {
    let (product, delta) = ((limit / bound).log2().floor(), (65536.0 / most).log2().floor());
    match product.min(delta) {
        bits if bits.is_finite() => bits.clamp(-100.0, 100.0) as i32,
        // Nothing to scale, or nothing that can be encrypted.
        _ => 0,
    }
}

/// The sum of |x| over the rows, for each input.
fn column_sums(x: &ArrayD<f32>) -> Vec<f64> {
    by_column(x, |sum, x| sum + x)
}

/// The greatest |dy| of the rows, for each output.
fn column_maxima(dy: &ArrayD<f32>) -> Vec<f64> {
    by_column(dy, f64::max)
}

fn by_column(rows: &ArrayD<f32>, combine: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let mut all = vec![0.0; rows.len() / rows.len_of(Axis(0)).max(1)];
    for row in rows.outer_iter() {
        let each = all.iter_mut().zip(&row);
        each.for_each(|(all, number)| *all = combine(*all, f64::from(number.abs())));
    }
    all
}

fn greatest(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0, |most, number| most.max(*number))
}

fn shaped(shape: [usize; 2], numbers: Vec<f32>) -> Result<ArrayD<f32>, LatticeError> {
    let (expected, actual) = (shape[0] * shape[1], numbers.len());
    ArrayD::from_shape_vec(IxDyn(&shape), numbers).map_err(|_| LatticeError::Size {
        what: "result",
        expected,
        actual,
    })
}
