//! A linear layer of which rows, weights and steps are all encrypted: what both parties know of it, and the key holder's side.
//!
//! Two forms: a dense layer whose rows are sent has ciphertexts that share masks (`SharedTraining`), with few and short answers; rows that are stored, and
//! convolutions, have ciphertexts under one secret, and answers that are relinearised (`EncryptedProduct`).
//!
//! The server multiplies ciphertexts and keeps nothing but Enc(W). The key holder has the layer in the clear: it adds the bias, runs the optimiser
//! on the gradient that it decrypts, and encrypts W afresh. So noise never grows, and any optimiser will do.

use std::{borrow::Cow, sync::Arc};

use cloven_lattice::{
    LatticeError, Parameters, SecretKey,
    linear::{
        EncryptedFactor, EncryptedProduct, OperandNorms, RowSource, SharedDelta, SharedProduct, SharedRows, SharedSecrets,
        SharedTraining, SharedWeights, TrainingScales,
    },
};
use cloven_nn::{LinearShape, Network};
use ndarray::{ArrayD, Axis, IxDyn};

use super::{
    key::{Fingerprint, Secrets},
    layer::{LOG2_DEGREE, PART, PRIME_BITS},
};
use crate::ProtocolError;
use crate::linear_shape::encrypted_shape;

/// What both parties know of the layer's encryption.
#[derive(Debug, Clone)]
pub struct ProductEncryption {
    form: Form,
    parameters: Parameters,
    shape: LinearShape,
    batch: usize,
    from: RowSource,
}

/// How the three products are encrypted.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// One secret; answers are relinearised.
    Relinearised(EncryptedProduct),
    /// Shared masks.
    Shared(SharedTraining),
}

impl ProductEncryption {
    /// For a dense layer of `inputs` x `outputs`, in batches of at most `batch` rows.
    pub fn new([inputs, outputs]: [usize; 2], batch: usize, from: RowSource) -> Result<Self, LatticeError> {
        Self::of(LinearShape::Dense { inputs, outputs }, batch, from)
    }

    /// For any linear layer, in batches of at most `batch` rows.
    pub fn of(shape: LinearShape, batch: usize, from: RowSource) -> Result<Self, LatticeError> {
        let parameters = Parameters::new(LOG2_DEGREE, &[PRIME_BITS])?;
        let form = match (shape, from) {
            (LinearShape::Dense { inputs, outputs }, RowSource::Sent) => {
                Form::Shared(SharedTraining::choose(&parameters, [batch, inputs, outputs], scales(shape))?)
            }
            _ => {
                let shape_there = encrypted_shape(shape);
                Form::Relinearised(EncryptedProduct::for_training(
                    &parameters,
                    batch,
                    shape_there,
                    from,
                    scales(shape),
                )?)
            }
        };
        Ok(Self {
            form,
            parameters,
            shape,
            batch,
            from,
        })
    }

    /// Which product.
    pub fn shape(&self) -> LinearShape {
        self.shape
    }

    /// The most rows of a batch.
    pub(super) fn batch(&self) -> usize {
        self.batch
    }

    /// Whether rows are uploaded once and stored, one a group.
    pub(super) fn is_stored(&self) -> bool {
        self.from == RowSource::Stored
    }

    /// The encryption's parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Numbers in a row.
    pub fn inputs(&self) -> usize {
        self.shape.input().iter().product()
    }

    /// Numbers in an output.
    pub fn outputs(&self) -> usize {
        self.shape.output().iter().product()
    }

    /// The largest output, without the bias, that is surely read right; beyond it training stops.
    pub fn output_bound(&self) -> f64 {
        match &self.form {
            Form::Relinearised(product) => product.output_bound(),
            Form::Shared(products) => products.products()[0].bound(),
        }
    }

    /// Standard deviation of the error of an output, for a row of norm `row` and a matrix of norm `weights` altogether, in which columns are alike.
    pub fn output_deviation(&self, row: f64, weights: f64) -> f64 {
        let column = weights / (self.outputs() as f64).sqrt();
        let norms = |line: f64, lines: usize| OperandNorms {
            blocks: line * (lines as f64).sqrt(),
            line,
        };
        match &self.form {
            Form::Relinearised(product) => product.output_deviation(norms(row, 1), norms(column, product.blocks()[1])),
            Form::Shared(products) => {
                let product = products.products()[0];
                let layout = product.layout();
                product.deviation(norms(row, layout.samples), norms(column, layout.block_outputs))
            }
        }
    }

    /// Bytes of a group of rows: of one row, where rows are stored; where they are sent under shared masks, of one that is sent alone.
    pub fn row_len(&self) -> usize {
        match &self.form {
            Form::Relinearised(product) => product.group_len(),
            Form::Shared(products) => products.rows_len(1),
        }
    }

    /// Bytes of Enc(W).
    pub fn weights_len(&self) -> usize {
        match &self.form {
            Form::Relinearised(product) => product.weights_len(),
            Form::Shared(products) => products.weights_len(),
        }
    }

    /// Bytes of so many rows.
    pub fn rows_len(&self, rows: usize) -> usize {
        match &self.form {
            Form::Relinearised(product) => product.rows_len(rows),
            Form::Shared(products) => products.rows_len(rows),
        }
    }

    /// Bytes of the encrypted delta of so many rows, and of what goes with it.
    pub(super) fn delta_len(&self, rows: usize) -> usize {
        match &self.form {
            Form::Relinearised(product) => product.delta_len(rows),
            Form::Shared(products) => products.delta_len(rows),
        }
    }

    /// Bytes of Enc(x W).
    pub(super) fn outputs_len(&self, rows: usize) -> usize {
        match &self.form {
            Form::Relinearised(product) => product.outputs_len(rows),
            Form::Shared(products) => products.outputs_len(rows),
        }
    }

    /// Bytes of Enc(x^T delta).
    pub(super) fn gradient_len(&self) -> usize {
        match &self.form {
            Form::Relinearised(product) => product.gradient_len(),
            Form::Shared(products) => products.gradient_len(),
        }
    }

    /// Bytes of Enc(delta W^T).
    pub(super) fn input_gradient_len(&self, rows: usize) -> usize {
        match &self.form {
            Form::Relinearised(product) => product.input_gradient_len(rows),
            Form::Shared(products) => products.input_gradient_len(rows),
        }
    }

    /// Bytes of what is sent back of Enc(W) for predictions, if anything is.
    pub(super) fn held_len(&self) -> Option<usize> {
        match &self.form {
            Form::Relinearised(_) => None,
            Form::Shared(products) => Some(products.forward_part_len()),
        }
    }

    /// Rows in each message of rows, for `rows` rows: all, where a group may hold several.
    pub(super) fn row_parts(&self, rows: usize) -> impl Iterator<Item = usize> + use<> {
        let most = match self.from {
            RowSource::Stored => (PART / self.row_len()).max(1),
            RowSource::Sent => rows.max(1),
        };
        crate::schedule::sizes(rows, most)
    }

    pub(super) fn form(&self) -> &Form {
        &self.form
    }

    /// The products whose answers are relinearised, if they are.
    pub(super) fn relinearised(&self) -> Option<&EncryptedProduct> {
        match &self.form {
            Form::Relinearised(product) => Some(product),
            Form::Shared(_) => None,
        }
    }

    /// Those that ciphertexts with masks in common are under.
    fn shared_secrets(&self, secrets: &Secrets) -> SharedSecrets {
        match &self.form {
            Form::Relinearised(_) => SharedSecrets::derive(&self.parameters, &secrets.randomness, 0),
            Form::Shared(products) => products.secrets(&secrets.randomness),
        }
    }

    /// The largest entries of x^T delta and of delta W^T that are surely read right.
    fn gradient_bounds(&self) -> [f64; 2] {
        match &self.form {
            Form::Relinearised(product) => [product.gradient_bound(), product.input_gradient_bound()],
            Form::Shared(products) => [1, 2].map(|number: usize| SharedProduct::bound(products.products()[number])),
        }
    }
}

/// Fixed-point scales. Dense: outputs may reach 2^(48 - 40) = 256, gradients 2^(48 - 46) = 4 (delta is multiplied to fit). The noise of a
/// convolution's output grows with the norm of whole pictures; it gets two more bits of weight, and outputs up to 64.
fn scales(shape: LinearShape) -> TrainingScales {
    let weight = match shape {
        LinearShape::Dense { .. } => 20,
        LinearShape::Convolution { .. } => 22,
    };
    TrainingScales {
        input: 20,
        weight,
        delta: 26,
        response: 30,
    }
}

/// The key holder's side. Neither `Debug` nor `Clone`; the secrets are wiped when their last key is dropped.
pub struct ProductKey {
    pub(super) encryption: ProductEncryption,
    pub(super) secrets: Arc<Secrets>,
    /// None of them where answers are relinearised.
    shared: SharedSecrets,
    /// Keeps the ciphertexts of one key's layers apart.
    layer: u64,
}

/// A form, with the secrets that it takes.
#[derive(Clone, Copy)]
enum Cipher<'a> {
    Relinearised(&'a EncryptedProduct, &'a SecretKey),
    Shared(&'a SharedTraining, &'a SharedSecrets),
}

/// Ciphertexts for the server; and where they share masks, the same to read answers about them.
pub(super) type Sent<T> = (Vec<u8>, Option<T>);

/// What a ciphertext is for: the domain of its randomness, together with the layer.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// A row, by its place among those that are uploaded.
    Row(u64),
    /// A batch of rows of a layer after the first, by the round.
    Activation { round: u64 },
    /// A row of a prediction, or the batch that begins with it.
    Query { session: [u8; 16], row: u64 },
    /// W after so many updates.
    Weights(u64),
    /// W for one prediction.
    QueriedWeights { session: [u8; 16] },
    /// dL/dy, by the round.
    Delta(u64),
    /// The relinearisation key.
    Relinearisation,
}

impl Purpose {
    fn context(self, layer: u64) -> Vec<u8> {
        let (name, number, session) = match self {
            Self::Row(row) => (b"x", row, [0; 16]),
            Self::Activation { round } => (b"h", round, [0; 16]),
            Self::Query { session, row } => (b"q", row, session),
            Self::Weights(updates) => (b"W", updates, [0; 16]),
            Self::QueriedWeights { session } => (b"w", 0, session),
            Self::Delta(round) => (b"d", round, [0; 16]),
            Self::Relinearisation => (b"r", 0, [0; 16]),
        };
        let numbers = [layer.to_le_bytes(), number.to_le_bytes()].concat();
        [b"encrypted product ", &name[..], &numbers, &session].concat()
    }
}

/// Stands for the number of a layer that is trained on samples in the clear, and asked on hidden ones: its ciphertexts are kept apart from those of
/// layers that are trained as products, which are numbered from 0.
const ONLY_ASKED: u64 = u64::MAX;

impl ProductKey {
    /// The key of a training's first such layer, derived from 32 secret bytes; the same bytes give the same key.
    pub fn new(encryption: ProductEncryption, secret: &[u8; 32]) -> Self {
        Self::of_layer(encryption, secret, 0)
    }

    /// The key of layer number `layer`: the same secret key, with randomness of its own.
    pub fn of_layer(encryption: ProductEncryption, secret: &[u8; 32], layer: usize) -> Self {
        let secrets = Arc::new(Secrets::new(&encryption.parameters, secret));
        let shared = encryption.shared_secrets(&secrets);
        Self {
            encryption,
            secrets,
            shared,
            layer: layer as u64,
        }
    }

    /// The key of a layer that was trained on samples in the clear, for predictions on hidden rows.
    pub(super) fn for_predictions(encryption: ProductEncryption, secrets: Arc<Secrets>) -> Self {
        let shared = encryption.shared_secrets(&secrets);
        Self {
            encryption,
            secrets,
            shared,
            layer: ONLY_ASKED,
        }
    }

    /// What the layer's encryption is.
    pub fn encryption(&self) -> &ProductEncryption {
        &self.encryption
    }

    /// Which key it is.
    pub fn fingerprint(&self) -> Fingerprint {
        self.secrets.fingerprint
    }

    /// Gives the layer with this weight ("3.weight") initial weights that only the key holder knows: uniform in +-1/sqrt(fan-in), as PyTorch's.
    pub fn draw_weights(&self, network: &mut Network, weight: &str) -> Result<(), ProtocolError> {
        let place = weight.strip_suffix(".weight").unwrap_or(weight);
        let fan_in = self.encryption.shape.weight()[1..].iter().product();
        self.secrets.draw_weights(network, place, fan_in)
    }

    /// The relinearisation key, the same for all layers of a key; none where answers are not relinearised.
    pub(super) fn relinearisation_key(&self) -> Result<Option<Vec<u8>>, LatticeError> {
        let (Secrets { secret, randomness, .. }, context) = (&*self.secrets, Purpose::Relinearisation.context(0));
        let product = self.encryption.relinearised();
        product
            .map(|product| product.relinearisation_key(secret, randomness, &context))
            .transpose()
    }

    /// The arithmetic, with the secrets that it takes.
    fn cipher(&self) -> Cipher<'_> {
        match &self.encryption.form {
            Form::Relinearised(product) => Cipher::Relinearised(product, &self.secrets.secret),
            Form::Shared(products) => Cipher::Shared(products, &self.shared),
        }
    }

    /// Enc(x) of rows that are stored, from the numbers of whole rows, the first of them row number `first` of all that are uploaded.
    pub(crate) fn encrypt_samples(&self, x: &[f32], first: u64) -> Result<Vec<u8>, LatticeError> {
        let inputs = self.encryption.inputs();
        let rows = ArrayD::from_shape_vec(IxDyn(&[x.len() / inputs, inputs]), x.to_vec()).map_err(|_| LatticeError::Size {
            what: "rows",
            expected: x.len() / inputs * inputs,
            actual: x.len(),
        })?;
        Ok(self.encrypt_rows(&rows, |index| Purpose::Row(first + index as u64))?.0)
    }

    /// Rows: where they are stored, each for itself and with a purpose of its own; else together, with that of the first.
    pub(super) fn encrypt_rows(
        &self,
        x: &ArrayD<f32>,
        purpose: impl Fn(usize) -> Purpose,
    ) -> Result<Sent<SharedRows>, LatticeError> {
        let randomness = &self.secrets.randomness;
        let numbers = in_order(x);
        match self.cipher() {
            Cipher::Relinearised(product, secret) => {
                let rows = x.len_of(Axis(0));
                let each = if self.encryption.is_stored() { 1 } else { rows.max(1) };
                let mut bytes = Vec::with_capacity(self.encryption.rows_len(rows));
                for (index, rows) in numbers.chunks(each * self.encryption.inputs()).enumerate() {
                    let context = purpose(index * each).context(self.layer);
                    bytes.extend(product.encrypt_rows(rows, secret, randomness, &context)?);
                }
                Ok((bytes, None))
            }
            Cipher::Shared(products, secrets) => {
                let context = purpose(0).context(self.layer);
                let (bytes, kept) = products.encrypt_rows(&numbers, secrets, randomness, &context)?;
                Ok((bytes, Some(kept)))
            }
        }
    }

    /// Enc(W) of a weight in PyTorch's layout.
    pub(super) fn encrypt_weights(&self, weight: &ArrayD<f32>, purpose: Purpose) -> Result<Sent<SharedWeights>, LatticeError> {
        let randomness = &self.secrets.randomness;
        let context = purpose.context(self.layer);
        let matrix = match self.encryption.shape {
            // In PyTorch's layout a dense weight is outputs x inputs.
            LinearShape::Dense { inputs, outputs } => transposed(&in_order(weight), [outputs, inputs]).into(),
            LinearShape::Convolution { .. } => in_order(weight),
        };
        match self.cipher() {
            Cipher::Relinearised(product, secret) => {
                let bytes = product.encrypt_weights(&matrix, secret, randomness, &context)?;
                Ok((bytes, None))
            }
            Cipher::Shared(products, secrets) => {
                let (bytes, kept) = products.encrypt_weights(&matrix, secrets, randomness, &context)?;
                Ok((bytes, Some(kept)))
            }
        }
    }

    /// Reads what [`ProductEncryption::held`] gave, if it gives anything: what it takes to read x W, if W is not at hand.
    pub(super) fn receive_held(&self, bytes: &[u8]) -> Result<Option<EncryptedFactor>, LatticeError> {
        match self.encryption.form() {
            Form::Relinearised(_) => Ok(None),
            Form::Shared(products) => products.receive_forward_part(bytes).map(Some),
        }
    }

    /// x W of `rows` rows: `[rows, sample...]`. Where masks are shared, the ciphertexts of both are needed.
    pub(super) fn decrypt_outputs(
        &self,
        answer: &[u8],
        rows: usize,
        (x, weights): (Option<&SharedRows>, Option<&EncryptedFactor>),
    ) -> Result<ArrayD<f32>, LatticeError> {
        let y = match self.cipher() {
            Cipher::Relinearised(product, secret) => product.decrypt_outputs(answer, rows, secret)?,
            Cipher::Shared(products, secrets) => {
                products.decrypt_outputs(answer, rows, (at_hand(x)?, at_hand(weights)?), secrets)?
            }
        };
        shaped(&[&[rows], &self.encryption.shape.output()[..]].concat(), y)
    }

    /// Enc(2^lift dL/dy), and lift: chosen so that no gradient for rows `x`, nor (given the weight) for the input, passes the range, nor gets lost below the
    /// fixed point.
    pub(super) fn encrypt_delta(
        &self,
        [x, dy]: [&ArrayD<f32>; 2],
        weight: Option<&ArrayD<f32>>,
        round: u64,
    ) -> Result<(Sent<SharedDelta>, i32), LatticeError> {
        let (randomness, shape) = (&self.secrets.randomness, self.encryption.shape);
        let [most_of_gradient, most_of_input_gradient] = self.encryption.gradient_bounds();
        let of_output = channel_norms(dy, shape.channels_out());
        // Cauchy and Schwarz: an entry is the product of a line of one operand with one of the other.
        let gradient = greatest(&channel_norms(x, shape.channels_in())) * greatest(&of_output);
        let mut room = most_of_gradient / 2.0 / gradient;
        if let Some(weight) = weight {
            let by_row = dy.outer_iter().map(|row| norm(row.iter())).fold(0.0, f64::max);
            let by_input = greatest(&channel_norms(weight, shape.channels_in()));
            room = room.min(most_of_input_gradient / 2.0 / (by_row * by_input));
        }
        let most = dy.iter().fold(0.0, |most, d| f64::from(d.abs()).max(most));
        let lift = lift(room, most);
        let factor = 2f32.powi(lift);
        let delta: Vec<f32> = dy.iter().map(|d| d * factor).collect();
        let context = Purpose::Delta(round).context(self.layer);
        let sent = match self.cipher() {
            Cipher::Relinearised(product, secret) => (product.encrypt_delta(&delta, secret, randomness, &context)?, None),
            Cipher::Shared(products, secrets) => {
                let (bytes, kept) = products.encrypt_delta([&in_order(x), &delta], secrets, randomness, &context)?;
                (bytes, Some(kept))
            }
        };
        Ok((sent, lift))
    }

    /// dL/dW in PyTorch's layout, from the answer to a delta that was multiplied by 2^`lift`; where masks are shared, `delta` is needed.
    ///
    /// An entry is cut to what rows and delta allow. In particular noise does not move a weight whose gradient is zero (a dark pixel, a unit that is off):
    /// optimisers that divide by a gradient's size would.
    pub(super) fn decrypt_gradient(
        &self,
        answer: &[u8],
        delta: Option<&SharedDelta>,
        [x, dy]: [&ArrayD<f32>; 2],
        lift: i32,
    ) -> Result<ArrayD<f32>, LatticeError> {
        let dw = match self.cipher() {
            Cipher::Relinearised(product, secret) => product.decrypt_gradient(answer, secret)?,
            Cipher::Shared(products, secrets) => products.decrypt_gradient(answer, at_hand(delta)?, secrets)?,
        };
        self.gradient(dw, [x, dy], lift)
    }

    pub(super) fn gradient(&self, dw: Vec<f32>, [x, dy]: [&ArrayD<f32>; 2], lift: i32) -> Result<ArrayD<f32>, LatticeError> {
        let shape = self.encryption.shape;
        let mut dw = match shape {
            LinearShape::Dense { inputs, outputs } if dw.len() == inputs * outputs => transposed(&dw, [inputs, outputs]),
            _ => dw,
        };
        let [from, to] = [channel_norms(x, shape.channels_in()), channel_norms(dy, shape.channels_out())];
        let (factor, places) = (2f32.powi(-lift), dw.len() / (from.len() * to.len()).max(1));
        for (of_output, to) in dw.chunks_mut((from.len() * places).max(1)).zip(to) {
            for (entries, from) in of_output.chunks_mut(places.max(1)).zip(&from) {
                // A whisker above, for the rounding of the bound itself.
                let bound = (to * from * 1.000_001) as f32;
                entries
                    .iter_mut()
                    .for_each(|entry| *entry = (*entry * factor).clamp(-bound, bound));
            }
        }
        shaped(&shape.weight(), dw)
    }

    /// dL/dx in the shape of x, from the answer to a delta that was multiplied by 2^`lift`; where masks are shared, the ciphertexts of both are needed.
    pub(super) fn decrypt_input_gradient(
        &self,
        answer: &[u8],
        (delta, weights): (Option<&SharedDelta>, Option<&SharedWeights>),
        lift: i32,
        shape: &[usize],
    ) -> Result<ArrayD<f32>, LatticeError> {
        let dx = match self.cipher() {
            Cipher::Relinearised(product, secret) => product.decrypt_input_gradient(answer, shape[0], secret)?,
            Cipher::Shared(products, secrets) => {
                products.decrypt_input_gradient(answer, at_hand(delta)?, at_hand(weights)?, secrets)?
            }
        };
        let factor = 2f32.powi(-lift);
        shaped(shape, dx.into_iter().map(|d| d * factor).collect())
    }
}

/// The protocol asks for nothing about ciphertexts that were not sent.
fn at_hand<T>(kept: Option<T>) -> Result<T, LatticeError> {
    kept.ok_or(LatticeError::Size {
        what: "ciphertexts that an answer is about",
        expected: 1,
        actual: 0,
    })
}

/// The greatest power of two within `room`, that also keeps a delta of at most `most` within 2^16.
fn lift(room: f64, most: f64) -> i32 {
    match room.log2().floor().min((65536.0 / most).log2().floor()) {
        bits if bits.is_finite() => bits.clamp(-100.0, 100.0) as i32,
        // Nothing to scale, or nothing that can be encrypted.
        _ => 0,
    }
}

/// The norm of each channel over all rows (of a weight: over all outputs) and places.
fn channel_norms(rows: &ArrayD<f32>, channels: usize) -> Vec<f64> {
    let mut squares = vec![0.0; channels];
    let places = rows.len() / (rows.len_of(Axis(0)) * channels).max(1);
    let numbers = in_order(rows);
    for (index, numbers) in numbers.chunks(places.max(1)).enumerate() {
        let square = &mut squares[index % channels];
        numbers.iter().for_each(|number| *square += f64::from(*number).powi(2));
    }
    squares.into_iter().map(f64::sqrt).collect()
}

fn norm<'a>(numbers: impl Iterator<Item = &'a f32>) -> f64 {
    numbers.map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt()
}

fn greatest(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0, |most, number| most.max(*number))
}

fn in_order(array: &ArrayD<f32>) -> Cow<'_, [f32]> {
    match array.as_slice() {
        Some(numbers) => numbers.into(),
        None => array.iter().copied().collect::<Vec<_>>().into(),
    }
}

/// The numbers of a `rows` x `columns` matrix, column after column.
fn transposed(numbers: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let mut turned = vec![0.0; numbers.len()];
    for (row, numbers) in numbers.chunks(columns.max(1)).enumerate() {
        for (column, number) in numbers.iter().enumerate() {
            turned[column * rows + row] = *number;
        }
    }
    turned
}

fn shaped(shape: &[usize], numbers: Vec<f32>) -> Result<ArrayD<f32>, LatticeError> {
    let (expected, actual) = (shape.iter().product(), numbers.len());
    ArrayD::from_shape_vec(IxDyn(shape), numbers).map_err(|_| LatticeError::Size {
        what: "result",
        expected,
        actual,
    })
}
