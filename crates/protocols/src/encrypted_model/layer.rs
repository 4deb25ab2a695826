//! One dense layer whose weights are ciphertexts at the server, on rows in the clear: what both parties know of it, and the key holder's side.
//!
//! The matrix W is inputs x outputs, with the bias as one more row whose input is always 1.

use std::{ops::Range, sync::Arc};

use cloven_lattice::{
    LatticeError, Parameters,
    linear::{EncodedRows, EncryptedWeights, RowSource, Scales, WeightProduct},
};
use cloven_nn::Network;
use ndarray::{ArrayD, IxDyn};

use super::{
    key::{Fingerprint, Secrets},
    product::{ProductEncryption, ProductKey},
};
use crate::{ProtocolError, helpers::LayerForm};

/// log2 of the ring degree.
pub(super) const LOG2_DEGREE: u32 = 11;
/// Bits of the one prime.
pub(super) const PRIME_BITS: u32 = 50;
/// log2 of the scale of y = x W, shared between x and W: |y| may reach 2^(48 - 42) = 64.
const OUTPUT_BITS: u32 = 42;
/// Bits of a response's numbers. Rounding adds an error of 2^-14.6 at most to an output (7 deviations).
const RESPONSE_BITS: u32 = 30;
/// A message with parts holds about so many bytes.
pub(super) const PART: usize = 1 << 20;

/// What both parties know of the layer's encryption.
#[derive(Debug, Clone)]
pub struct LayerEncryption {
    product: WeightProduct,
    parameters: Parameters,
    inputs: usize,
    outputs: usize,
    bias: bool,
    input_bits: u32,
    packing: Option<usize>,
}

impl LayerEncryption {
    /// Fewest and most bits after the point that samples may keep.
    pub const INPUT_BITS: std::ops::RangeInclusive<u32> = 1..=12;

    /// For a layer of `inputs` x `outputs`, in block layout; samples are rounded to `input_bits` bits after the point. Fewer are better for the
    /// noise (`cloven_lattice::linear::WeightProduct`).
    pub fn new(shape: [usize; 2], bias: bool, input_bits: u32) -> Result<Self, LatticeError> {
        Self::in_layout(shape, bias, input_bits, None)
    }

    /// The same in stride layout: `packing` rows' steps (a power of two) share a ciphertext, and as many outputs as fit. Few bytes, more work.
    pub fn packed(shape: [usize; 2], bias: bool, input_bits: u32, packing: usize) -> Result<Self, LatticeError> {
        Self::in_layout(shape, bias, input_bits, Some(packing))
    }

    fn in_layout(
        [inputs, outputs]: [usize; 2],
        bias: bool,
        input_bits: u32,
        packing: Option<usize>,
    ) -> Result<Self, LatticeError> {
        if !Self::INPUT_BITS.contains(&input_bits) {
            return Err(LatticeError::Wide {
                what: "bits of the samples",
                allowed: *Self::INPUT_BITS.end(),
                actual: input_bits,
            });
        }
        let parameters = Parameters::new(LOG2_DEGREE, &[PRIME_BITS])?;
        let scales = Scales {
            input: input_bits,
            weight: OUTPUT_BITS - input_bits,
            response: RESPONSE_BITS,
        };
        let shape = [inputs + usize::from(bias), outputs];
        Ok(Self {
            product: match packing {
                None => WeightProduct::new(&parameters, shape, scales)?,
                Some(packing) => WeightProduct::strided(&parameters, shape, packing, scales)?,
            },
            parameters,
            inputs,
            outputs,
            bias,
            input_bits,
            packing,
        })
    }

    /// How a helper makes the same of it.
    pub(super) fn form(&self) -> LayerForm {
        LayerForm {
            shape: [self.inputs, self.outputs],
            bias: self.bias,
            input_bits: self.input_bits,
            packing: self.packing,
        }
    }

    pub(super) fn of_form(form: LayerForm) -> Result<Self, LatticeError> {
        Self::in_layout(form.shape, form.bias, form.input_bits, form.packing)
    }

    pub(super) fn product(&self) -> &WeightProduct {
        &self.product
    }

    /// Numbers in a row of x: a sample, and 1 for the bias.
    pub(super) fn width(&self) -> usize {
        self.inputs + usize::from(self.bias)
    }

    /// The encryption's parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Numbers in a sample.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Numbers in an output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The largest output that is surely read right; beyond it training stops.
    pub fn output_bound(&self) -> f64 {
        self.product.output_bound()
    }

    /// Length of Enc(x W) of `rows` rows.
    pub(super) fn output_len(&self, rows: usize) -> usize {
        self.product.response_len(rows)
    }

    /// Length of the encrypted step of `rows` rows.
    pub(super) fn delta_len(&self, rows: usize) -> usize {
        self.product.delta_len(rows)
    }

    /// Rows in each message of samples, for `rows` rows.
    pub(super) fn sample_parts(&self, rows: usize) -> impl Iterator<Item = usize> + use<> {
        crate::schedule::sizes(rows, (PART / (2 * self.inputs)).max(1))
    }

    /// The blocks of inputs of W that go in each message.
    pub(super) fn weight_parts(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (all, each) = (self.product.input_blocks(), (PART / self.product.encoded_part_len()).max(1));
        (0..all).step_by(each).map(move |first| first..all.min(first + each))
    }

    /// Length of so many fresh blocks of inputs of Enc(W).
    pub(super) fn fresh_len(&self, blocks: usize) -> usize {
        blocks * self.product.weights_part_len()
    }

    /// Length of so many blocks of inputs of Enc(W) as the server holds them.
    pub(super) fn held_part_len(&self, blocks: usize) -> usize {
        blocks * self.product.encoded_part_len()
    }

    /// Length in bytes of Enc(W) as the server holds it.
    pub fn held_len(&self) -> usize {
        self.product.encoded_weights_len()
    }

    /// Bound on the error of an output, in units of the output, for samples of at most the norm `row` after updates with samples whose
    /// squared norms add up to `energy`.
    pub fn error_bound(&self, row: f64, energy: f64) -> f64 {
        let (row, energy) = (self.norm(row), energy + f64::from(u8::from(self.bias)));
        let updates = (energy / row.powi(2)).ceil() as u64;
        self.product.noise_bound(row, updates) / self.product.message_bound(1.0)
    }

    /// The same layer with its rows encrypted as well, in batches of at most `batch` rows.
    pub(super) fn for_hidden_rows(&self, batch: usize) -> Result<ProductEncryption, LatticeError> {
        ProductEncryption::new([self.inputs, self.outputs], batch, RowSource::Sent)
    }

    /// Samples rounded as [`LayerEncryption::integers`] rounds them, in their own units.
    pub(super) fn rounded(&self, x: &ArrayD<f32>) -> Result<ArrayD<f32>, LatticeError> {
        let (unit, integers) = (self.unit(), self.integers(x)?);
        let mut rounded = x.clone();
        let each = rounded.iter_mut().zip(integers);
        each.for_each(|(x, integer)| *x = f32::from(integer) * unit);
        Ok(rounded)
    }

    /// Samples are rounded to multiples of this.
    fn unit(&self) -> f32 {
        1.0 / f32::from(1u16 << self.input_bits)
    }

    /// Samples as integers at the job's scale.
    pub(super) fn integers(&self, x: &ArrayD<f32>) -> Result<Vec<i16>, LatticeError> {
        let scale = f32::from(1u16 << self.input_bits);
        let round = |(position, value): (usize, &f32)| {
            let scaled = (value * scale).round();
            match scaled.abs() <= f32::from(i16::MAX) {
                true => Ok(scaled as i16),
                false => Err(LatticeError::Range {
                    what: "sample",
                    position,
                    value: (*value).into(),
                    bound: f64::from(i16::MAX) / f64::from(scale),
                }),
            }
        };
        x.iter().enumerate().map(round).collect()
    }

    /// Rows of x from samples, all in integers.
    pub(super) fn widened<'a>(&self, samples: impl Iterator<Item = &'a [i16]>) -> Vec<i16> {
        let mut rows = Vec::new();
        for sample in samples {
            rows.extend_from_slice(sample);
            rows.extend(self.bias.then_some(1i16 << self.input_bits));
        }
        rows
    }

    /// Integers in their own units.
    pub(super) fn floats(&self, integers: &[i16]) -> Vec<f32> {
        let unit = self.unit();
        integers.iter().map(|&integer| f32::from(integer) * unit).collect()
    }

    /// Prepares rows ([`LayerEncryption::widened`]) for products.
    pub(super) fn encode(&self, rows: &[i16]) -> Result<EncodedRows, LatticeError> {
        self.product.encode_rows(&self.floats(rows))
    }

    /// Length of the keys that responses are merged with; 0 in block layout.
    pub(super) fn merge_keys_len(&self) -> usize {
        self.product.merge_keys_len()
    }

    /// Gives Enc(W) the keys that its responses are merged with.
    pub(super) fn give_merge_keys(&self, weights: &mut EncryptedWeights, keys: &[u8]) -> Result<(), LatticeError> {
        self.product.receive_merge_keys(weights, keys)
    }

    /// Appends fresh blocks of inputs of Enc(W).
    pub(super) fn receive(&self, weights: &mut EncryptedWeights, fresh: &[u8]) -> Result<(), LatticeError> {
        let mut parts = fresh.chunks(self.product.weights_part_len());
        parts.try_for_each(|part| self.product.receive_weights_part(weights, part))
    }

    /// These blocks of inputs of Enc(W) as they stand.
    pub(super) fn hold(&self, weights: &EncryptedWeights, mut blocks: Range<usize>) -> Result<Vec<u8>, LatticeError> {
        let held = Vec::with_capacity(self.held_part_len(blocks.len()));
        blocks.try_fold(held, |mut held, q| {
            held.extend(self.product.encode_weights_part(weights, q)?);
            Ok(held)
        })
    }

    /// Enc(W) as it stands.
    pub(super) fn hold_all(&self, weights: &EncryptedWeights) -> Result<Vec<u8>, LatticeError> {
        self.product.encode_weights(weights)
    }

    /// Appends all blocks, which [`LayerEncryption::hold_all`] wrote, to a matrix that has none.
    pub(super) fn restore(&self, weights: &mut EncryptedWeights, held: &[u8]) -> Result<(), LatticeError> {
        let expected = self.held_len();
        if held.len() != expected {
            let actual = held.len();
            return Err(LatticeError::Length { expected, actual });
        }
        let mut parts = held.chunks(self.product.encoded_part_len());
        parts.try_for_each(|part| self.product.decode_weights_part(weights, part))
    }

    /// Reads what [`LayerEncryption::hold_all`] wrote.
    pub(super) fn held(&self, bytes: &[u8]) -> Result<EncryptedWeights, LatticeError> {
        self.product.decode_weights(bytes)
    }

    /// Enc(x W).
    pub(super) fn forward(&self, weights: &EncryptedWeights, x: &EncodedRows) -> Result<Vec<u8>, LatticeError> {
        self.product.forward(weights, x)
    }

    /// W <- W + x^T delta; nothing changes if `delta` is no ciphertext.
    pub(super) fn update(&self, weights: &mut EncryptedWeights, x: &EncodedRows, delta: &[u8]) -> Result<(), LatticeError> {
        self.product.update(weights, x, delta)
    }

    /// A sample's norm with the bias's 1.
    fn norm(&self, row: f64) -> f64 {
        row.hypot(f64::from(u8::from(self.bias)))
    }

    /// W of a network of this one layer, row-major.
    pub(super) fn matrix(&self, layer: &Network) -> Vec<f32> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for (name, value) in layer.parameters() {
            match name.ends_with(".bias") {
                true => bias = value.iter().copied().collect(),
                false => weight = value.t().iter().copied().collect(),
            }
        }
        weight.append(&mut bias);
        weight
    }

    /// The other way round: gives the layer these weights.
    fn set_matrix(&self, layer: &mut Network, matrix: &[f32]) -> Result<(), ProtocolError> {
        let mut parameters = layer.parameters();
        let (weight, bias) = matrix.split_at(self.inputs * self.outputs);
        for (name, value) in &mut parameters {
            match name.ends_with(".bias") {
                true => value.iter_mut().zip(bias).for_each(|(to, from)| *to = *from),
                false => {
                    for (at, to) in value.indexed_iter_mut() {
                        *to = weight[at[1] * self.outputs + at[0]];
                    }
                }
            }
        }
        Ok(layer.set_parameters(&parameters)?)
    }
}

/// The key holder's side. Neither `Debug` nor `Clone`; the secrets are wiped when their last key is dropped.
pub struct LayerKey {
    encryption: LayerEncryption,
    secrets: Arc<Secrets>,
}

impl LayerKey {
    /// Derived from 32 secret bytes; the same bytes give the same key.
    pub fn new(encryption: LayerEncryption, secret: &[u8; 32]) -> Self {
        let secrets = Arc::new(Secrets::new(&encryption.parameters, secret));
        Self { encryption, secrets }
    }

    /// The same secrets, for the same layer with its rows encrypted as well.
    pub(super) fn for_hidden_rows(&self, batch: usize) -> Result<ProductKey, LatticeError> {
        let encryption = self.encryption.for_hidden_rows(batch)?;
        Ok(ProductKey::for_predictions(encryption, self.secrets.clone()))
    }

    /// What the layer's encryption is.
    pub fn encryption(&self) -> &LayerEncryption {
        &self.encryption
    }

    /// Which key it is.
    pub fn fingerprint(&self) -> Fingerprint {
        self.secrets.fingerprint
    }

    /// Gives the layer initial weights that only the key holder knows: uniform in +-1/sqrt(inputs), as PyTorch's.
    pub fn draw_weights(&self, layer: &mut Network) -> Result<(), ProtocolError> {
        let parameters = layer.parameters();
        let place = parameters
            .first()
            .and_then(|(name, _)| name.rsplit_once('.'))
            .map_or("", |(place, _)| place);
        self.secrets.draw_weights(layer, place, self.encryption.inputs)
    }

    /// The keys that the server merges responses with; nothing in block layout.
    pub(super) fn merge_keys(&self) -> Result<Vec<u8>, LatticeError> {
        self.encryption
            .product
            .merge_keys(&self.secrets.secret, &self.secrets.randomness, &context(b"m", 0))
    }

    /// Encrypts these blocks of inputs of W (row-major, whole). `times` counts how often W has been encrypted.
    pub(super) fn encrypt_weights(&self, matrix: &[f32], blocks: Range<usize>, times: u64) -> Result<Vec<u8>, LatticeError> {
        let each = self.encryption.product.block_inputs() * self.encryption.outputs;
        let rows = matrix.chunks(each).enumerate().skip(blocks.start).take(blocks.len());
        self.encrypt_blocks(rows, times)
    }

    /// Blocks of inputs that the server holds, from block `first` on, times `factor`, freshly encrypted.
    pub(super) fn refresh(&self, held: &[u8], first: usize, factor: f64, times: u64) -> Result<Vec<u8>, LatticeError> {
        let parts = held.chunks(self.encryption.product.encoded_part_len());
        let rows = parts.zip(first..).map(|(part, q)| self.decrypt_block(part, q, factor));
        let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
        self.encrypt_blocks((first..).zip(rows.iter().map(Vec::as_slice)), times)
    }

    /// Gives the layer what the server holds, times `factor`.
    pub fn decrypt_layer(&self, held: &[u8], factor: f64, layer: &mut Network) -> Result<(), ProtocolError> {
        self.encryption.set_matrix(layer, &self.decrypt_blocks(held, 0, factor)?)
    }

    /// The rows of W in blocks of inputs that the server holds, from block `first` on, times `factor`, row-major.
    pub(super) fn decrypt_blocks(&self, held: &[u8], first: usize, factor: f64) -> Result<Vec<f32>, LatticeError> {
        let mut rows = Vec::new();
        for (part, q) in held.chunks(self.encryption.product.encoded_part_len()).zip(first..) {
            rows.extend(self.decrypt_block(part, q, factor)?);
        }
        Ok(rows)
    }

    fn encrypt_blocks<'a>(&self, rows: impl Iterator<Item = (usize, &'a [f32])>, times: u64) -> Result<Vec<u8>, LatticeError> {
        let (context, mut fresh) = (context(b"W", times), Vec::new());
        for (q, rows) in rows {
            let product = &self.encryption.product;
            fresh.extend(product.encrypt_weights_part(q, rows, &self.secrets.secret, &self.secrets.randomness, &context)?);
        }
        Ok(fresh)
    }

    fn decrypt_block(&self, part: &[u8], q: usize, factor: f64) -> Result<Vec<f32>, LatticeError> {
        let rows = self.encryption.product.decrypt_weights_part(q, part, &self.secrets.secret)?;
        Ok(rows.iter().map(|w| (w * factor) as f32).collect())
    }

    /// y of `rows` rows, times `factor`: `[rows, outputs]`.
    pub(super) fn decrypt(&self, output: &[u8], rows: usize, factor: f64) -> Result<ArrayD<f32>, LatticeError> {
        let mut y = self.encryption.product.decrypt(output, rows, &self.secrets.secret)?;
        if factor != 1.0 {
            y.iter_mut().for_each(|y| *y = (f64::from(*y) * factor) as f32);
        }
        let actual = y.len();
        ArrayD::from_shape_vec(IxDyn(&[rows, self.encryption.outputs]), y).map_err(|_| LatticeError::Size {
            what: "output",
            expected: rows * self.encryption.outputs,
            actual,
        })
    }

    /// Enc(-rate delta); `round` must be fresh for each batch.
    pub(super) fn encrypt_step(&self, delta: &ArrayD<f32>, rate: f64, round: u64) -> Result<Vec<u8>, LatticeError> {
        let delta = delta.as_standard_layout();
        let numbers = delta.as_slice().unwrap_or_default();
        let context = context(b"d", round);
        self.encryption
            .product
            .encrypt_delta(numbers, rate as f32, &self.secrets.secret, &self.secrets.randomness, &context)
    }
}

/// What a ciphertext is for.
fn context(purpose: &[u8; 1], number: u64) -> Vec<u8> {
    [b"encrypted model ", &purpose[..], &number.to_le_bytes()].concat()
}
