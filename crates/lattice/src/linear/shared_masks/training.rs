//! The three products of training of a dense layer: x W, x^T delta and delta W^T, each with operands of its own.
//!
//! An operand stands in two of them, and is encrypted twice: for the one product its blocks of rows need secrets of their own, for the other its blocks of
//! columns; and each product has the layout that suits it. The key holder keeps what it sent until it has read the answers.

use super::{Encrypted, EncryptedFactor, FactorScales, SharedProduct, SharedSecrets};
use crate::{
    LatticeError, Parameters, RandomnessKey,
    linear::{
        TrainingScales,
        fixed::{check_size, rows_of},
    },
    wire::check_len,
};

/// A dense layer of which rows, matrix and delta are encrypted under shared masks.
#[derive(Debug, Clone)]
pub struct SharedTraining {
    parameters: Parameters,
    batch: usize,
    inputs: usize,
    outputs: usize,
    /// x W, for a whole batch.
    forward: SharedProduct,
    /// x^T delta.
    gradient: SharedProduct,
    /// delta W^T.
    backward: SharedProduct,
}

/// An encrypted matrix, ready to be multiplied from both sides.
pub struct SharedWeights {
    /// W.
    forward: EncryptedFactor,
    /// W^T.
    backward: EncryptedFactor,
}

impl SharedWeights {
    /// W, of which x W is computed.
    pub fn forward(&self) -> &EncryptedFactor {
        &self.forward
    }
}

/// Encrypted rows: batches of them.
pub struct SharedRows(Vec<EncryptedFactor>);

/// What an encrypted delta brings, ready to be multiplied.
pub struct SharedDelta {
    rows: usize,
    /// x^T.
    rows_turned: EncryptedFactor,
    /// delta as right operand.
    gradient: EncryptedFactor,
    /// delta as left operand.
    backward: EncryptedFactor,
}

impl SharedTraining {
    /// For batches of at most `batch` rows, in the layouts that cost least.
    pub fn choose(
        parameters: &Parameters,
        [batch, inputs, outputs]: [usize; 3],
        scales: TrainingScales,
    ) -> Result<Self, LatticeError> {
        let TrainingScales {
            input,
            weight,
            delta,
            response,
        } = scales;
        let batch = batch.max(1);
        let product = |shape, [left, right]: [u32; 2]| {
            let scales = FactorScales { left, right, response };
            SharedProduct::choose(parameters, shape, scales)
        };
        Ok(Self {
            parameters: parameters.clone(),
            batch,
            inputs,
            outputs,
            forward: product([batch, inputs, outputs], [input, weight])?,
            gradient: product([inputs, batch, outputs], [input, delta])?,
            backward: product([batch, outputs, inputs], [delta, weight])?,
        })
    }

    /// x W, x^T delta and delta W^T of a whole batch.
    pub fn products(&self) -> [&SharedProduct; 3] {
        [&self.forward, &self.gradient, &self.backward]
    }

    /// The secrets of a key.
    pub fn secrets(&self, key: &RandomnessKey) -> SharedSecrets {
        let most = self.products().map(SharedProduct::secrets).into_iter().max();
        SharedSecrets::derive(&self.parameters, key, most.unwrap_or_default())
    }

    /// Bytes of `rows` encrypted rows, any number.
    pub fn rows_len(&self, rows: usize) -> usize {
        self.parts(rows).map(|rows| self.forward_of(rows).left_len()).sum()
    }

    /// Bytes of the encrypted matrix.
    pub fn weights_len(&self) -> usize {
        self.forward.right_len() + self.backward.right_len()
    }

    /// Bytes of the encrypted delta of `rows` rows.
    pub fn delta_len(&self, rows: usize) -> usize {
        let (gradient, backward) = (self.gradient_of(rows), self.backward_of(rows));
        gradient.left_len() + gradient.right_len() + backward.left_len()
    }

    /// Bytes of the answer x W for `rows` rows, any number.
    pub fn outputs_len(&self, rows: usize) -> usize {
        self.parts(rows).map(|rows| self.forward_of(rows).answer_len()).sum()
    }

    /// Bytes of the answer x^T delta.
    pub fn gradient_len(&self) -> usize {
        self.gradient.answer_len()
    }

    /// Bytes of the answer delta W^T for `rows` rows.
    pub fn input_gradient_len(&self, rows: usize) -> usize {
        self.backward_of(rows).answer_len()
    }

    /// Encrypts `x`, row-major, any number of rows. `context` must not repeat (see [`RandomnessKey`]).
    pub fn encrypt_rows(
        &self,
        x: &[f32],
        secrets: &SharedSecrets,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Encrypted<SharedRows>, LatticeError> {
        let rows = rows_of("rows", x, self.inputs)?;
        let (mut out, mut kept, mut done) = (Vec::with_capacity(self.rows_len(rows)), Vec::new(), 0);
        for rows in self.parts(rows) {
            let part = &x[done * self.inputs..][..rows * self.inputs];
            let context = [context, b"rows", &(done as u64).to_le_bytes()[..]].concat();
            let (bytes, factor) = self.forward_of(rows).encrypt_left(part, secrets, key, &context)?;
            out.extend_from_slice(&bytes);
            kept.push(factor);
            done += rows;
        }
        Ok((out, SharedRows(kept)))
    }

    /// Encrypts the matrix, inputs x outputs, row-major. `context` must not repeat.
    pub fn encrypt_weights(
        &self,
        matrix: &[f32],
        secrets: &SharedSecrets,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Encrypted<SharedWeights>, LatticeError> {
        check_size("matrix", self.inputs * self.outputs, matrix.len())?;
        let turned = transposed(matrix, [self.inputs, self.outputs]);
        let context = |name: &[u8]| [context, b"weights", name].concat();
        let (mut out, forward) = self.forward.encrypt_right(matrix, secrets, key, &context(b"forward"))?;
        let (bytes, backward) = self.backward.encrypt_right(&turned, secrets, key, &context(b"backward"))?;
        out.extend_from_slice(&bytes);
        Ok((out, SharedWeights { forward, backward }))
    }

    /// Encrypts rows x and delta of a batch, row-major, for the products x^T delta and delta W^T. `context` must not repeat.
    pub fn encrypt_delta(
        &self,
        [x, delta]: [&[f32]; 2],
        secrets: &SharedSecrets,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Encrypted<SharedDelta>, LatticeError> {
        let rows = self.within(rows_of("delta", delta, self.outputs)?)?;
        check_size("rows", rows * self.inputs, x.len())?;
        let (of_gradient, of_backward) = (self.gradient_of(rows), self.backward_of(rows));
        let turned = transposed(x, [rows, self.inputs]);
        let context = |name: &[u8]| [context, b"delta", name].concat();
        let (mut out, backward) = of_backward.encrypt_left(delta, secrets, key, &context(b"backward"))?;
        let (bytes, rows_turned) = of_gradient.encrypt_left(&turned, secrets, key, &context(b"rows"))?;
        out.extend_from_slice(&bytes);
        let (bytes, gradient) = of_gradient.encrypt_right(delta, secrets, key, &context(b"gradient"))?;
        out.extend_from_slice(&bytes);
        let kept = SharedDelta {
            rows,
            rows_turned,
            gradient,
            backward,
        };
        Ok((out, kept))
    }

    /// Reads what [`SharedTraining::encrypt_weights`] wrote. Every residue is checked.
    pub fn receive_weights(&self, bytes: &[u8]) -> Result<SharedWeights, LatticeError> {
        check_len(self.weights_len(), bytes)?;
        let (forward, backward) = bytes.split_at(self.forward.right_len());
        Ok(SharedWeights {
            forward: self.forward.receive_right(forward)?,
            backward: self.backward.receive_right(backward)?,
        })
    }

    /// Of an encrypted matrix, what x W is computed of: whoever holds the key, and has forgotten the matrix, needs it to read x W.
    pub fn forward_part<'a>(&self, weights: &'a [u8]) -> Result<&'a [u8], LatticeError> {
        check_len(self.weights_len(), weights)?;
        Ok(&weights[..self.forward.right_len()])
    }

    /// Bytes of [`SharedTraining::forward_part`].
    pub fn forward_part_len(&self) -> usize {
        self.forward.right_len()
    }

    /// Reads what [`SharedTraining::forward_part`] gave. Every residue is checked.
    pub fn receive_forward_part(&self, bytes: &[u8]) -> Result<EncryptedFactor, LatticeError> {
        self.forward.receive_right(bytes)
    }

    /// Reads what [`SharedTraining::encrypt_delta`] wrote for `rows` rows. Every residue is checked.
    pub fn receive_delta(&self, bytes: &[u8], rows: usize) -> Result<SharedDelta, LatticeError> {
        let rows = self.within(rows)?;
        check_len(self.delta_len(rows), bytes)?;
        let (gradient, backward) = (self.gradient_of(rows), self.backward_of(rows));
        let (left, bytes) = bytes.split_at(backward.left_len());
        let (turned, right) = bytes.split_at(gradient.left_len());
        Ok(SharedDelta {
            rows,
            rows_turned: gradient.receive_left(turned)?,
            gradient: gradient.receive_right(right)?,
            backward: backward.receive_left(left)?,
        })
    }

    /// x W of `rows` rows, any number, as [`SharedTraining::encrypt_rows`] wrote them. Every residue is checked.
    pub fn outputs(&self, bytes: &[u8], rows: usize, weights: &SharedWeights) -> Result<Vec<u8>, LatticeError> {
        check_len(self.rows_len(rows), bytes)?;
        let (mut out, mut rest) = (Vec::with_capacity(self.outputs_len(rows)), bytes);
        for rows in self.parts(rows) {
            let product = self.forward_of(rows);
            let (part, tail) = rest.split_at(product.left_len());
            rest = tail;
            out.extend(product.multiply(&product.receive_left(part)?, &weights.forward)?);
        }
        Ok(out)
    }

    /// x^T delta of a batch.
    pub fn gradient(&self, delta: &SharedDelta) -> Result<Vec<u8>, LatticeError> {
        self.gradient_of(delta.rows).multiply(&delta.rows_turned, &delta.gradient)
    }

    /// delta W^T of a batch.
    pub fn input_gradient(&self, delta: &SharedDelta, weights: &SharedWeights) -> Result<Vec<u8>, LatticeError> {
        self.backward_of(delta.rows).multiply(&delta.backward, &weights.backward)
    }

    /// Reads x W of `rows` rows, which were encrypted together: rows x outputs, row-major. A result out of range is an error.
    pub fn decrypt_outputs(
        &self,
        answer: &[u8],
        rows: usize,
        (x, weights): (&SharedRows, &EncryptedFactor),
        secrets: &SharedSecrets,
    ) -> Result<Vec<f32>, LatticeError> {
        check_len(self.outputs_len(rows), answer)?;
        let parts: Vec<usize> = self.parts(rows).collect();
        check_size("parts of encrypted rows", parts.len(), x.0.len())?;
        let (mut y, mut rest) = (Vec::with_capacity(rows * self.outputs), answer);
        for (rows, x) in parts.into_iter().zip(&x.0) {
            let product = self.forward_of(rows);
            let (part, tail) = rest.split_at(product.answer_len());
            rest = tail;
            y.extend(product.decrypt(part, [x, weights], secrets)?);
        }
        Ok(y)
    }

    /// Reads x^T delta: inputs x outputs, row-major. A result out of range is an error.
    pub fn decrypt_gradient(
        &self,
        answer: &[u8],
        delta: &SharedDelta,
        secrets: &SharedSecrets,
    ) -> Result<Vec<f32>, LatticeError> {
        let product = self.gradient_of(delta.rows);
        product.decrypt(answer, [&delta.rows_turned, &delta.gradient], secrets)
    }

    /// Reads delta W^T of a batch: rows x inputs, row-major. A result out of range is an error.
    pub fn decrypt_input_gradient(
        &self,
        answer: &[u8],
        delta: &SharedDelta,
        weights: &SharedWeights,
        secrets: &SharedSecrets,
    ) -> Result<Vec<f32>, LatticeError> {
        let product = self.backward_of(delta.rows);
        product.decrypt(answer, [&delta.backward, &weights.backward], secrets)
    }

    /// Rows that are encrypted together: whole batches, and the rest.
    fn parts(&self, rows: usize) -> impl Iterator<Item = usize> + use<> {
        let (batch, parts) = (self.batch, rows.div_ceil(self.batch).max(1));
        (0..parts).map(move |part| batch.min(rows - part * batch))
    }

    fn forward_of(&self, rows: usize) -> SharedProduct {
        self.forward.resized([rows, self.inputs, self.outputs])
    }

    fn gradient_of(&self, rows: usize) -> SharedProduct {
        self.gradient.resized([self.inputs, rows, self.outputs])
    }

    fn backward_of(&self, rows: usize) -> SharedProduct {
        self.backward.resized([rows, self.outputs, self.inputs])
    }

    /// No more rows than there are secrets for.
    fn within(&self, rows: usize) -> Result<usize, LatticeError> {
        match (1..=self.batch).contains(&rows) {
            true => Ok(rows),
            false => Err(LatticeError::Size {
                what: "rows of a batch",
                expected: self.batch,
                actual: rows,
            }),
        }
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
